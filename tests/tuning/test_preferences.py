"""Pairs for preference learning, and which to ask for, against loops and known utilities."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxuq import tuning
from jaxuq._errors import ArrayError, OptionError

WORTH = {(1, 1): 1.0, (0, 0): 1.0, (1, 0): -0.5, (0, 1): -1.0}


def _all_pairs(questions, trust, correct):
    """Every pair that LACIE's rule allows, by loops over the answers of a question."""
    accepted = trust > np.median(trust)
    for i, j in itertools.permutations(range(len(trust)), 2):
        worth = [WORTH[int(correct[k]), int(accepted[k])] for k in (i, j)]
        if questions[i] == questions[j] and worth[0] > worth[1] and abs(trust[i] - trust[j]) >= 0.1:
            yield i, j


def test_listener_pairs_are_those_of_the_rule_and_balanced_by_kind():
    rng = np.random.default_rng(3)
    questions, trust, correct = np.repeat(np.arange(30), 10), rng.random(300), rng.random(300) < 0.5
    allowed = set(_all_pairs(questions, trust, correct))
    key = jax.random.key(1)
    whole = tuning.listener_pairs(key, questions, trust, correct, per_question=90, balanced=False)
    assert set(zip(whole.chosen.tolist(), whole.rejected.tolist())) == allowed
    few = tuning.listener_pairs(key, questions, trust, correct, balanced=False)
    assert set(zip(few.chosen.tolist(), few.rejected.tolist())) <= allowed
    assert max(np.bincount(questions[few.chosen])) == 3
    even = tuning.listener_pairs(key, questions, trust, correct)
    counts = {kind: even.kinds.count(kind) for kind in even.kinds}
    assert len(set(counts.values())) == 1 and len(counts) == len(set(few.kinds)) == 5
    again = tuning.listener_pairs(key, questions, trust, correct)
    np.testing.assert_array_equal(even.chosen, again.chosen)


def test_listener_pairs_of_nothing_and_of_other_lengths():
    none = np.zeros(0)
    assert tuning.listener_pairs(jax.random.key(0), none.astype(int), none, none.astype(bool)).kinds == []
    with pytest.raises(ArrayError, match="2 questions, 1 trusts"):
        inspect.unwrap(tuning.listener_pairs)(jax.random.key(0), np.zeros(2, int), np.ones(1), np.ones(2, bool))


def test_hedged_pairs_doubt_what_is_wrong_and_what_is_right():
    found = tuning.hedged_pairs([["A.", "B.", "C."], []], [[True, False, True], []], hedge=lambda claim: f"({claim})")
    assert found == [("A. (B.) C.", "(A.) B. (C.)")]
    with pytest.raises(ArrayError, match="one grade a claim"):
        tuning.hedged_pairs([["A."]], [[]])


def _chosen_by_loops(information, features, acquired, count, k, weight, degrees):
    n, asked, chosen = len(features), [*acquired], []
    reach = []
    for i in range(n):
        apart = sorted(np.linalg.norm(features[i] - features[j]) for j in range(n) if j != i)
        reach.append(apart[min(k, n - 1) - 1])
    for _ in range(count):
        values = {}
        for i in set(range(n)) - set(chosen):
            inside = sum(np.linalg.norm(features[i] - one) < reach[i] for one in asked)
            values[i] = information[i] + weight * (np.log(2 * reach[i] + 1e-4) - special.digamma(inside + 1) / degrees)
        chosen.append(max(values, key=lambda i: (values[i], -i)))
        asked.append(features[chosen[-1]])
    return chosen


def test_the_worked_number_of_a_diverse_preference():
    assert 0.05 + 0.01 * (np.log(2 * 0.8 + 1e-4) - special.digamma(3)) == pytest.approx(0.045473, abs=1e-6)


@pytest.mark.parametrize(("k", "weight"), [(1, 0.05), (4, 0.5), (30, 0.2)])
def test_diverse_preferences_are_those_of_a_loop(k, weight):
    rng = np.random.default_rng(k)
    features, acquired = rng.normal(size=(20, 3)), rng.normal(size=(6, 3))
    information = rng.random(20) / 5
    found = tuning.diverse_preferences(
        *(jnp.asarray(one, jnp.float32) for one in (information, features, acquired)),
        count=8, neighbours=k, weight=weight, degrees=2.0,
    )  # fmt: skip
    assert found.tolist() == _chosen_by_loops(information, features, acquired, 8, k, weight, 2.0)


def test_what_may_not_be_chosen_is_not_and_the_rest_is_none():
    information, features = jnp.arange(4.0), jnp.eye(4)
    where = jnp.array([True, False, True, False])
    found = tuning.diverse_preferences(information, features, features[:1], count=3, where=where)
    assert sorted(found.tolist()) == [-1, 0, 2]
    with pytest.raises(OptionError, match="count is 5, but the pool has 4"):
        tuning.diverse_preferences(information, features, features[:1], count=5)


def test_a_tenth_apart_is_apart_whatever_it_is_rounded_to():
    for kind in (np.float64, np.float32):
        trust = np.array([0.3, 0.2, 0.6, 0.5, 0.9, 0.81], kind)
        found = tuning.listener_pairs(
            jax.random.key(0), np.repeat(np.arange(3), 2), trust, np.array([True, False] * 3), threshold=0.0,
            balanced=False,
        )  # fmt: skip
        assert found.chosen.tolist() == [0, 2] and found.rejected.tolist() == [1, 3]


def test_one_without_a_number_costs_itself():
    """An answer whose trust is NaN is in no pair, and changes none; a pair without information is not asked for."""
    rng = np.random.default_rng(4)
    questions, trust, correct = np.repeat(np.arange(8), 5), rng.random(40), rng.random(40) < 0.5
    options = {"per_question": 90, "balanced": False}
    expected = tuning.listener_pairs(jax.random.key(0), questions, trust, correct, **options)
    more = (np.append(one, value) for one, value in ((questions, 3), (trust, np.nan), (correct, True)))
    found = tuning.listener_pairs(jax.random.key(0), *more, **options)
    assert set(zip(found.chosen, found.rejected)) == set(zip(expected.chosen, expected.rejected))
    features = jnp.array([[0.0], [1.0], [3.0], [jnp.nan]])
    found = tuning.diverse_preferences(
        jnp.array([jnp.nan, 0.4, 0.5, 0.9]), features, jnp.zeros((0, 1)), count=3, neighbours=1, weight=0.0
    )
    assert found.tolist() == [2, 1, -1]
    gap = tuning.base_tuned_gap(jnp.array([0.1, jnp.nan, 0.3, 0.2]), jnp.array([0.5, 0.2, 0.9, jnp.nan]), 0.5)
    np.testing.assert_array_equal(gap, [0, np.nan, 1, np.nan])


@pytest.mark.long
def test_fewer_preferences_are_asked_for_than_by_chance_where_the_utilities_are_known():
    """A linear utility, prompts in ten copies: pairs asked for until the reward orders 0.9 of new ones rightly."""
    asked = {"chance": [], "bald": [], "diverse": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth = 3 * rng.normal(size=6)
        prompts = np.repeat(rng.normal(size=(30, 6)), 10, axis=0)
        first, second = prompts + rng.normal(size=(300, 6)), prompts + rng.normal(size=(300, 6))
        test = rng.normal(size=(2000, 6))
        wins = rng.random(300) < special.expit((first - second) @ truth)
        best = np.where(wins[:, None], first, second), np.where(wins[:, None], second, first)
        for way, needed in asked.items():
            known = list(rng.permutation(300)[:4])
            while len(known) < 120:
                mask = np.zeros(300, bool)
                mask[known] = True
                heads = tuning.fit_reward_heads(
                    jax.random.key(len(known)),
                    *(jnp.asarray(one, jnp.float32) for one in best),
                    where=jnp.asarray(mask),
                )
                if np.mean((test @ np.asarray(heads.centre) > 0) == (test @ truth > 0)) >= 0.9:
                    break
                free = jnp.asarray(~mask)
                rewards = jnp.asarray(heads.weights) @ jnp.asarray(np.concatenate([first, second]), jnp.float32).T
                told = tuning.preference_information(rewards, jnp.arange(300), jnp.arange(300) + 300).information
                if way == "chance":
                    known += list(rng.permutation(np.flatnonzero(~mask))[:4])
                else:
                    old = jnp.asarray(prompts[known], jnp.float32)
                    found = tuning.diverse_preferences(
                        told, jnp.asarray(prompts, jnp.float32), old, count=4,
                        weight=0.0 if way == "bald" else 0.01, where=free,
                    )  # fmt: skip
                    known += found.tolist()
            needed.append(len(known))
    means = {way: float(np.mean(needed)) for way, needed in asked.items()}
    assert means["bald"] < means["chance"] and means["diverse"] < means["chance"], means
    print(means)
