"""Answers that other programs wrote, confidence that a model said, confidence that a study keeps."""

import pathlib
from typing import Any

from readers.files import Read, Reader, any_text, texts


def _harness(folder: pathlib.Path) -> None:
    from tests.confidence.foreign import harness_choice, harness_text, write_lines

    write_lines(folder / "samples.jsonl", harness_text(3))
    write_lines(folder / "choices.jsonl", harness_choice(3)[0])


def _completions(folder: pathlib.Path) -> None:
    from tests.confidence.foreign import batch_line, chat_completion, colours, text_completion, write_lines

    some = [(n, pieces, told) for n, pieces, told, _ in colours(3)]
    write_lines(folder / "chats.jsonl", [chat_completion(*one, answer="red") for one in some])
    write_lines(folder / "texts.jsonl", [text_completion(*one, answer="red") for one in some])
    write_lines(folder / "batch.jsonl", [batch_line(one[0], chat_completion(*one)) for one in some])


def _uqlm(folder: pathlib.Path) -> None:
    import pandas

    rows = [
        {
            "prompt": f"{n}?",
            "response": f"{n}",
            "sampled_responses": [f"{n}", "x"],
            "logprob": [{"token": "a", "logprob": -0.1}],
            "ground_truth": f"{n}",
            "correct": n % 2 == 0,
        }
        for n in range(4)
    ]
    pandas.DataFrame(rows).to_csv(folder / "frame.csv", index=False)
    pandas.DataFrame(rows).to_json(folder / "frame.json", orient="records")
    pandas.DataFrame(rows).to_parquet(folder / "frame.parquet")


def _measured(*names: str) -> Read:
    def read(folder: pathlib.Path) -> Any:
        from jaxuq.confidence.files.reading import kind_of, read_answers

        for name in names:
            if (kind := kind_of(folder / name)) is not None:
                read_answers(folder / name, kind)

    return read


def _kept(folder: pathlib.Path) -> None:
    import numpy as np

    from jaxuq.confidence.measures import MeasureFacts
    from jaxuq.confidence.study.kept import write_kept

    rng = np.random.default_rng(0)
    lines = [{"correct": bool(n % 2), "kind": "number", "measures": {"sure": float(rng.normal())}} for n in range(60)]
    write_kept(folder, lines, {"sure": MeasureFacts("A", "answer", 1, False, ())}, "weights")


def _load_kept(folder: pathlib.Path) -> Any:
    from jaxuq.confidence import load_kept

    kept = load_kept(folder, "sure")
    return kept.calibrated(0.3), kept.threshold(0.4, delta=0.1)


def _stated(folder: pathlib.Path) -> Any:
    from jaxuq.confidence import parse_confidence, read_hedges
    from jaxuq.tuning import read_judgement

    text = any_text(folder)
    for scale in ("unit", "ten", "hundred"):
        parse_confidence([text], scale=scale)
    return read_hedges([text]), read_hedges([text], ["Paris"]), read_judgement(text)


READERS: dict[str, Reader] = {
    "replies: confidence said": Reader(
        ("reply.txt",),
        texts(reply__txt="Paris. I am 85% sure, probably; Confidence: 0.9/10. Yes (B): 7 out of 10\n"),
        _stated,
        ("parse_confidence", "read_hedges", "read_judgement"),
    ),
    "answers: harness": Reader(
        ("samples.jsonl", "choices.jsonl"), _harness, _measured("samples.jsonl", "choices.jsonl")
    ),
    "answers: completions": Reader(
        ("chats.jsonl", "texts.jsonl", "batch.jsonl"),
        _completions,
        _measured("chats.jsonl", "texts.jsonl", "batch.jsonl"),
    ),
    "answers: frames": Reader(
        ("frame.csv", "frame.json", "frame.parquet"),
        _uqlm,
        _measured("frame.csv", "frame.json", "frame.parquet"),
        share=0.5,
    ),
    "answers: kept confidence": Reader(("confidence.json",), _kept, _load_kept, ("load_kept",), share=0.2),
}
"""By name, as the page shows them."""
