"""Promises of recall and precision of spans: by their definitions, and in simulated worlds."""

import numpy as np
import pytest
from scipy import stats

from jaxuq.tagging import TaggingDataError, candidate_spans, keep_spans, promise_precision, promise_recall

NAMES = ["O", "B-x", "I-x", "B-y", "I-y"]


def _decode(marginals, threshold):
    """What is marked at one threshold, token by token."""
    spans, start = [], None
    for at in range(len(marginals) + 1):
        inside = at < len(marginals) and 1 - marginals[at, 0] >= threshold - 1e-9
        kind = None
        if inside:
            kind = "x" if marginals[at, 1] + marginals[at, 2] >= marginals[at, 3] + marginals[at, 4] else "y"
            first = marginals[at, 1] > marginals[at, 2] if kind == "x" else marginals[at, 3] > marginals[at, 4]
        if start is not None and (not inside or first or kind != start[1]):
            spans.append((start[0], at, start[1]))
            start = None
        if inside and start is None:
            start = at, kind
    return spans


def test_a_score_is_the_highest_threshold_at_which_a_span_is_marked(rng):
    for _ in range(20):
        marginals = rng.dirichlet([2.0, 0.5, 0.5, 0.5, 0.5], 12)
        found = candidate_spans(marginals, NAMES, least=0.05)
        seen = {}
        for threshold in sorted({round(1 - row[0], 12) for row in marginals if 1 - row[0] >= 0.05}, reverse=True):
            for span in _decode(marginals, threshold):
                seen.setdefault(span, threshold)
        assert found.keys() == seen.keys()
        np.testing.assert_allclose([found[span] for span in seen], list(seen.values()), atol=1e-9)


def test_text_without_types_has_no_spans():
    assert candidate_spans(np.ones((2, 1)), ["O"]) == {}


def test_a_type_without_an_inside_label_has_spans_of_one_token():
    marginals = np.array([[0.2, 0.8], [0.3, 0.7], [0.9, 0.1]])
    assert candidate_spans(marginals, ["O", "B-x"], least=0.5) == {(0, 1, "x"): 0.8, (1, 2, "x"): 0.7}


def _world(rng, texts):
    """Texts with one to three spans of a type, of which a tagger finds nine in ten; and wrong ones, less sure."""
    candidates, gold = [], []
    for _ in range(texts):
        right = {(at, at + 1, "x") for at in range(rng.integers(0, 4))}
        said = {span: rng.beta(4, 2) for span in right if rng.random() < 0.95}
        said |= {(10 + at, 11 + at, "x"): rng.beta(2, 4) for at in range(rng.integers(0, 3))}
        candidates.append(said)
        gold.append(right)
    return candidates, gold


def _recall(candidates, gold, thresholds):
    return np.mean([
        len(right & set(keep_spans(said, thresholds))) / len(right) for said, right in zip(candidates, gold) if right
    ])  # fmt: skip


def _precision(candidates, gold, thresholds):
    kept = [(set(keep_spans(said, thresholds)), right) for said, right in zip(candidates, gold)]
    return np.mean([len(some & right) / len(some) for some, right in kept if some] or [1.0])


def test_recall_is_the_highest_threshold_that_its_inequality_allows(rng):
    candidates, gold = _world(rng, 60)
    found = promise_recall(candidates, gold, level=0.8)
    least = found.lowest["x"]
    n = sum(bool(right) for right in gold)
    assert found.texts == {"x": n} and found.reached == {"x": True}

    def allowed(threshold):
        missed = [
            np.mean([said.get(span, -1) < threshold for span in right])
            for said, right in zip(candidates, gold)
            if right
        ]
        return (np.sum(missed) + 1) / (n + 1) <= 0.2

    higher = min(said[span] for said, right in zip(candidates, gold) for span in right if said.get(span, -1) > least)
    assert allowed(least) and not allowed(higher)


def test_too_few_texts_promise_nothing_and_say_so():
    one = [{(0, 1, "x"): 0.9}]
    recall, precision = promise_recall(one, [[(0, 1, "x")]]), promise_precision(one, [[(0, 1, "x")]])
    assert recall.reached == precision.reached == {"x": False}
    assert keep_spans(one[0], recall) == [(0, 1, "x")] and keep_spans(one[0], precision) == []
    assert promise_recall([], [], types=["x"]).reached == {"x": False}
    missed = promise_recall([{}] * 50, [[(0, 1, "x")]] * 50, level=0.5)
    assert missed.reached == {"x": False} and missed.texts == {"x": 50}


def test_types_have_thresholds_of_their_own():
    candidates = [{(0, 1, "x"): 0.9, (0, 1, "y"): 0.1}] * 40
    found = promise_recall(candidates, [[(0, 1, "x"), (0, 1, "y")]] * 40)
    assert found.lowest == {"x": 0.9, "y": 0.1}
    assert keep_spans({(3, 4, "x"): 0.5, (3, 4, "y"): 0.5, (3, 4, "z"): 1.0}, found) == [(3, 4, "y")]


def test_mistakes_are_named():
    with pytest.raises(TaggingDataError, match="candidates of 1 texts, but right spans of 2"):
        promise_recall([{}], [[], []])
    with pytest.raises(TaggingDataError, match=r"text 1: the score of \(0, 1, 'x'\) is NaN"):
        promise_precision([{}, {(0, 1, "x"): np.nan}], [[], []])
    with pytest.raises(TaggingDataError, match="the first label O"):
        candidate_spans(np.ones((2, 2)), ["B-x", "O"])
    with pytest.raises(ValueError, match="level is 90"):
        promise_recall([{}], [[]], level=90.0)


@pytest.mark.parametrize("worlds", [40, pytest.param(500, marks=pytest.mark.long)])
def test_promises_hold_on_new_texts(worlds):
    """Recall on average over worlds, precision in nine worlds of ten."""
    rng = np.random.default_rng(worlds)
    test = _world(rng, 4000)
    recalls, precisions = [], []
    for _ in range(worlds):
        some = _world(rng, 80)
        recalls.append(_recall(*test, promise_recall(*some, level=0.85)))
        precisions.append(_precision(*test, promise_precision(*some, level=0.8, delta=0.2)))
    spread = stats.norm.ppf(0.999) * np.std(recalls) / np.sqrt(worlds)
    assert 0.85 - spread - 0.01 <= np.mean(recalls) <= 0.85 + 1 / 50 + spread + 0.01  # and no more than it must
    assert np.sum(np.array(precisions) < 0.8) <= stats.binom.ppf(0.999, worlds, 0.2)
