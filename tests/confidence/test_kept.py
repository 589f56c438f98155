"""What a study keeps makes probabilities of later scores, and promises that are kept."""

import json

import numpy as np
import pytest

import jaxuq
from jaxuq.confidence import KeptConfidence, load_kept
from jaxuq.confidence.measures import MeasureFacts
from jaxuq.confidence.study.kept import write_kept


def answers(rng, count):
    """Scores, and whether right: with probability sigmoid(2 score)."""
    scores = rng.normal(size=count)
    return scores, rng.uniform(size=count) < 1 / (1 + np.exp(-2 * scores))


def test_probabilities_of_further_answers_are_calibrated():
    rng = np.random.default_rng(0)
    kept = KeptConfidence("mine", *answers(rng, 500))
    scores, correct = answers(rng, 200)
    found = [kept.calibrated(score) for score in scores[:200]]
    told = np.asarray([one.probability for one in found])
    assert all(one.lower <= one.probability <= one.upper for one in found)
    bins = np.clip((told * 10).astype(int), 0, 9)
    gaps = [abs(told[bins == b].mean() - correct[:200][bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    assert sum(gaps) < 0.10
    assert np.abs(told - 1 / (1 + np.exp(-2 * scores[:200]))).mean() < 0.08  # the truth
    assert all(np.isnan(kept.calibrated(float("nan"))))


def test_the_promised_risk_is_kept_as_often_as_promised():
    rng, risk, delta, broken, given = np.random.default_rng(1), 0.2, 0.1, 0, 0
    held_out, right = answers(np.random.default_rng(2), 100_000)
    for _ in range(500):
        threshold = KeptConfidence("mine", *answers(rng, 400)).threshold(risk, delta=delta)
        answered = held_out >= threshold
        given += answered.mean()
        broken += answered.any() and (~right[answered]).mean() > risk
    assert broken / 500 <= delta + 3 * np.sqrt(delta * (1 - delta) / 500)
    assert given / 500 > 0.2  # and it does not withhold everything


def test_a_measure_of_uncertainty_is_turned_around():
    scores, correct = answers(np.random.default_rng(3), 300)
    kept, turned = KeptConfidence("a", scores, correct), KeptConfidence("a", scores, correct, sign=-1)
    assert kept.calibrated(1.5) == turned.calibrated(-1.5)
    assert kept.calibrated(1.5).probability > kept.calibrated(-1.5).probability


@pytest.mark.parametrize("parts", [3, 7])
def test_equal_scores_stay_equal_through_a_file(tmp_path, parts):
    """Scores such as 2 / 3, kept at seven digits: what is computed anew is neither just above nor just below them."""
    rng = np.random.default_rng(parts)
    shares = rng.integers(0, parts + 1, 200) / np.float32(parts)
    correct = rng.uniform(size=200) < shares
    lines = [
        {"correct": bool(right), "kind": "text", "measures": {"share": float(f"{share:.7g}")}}
        for share, right in zip(shares, correct)
    ]
    write_kept(tmp_path, lines, {"share": facts(1)}, "")
    kept, threshold = load_kept(tmp_path, "share"), load_kept(tmp_path, "share").threshold(0.3)
    assert np.isfinite(threshold)
    for part in range(parts + 1):
        values = [part / parts, float(np.float32(part) / np.float32(parts)), float(f"{part / parts:.7g}")]
        equal = np.isclose(shares, part / parts)
        found = {kept.calibrated(value) for value in values}
        assert len(found) == 1
        (one,) = found
        assert (
            one.lower <= correct[equal].mean() * equal.sum() / (equal.sum() + 1) + 0.2 and one.upper - one.lower < 0.2
        )
        assert len({bool(value >= threshold) for value in values}) == 1


def test_what_is_no_grade_or_no_score_is_not_read_as_one():
    scores, correct = answers(np.random.default_rng(5), 60)
    kept = KeptConfidence("mine", np.append(scores, [np.nan, np.inf]), np.append(correct, [True, False]))
    assert len(kept.scores) == len(kept.correct) == 60
    assert kept.calibrated(0.3) == KeptConfidence("mine", scores, correct).calibrated(0.3)
    with pytest.raises(jaxuq.JaxuqError, match="neither 0 nor 1"):
        KeptConfidence("mine", scores, np.where(np.arange(60) == 3, np.nan, correct))
    with pytest.raises(jaxuq.JaxuqError, match="a grade for each"):
        KeptConfidence("mine", scores, correct[:50])


def facts(sign, group="answer"):
    return MeasureFacts("A", group, sign, False, ())


@pytest.fixture
def folder(tmp_path):
    scores, correct = answers(np.random.default_rng(4), 60)
    lines = [
        {"correct": bool(right), "kind": "number", "measures": {"sure": score, "unsure": -score, "drawn": 1.0}}
        for score, right in zip(scores.tolist(), correct)
    ]
    lines[7]["measures"]["sure"] = None
    lines.append({"correct": None, "kind": "text", "measures": {"sure": 1.0}})
    about = {"sure": facts(1), "unsure": facts(-1), "drawn": facts(1, "samples")}
    write_kept(tmp_path, lines, about, "weights")
    return tmp_path


def test_what_is_kept_is_read_again(folder):
    kept = load_kept(folder, "sure")
    assert len(kept.scores) == 59 and kept.kind == "number" and kept.weights == "weights"
    assert load_kept(folder, "unsure").scores[0] == kept.scores[0]
    content = json.loads((folder / "confidence.json").read_text())
    assert set(content["measures"]) == {"sure", "unsure"} and len(content["correct"]) == 60


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "as this version writes it"),
        ({"measures": []}, "as this version writes it"),
        ({"measures": {"sure": {"sign": 1, "values": [1.0]}}}, "damaged"),
        ({"correct": ["a"] * 60}, "damaged"),
        ({"measures": {"sure": {"sign": 0, "values": [1.0] * 60}}}, "damaged"),
        ({"correct": [0.5] * 60}, "damaged"),
        ({"measures": {}}, "no measure 'sure'"),
        ({"correct": [1] * 60}, "both right and wrong ones"),
    ],
)
def test_files_that_are_none_are_refused(folder, change, said):
    file = folder / "confidence.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(jaxuq.JaxuqError, match=said):
        load_kept(folder, "sure")


def test_a_folder_without_it_is_refused(tmp_path):
    with pytest.raises(jaxuq.JaxuqError, match=r"confidence\.json is missing"):
        load_kept(tmp_path)
