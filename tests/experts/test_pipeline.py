"""Training in steps that continue where they stopped, and the mistakes that a user can make."""

import csv
import dataclasses
import io
import json
import shutil

import jax
import numpy as np
import pytest

from jaxuq._errors import OptionError
from jaxuq.experts import ExpertsError
from jaxuq.experts.answering import ExpertAnswer
from jaxuq.experts.pipeline import evaluation
from jaxuq.experts.pipeline.adapters import is_trained, read_adapter
from jaxuq.experts.pipeline.configuration import EvaluateConfiguration
from jaxuq.experts.pipeline.evaluation import run_evaluation
from jaxuq.experts.pipeline.features import Features, find_clusters, read_features
from jaxuq.experts.pipeline.methods import METHODS
from jaxuq.experts.pipeline.questions import read_training
from jaxuq.experts.pipeline.records import load_records
from jaxuq.experts.pipeline.training import prepared_model, run_training
from jaxuq.language import init_adapters, save_peft
from jaxuq.networks import LoraConfig
from jaxuq.questions import QuestionError
from jaxuq.study import Listener, StudyWarning, read_sealed
from tests.experts.tiny_run import configuration, tiny_model, write_data

pytestmark = pytest.mark.long

ALL = (
    "base-model,base-adapter,dataset-adapters,moe-routing,moe-merging,mole,lora-ensemble,self-consistency,"
    "random-clusters"
)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "mix.jsonl")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "elrea"
    run_training(configuration(data, folder), model=tiny_model())
    return folder


def test_a_training_on_a_mesh_gives_the_adapters_of_one_device(trained, data, tmp_path):
    divided = dataclasses.replace(configuration(data, tmp_path / "divided"), mesh="data=2,tensor=2")
    run_training(divided, model=tiny_model())
    model = prepared_model(configuration(data, trained), tiny_model())
    for name in ("base", "expert-0"):
        found, expected = (read_adapter(folder / "adapters" / name, model) for folder in (divided.output, trained))
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.fixture(scope="module")
def evaluated(trained, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation") / "all"
    options = EvaluateConfiguration(
        (trained,), data=str(data), output=folder, baselines=ALL, top_k=(1,), dimension=(16,), max_new_tokens=3,
        batch_size=16, ensemble=1, samples=2,
    )  # fmt: skip
    run_evaluation(options, model=tiny_model())
    return folder


@pytest.mark.parametrize("mesh", ["data=2,tensor=2", "fsdp=2"])
def test_an_evaluation_on_a_mesh_answers_as_one_device_does(mesh, trained, evaluated, data, tmp_path):
    """Of the same adapters to rounding; of baselines that are trained on the mesh to what Adam makes of rounding."""
    again = tmp_path / "again"
    shutil.copytree(trained, again)
    for path in (again / "adapters").iterdir():
        if not path.name.startswith(("base", "expert-")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (again / "features").glob("questions*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    options = EvaluateConfiguration(
        (again,), data=str(data), output=tmp_path / "divided", baselines=ALL, max_new_tokens=3, batch_size=16,
        ensemble=1, samples=2, mesh=mesh,
    )  # fmt: skip
    run_evaluation(options, model=tiny_model())
    for name in (*ALL.split(","), "elrea"):
        given = [read_sealed(folder / "predictions" / f"0-{name}.jsonl") for folder in (options.output, evaluated)]
        assert [line["text"] for line in given[0]] == [line["text"] for line in given[1]]
        same = name in ("base-model", "base-adapter", "self-consistency", "elrea", "moe-routing", "moe-merging")
        values = [[line["log_probability"] for line in lines] for lines in given]
        np.testing.assert_allclose(*values, atol=5e-5 if same else 1e-2)
        np.testing.assert_allclose(*([line["weights"] for line in lines] for lines in given), atol=2e-5)


def test_rows_of_baselines_that_a_mesh_cannot_share_are_named_before_the_model_is_loaded(trained, data, tmp_path):
    options = EvaluateConfiguration((trained,), data=str(data), output=tmp_path / "e", mesh="data=4")
    with pytest.raises(OptionError, match=r"--batch-size of the training in .* is 2, .* take a multiple of 4"):
        run_evaluation(options)


def adapters(folder):
    """Those of the training itself; an evaluation adds its baselines'."""
    files = sorted((folder / "adapters").glob("*/adapter_model.safetensors"))
    own = [file for file in files if file.parent.name.startswith(("base", "expert-"))]
    return {file.parent.name: file.read_bytes() for file in own}


def test_every_step_leaves_its_artefact(trained):
    assert set(adapters(trained)) == {"base", "expert-0", "expert-1"}
    record = json.loads((trained / "run.json").read_text())
    assert record["status"] == "complete" and sum(record["clusters"]) == 16
    costs = json.loads((trained / "costs.json").read_text())
    assert list(costs)[:4] == ["base", "training features", "clusters", "experts"]
    found = read_training(trained, tiny_model()).found
    rows = read_features(trained / "features" / "train.npz").rows
    for cluster, centroid in enumerate(found.centroids):
        np.testing.assert_allclose(centroid, rows[found.labels == cluster].mean(0), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-5)


def test_interrupted_after_every_step_it_ends_with_the_same_adapters(trained, data, tmp_path):
    """Stopped in the middle of the base adapter, of the gradients and of each expert: the same bytes at the end."""
    output = tmp_path / "elrea"
    for stopped in ("adapter base", "gradients, train", "adapter expert-0", "adapter expert-1"):

        def stop(step, done, total, said, stopped=stopped):
            if step == stopped:
                raise Interrupted(step)

        with pytest.raises(Interrupted, match=stopped):
            run_training(configuration(data, output), model=tiny_model(), listener=Listener(progress=stop))
    run_training(configuration(data, output), model=tiny_model())
    assert adapters(output) == adapters(trained)


def test_every_baseline_has_a_row_with_an_interval(evaluated):
    with open(evaluated / "summary.csv", newline="") as file:
        rows = {(row["dataset"], row["method"]): row for row in csv.DictReader(file)}
    methods = {method for _, method in rows}
    assert methods == {*ALL.split(","), "elrea", "elrea-top-1", "elrea-16"}
    assert {dataset for dataset, _ in rows} == {"red", "blue", "micro average"}
    for row in rows.values():
        if row["accuracy_lower"]:
            assert float(row["accuracy_lower"]) <= float(row["accuracy_mean"]) <= float(row["accuracy_upper"])
        else:  # all right, or none
            assert float(row["accuracy_mean"]) in (0.0, 1.0)
    assert float(rows["micro average", "elrea"]["elrea_gain"]) == 0.0


def test_micro_average_and_exact_match_follow_from_the_predictions(evaluated):
    lines = [json.loads(line) for line in (evaluated / "predictions" / "0-elrea.jsonl").read_text().splitlines()]
    assert [line["question"] for line in lines] == list(range(16))
    for line in lines:
        assert line["correct"] == (line["text"][0].split() == line["expected"].split())
        assert len(line["weights"]) == 3 and line["mutual_information"] >= 0
    with open(evaluated / "results.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "elrea"]
    by_subset = {row["dataset"]: float(row["accuracy"]) for row in rows}
    assert by_subset["micro average"] == pytest.approx(np.mean([line["correct"] for line in lines]), abs=1e-5)


def _predictions(folder):
    """What the files hold, but for the times in the tables."""
    found = {file.name: file.read_text() for file in (folder / "predictions").iterdir()}
    for name in found:
        if name.endswith(".csv"):
            found[name] = [row | {"seconds": ""} for row in csv.DictReader(io.StringIO(found[name]))]
    return found


def test_evaluating_again_changes_no_prediction(evaluated, trained, data):
    before = _predictions(evaluated)
    (evaluated / "predictions" / "0-uniform.jsonl").unlink(missing_ok=True)
    (evaluated / "predictions" / "0-elrea.jsonl").unlink()
    options = EvaluateConfiguration(
        (trained,), data=str(data), output=evaluated, baselines=ALL, top_k=(1,), dimension=(16,), max_new_tokens=3,
        batch_size=16, ensemble=1, samples=2,
    )  # fmt: skip
    run_evaluation(options, model=tiny_model())
    after = _predictions(evaluated)
    again, first = (json.loads(one["0-elrea.jsonl"].splitlines()[0]) for one in (after, before))
    timed = {"seconds": 0, "check": ""}  # the checksum is of the seconds, too
    assert again | timed == first | timed
    assert {name: after[name] for name in after if name != "0-elrea.jsonl"} == {
        name: before[name] for name in before if name != "0-elrea.jsonl"
    }


def test_the_page_shows_every_method(trained, evaluated):
    from jaxuq.reporting import ReportError, write_report

    page = write_report(evaluated).read_text()
    for part in ("ELREA", "MoLE", "Random clusters", "elrea-top-1", "training features", "data:image/svg+xml"):
        assert part in page
    assert "could not be drawn" not in page
    with pytest.raises(ReportError, match="the report is that of jaxuq experts evaluate"):
        write_report(trained)


def test_adapters_of_another_rank_or_model_are_refused(trained, tmp_path):
    model = prepared_model(configuration("families", tmp_path), tiny_model())

    other = model.decoder.clone(lora=LoraConfig(rank=2, alpha=12.0, targets=("query", "value")))

    save_peft(tmp_path / "narrow", other.lora, init_adapters(jax.random.key(0), other, model.params))
    with pytest.raises(ExpertsError, match="rank 2 on query, value; the ensemble has rank 3"):
        read_adapter(tmp_path / "narrow", model)
    with pytest.raises(ExpertsError, match="missing"):
        read_adapter(tmp_path / "nothing", model)
    shutil.copytree(trained / "adapters" / "base", tmp_path / "base")
    larger = model._replace(decoder=model.decoder.clone(config=model.decoder.config.__class__(
        **{**model.decoder.config.__dict__, "hidden_size": 32})))  # fmt: skip
    with pytest.raises(ExpertsError, match="another model than tiny"):
        read_adapter(tmp_path / "base", larger)


def test_fewer_instructions_than_clusters(tmp_path):
    features = Features(np.eye(3, dtype=np.float32), np.arange(3), 0)
    with pytest.raises(ExpertsError, match="3 instructions cannot make 5 clusters"):
        find_clusters(configuration("families", tmp_path, clusters=5), features, tmp_path / "clusters.npz")


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "no JSON"), ('{"instruction": 3, "response": "x"}', "`instruction` is a number: expected text")],
)
def test_a_bad_line_costs_itself_and_is_named(tmp_path, line, said):
    file = tmp_path / "mix.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(QuestionError, match=f"line 1: {said}"):
        load_records(configuration(file, tmp_path))
    file.write_text('{"instruction": "a", "response": "b"}\n' + line + "\n")
    found = load_records(configuration(file, tmp_path))
    assert [(one.prompt, one.reply) for one in found.questions] == [("a\n", "b")]
    assert [one.place for one in found.rejected] == ["mix.jsonl, line 2"] and said in found.rejected[0].reason


def write_bbh(path):
    """Two tasks as published, one with worked examples, one question damaged."""
    (path / "bbh").mkdir(parents=True)
    examples = {"a": [{"input": "what is red", "target": "(A)"}, {"input": "what is blue", "target": "(B)"}, {"x": 0}],
                "b": [{"input": "what is red blue", "target": "3"}]}  # fmt: skip
    for name, questions in examples.items():
        (path / "bbh" / f"{name}.json").write_text(json.dumps({"examples": questions}))
    (path / "cot-prompts").mkdir()
    (path / "cot-prompts" / "a.txt").write_text("canary\n---\nSay yes.\n\nQ: red\nA: So the answer is (A).\n")
    return path


def test_published_questions_are_asked_as_their_authors_ask_them(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXUQ_DATA", raising=False)
    bbh = configuration(f"bbh:{write_bbh(tmp_path)}", tmp_path)
    records, rejected = load_records(bbh, part="test")[1:3]
    assert [(*one.answers, one.source, one.kind) for one in records] == [
        ("A", "a", "choice"), ("B", "a", "choice"), ("3", "b", "number")
    ]  # fmt: skip
    assert "the answer is \\boxed{(A)}." in records[1].prompt and records[1].prompt.endswith("what is blue\n")
    assert rejected == [("a.json, entry 3", "input is missing or no text")]
    with pytest.raises(ExpertsError, match="bbh is to evaluate on, and has no part to train on: train on a file"):
        load_records(bbh)
    with pytest.raises(QuestionError, match="holds no mmlu"):
        load_records(bbh, f"mmlu:{tmp_path}", part="test")


def test_published_answers_are_compared_as_what_they_are(trained, tmp_path, monkeypatch):
    texts = ["so \\boxed{A}", "I choose (C).", "it is 3.0"]

    def answers(model, experts, prompts, weights, **options):
        nothing = np.zeros(0, np.float32)
        return [
            ExpertAnswer(at, text, np.zeros(0, int), "stop", *(nothing,) * 6)
            for at, (text, _) in enumerate(zip(texts, prompts, strict=True))
        ]

    monkeypatch.setattr(evaluation, "answer_by_experts", answers)
    options = EvaluateConfiguration(
        (trained,), data=f"bbh:{write_bbh(tmp_path)}", output=tmp_path / "out", baselines="none", max_new_tokens=3
    )
    folder = run_evaluation(options, model=tiny_model())
    lines = [json.loads(line) for line in (folder.predictions / "0-elrea.jsonl").read_text().splitlines()]
    assert [(line["answer"], line["correct"]) for line in lines] == [("A", True), ("C", False), ("3.0", True)]
    assert folder.record["rejected"] == [["a.json, entry 3", "input is missing or no text"]]


def test_unfinished_and_foreign_runs_are_refused(trained, data, tmp_path):
    shutil.copytree(trained, tmp_path / "open", ignore=shutil.ignore_patterns("checkpoints"))
    record = json.loads((tmp_path / "open" / "run.json").read_text())
    (tmp_path / "open" / "run.json").write_text(json.dumps(record | {"status": "running"}))
    with pytest.raises(ExpertsError, match="not finished"):
        read_training(tmp_path / "open", tiny_model())
    (tmp_path / "open" / "run.json").write_text(json.dumps(record | {"system": "tag"}))
    with pytest.raises(ExpertsError, match="run of 'tag'"):
        read_training(tmp_path / "open", tiny_model())
    record["content"]["data"] = "another"
    (tmp_path / "open" / "run.json").write_text(json.dumps(record))
    with pytest.raises(ExpertsError, match="has changed since"):
        read_training(tmp_path / "open", tiny_model())


CALLS = []


def base_alone(features, centroids):
    return np.eye(1 + len(centroids))[np.zeros(len(features), int)]


def base_again(context):
    CALLS.append(len(context.questions.records))
    return METHODS["base-adapter"].functions["plan"](context)


def base_once_more(context):
    CALLS.append(0)
    return METHODS["base-adapter"].functions["plan"](context)


def test_a_rule_and_a_method_from_outside_are_rows_of_an_evaluation(trained, data, tmp_path):
    options = EvaluateConfiguration(
        (trained,), data=str(data), output=tmp_path / "run", baselines="base-adapter", max_new_tokens=2, batch_size=16
    )

    def evaluate(method):
        given = {"routing": {"alone": base_alone}, "methods": {"again": method}}
        folder = run_evaluation(options, model=tiny_model(), **given)
        with (folder.path / "results.csv").open() as file:
            assert {row["method"] for row in csv.DictReader(file)} == {"base-adapter", "elrea", "again", "alone"}
        return {
            name: [line["text"] for line in read_sealed(folder.predictions / f"0-{name}.jsonl")]
            for name in ("base-adapter", "again", "alone")
        }

    texts = evaluate(base_again)
    assert texts["again"] == texts["alone"] == texts["base-adapter"] and CALLS == [16]
    assert evaluate(base_again) == texts and CALLS == [16], "what the same code answered is kept"
    assert evaluate(base_once_more) == texts and CALLS == [16, 0]


def test_an_adapter_that_a_disk_has_damaged_is_named_and_trained_again(trained, tmp_path):
    model, folder = prepared_model(configuration(tmp_path, tmp_path), tiny_model()), tmp_path / "base"
    shutil.copytree(trained / "adapters" / "base", folder)
    file = folder / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ExpertsError, match="is not as training left it"):
        read_adapter(folder, model)
    with pytest.warns(StudyWarning, match="is damaged and is trained again"):
        assert not is_trained(folder)
    assert not is_trained(folder)
