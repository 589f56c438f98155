"""`jaxuq tag --apply` with a promised recall or precision: what is kept is what the definitions keep."""

import json

import numpy as np
import pytest

from jaxuq._errors import JaxuqError, OptionError
from jaxuq.cli import main
from jaxuq.study import Listener
from jaxuq.tagging import SpanPromise, calibrating_half, make_weak_labels, promise_recall, wanted_promise
from jaxuq.tagging.benchmark import TaggingConfiguration, apply_model, run_tagging
from tests.tagging.small_data import write_data


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("promises")
    data = write_data(folder / "small", sentences=80)
    run_tagging(TaggingConfiguration(data=(str(data),), model="hmm", seeds=1, output=folder / "run"))
    return data, folder / "run" / "models" / "small" / "hmm" / "seed-0"


def _apply(data, model, output, **options):
    heard = []
    configuration = TaggingConfiguration(data=(str(data),), apply=model, output=output, **options)
    file, scores = apply_model(configuration, Listener(message=heard.append))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return lines, scores, json.loads((output / "promise.json").read_text()), heard


def test_half_of_the_sentences_calibrate_and_the_others_keep_what_reaches_the_threshold(fitted, tmp_path):
    lines, scores, record, heard = _apply(*fitted, tmp_path, recall=0.6)
    truth = json.loads((fitted[0] / "test.json").read_text())
    assert len(lines) == 40 and record["small"]["sentences"] == 40
    types = record["small"]["types"]
    assert set(types) == {"PER", "LOC"} and types["PER"]["promised"] and "PER: recall 0.6 is kept from" in heard[1]
    aside = set(truth) - {line["id"] for line in lines}
    assert types["PER"]["texts"] == sum(any(kind == "PER" for *_, kind in truth[name]["label"]) for name in aside)
    for line in lines:
        assert all(one["confidence"] >= (types[one["type"]]["lowest_score"] or 0) - 1e-4 for one in line["entities"])
        assert all(line["tokens"][one["start"] : one["end"]] == one["text"].split() for one in line["entities"])
    right = {(line["id"], one["start"], one["end"], one["type"]) for line in lines for one in line["entities"]}
    gold = {(line["id"], *span) for line in lines for span in truth[line["id"]]["label"]}
    assert scores["small"]["recall"] == pytest.approx(len(right & gold) / len(gold))
    assert scores["small"]["precision"] == pytest.approx(len(right & gold) / len(right))


def test_another_part_calibrates_and_all_is_labelled(fitted, tmp_path):
    lines, _, record, heard = _apply(*fitted, tmp_path, precision=0.6, calibrate="valid")
    assert len(lines) == 80 and record["small"]["calibrated_on"] == "valid" and record["small"]["delta"] == 0.1
    assert "calibrated on 80 sentences (valid)" in heard[0]


def test_too_few_examples_are_said(fitted, tmp_path):
    few = write_data(tmp_path / "few", sentences=6, seed=3)
    lines, _, record, heard = _apply(*fitted, tmp_path, recall=0.95, calibrate=str(few))
    assert not any(one["promised"] for one in record["small"]["types"].values())
    assert all("is not promised: " in line and "it takes at least 19; all of what" in line for line in heard[1:])
    assert all(one["lowest_score"] is None for one in record["small"]["types"].values()) and len(lines) == 80
    nothing, _, _, heard = _apply(*fitted, tmp_path, precision=0.95, calibrate=str(few))
    assert not any(line["entities"] for line in nothing) and "it takes at least 45; nothing of what" in heard[1]


def test_the_least_number_of_texts_is_the_least_that_can_be_enough():
    for level in (0.5, 0.8, 0.9, 0.95, 0.99):
        least = SpanPromise("recall", level).least_texts()
        span = (0, 1, "x")
        reached = [promise_recall([{span: 1.0}] * n, [[span]] * n, level=level).reached for n in (least, least - 1)]
        assert reached == [{"x": True}, {"x": False}] if least > 1 else reached[0] == {"x": True}
        count, delta = SpanPromise("precision", level, 0.2).least_texts(), 0.2
        assert level**count <= delta < level ** (count - 1)


def test_mistakes_are_named_in_the_words_of_the_command(fitted, tmp_path, capsys):
    data, model = fitted
    with pytest.raises(OptionError, match="two promises"):
        wanted_promise(0.9, 0.9, 0.1)
    with pytest.raises(OptionError, match="--recall is 90"):
        wanted_promise(90.0, None, 0.1)
    bare = write_data(tmp_path / "bare", sentences=8, gold=False)
    for options, message in (
        ({"calibrate": "valid"}, "add --recall or --precision"),
        ({"recall": 0.9, "calibrate": "test"}, "the very sentences"),
        ({"recall": 0.9, "calibrate": str(bare)}, "and .*bare has none; name some with --calibrate"),
    ):
        with pytest.raises(JaxuqError, match=message):
            _apply(data, model, tmp_path, **options)
    with pytest.raises(JaxuqError, match="and bare has none; name some with --calibrate"):
        _apply(bare, model, tmp_path, recall=0.9)
    with pytest.raises(SystemExit):
        main(["tag", "--data", str(data), "--recall", "0.9", "--output", str(tmp_path / "x")])
    assert "--recall is for labelling with a saved model; add --apply" in capsys.readouterr().err


def test_halves_are_of_what_is_known_and_drawn_once():
    known = [True, False] * 50
    half = calibrating_half(known)
    assert half.sum() == 25 and not half[1::2].any() and (half == calibrating_half(known)).all()
    assert (half != calibrating_half(known, 1)).any() and not calibrating_half([]).size


def test_labels_move_with_their_names():
    votes = np.array([[1], [2], [0]])
    data = make_weak_labels([["a", "b", "c"], ["d"]], [votes, votes[:1]], [votes[:, 0], votes[:1, 0]],
                            ("O", "B-x", "I-x"), ["f"])  # fmt: skip
    moved = data.with_labels(("O", "B-a", "I-a", "B-x", "I-x"))
    assert moved.tags(moved.labels) == data.tags(data.labels) and moved.observations[1].ravel().tolist() == [3, -1, -1]
    with pytest.raises(JaxuqError, match="B-x, I-x of the data are not among"):
        data.with_labels(("O", "B-a", "I-a"))
