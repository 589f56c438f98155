"""`--acquire` from data to learning curves on a tiny model; neither interruptions nor other acquisitions matter."""

import csv
import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import tuning
from jaxuq.study import Listener, read_arrays
from tests.tuning.tiny import word_model, write_questions

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return tuning.TuneConfiguration(
        model="tiny", data=str(write_questions(folder / "letters.jsonl")), members=2, epochs=4, learning_rate=0.03,
        max_length=16, batch_size=4, rank=2, options=3, acquire=("bald,random",), start=4, label=4, rounds=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(configuration, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "whole"
    return tuning.run_tuning(dataclasses.replace(configuration, output=output), model=word_model())


def _rows(folder, name):
    with (folder.path / name).open() as file:
        return list(csv.DictReader(file))


def test_curves_are_the_scores_of_the_rounds(whole):
    rows = _rows(whole, "active.csv")
    names = [("base", "0", "0")] + [(name, str(at), str(4 + 4 * at)) for name in ("bald", "random") for at in range(3)]
    assert [(row["acquisition"], row["round"], row["labels"]) for row in rows] == names
    for row in rows[1:]:
        stem = f"{row['acquisition']}-0-{row['round']}" if row["round"] != "0" else "start-0-0"
        cell = read_arrays(whole.path / f"rounds/{stem}.npz")
        right = cell["letters/log_probs"].argmax(1) == cell["letters/labels"]
        assert float(row["accuracy"]) == pytest.approx(right.mean(), abs=1e-5)
        assert len(set(cell["labelled"].tolist())) == int(row["labels"]) and cell["pool"].shape[:2] == (2, 24)
    assert {**rows[1], "acquisition": ""} == {**rows[4], "acquisition": ""}, "all begin with the same labels"
    for row in _rows(whole, "curve.csv"):
        assert float(row["nll_lower"]) <= float(row["nll_mean"]) <= float(row["nll_upper"])
    results = {row["method"]: row for row in _rows(whole, "results.csv")}
    curve = [np.mean([float(row["accuracy"]) for row in rows[at : at + 2]]) for at in (2, 5)]
    assert float(results["bald"]["curve_accuracy"]) == pytest.approx(curve[0], abs=1e-5)
    assert float(results["bald"]["accuracy_gain"]) == pytest.approx(curve[0] - curve[1], abs=1e-5)
    assert results["random"]["accuracy_gain"] == "" and results["bald"]["accuracy"] == rows[3]["accuracy"]
    labels = _rows(whole, "labels.csv")
    assert [row["round"] for row in labels[:12]] == ["0"] * 4 + ["1"] * 4 + ["2"] * 4
    assert not whole.checkpoints.exists() and whole.record["status"] == "complete"


def test_what_bald_chose_is_what_disagrees_most(whole):
    start, after = (read_arrays(whole.path / f"rounds/{stem}-0-{at}.npz") for stem, at in (("start", 0), ("bald", 1)))
    p = np.exp(start["pool"].astype(np.float64))
    entropy = -(p.mean(0) * np.log(p.mean(0))).sum(-1) + (p * np.log(p)).sum(-1).mean(0)
    chosen, labelled = after["labelled"][4:], start["labelled"]
    assert after["labelled"][:4].tolist() == labelled.tolist()
    rest = np.setdiff1d(np.arange(24), after["labelled"])
    assert entropy[chosen].min() >= entropy[rest].max() - 1e-6


def test_an_interrupted_run_ends_with_the_same_numbers(whole, configuration, tmp_path):
    configuration = dataclasses.replace(configuration, acquire=("bald",), output=tmp_path / "run")
    steps = []

    def interrupt(name, done, total, said):
        steps.append((name, done))
        if len(steps) in (6, 17):
            raise KeyboardInterrupt

    listener = Listener(progress=interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tuning.run_tuning(configuration, model=word_model(), listener=listener)
    folder = tuning.run_tuning(configuration, model=word_model(), listener=listener)
    expected = [row for row in _rows(whole, "active.csv") if row["acquisition"] != "random"]
    assert _rows(folder, "active.csv") == expected
    again = len(steps)
    tuning.run_tuning(configuration, model=word_model(), listener=listener)
    assert len(steps) == again


def test_the_page_has_the_curve(whole):
    from jaxuq.reporting import write_report

    page = write_report(whole.path).read_text()
    for said in ("How far do few labels go?", "BALD", "Chosen by chance", "Accuracy gained over chance"):
        assert said in page
    assert "could not be drawn" not in page and (whole.path / "figures/letters-curve.png").is_file()


def test_pruned_samples_are_counted_and_not_tuned_on(configuration, tmp_path):
    options = {"acquire": (), "keep_ratio": 0.6, "loss": ("ual",), "posterior": ("none",), "epochs": 1}
    folder = tuning.run_tuning(
        dataclasses.replace(configuration, output=tmp_path / "run", **options), model=word_model()
    )
    counts = folder.record["pruned"]
    assert counts["of"] == 24 and counts["kept"] == folder.record["tuned_on"] <= 0.6 * 24
    assert counts["kept"] == sum(counts[f"{name}_kept"] for name in ("noise", "mistake", "redundant", "unsure"))
    assert counts["mistake_kept"] == counts["mistake"] and counts["unsure_kept"] == counts["unsure"]
    assert any("Tuned on" in note for note in folder.record["notes"])
    scores = read_arrays(folder.path / "pruned.npz")
    kept = np.asarray(
        tuning.prune_samples(jnp.asarray(-scores["log_probs"]), jnp.asarray(scores["entropies"]), 0.6).keep
    )
    assert int(kept.sum()) == counts["kept"]
