"""Every command that makes results, as small as it can be: its data, what can be changed in them, and its numbers."""

import csv
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxuq.study import read_arrays, read_sealed


class Study(NamedTuple):
    """A command.

    Attributes:
        write: makes its data in a folder.
        changes: by name, what changes them there (and returns what to replace in the model, if anything).
        run: `run(data, output, weights)`; `weights` moves the model's numbers.
        work: places of the functions without which nothing can be computed.
        quick: changes that are tried alone at every test run; the others are long.
    """

    write: Callable[[pathlib.Path], None]
    changes: dict[str, Callable[[pathlib.Path], float | None]]
    run: Callable[[pathlib.Path, pathlib.Path, float], Any]
    work: tuple[str, ...]
    quick: tuple[str, ...] = ()


def numbers(output: pathlib.Path) -> dict[str, Any]:
    """All numbers and texts of a folder's tables and predictions, but seconds, and the names under which they are kept.

    Args:
        output: a result folder.

    Returns:
        By file.
    """
    found: dict[str, Any] = {}
    tables = [*output.glob("*.csv")]
    for file in tables:
        if file.name != "costs.csv":
            rows = csv.DictReader(file.read_text().splitlines())
            found[file.name] = [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
    for file in [*output.glob("predictions/**/*"), *output.glob("*.jsonl"), *output.glob("rounds/*")]:
        name = str(file.relative_to(output))
        if file.suffix == ".npz":
            arrays = read_arrays(file) or {}
            found[name] = {k: str(v.tolist()) for k, v in arrays.items() if "seconds" not in k and k != "cell"}
        elif file.suffix == ".jsonl":
            lines = [{k: v for k, v in line.items() if k != "seconds"} for line in read_sealed(file)]
            found[name] = sorted(lines, key=lambda line: json.dumps(line, sort_keys=True))
    return found


def small_networks(patch: Any) -> None:
    """A backbone that trains in no time, as long as the patch lasts."""
    from jaxuq.molecules.muben import BACKBONES
    from jaxuq.networks import DNN

    whole = BACKBONES["dnn"]

    def small(options: Any) -> Any:
        made = whole.functions["make"](options)
        return made._replace(network=lambda outputs: DNN(num_outputs=outputs, width=8, depth=0))

    patch.setitem(BACKBONES, "dnn", whole._replace(functions={"make": small}))


def moved(model: Any, by: float) -> Any:
    """The same model with other numbers under the same name."""
    return model._replace(params=jax.tree.map(lambda leaf: leaf * (1 + by), model.params)) if by else model


def _lines(path: pathlib.Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def _records(path: pathlib.Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records = change(records) or records
    path.write_text("".join(json.dumps(one) + "\n" for one in records))


def _swapped(rows: list[Any]) -> list[Any]:
    return [rows[1], rows[0], *rows[2:]]


# ---------------------------------------------------------------------------------------------------------------- muben
_PARTS = {"train": (0, 24), "valid": (24, 32), "test": (32, 40)}


def _write_molecules(folder: pathlib.Path) -> None:
    from jaxuq.molecules import load_molecules

    data = load_molecules("freesolv")
    folder.mkdir(parents=True)
    for part, (first, last) in _PARTS.items():
        rows = [f"{data.smiles[row]},[{data.labels[row, 0]}]" for row in range(first, last)]
        (folder / f"{part}.csv").write_text("\n".join(["smiles,labels", *rows]) + "\n")


def _labels(part: str) -> Callable[[pathlib.Path], None]:
    def change(folder: pathlib.Path) -> None:
        def higher(line: str) -> str:
            smiles, label = line.split(",")
            return f"{smiles},[{float(label[1:-1]) + 3 * len(smiles)}]"

        _lines(folder / f"{part}.csv", lambda lines: [lines[0], *map(higher, lines[1:])])

    return change


def _smiles(part: str) -> Callable[[pathlib.Path], None]:
    return lambda folder: _lines(
        folder / f"{part}.csv", lambda lines: [lines[0], *(f"CCCC{line}" for line in lines[1:])]
    )


def _order(folder: pathlib.Path) -> None:
    _lines(folder / "train.csv", lambda lines: [lines[0], *lines[:0:-1]])


_MOLECULES = {
    "training labels": _labels("train"), "training inputs": _smiles("train"), "validation labels": _labels("valid"),
    "test labels": _labels("test"), "test inputs": _smiles("test"), "order": _order,
}  # fmt: skip


def _run_molecules(data: pathlib.Path, output: pathlib.Path, weights: float, **further: Any) -> Any:
    from jaxuq.molecules.muben import MubenConfiguration, run_active, run_muben

    options: dict[str, Any] = {
        "features": "morgan", "epochs": 3, "members": 2, "samples": 2, "seeds": 1, "batch_size": 8, "resamples": 4,
        "strategy": "map", "methods": "deterministic,variance-scaling",
    }  # fmt: skip
    configuration = MubenConfiguration(dataset=str(data), output=output, **options | further)
    return (run_active if configuration.active else run_muben)(configuration)


def _run_rounds(data: pathlib.Path, output: pathlib.Path, weights: float) -> Any:
    return _run_molecules(data, output, weights, active=1, start=8, acquire=4, methods="evidential")


# ------------------------------------------------------------------------------------------------------------------ tag
def _write_sentences(folder: pathlib.Path) -> None:
    from tests.tagging.small_data import write_data

    write_data(folder, sentences=10)


def _sentences(part: str, field: str) -> Callable[[pathlib.Path], None]:
    def change(folder: pathlib.Path) -> None:
        rows = json.loads((folder / f"{part}.json").read_text())
        for row in rows.values():
            if field == "votes":
                row["weak_labels"][0] = [[0, 1, "LOC"]]
            else:
                row["label"] = [[0, 1, "LOC"]]
        (folder / f"{part}.json").write_text(json.dumps(rows))

    return change


def _silence(folder: pathlib.Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"lf_rec": meta["lf_rec"][:2]}))


def _sentence_order(folder: pathlib.Path) -> None:
    rows = json.loads((folder / "test.json").read_text())
    (folder / "test.json").write_text(
        json.dumps({str(number): row for number, row in enumerate([*rows.values()][::-1])})
    )


_SENTENCES = {
    "training votes": _sentences("train", "votes"), "test votes": _sentences("test", "votes"),
    "gold labels": _sentences("test", "gold"), "labelling function": _silence, "order": _sentence_order,
}  # fmt: skip


def _run_sentences(data: pathlib.Path, output: pathlib.Path, weights: float) -> Any:
    from jaxuq.tagging.benchmark import run_tagging
    from jaxuq.tagging.benchmark.configuration import TaggingConfiguration

    return run_tagging(TaggingConfiguration(data=(str(data),), model="majority-vote,hmm", seeds=1, output=output))


# ----------------------------------------------------------------------------------------------------------- confidence
def _write_questions(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    words = ("a cat", "the sea", "a tree", "a fish")
    asked = [{"id": f"q{n}", "question": f"what is {word}", "answer": word.split()[1]} for n, word in enumerate(words)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    said = [{"id": f"q{n}", "response": f"the answer is {word.split()[1]}."} for n, word in enumerate(words)]
    (folder / "said.jsonl").write_text("".join(json.dumps(one) + "\n" for one in said))


_QUESTIONS = {
    "question": lambda folder: _records(folder / "mine.jsonl", lambda rows: rows[0].update(question="what is red")),
    "answer": lambda folder: _records(folder / "mine.jsonl", lambda rows: rows[1].update(answer="red")),
    "response": lambda folder: _records(folder / "said.jsonl", lambda rows: rows[2].update(response="it is red.")),
    "order": lambda folder: _records(folder / "mine.jsonl", _swapped),
    "weights": lambda folder: 0.05,
}


def _run_questions(data: pathlib.Path, output: pathlib.Path, weights: float) -> Any:
    from jaxuq import confidence
    from tests.confidence.tiny_text import model

    configuration = confidence.StudyConfiguration(
        model="tiny", data=str(data / "mine.jsonl"), responses=data / "said.jsonl", measures=("single",), batch_size=2,
        output=output,
    )  # fmt: skip
    return confidence.run_study(configuration, model=moved(model(), weights))


# -------------------------------------------------------------------------------------------------------------- extract
_TABLE = "| Person |\n|---|\n| {} |\n"


def _write_texts(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    texts = [
        {"id": "a", "text": "Ada met Bo.", "entities": [{"type": "person", "pos": [0, 3]}]},
        {"id": "b", "text": "Rome saw Bo.", "entities": []},
    ]
    said = [
        {"id": name, "type": "person", "messages": [{"role": "assistant", "content": _TABLE.format(found)}] * 3}
        for name, found in (("a", "Ada"), ("b", "Bo"))
    ]
    for name, rows in (("news", texts), ("stored", said)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "types.json").write_text(json.dumps(["person"]))
    (folder / "prompts.toml").write_text('[shared]\nsystem = "You read."\n')


def _gold(rows: list[dict[str, Any]]) -> None:
    rows[1]["entities"] = [{"type": "person", "pos": [9, 11]}]


_TEXTS = {
    "text": lambda folder: _records(folder / "news.jsonl", lambda rows: rows[1].update(text="Rose saw Bo.")),
    "gold": lambda folder: _records(folder / "news.jsonl", _gold),
    "types": lambda folder: _write(folder / "types.json", json.dumps([{"name": "person", "description": "A human."}])),
    "replies": lambda folder: _records(
        folder / "stored.jsonl", lambda rows: rows[0].update(messages=[rows[0]["messages"][0] | {"content": "x"}] * 3)
    ),
    "prompts": lambda folder: _write(folder / "prompts.toml", '[shared]\nsystem = "You read with care."\n'),
}


def _write(path: pathlib.Path, text: str) -> None:
    path.write_text(text)


def _run_texts(data: pathlib.Path, output: pathlib.Path, weights: float) -> Any:
    from jaxuq.cli.extract import ExtractCommand

    ExtractCommand(
        data / "news.jsonl", data / "types.json", f"replay:{data / 'stored.jsonl'}", output,
        prompts=data / "prompts.toml",
    ).run()  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------- tune
def _write_sums(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True)
    letters, colours = "abcdefg", ("red", "green", "blue")
    rows = [
        {"question": f"what is {a} {b}", "answer": colours[(letters.index(a) + letters.index(b)) % 3], "category": "s"}
        for a in letters
        for b in letters[:3]
    ]
    for name, part in (("sums", rows[:12]), ("held", rows[12:17]), ("other", rows[17:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    (folder / "texts.txt").write_text("what is a red yes no\none two three\n")


_SUMS = {
    "training answers": lambda folder: _records(
        folder / "sums.jsonl", lambda rows: [row | {"answer": "red"} if n % 2 else row for n, row in enumerate(rows)]
    ),
    "training questions": lambda folder: _records(
        folder / "sums.jsonl", lambda rows: rows[0].update(question="what is yes")
    ),
    "test questions": lambda folder: _records(
        folder / "held.jsonl", lambda rows: rows[0].update(question="what is yes no")
    ),
    "shifted test": lambda folder: _records(folder / "other.jsonl", lambda rows: rows[0].update(question="what is no")),
    "texts": lambda folder: _write(folder / "texts.txt", "what is a blue no\n"),
    "order": lambda folder: _records(folder / "sums.jsonl", _swapped),
    "weights": lambda folder: 0.1,
}
_WITHOUT_TEXTS = {name: change for name, change in _SUMS.items() if name != "texts"}  # which are of `ual` alone


def _run_sums(data: pathlib.Path, output: pathlib.Path, weights: float, **further: Any) -> Any:
    from jaxuq import tuning
    from tests.language.finetune_run import tiny_model
    from tests.language.words import tokenizer

    options: dict[str, Any] = {"loss": ("plain", "ual"), "posterior": ("none",), "uncertainty": "perplexity"} | further
    configuration = tuning.TuneConfiguration(
        model="tiny", data=str(data / "sums.jsonl"), test=data / "held.jsonl", shifted=data / "other.jsonl",
        texts=data / "texts.txt", members=2, samples=2, epochs=1, learning_rate=0.03, max_length=16, rank=2, options=3,
        output=output, **options,
    )  # fmt: skip
    return tuning.run_tuning(configuration, model=moved(tiny_model()._replace(tokenizer=tokenizer()), weights))


def _run_labels(data: pathlib.Path, output: pathlib.Path, weights: float) -> Any:
    further = {"loss": (), "posterior": (), "acquire": ("random", "entropy"), "start": 4, "label": 2, "rounds": 1}
    defaults = {"loss": ("plain",), "posterior": ("ensemble",)}
    return _run_sums(data, output, weights, **further | defaults)


def _run_teaching(data: pathlib.Path, output: pathlib.Path, weights: float) -> Any:
    return _run_sums(data, output, weights, loss=("plain",), posterior=("none",), teach=("head",))


# -------------------------------------------------------------------------------------------------------------- experts
def _write_instructions(folder: pathlib.Path) -> None:
    from tests.experts.tiny_run import write_data

    folder.mkdir(parents=True)
    write_data(folder / "mix.jsonl")
    write_data(folder / "asked.jsonl", count=6)


_INSTRUCTIONS = {
    "responses": lambda folder: _records(folder / "mix.jsonl", lambda rows: rows[0].update(response="three yes")),
    "instructions": lambda folder: _records(
        folder / "mix.jsonl", lambda rows: rows[0].update(instruction="what is a red b")
    ),
    "question": lambda folder: _records(folder / "asked.jsonl", lambda rows: rows[0].update(instruction="what is g")),
    "answer": lambda folder: _records(folder / "asked.jsonl", lambda rows: rows[1].update(response="three")),
    "order": lambda folder: _records(folder / "mix.jsonl", _swapped),
    "weights": lambda folder: 0.1,
}


def _run_instructions(data: pathlib.Path, output: pathlib.Path, weights: float) -> Any:
    from jaxuq.experts.pipeline.configuration import EvaluateConfiguration
    from jaxuq.experts.pipeline.evaluation import run_evaluation
    from jaxuq.experts.pipeline.training import run_training
    from tests.experts.tiny_run import configuration, tiny_model

    model = moved(tiny_model(), weights)
    trained = output.parent / f"{output.name}-trained"
    run_training(configuration(data / "mix.jsonl", trained), model=model)
    asked = EvaluateConfiguration(
        (trained,), data=str(data / "asked.jsonl"), baselines="base-adapter,uniform-weights", output=output,
        max_new_tokens=2, batch_size=2,
    )  # fmt: skip
    return run_evaluation(asked, model=model)


STUDIES = {
    "muben": Study(
        _write_molecules, _MOLECULES, _run_molecules, ("jaxuq.molecules.muben.forecasting.fit",)
    ),
    "muben --active": Study(
        _write_molecules, _MOLECULES, _run_rounds, ("jaxuq.molecules.muben.forecasting.fit",)
    ),
    "tag": Study(
        _write_sentences, _SENTENCES, _run_sentences, ("jaxuq.tagging.benchmark.run._compute",)
    ),
    "confidence": Study(
        _write_questions, _QUESTIONS, _run_questions, ("jaxuq.confidence.study.run.assess",)
    ),
    "extract": Study(_write_texts, _TEXTS, _run_texts, ()),
    "tune": Study(
        _write_sums, _SUMS, _run_sums, ("jaxuq.tuning.study._computed", "jaxuq.tuning.members.finetune"),
        ("training answers",),
    ),
    "tune --acquire": Study(_write_sums, _WITHOUT_TEXTS, _run_labels, ("jaxuq.tuning.members.finetune",)),
    "tune --teach": Study(_write_sums, _WITHOUT_TEXTS, _run_teaching, ("jaxuq.tuning.honesty.run._taught",)),
    "experts": Study(
        _write_instructions, _INSTRUCTIONS, _run_instructions,
        ("jaxuq.experts.pipeline.adapters.finetune", "jaxuq.experts.pipeline.evaluation._predict"),
    ),
}  # fmt: skip
"""By command."""
