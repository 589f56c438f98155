"""`jaxuq tag --active`: no label is read that was not bought, chance is shared, and an interrupted run goes on."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from jaxuq.reporting import write_report
from jaxuq.study import read_arrays
from jaxuq.tagging import TaggingDataError
from jaxuq.tagging.benchmark import TaggingConfiguration, run_active_tagging
from tests.tagging.small_data import write_data, write_encoder


def _rows(folder, name="active.csv"):
    with open(folder.path / name, encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    root = tmp_path_factory.mktemp("active")
    data, encoder = write_data(root / "small", sentences=40), write_encoder(root / "encoder")
    return TaggingConfiguration(
        data=(str(data),), output=root / "out", embeddings=str(encoder), active=2, start=20, acquire=20,
        model="supervised,majority-vote", seeds=1, epochs=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(configuration):
    return run_active_tagging(configuration)


@pytest.mark.long
def test_every_round_has_a_row_and_the_first_is_shared(done):
    rows = _rows(done)
    found = [(row["method"], row["acquisition"], int(row["round"])) for row in rows]
    rounds = {"supervised": 3, "majority-vote": 4}  # that from functions alone is one more
    assert found == [(m, a, n) for a in ("mnlp", "random") for m, count in rounds.items() for n in range(count)]
    for row in rows:
        spent = 20 * (int(row["round"]) + (row["method"] == "supervised"))
        assert spent - 8 < int(row["labels"]) <= spent
    first = [row["f1"] for row in rows if row["round"] == "0"]
    assert first[:2] == first[2:]
    saved = {(row["method"], row["acquisition"]): row for row in _rows(done, "saved.csv")}
    assert len(saved) == 4
    own = saved["supervised", "mnlp"]
    chance = [row for row in rows if (row["method"], row["acquisition"]) == ("supervised", "random")]
    assert float(own["target"]) == pytest.approx(float(chance[-1]["f1"]), abs=1e-6)


@pytest.mark.long
def test_the_most_wanted_sentences_that_fit_are_bought(done):
    arrays = [
        read_arrays(done.path / "predictions" / "small" / f"supervised-{name}-seed0.npz")
        for name in ("start-round0", "mnlp-round1")
    ]
    before, after = arrays
    assert before["rows"].tolist() == after["rows"].tolist()[: len(before["rows"])]
    new = after["rows"][len(before["rows"]) :]
    assert after["mnlp"].shape == (40,) and before["mnlp"][new[0]] == np.delete(before["mnlp"], before["rows"]).max()
    with open(done.path / "rounds" / "small" / "supervised-start-round0-seed0.csv", encoding="utf-8") as file:
        named = list(csv.DictReader(file))
    assert [int(row["sentence"]) for row in named if row["given"]] == before["rows"].tolist()
    assert int(named[len(before["rows"])]["sentence"]) == new[0]


@pytest.mark.long
def test_no_label_is_read_that_was_not_bought(configuration, done, tmp_path):
    """All other gold labels of the text to learn from are taken away, and those of the valid part: the same curves."""
    last = "supervised-random-round2-seed0.npz", "majority-vote-random-round3-seed0.npz"
    bought = {int(row) for name in last for row in read_arrays(done.path / "predictions" / "small" / name)["rows"]}
    data = write_data(tmp_path / "small", sentences=40)
    for part, kept in (("train", bought), ("valid", set())):
        rows = json.loads((data / f"{part}.json").read_text())
        for name, row in rows.items():
            row["label"] = row["label"] if int(name) in kept else []
        (data / f"{part}.json").write_text(json.dumps(rows))
    changed = dataclasses.replace(configuration, data=(str(data),), output=tmp_path / "out", acquisition="random")
    expected = [row for row in _rows(done) if row["acquisition"] == "random"]
    assert _rows(run_active_tagging(changed)) == expected


@pytest.mark.long
def test_an_interrupted_run_ends_with_the_same_numbers_and_has_a_page(configuration, done):
    before = _rows(done)
    for name in ("supervised-mnlp-round1", "majority-vote-random-round2", "majority-vote-mnlp-round3"):
        (done.path / "predictions" / "small" / f"{name}-seed0.npz").unlink()
    assert _rows(run_active_tagging(configuration)) == before
    page = write_report(done.path).read_text()
    assert "Majority vote, mnlp" in page and page.count("data:image/svg") == 1 and "could not be drawn" not in page


def test_what_cannot_be_rehearsed_is_said(tmp_path):
    data = write_data(tmp_path / "small", sentences=8)
    plain = TaggingConfiguration(data=(str(data),), output=tmp_path / "out", active=2, start=10, acquire=10)
    assert plain.models() == ["supervised"] and plain.folder() == tmp_path / "out"
    for changes, message in (
        ({"acquire": 500}, r"rounds of --acquire 500 are 1010 tokens; the text of small to learn from has \d+"),
        ({"acquisition": "bold"}, "--acquisition is 'bold'; expected some of mnlp, entropy, bald, random"),
        ({"model": "best-consensus"}, "starts from supervised, or from label models without gold access"),
        ({"tagger": True}, "--tagger has no meaning beside --active"),
        ({"start": 0}, "--start is 0; expected at least 1"),
        ({"data": (str(write_data(tmp_path / "blank", gold=False)),)}, "blank has no gold labels to learn from"),
    ):
        with pytest.raises((TaggingDataError, ValueError), match=message):
            run_active_tagging(dataclasses.replace(plain, **changes))
    columns = tmp_path / "mine.conll"
    columns.write_text("Ada B-PER\nsaw O\n\nBo B-PER\nsaw O\n")
    alone = dataclasses.replace(plain, data=(str(columns),), gold="last")
    with pytest.raises(TaggingDataError, match="no part to score beside the one to learn from"):
        run_active_tagging(alone)


def test_a_folder_of_columns_is_a_data_set(tmp_path):
    from jaxuq.tagging.benchmark.source import read_texts

    for part, name in (("train", "Ada"), ("valid", "Bo"), ("test", "Cy")):
        (tmp_path / f"{part}.txt").write_text(f"-DOCSTART- -X- -X- O\n\n{name} NNP B-NP B-PER\nsaw VB B-VP O\n")
    configuration = TaggingConfiguration(data=(str(tmp_path),), columns=("token", "pos", "chunk", "gold"), active=1)
    texts = read_texts(str(tmp_path), configuration, votes=False)
    assert texts.fit.tokens == (("Ada", "saw"),) and texts.test.tags(texts.test.labels) == [["B-PER", "O"]]
    assert texts.valid.labels is None, "no label of it is read"
