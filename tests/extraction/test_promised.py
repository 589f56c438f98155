"""`jaxuq extract` with labelled texts: promises, and confidences that are as often right as they say."""

import json

import numpy as np
import pytest

from jaxuq.cli import main
from jaxuq.extraction import (
    ExtractionError,
    calibrated_confidences,
    extract,
    make_passages,
    make_schema,
    scripted_chat,
    set_aside,
)
from jaxuq.tagging import promise_recall

SAMPLES, TEXTS = 3, 40


@pytest.fixture
def files(tmp_path):
    """Forty texts with gold and three stored samples each: a right name is said more often than a wrong one."""
    rng, texts, stored = np.random.default_rng(0), [], []
    for number in range(TEXTS):
        entities = [{"type": "person", "pos": [0, 3]}] + [{"type": "place", "pos": [17, 21]}] * (number < 3)
        texts.append({"id": str(number), "text": "Ada met Babbage. Rome burned.", "entities": entities})
        for sample in range(SAMPLES):
            names = [name for name, often in (("Ada", 0.9), ("Babbage", 0.4)) if rng.random() < often]
            for kind, said in (("person", names), ("place", ["Rome"])):
                table = f"| {kind.capitalize()} |\n|---|\n" + "".join(f"| {name} |\n" for name in said or ["None"])
                messages = [{"role": "assistant", "content": table}] * 3
                stored.append({"id": str(number), "type": kind, "sample": sample, "messages": messages})
    (tmp_path / "news.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts))
    (tmp_path / "stored.jsonl").write_text("".join(json.dumps(one) + "\n" for one in stored))
    (tmp_path / "types.json").write_text(json.dumps(["person", "place"]))
    return tmp_path


def _run(files, *more, data="news.jsonl", output="run"):
    main([
        "extract", "--model", f"replay:{files}/stored.jsonl", "--data", f"{files}/{data}", "--samples", str(SAMPLES),
        "--types", f"{files}/types.json", "--output", f"{files}/{output}", *more,
    ])  # fmt: skip
    return [json.loads(line) for line in (files / output / "extractions.jsonl").read_text().splitlines()]


def test_half_of_the_labelled_texts_calibrate_and_the_rest_keeps_its_promise(files, capsys):
    lines = _run(files, "--recall", "0.8")
    said = " ".join(capsys.readouterr().err.split())
    assert "calibrated on 20 texts (half of those of news.jsonl with gold, set aside); spans are ranked by conf" in said
    assert "person: recall 0.8 is kept from a score of" in said
    record = json.loads((files / "run" / "run.json").read_text())["promise"]
    assert len(lines) == 20 and record["types"]["person"]["promised"] and not record["types"]["place"]["promised"]
    assert "place: recall 0.8 is not promised: " in said and "it takes at least 4" in said
    least = record["types"]["person"]["lowest_score"]
    aside = set(map(str, range(TEXTS))) - {line["id"] for line in lines}
    assert record["types"]["place"]["texts"] == sum(int(name) < 3 for name in aside)

    counts = {}
    for one in map(json.loads, (files / "stored.jsonl").read_text().splitlines()):
        counts[one["id"]] = counts.get(one["id"], 0) + ("| Ada |" in one["messages"][0]["content"])
    known = [{(0, 1, "person"): counts[name] / SAMPLES} for name in sorted(aside)]
    assert least == promise_recall(known, [[(0, 1, "person")]] * 20, level=0.8).lowest["person"]
    for line in lines:
        found = any(one["text"] == "Ada" for one in line["entities"])
        assert found == (counts[line["id"]] / SAMPLES >= least)


def test_a_file_of_labelled_texts_calibrates_confidences(files, capsys):
    texts = (files / "news.jsonl").read_text().splitlines()
    (files / "labelled.jsonl").write_text("\n".join(texts[:30]))
    (files / "new.jsonl").write_text("\n".join(texts[30:]))
    lines = _run(files, "--calibrate", f"{files}/labelled.jsonl", data="new.jsonl")
    assert len(lines) == 10 and "calibrated on 30 texts (labelled.jsonl)" in capsys.readouterr().err
    sure = {(one["text"], one["confidence"]) for line in lines for one in line["entities"]}
    (rome,) = {value for name, value in sure if name == "Rome"}
    assert rome == pytest.approx((4 / 31) / (1 - 3 / 31 + 4 / 31), abs=1e-5)  # 3 of 30 are right, at one score
    assert min(value for name, value in sure if name == "Ada") > 0.4


def test_a_confidence_is_as_often_right_as_it_says(rng):
    """Of a score that means something else, on new texts of the same kind."""
    scores = rng.random(3000)
    right = rng.random(3000) < scores**3
    span = (0, 1, "x")
    known, gold = [{span: value} for value in scores], [[span] if is_right else [] for is_right in right]
    sure, count = calibrated_confidences(known[:400], gold[:400], known[400:], ["x", "y"])
    values = np.array([one[span] for one in sure])
    assert count == {"x": 400, "y": 0}
    for low in (0.0, 0.25, 0.5, 0.75):
        some = (values >= low) & (values < low + 0.25)
        assert some.sum() > 50 and abs(values[some].mean() - right[400:][some].mean()) < 0.1
    assert np.abs(scores[400:] - right[400:]).mean() > np.abs(values - right[400:]).mean()


def test_every_keeps_what_overlaps_and_what_two_types_have():
    schema = make_schema(["person", "place"])
    said = {("person", 0): "Ada Rome", ("person", 1): "Ada", ("place", 0): "Rome", ("place", 1): "Rome"}

    def answer(request):
        return f"| {request.kind.capitalize()} |\n|---|\n| {said[request.kind, request.sample]} |\n"

    passages = make_passages(["then Ada Rome wrote"], schema)
    (found,), held = extract(scripted_chat(answer), passages, schema, num_samples=2)
    (every,), _ = extract(scripted_chat(answer), passages, schema, num_samples=2, known=held, every=True)
    assert [span[:3] for span in every.spans] == [(1, 2, "person"), (1, 3, "person"), (2, 3, "place")]
    assert {span[:3] for span in found.spans} < {span[:3] for span in every.spans}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--recall", "0.9", "--precision", "0.9"], "two promises"),
        (["--recall", "9"], "--recall is 9"),
        (["--recall", "0.9", "--resolve-conflicts"], "--resolve-conflicts takes spans away"),
        (["--recall", "0.9", "--formats", "bio"], "may overlap, which bio cannot hold"),
    ],
)
def test_mistakes_are_named(files, more, message, capsys):
    with pytest.raises(SystemExit):
        _run(files, *more)
    assert message in " ".join(capsys.readouterr().err.split())


def test_without_gold_there_is_nothing_to_learn_from():
    schema = make_schema(["person"])
    passages = make_passages(["Ada"], schema)
    with pytest.raises(ExtractionError, match="half: there are no texts with gold entities"):
        set_aside(passages, None, "half", None)
    labelled = make_passages([{"text": "Bo", "entities": []}], schema)
    rest, calibrating = set_aside(passages, labelled, "file", None)
    assert rest == passages and [one.id for one in calibrating.passages] == ["calibrate/0"]
