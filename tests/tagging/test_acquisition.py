"""How unsure a chain and a committee are of a labelling, against enumeration of all paths; and what curves save."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.study.acquiring import labelled_sets
from jaxuq.tagging import (
    EmbeddedText,
    bio_label_names,
    hard_targets,
    make_weak_labels,
    normalised_log_probability,
    sequence_bald,
)
from jaxuq.tagging.benchmark.active_tables import agreement_of, stop_at, tokens_needed
from jaxuq.tagging.committee import make_pool, start_committee, teach_committee, view_pool
from jaxuq.tagging.tagger import TAGGER_OPTIONS
from tests.tagging.chains import brute_force, random_chain


def _path_probabilities(initial, transition, evidence):
    """Of every label path, by its definition."""
    states = range(len(initial))
    scores = {}
    for path in itertools.product(states, repeat=len(evidence)):
        score = initial[path[0]] + sum(evidence[time][label] for time, label in enumerate(path))
        scores[path] = score + sum(transition[before][after] for before, after in itertools.pairwise(path))
    total = np.logaddexp.reduce(list(scores.values()))
    return {path: np.exp(score - total) for path, score in scores.items()}


def _information(members):
    """Entropy of the mixture less the mean entropy, by its definition."""

    def entropy(distribution):
        return -sum(p * np.log(p) for p in distribution.values() if p > 0)

    mixture = {path: np.mean([one[path] for one in members]) for path in members[0]}
    return entropy(mixture) - np.mean([entropy(one) for one in members])


def test_the_best_path_a_token():
    chain = random_chain(5, 4, 6, 3, hard=True, dtype=np.float32)
    arrays = [*map(jnp.asarray, chain)]
    truth = brute_force(chain, 1)
    found = np.asarray(jax.jit(normalised_log_probability)(*arrays))
    from jaxuq.tagging import log_likelihood

    expected = (truth.best_scores[:, 0] - np.asarray(log_likelihood(*arrays))) / np.maximum(chain.lengths, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    empty = normalised_log_probability(*arrays[:3], jnp.zeros(4, jnp.int32))
    np.testing.assert_array_equal(empty, 0.0)


def test_the_worked_example_of_two_members():
    """Paths (.551225, .202785, ...) and (.214347, ...): 0.110592; the two tokens by themselves add up to 0.116628."""
    initial, stay = np.zeros((2, 2)), np.array([np.eye(2) * 0.5] * 2)
    evidence = np.array([[[1.0, 0.0], [0.5, 0.0]], [[0.0, 1.0], [0.5, 0.0]]])
    members = [_path_probabilities(initial[k], stay[k], evidence[k]) for k in range(2)]
    np.testing.assert_allclose(sorted(members[0].values())[::-1], [0.551225, 0.202785, 0.122995, 0.122995], atol=1e-6)
    assert _information(members) == pytest.approx(0.110592, abs=1e-6)
    arrays = [jnp.asarray(one, jnp.float32) for one in (initial, stay, evidence[:, None])]
    found = sequence_bald(jax.random.key(0), *arrays, num_samples=40_000)
    assert float(found[0]) == pytest.approx(0.110592, abs=0.004)


@pytest.mark.long
def test_sampled_information_is_that_of_all_paths():
    rng = np.random.default_rng(2)
    members, lengths = 3, np.array([3, 2, 1, 0], np.int32)
    initial, transition = rng.normal(size=(members, 3)), rng.normal(size=(members, 3, 3))
    evidence = 2 * rng.normal(size=(members, 4, 3, 3))
    transition[:, 0, 2] = -np.inf
    arrays = [jnp.asarray(one, jnp.float32) for one in (initial, transition, evidence)]
    found = sequence_bald(jax.random.key(1), *arrays, jnp.asarray(lengths), num_samples=20_000)
    for row, length in enumerate(lengths[:3]):
        of_members = [_path_probabilities(initial[k], transition[k], evidence[k, row, :length]) for k in range(members)]
        assert float(found[row]) == pytest.approx(_information(of_members), abs=0.02)
        assert -0.01 < float(found[row]) <= np.log(members)
    assert float(found[3]) == 0.0
    same = [jnp.broadcast_to(one[:1], one.shape) for one in arrays]
    np.testing.assert_allclose(sequence_bald(jax.random.key(1), *same, jnp.asarray(lengths)), 0.0, atol=1e-5)
    impossible = arrays[2].at[1, 0].set(-jnp.inf)
    assert np.isnan(sequence_bald(jax.random.key(1), *arrays[:2], impossible, jnp.asarray(lengths))[0])
    with pytest.raises(ValueError, match="num_samples is 0; expected at least 1"):
        sequence_bald(jax.random.key(1), *arrays, num_samples=0)


def test_labelling_functions_start_without_a_label_and_cost_is_counted_in_tokens():
    tokens, order = np.array([3, 5, 2, 4]), np.array([2, 0, 3, 1])
    wanted = {0: np.array([0.1, 0.9, 0.5, 0.2]), 1: np.array([0.3, 0.0, 0.2, 0.9])}
    steps = list(labelled_sets("mnlp", (0, 6, 4), order, tokens, lambda step: wanted[step.number]))
    assert [step.rows.tolist() for step in steps] == [[], [1], [1, 3]]  # 5 of 6 tokens; 2 more would be too many
    by_chance = list(labelled_sets("random", (3, 6), order, tokens, lambda step: None))
    assert [step.rows.tolist() for step in by_chance] == [[2], [2, 0]]
    assert list(labelled_sets("mnlp", (3, 6), order, tokens, lambda step: None))[1] is None


def test_tokens_needed_are_those_from_which_the_curve_stays_above():
    tokens = [100, 200, 300, 400]
    curve = np.array([0.2, 0.6, 0.4, 0.8])
    for target, expected in ((0.1, 100.0), (0.5, 325.0), (0.7, 375.0), (0.8, 400.0), (0.9, np.nan)):
        found = tokens_needed(tokens, curve, np.array(target))
        np.testing.assert_allclose(found, expected)
    both = tokens_needed(tokens, np.stack([curve, curve + 0.2]), np.array([0.7, 0.7]))
    np.testing.assert_allclose(both, [375.0, 325.0])


def test_agreement_is_kappa_at_the_tokens_that_either_marks():
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 3, 500), rng.integers(0, 3, 500)
    after[:300] = before[:300]
    marked = [(one, other) for one, other in zip(before, after) if one or other]
    same = np.mean([one == other for one, other in marked])
    chance = sum(
        np.mean([one == label for one, _ in marked]) * np.mean([other == label for _, other in marked])
        for label in range(3)
    )
    assert agreement_of(before, after) == pytest.approx((same - chance) / (1 - chance))
    assert agreement_of(np.zeros(5, int), np.zeros(5, int)) == 1.0 == agreement_of(np.ones(5, int), np.ones(5, int))
    assert np.isnan(agreement_of(None, after))
    assert stop_at([np.nan, 1.0, 1.0]) is None and stop_at([np.nan, 0.5, 0.99, 1.0, 0.985]) == 4


@pytest.mark.long
def test_the_first_of_a_committee_is_the_tagger_alone_and_the_disputed_are_chosen():
    """Words 1 and 2 are labelled, word 3 never is: sentences with it are the ones of which a committee is unsure."""
    rng = np.random.default_rng(0)
    words = [rng.choice([0, 1, 2], size=rng.integers(2, 6)) for _ in range(60)] + [np.array([3, 3, 0])] * 4
    vectors = [np.eye(4, dtype=np.float32)[row] for row in words]
    labels = [np.array([1, 2, 0, 1])[row] * 1 for row in words]
    for row in labels:
        row[(row == 2) & (np.concatenate([[0], row[:-1]]) == 0)] = 1
    nobody = [np.zeros((len(row), 1), int) for row in words]
    text = EmbeddedText(
        make_weak_labels([row.astype(str).tolist() for row in words], nobody, labels, bio_label_names(["X"]), ["f"]),
        vectors,
    )
    targets, where = hard_targets(text.labels.labels, 3), np.arange(64) < 30
    views, taught = {}, {}
    for members in (1, 3):
        key = jax.random.key(3)
        pool = make_pool(key, text, targets, members)
        params = start_committee(key, text, 3, members)
        taught[members] = teach_committee(key, params, pool, TAGGER_OPTIONS, where)
        names = ("mnlp", "entropy", "bald") if members > 1 else ("mnlp", "entropy")
        views[members] = view_pool(key, taught[members], pool, names, 5)
    np.testing.assert_allclose(taught[1].weight[0], taught[3].weight[0], atol=1e-4)
    np.testing.assert_array_equal(views[1].labels, views[3].labels)
    for name, scores in views[3].scores.items():
        assert scores[60:].mean() > scores[:60].mean(), name
    untaught = teach_committee(key, params, pool, TAGGER_OPTIONS, np.zeros(64, bool))
    np.testing.assert_array_equal(untaught.weight, params.weight)
