"""IBCC, EBCC and FlyingSquid against loops over named indices, and on worlds where their assumptions hold."""

from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma

from jaxuq.tagging import dawid_skene, ebcc, flying_squid, ibcc

LABELS, FUNCTIONS = 3, 4


@pytest.fixture(scope="module")
def votes():
    rng = np.random.default_rng(7)
    lengths = np.array([5, 3, 1], np.int32)
    truth = rng.integers(LABELS, size=(3, 5))
    said = np.where(rng.random((3, 5, FUNCTIONS)) < 0.7, truth[..., None], rng.integers(LABELS, size=(3, 5, FUNCTIONS)))
    said[rng.random(said.shape) < 0.1] = -1
    said[np.arange(5)[None] >= lengths[:, None]] = -1
    return said.astype(np.int32), lengths


def _run(model, observations, lengths, seed=0):
    def run(key, observations, lengths):
        fitted = model.fit(model.init(key, observations, lengths), observations, lengths)
        return fitted, model.predict(fitted.params, observations, lengths)

    return jax.jit(run)(jax.random.key(seed), jnp.asarray(observations), jnp.asarray(lengths))


def _expected_log(concentration):
    return digamma(concentration) - digamma(concentration.sum(-1, keepdims=True))


@pytest.mark.parametrize("subtypes", [1, 2])
def test_one_update_of_everything_by_loops(votes, subtypes):
    """From the parameters that `init` gives: responsibilities of every label and subtype, then the counts."""
    observations, lengths = votes
    diagonal, wrong = 4.0, 1.0
    sparsity = 1.0 if subtypes == 1 else 0.3
    options = {"num_steps": 1, "diagonal": diagonal, "off_diagonal": wrong}
    model = ibcc(LABELS, **options) if subtypes == 1 else ebcc(
        LABELS, num_subtypes=subtypes, sparsity=sparsity, **options
    )  # fmt: skip
    arrays = jnp.asarray(observations), jnp.asarray(lengths)
    params = jax.tree.map(np.asarray, model.init(jax.random.key(3), *arrays))
    log_label, log_subtype = _expected_log(params.labels), _expected_log(params.subtypes)
    log_said = _expected_log(params.emission).reshape(FUNCTIONS, LABELS, subtypes, LABELS)
    labels, kinds = np.ones(LABELS), np.full((LABELS, subtypes), sparsity)
    said = np.full((FUNCTIONS, LABELS, subtypes, LABELS), wrong)
    for label in range(LABELS):
        said[:, label, :, label] = diagonal
    for sentence, length in enumerate(lengths):
        for token in range(length):
            score = np.zeros((LABELS, subtypes))
            for label, kind in product(range(LABELS), range(subtypes)):
                score[label, kind] = log_label[label] + log_subtype[label, kind]
                for function in range(FUNCTIONS):
                    vote = observations[sentence, token, function]
                    if vote >= 0:
                        score[label, kind] += log_said[function, label, kind, vote]
            share = np.exp(score - np.logaddexp.reduce(score.ravel()))
            labels += share.sum(1)
            kinds += share
            for function in range(FUNCTIONS):
                vote = observations[sentence, token, function]
                if vote >= 0:
                    said[function, :, :, vote] += share
    found = jax.jit(model.fit)(params, *arrays).params
    np.testing.assert_allclose(found.labels, labels, rtol=1e-5)
    np.testing.assert_allclose(found.subtypes, kinds, rtol=1e-5)
    np.testing.assert_allclose(found.emission.reshape(said.shape), said, rtol=1e-5)
    forecast = model.predict(found, *arrays)
    assert (np.asarray(forecast.labels)[np.arange(5)[None] >= lengths[:, None]] == -1).all()


@pytest.mark.long
def test_the_bound_never_goes_down_and_lies_below_the_evidence(votes):
    """The evidence by summing out the labels of two tokens and drawing the rest from the prior."""
    observations, lengths = votes
    for model in (ibcc(LABELS, num_steps=25), ebcc(LABELS, num_subtypes=3, num_steps=25)):
        objective = np.asarray(_run(model, observations, lengths)[0].objective)
        assert (np.diff(objective) > -1e-3).all() and objective[-1] > objective[0]
    few, rng = observations[:1, :2], np.random.default_rng(0)
    bound = float(_run(ibcc(LABELS, num_steps=200), few, np.array([2]))[0].objective[-1])
    tau = rng.dirichlet(np.ones(LABELS), 200_000)
    likelihood = np.ones(200_000)
    prior = np.ones((LABELS, LABELS)) + 3 * np.eye(LABELS)
    emission = [[rng.dirichlet(prior[label], 200_000) for label in range(LABELS)] for _ in range(FUNCTIONS)]
    for token in range(2):
        of_label = tau.copy()
        for function, label in product(range(FUNCTIONS), range(LABELS)):
            vote = few[0, token, function]
            of_label[:, label] *= emission[function][label][:, vote] if vote >= 0 else 1.0
        likelihood *= of_label.sum(1)
    evidence = np.log(likelihood.mean())
    assert evidence - 2.0 < bound < evidence


@pytest.mark.long
def test_a_function_of_few_words_is_trusted_little_and_many_words_say_what_em_says():
    rng = np.random.default_rng(1)
    truth = rng.integers(LABELS, size=(100, 20))
    right = rng.random((100, 20, FUNCTIONS)) < np.array([0.9, 0.8, 0.7, 0.6])
    said = np.where(right, truth[..., None], rng.integers(LABELS, size=right.shape)).astype(np.int32)
    lengths = np.full(100, 20, np.int32)
    of_em = _run(dawid_skene(LABELS), said, lengths)[1]
    ours = _run(ibcc(LABELS), said, lengths)[1]
    assert np.abs(np.asarray(ours.probabilities) - np.asarray(of_em.probabilities)).mean() < 0.01
    said[:, :, 3] = -1
    said[0, 0, 3] = truth[0, 0]
    emission = np.asarray(_run(ibcc(LABELS), said, lengths)[0].params.emission[3])
    assert emission.sum() == pytest.approx(LABELS * (4 + LABELS - 1) + 1, abs=1e-3), "the prior and one word"


@pytest.mark.long
def test_subtypes_see_through_functions_that_err_together():
    """Three functions copy one another's errors on the hard half of the tokens, four others err by themselves."""
    gains = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        truth = rng.integers(2, size=(150, 20))
        hard = rng.random((150, 20, 1)) < 0.3
        copied = np.where(hard, 1 - truth[..., None], truth[..., None])
        copies = np.where(rng.random((150, 20, 3)) < 0.95, copied, 1 - copied)
        alone = np.where(rng.random((150, 20, 4)) < 0.75, truth[..., None], 1 - truth[..., None])
        said, lengths = np.concatenate([copies, alone], 2).astype(np.int32), np.full(150, 20, np.int32)
        accuracy = {}
        for name, model in (("ibcc", ibcc(2, num_steps=60)), ("ebcc", ebcc(2, num_subtypes=4, num_steps=60))):
            runs = [_run(model, said, lengths, restart) for restart in range(3 if name == "ebcc" else 1)]
            best = max(runs, key=lambda run: float(run[0].objective[-1]))[1]
            accuracy[name] = np.mean(np.asarray(best.labels) == truth)
        gains.append(accuracy["ebcc"] - accuracy["ibcc"])
    assert np.mean(gains) > 0.01, gains


def test_triplets_by_loops(votes):
    observations, lengths = votes
    fitted, forecast = _run(flying_squid(LABELS, most=0.9), observations, lengths)
    accuracy = np.zeros((LABELS, FUNCTIONS))
    for label in range(LABELS):
        moment = np.zeros((FUNCTIONS, FUNCTIONS))
        for one, other in product(range(FUNCTIONS), repeat=2):
            both = [
                (1 if a == label else -1) * (1 if b == label else -1)
                for a, b in observations[..., [one, other]].reshape(-1, 2)
                if a >= 0 and b >= 0
            ]
            moment[one, other] = np.mean(both) if both else 0.0
        for one in range(FUNCTIONS):
            found = [
                min(1.0, np.sqrt(abs(moment[one, j] * moment[one, k] / moment[j, k])))
                for j, k in combinations([f for f in range(FUNCTIONS) if f != one], 2)
                if abs(moment[j, k]) > 1e-3
            ]
            accuracy[label, one] = min(0.9, np.mean(found)) if found else 0.5
    np.testing.assert_allclose(fitted.params.accuracy, accuracy, atol=1e-5)
    for sentence, length in enumerate(lengths):
        for token in range(length):
            chance = []
            for label in range(LABELS):
                odds = [float(fitted.params.prior[label]), 1 - float(fitted.params.prior[label])]
                for function, vote in enumerate(observations[sentence, token]):
                    if vote >= 0:
                        sign = accuracy[label, function] * (1 if vote == label else -1)
                        odds = [odds[0] * (1 + sign) / 2, odds[1] * (1 - sign) / 2]
                chance.append(odds[0] / sum(odds))
            np.testing.assert_allclose(
                forecast.probabilities[sentence, token], np.array(chance) / sum(chance), atol=1e-4
            )


def test_triplets_recover_the_accuracies_of_two_labels():
    rng = np.random.default_rng(1)
    right = np.array([0.9, 0.8, 0.7, 0.6, 0.75])
    truth = rng.integers(2, size=(400, 20))
    said = np.where(rng.random((400, 20, 5)) < right, truth[..., None], 1 - truth[..., None]).astype(np.int32)
    fitted, _ = _run(flying_squid(2), said, np.full(400, 20, np.int32))
    np.testing.assert_allclose(fitted.params.accuracy[1], 2 * right - 1, atol=0.05)


@pytest.mark.long
def test_text_classification_is_a_sequence_of_one():
    """Every label model takes documents as sentences of one token."""
    rng = np.random.default_rng(2)
    truth = rng.integers(LABELS, size=500)
    said = np.where(rng.random((500, 5)) < 0.7, truth[:, None], rng.integers(LABELS, size=(500, 5))).astype(np.int32)
    for model in (ibcc(LABELS), ebcc(LABELS, num_subtypes=2), flying_squid(LABELS), dawid_skene(LABELS)):
        _, forecast = _run(model, said[:, None], np.ones(500, np.int32))
        assert np.mean(np.asarray(forecast.labels)[:, 0] == truth) > np.mean(said[:, 0] == truth) + 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ibcc(3, diagonal=0.0), "diagonal 0.0"),
        (lambda: ebcc(3, num_subtypes=0), "num_subtypes is 0"),
        (lambda: flying_squid(3, most=1.0), "most is 1.0; expected a number between 0 and 1"),
    ],
)
def test_numbers_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
