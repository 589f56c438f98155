"""Label models: parameters of simulated data recovered, EM never goes down, published rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.metrics import entity_scores
from jaxuq.tagging import (
    bayesian_dawid_skene,
    best_consensus,
    dawid_skene,
    hmm,
    initial_emission,
    load_weak_labels,
    majority_vote,
    snorkel,
    true_emissions,
)

TRANSITION = np.array([[0.8, 0.2, 0.0], [0.45, 0.1, 0.45], [0.5, 0.1, 0.4]])
ACCURACY = np.array([0.9, 0.8, 0.7, 0.6, 0.5])


def _simulate(seed, sentences=300, time=20):
    """States from a chain with O, B, I; functions of the given accuracy whose errors are mostly O."""
    rng = np.random.default_rng(seed)
    states = np.zeros((sentences, time), np.int64)
    for b in range(sentences):
        for t in range(time):
            states[b, t] = rng.choice(3, p=TRANSITION[states[b, t - 1] if t else 0])
    emission = np.zeros((len(ACCURACY), 3, 3))
    for k, accuracy in enumerate(ACCURACY):
        emission[k] = (1 - accuracy) * np.array([[0, 0.5, 0.5], [0.8, 0, 0.2], [0.8, 0.2, 0]])
        emission[k] += np.diag([accuracy, accuracy * 0.9 + 0.05, accuracy])
        emission[k] /= emission[k].sum(1, keepdims=True)
    cumulative = emission.cumsum(-1)[np.arange(len(ACCURACY)), states[..., None]]
    observations = (rng.random((*states.shape, len(ACCURACY), 1)) > cumulative).sum(-1)
    lengths = rng.integers(time // 2, time + 1, size=sentences)
    outside = np.arange(time)[None] >= lengths[:, None]
    observations[outside], states[outside] = -1, -1
    return emission, states, jnp.asarray(observations, jnp.int32), jnp.asarray(lengths, jnp.int32)


@pytest.fixture(scope="module")
def simulated():
    return _simulate(0)


def _run(model, observations, lengths):
    def run(observations, lengths):
        fitted = model.fit(model.init(jax.random.key(0), observations, lengths), observations, lengths)
        return fitted, model.predict(fitted.params, observations, lengths)

    return jax.jit(run)(observations, lengths)


def _correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def _accuracy(labels, states):
    return np.mean(np.asarray(labels)[states >= 0] == states[states >= 0])


def test_the_hmm_recovers_its_parameters_and_beats_the_vote(simulated):
    emission, states, observations, lengths = simulated
    fitted, forecast = _run(hmm(3, num_steps=40), observations, lengths)
    assert (np.diff(fitted.objective) > -0.5).all(), "EM never goes down (float32 rounding of about 30,000 aside)"
    assert _correlation(np.exp(fitted.params.log_emission), emission) > 0.95
    assert _correlation(np.exp(fitted.params.log_transition), TRANSITION) > 0.95
    diagonal = np.exp(fitted.params.log_emission)[:, [0, 1, 2], [0, 1, 2]]
    assert _correlation(diagonal, emission[:, [0, 1, 2], [0, 1, 2]]) > 0.95
    assert np.exp(fitted.params.log_transition)[0, 2] == 0, "I- cannot follow O"
    vote = _run(majority_vote(3), observations, lengths)[1]
    assert _accuracy(forecast.labels, states) > _accuracy(vote.labels, states) + 0.05
    np.testing.assert_allclose(forecast.probabilities.sum(-1)[states >= 0], 1.0, rtol=1e-5)
    assert (np.asarray(forecast.labels)[states < 0] == -1).all()
    # whatever stands in the padding
    spoiled = jnp.where(jnp.asarray(states)[..., None] < 0, 2, observations)
    again = _run(hmm(3, num_steps=40), spoiled, lengths)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), again, (fitted, forecast))


def test_dawid_skene_recovers_the_confusions(simulated):
    emission, states, observations, lengths = simulated
    fitted, _ = _run(dawid_skene(3, num_steps=60), observations, lengths)
    assert (np.diff(fitted.objective) > -0.5).all()
    assert _correlation(np.exp(fitted.params.log_emission), emission) > 0.95
    share = np.bincount(states[states >= 0], minlength=3) / (states >= 0).sum()
    np.testing.assert_allclose(np.exp(fitted.params.log_prior), share, atol=0.06)


def test_snorkel_recovers_the_accuracies():
    rng = np.random.default_rng(1)
    truth = rng.integers(3, size=(200, 20))
    right = rng.random((200, 20, 5)) < ACCURACY
    wrong = (truth[..., None] + rng.integers(1, 3, size=right.shape)) % 3
    observations = jnp.asarray(np.where(right, truth[..., None], wrong), jnp.int32)
    fitted, _ = _run(snorkel(3, num_steps=60), observations, jnp.full(200, 20))
    np.testing.assert_allclose(np.exp(fitted.params.log_emission)[:, 0, 0], ACCURACY, atol=0.03)
    assert (np.diff(fitted.objective) > -0.5).all() and fitted.objective[-1] > fitted.objective[0]


@pytest.mark.long
def test_the_posterior_agrees_with_the_estimate_and_covers_the_truth(simulated):
    emission, states, observations, lengths = simulated
    observations, lengths, states = observations[:60], lengths[:60], states[:60]
    model = bayesian_dawid_skene(3, num_samples=100, num_warmup=100)
    fitted = model.fit(model.init(jax.random.key(0), observations, lengths), observations, lengths).params
    draws = np.exp(fitted.log_emission)
    assert _correlation(draws.mean(0), emission) > 0.95
    z = (emission - draws.mean(0)) / draws.std(0)
    assert np.abs(z).mean() < 1.5, "the truth lies where the posterior says"
    probabilities = model.predict(fitted, observations, lengths).probabilities
    reference = _run(dawid_skene(3, num_steps=60), observations, lengths)[1].probabilities
    assert np.abs(probabilities - reference)[states >= 0].mean() < 0.05
    with pytest.raises(ValueError, match="call fit before predict"):
        model.predict(model.init(jax.random.key(0), observations, lengths), observations, lengths)


@pytest.mark.parametrize("make", [dawid_skene, hmm])
def test_without_pseudo_counts_a_label_that_nobody_says_changes_nothing(make, rng):
    """The maximum-likelihood fit is that of the labels which occur; what no path explains is `O`."""
    votes, lengths = jnp.asarray(rng.integers(0, 2, size=(4, 6, 3)), jnp.int32), jnp.array([6, 3, 1, 0], jnp.int32)
    found = []
    for labels in (3, 5):
        model = make(labels, num_steps=4, pseudo_count=0.0)
        fitted = model.fit(model.init(jax.random.key(0), votes, lengths), votes, lengths)
        found.append((fitted.objective, *model.predict(fitted.params, votes, lengths)))
    (few, few_labels, few_shares), (many, many_labels, many_shares) = found
    np.testing.assert_allclose(many, few, rtol=1e-5)
    np.testing.assert_array_equal(many_labels, few_labels)
    np.testing.assert_allclose(many_shares, np.pad(few_shares, ((0, 0), (0, 0), (0, 2))), atol=1e-6)
    new = jnp.full((1, 2, 3), 4, jnp.int32)
    assert model.predict(fitted.params, new, jnp.array([1], jnp.int32)).labels.tolist() == [[0, -1]]


def test_matrices_of_counts_are_even_where_nothing_was_counted():
    votes, lengths = jnp.array([[[1], [0]]]), jnp.array([2])
    emission = true_emissions(votes, jnp.array([[1, 1]]), lengths, 3, pseudo_count=0.0)[0]
    np.testing.assert_allclose(emission, [[1 / 3] * 3, [0.5, 0.5, 0], [1 / 3] * 3], rtol=1e-6)
    emission = initial_emission(votes, lengths, 3, pseudo_count=0.0)[0]
    np.testing.assert_allclose(emission, [[1, 0, 0], [0, 1, 0], [1 / 3] * 3], rtol=1e-6)


def test_ties_are_broken_at_random_and_every_token_may_be_silent():
    votes = jnp.tile(jnp.array([[[1, 3], [0, 0]]]), (1000, 1, 1))
    model, lengths = majority_vote(5), jnp.full(1000, 2)
    labels = model.predict(model.init(jax.random.key(1), votes, lengths), votes, lengths).labels
    assert 400 < int((labels[:, 0] == 1).sum()) < 600
    assert set(np.unique(labels[:, 0])) == {1, 3} and (labels[:, 1] == 0).all()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "consensus", "vote"),
    [("CoNLL", 86.73, None), ("NCBI-Disease", 81.65, 78.44), ("LaptopReview", 77.60, 73.27)],
)
def test_the_published_rows_that_need_no_embedding(name, consensus, vote):
    data = load_weak_labels(name, "test")
    gold = data.tags(data.labels)
    observations, lengths = jnp.asarray(data.observations), jnp.asarray(data.lengths)

    def f1(labels):
        return round(100 * entity_scores(data.tags(np.asarray(labels)), gold).f1, 2)

    assert f1(best_consensus(observations, jnp.asarray(data.labels))) == consensus
    if vote is not None:
        model = majority_vote(len(data.label_names))
        params = model.init(jax.random.key(0), observations, lengths)
        assert f1(model.predict(params, observations, lengths).labels) == vote
