"""The set of known truths: what it promises of itself."""

import collections

import numpy as np
import pytest

from jaxuq.questions import drawn_answers, load_questions, make_known_truth

SET = make_known_truth()


def test_it_has_three_kinds_with_stated_probabilities():
    kinds = collections.Counter(one.kind for one in SET)
    assert kinds == {"ambiguous": 240, "single": 240, "unanswerable": 120}
    assert len({one.id for one in SET}) == len({one.question for one in SET}) == 600
    for one in SET:
        positive = sum(share > 0 for share in one.probabilities)
        assert len(one.options) == len(one.probabilities) == 6
        if one.kind == "unanswerable":
            assert positive == 0 and one.told == 0
        else:
            assert sum(one.probabilities) == pytest.approx(1.0, abs=1e-9) and one.told > 0
            assert positive in ((2, 3, 4) if one.kind == "ambiguous" else (1,))
            assert min(share for share in one.probabilities if share > 0) >= 0.0099


def test_twins_differ_in_who_is_asked_about_and_in_their_truth_alone():
    by_id = {one.id: one for one in SET}
    for one in SET:
        if one.kind == "ambiguous":
            twin = by_id[one.twin]
            assert twin.twin == one.id and twin.kind == "single"
            assert (twin.told, twin.options) == (one.told, one.options)
            shared = [a for a, b in zip(one.question.split(), twin.question.split()) if a == b]
            assert len(one.question.split()) - len(shared) <= 2  # the name


def test_kinds_cannot_be_told_by_their_wording():
    """How often a wording or a count occurs does not depend on the kind."""
    for fact in (lambda one: one.options, lambda one: one.told):
        counts = {
            kind: collections.Counter(fact(one) for one in SET if one.kind == kind) for kind in ("ambiguous", "single")
        }
        assert counts["ambiguous"] == counts["single"]
    wordings = collections.Counter(one.options for one in SET if one.kind == "unanswerable")
    assert set(wordings.values()) == {20}


def test_draws_follow_the_stated_probabilities():
    expected, seen = collections.Counter(), collections.Counter()
    drawn = [pair for seed in range(20) for pair in drawn_answers(SET, seed)]
    for one, answer in drawn:
        seen[one.kind, sorted(one.probabilities)[::-1].index(one.probabilities[one.options.index(answer)])] += 1
        for rank, share in enumerate(sorted(one.probabilities)[::-1]):
            expected[one.kind, rank] += share
    assert len(drawn) == 20 * sum(one.told for one in SET)
    for rank in range(2):
        spread = 4 * np.sqrt(expected["ambiguous", rank])
        assert abs(seen["ambiguous", rank] - expected["ambiguous", rank]) < spread + 60  # equal shares share a rank
    assert seen["single", 0] == expected["single", 0]
    assert make_known_truth(3) == make_known_truth(3) != make_known_truth(4)


def test_it_is_a_set_by_name():
    found = load_questions("known")
    assert len(found.questions) == 600 and not found.rejected
    assert {one.answers for one in found.questions if one.category == "unanswerable"} == {("unknown",)}
    drawn = load_questions("known", part="train").questions
    assert len(drawn) == sum(one.told for one in SET) and all(len(one.answers) == 1 for one in drawn)
