"""CHMM, Sparse-CHMM and ConNet: each equation against NumPy loops, gradients, recovery, stages, switches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import polygamma

from jaxuq.metrics import entity_scores
from jaxuq.tagging import (
    EmbeddedText,
    SparseOptions,
    TrainOptions,
    WXORCounts,
    chmm,
    chmm_fixed_emissions,
    connet,
    initial_emission,
    initial_transition,
    log_dirichlet_sample,
    majority_vote,
    make_weak_labels,
    scale_reliability,
    sparse_chmm,
    sparse_reliabilities,
    wxor_counts,
    wxor_scores,
)
from jaxuq.tagging._context_chain import (
    ContextChain,
    engine_arguments,
    expected_log_joint,
    path_log_probability,
    posterior,
    published_objective,
)
from jaxuq.tagging.inference import log_likelihood
from jaxuq.tagging.neural_layers import silence, with_silence_column
from tests.tagging.chains import RandomChain, brute_force

RELIABILITY = np.array([0.9, 0.75, 0.6, 0.45, 0.3])


# what the equations of the text (test_equations.py) do not say


def test_the_published_wxor(rng):
    """The mean over the functions that say the target, normalised over targets, halved where prefixes differ."""
    batch, time, functions, labels = 3, 6, 4, 5
    x = rng.integers(0, labels, (batch, time, functions))
    a = rng.random((batch, functions, labels)).astype(np.float32)
    lengths = np.array([6, 4, 1])
    means, queries = np.zeros((functions, labels, labels)), np.zeros((functions, labels))
    for b in range(batch):
        for t in range(lengths[b]):
            for k in range(functions):
                query = x[b, t, k]
                queries[k, query] += 1
                for target in range(1, labels):
                    says = [a[b, j, target] for j in range(functions) if x[b, t, j] == target]
                    if query not in (0, target) and says:
                        means[k, query, target] += (1 - a[b, k, query]) * np.mean(says)
    arrays = jnp.asarray(x, jnp.int32), jnp.asarray(a), jnp.asarray(lengths, jnp.int32)
    published = wxor_counts(*arrays, convention="published")
    assert isinstance(published, WXORCounts)
    np.testing.assert_allclose(published.logits, means, atol=1e-5)
    normalised = np.zeros_like(means)
    for k in range(functions):
        for query in range(1, labels):
            mean = means[k, query] / max(queries[k, query], 1)
            normalised[k, query] = mean / (mean.sum() + 1e-12)
            for target in range(1, labels):  # B-x 1, I-x 2, B-y 3, I-y 4: different type and different prefix
                if (query - target) % 2 and (query + 1) // 2 != (target + 1) // 2:
                    normalised[k, query, target] *= 0.5
    np.testing.assert_allclose(wxor_scores(published, convention="published"), normalised, atol=1e-5)


@pytest.mark.parametrize("concentration", [(1.0, 2.5, 4.0), (300.0, 2.0, 60.0)])
def test_draws_and_pathwise_gradients_have_the_moments_of_the_dirichlet(concentration):
    omega, draws = np.array(concentration), 40_000

    @jax.jit
    def moments(key, concentration):
        def mean_log(c):
            return jnp.mean(log_dirichlet_sample(key, jnp.broadcast_to(c, (draws, 3))), axis=0)

        sample = jnp.exp(log_dirichlet_sample(key, jnp.broadcast_to(concentration, (draws, 3))))
        return jnp.mean(sample, axis=0), jnp.var(sample, axis=0), jax.jacrev(mean_log)(concentration)

    mean, variance, jacobian = moments(jax.random.key(3), jnp.asarray(omega, jnp.float32))
    share = omega / omega.sum()
    np.testing.assert_allclose(mean, share, rtol=0.03)
    np.testing.assert_allclose(variance, share * (1 - share) / (omega.sum() + 1), rtol=0.05)
    exact = np.diag(polygamma(1, omega)) - polygamma(1, omega.sum())
    np.testing.assert_allclose(jacobian, exact, atol=0.02 * np.abs(exact).max())


# statistics


def test_statistics_are_counts(rng):
    x, lengths = rng.integers(0, 5, (3, 7, 2)), np.array([7, 5, 1])
    counts = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 0, 1, 1]], np.float64)
    for b, length in enumerate(lengths):
        for t in range(1, length):
            for k in range(2):
                counts[x[b, t - 1, k], x[b, t, k]] += 1
    arrays = jnp.asarray(x, jnp.int32), jnp.asarray(lengths, jnp.int32)
    np.testing.assert_allclose(initial_transition(*arrays, 5), counts / counts.sum(1, keepdims=True), atol=1e-6)
    published = np.asarray(initial_emission(*arrays, 5, statistics="published"))
    np.testing.assert_allclose(published.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(published[:, range(5), range(5)], [[0.9, 0.7, 0.7, 0.7, 0.7]] * 2, atol=1e-6)
    said = np.array([[(x[b, : lengths[b], k] == j).sum() for b in range(3)] for k in range(2) for j in range(5)])
    said = (said.sum(1).reshape(2, 5) + 1) / (lengths.sum() + 5)
    ratio = (published[:, 1, 2] / published[:, 1, 3]) / ((said[:, 2] + 0.001) / (said[:, 3] + 0.001))
    np.testing.assert_allclose(ratio, 5 / 2, rtol=1e-4)


# the chain


@pytest.fixture(scope="module")
def chain():
    rng = np.random.default_rng(5)
    transition = jax.nn.log_softmax(jnp.asarray(rng.normal(size=(3, 5, 3, 3)) * 2, jnp.float32))
    lengths = jnp.array([5, 3, 1])
    evidence = jnp.asarray(rng.normal(size=(3, 5, 3)) * 3, jnp.float32)
    return ContextChain(transition, evidence, jnp.arange(5)[None] < lengths[:, None])


def test_the_posterior_equals_brute_force(chain):
    lengths = np.asarray(chain.valid.sum(1))
    reference = brute_force(RandomChain(*(np.asarray(a, np.float64) for a in engine_arguments(chain)[:3]), lengths), 1)
    expected = jax.jit(posterior)(chain)
    np.testing.assert_allclose(expected.log_likelihood, reference.log_likelihood, rtol=1e-5)
    pairs = np.moveaxis(expected.pairs, -1, 0)
    np.testing.assert_allclose(pairs.sum(2), reference.smoothed, atol=1e-5)
    np.testing.assert_allclose(pairs[:, 1:], reference.pairwise, atol=1e-5)
    np.testing.assert_allclose(pairs[:, 0, 0], reference.smoothed[:, 0], atol=1e-5)
    joint = jax.jit(expected_log_joint)(chain, expected)
    np.testing.assert_allclose(joint, reference.log_likelihood - reference.entropy, atol=1e-4)
    np.testing.assert_allclose(jax.jit(published_objective)(chain), joint, atol=1e-4)


def test_a_path_that_is_known_in_part_sums_over_the_rest(chain):
    states, lengths = chain.log_evidence.shape[-1], np.asarray(chain.valid).sum(1)
    known = np.array([[0, -1, 2, -1, 1], [-1, -1, -1, -1, -1], [1, 0, -1, -1, -1]])[: len(lengths)]
    free = [np.stack(np.meshgrid(*[range(states)] * n, indexing="ij"), -1).reshape(-1, n) for n in lengths]
    logs = []
    for row, paths in enumerate(free):
        step, evidence = np.asarray(chain.log_transition[row]), np.asarray(chain.log_evidence[row])
        time = np.arange(len(paths[0]))
        before = np.concatenate([np.zeros((len(paths), 1), int), paths[:, :-1]], 1)
        scores = (step[time, before, paths] + evidence[time, paths]).sum(1)
        agrees = ((known[row, : lengths[row]] < 0) | (known[row, : lengths[row]] == paths)).all(1)
        logs.append(np.logaddexp.reduce(scores[agrees]) - np.logaddexp.reduce(scores))
    ours = jax.jit(path_log_probability)(chain, jnp.asarray(known))
    np.testing.assert_allclose(ours, logs, atol=1e-5)


def test_the_gradient_of_em_is_that_of_the_likelihood(chain):
    @jax.jit
    def gradients(transition, evidence):
        def q(transition, evidence):
            moved = chain._replace(log_transition=transition, log_evidence=evidence)
            return jnp.sum(expected_log_joint(moved, jax.lax.stop_gradient(posterior(moved))))

        def exact(transition, evidence):
            moved = chain._replace(log_transition=transition, log_evidence=evidence)
            return jnp.sum(log_likelihood(*engine_arguments(moved)))

        return jax.grad(q, (0, 1))(transition, evidence), jax.grad(exact, (0, 1))(transition, evidence)

    ours, exact = gradients(chain.log_transition, chain.log_evidence)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ours, exact)


def test_who_is_silent_where_others_speak():
    votes = np.array([[[0, 1, 0], [0, 0, 0], [-1, -1, -1]]])
    assert silence(votes, 3, "votes") is votes
    assert silence(votes, 3, "abstain").tolist() == [[[-1, 1, -1], [0, 0, 0], [-1, -1, -1]]]
    assert silence(votes, 3, "published").tolist() == [[[3, 1, 3], [0, 0, 0], [-1, -1, -1]]]
    column = with_silence_column(jnp.log(jnp.array([0.5, 0.3, 0.2])))
    np.testing.assert_allclose(jnp.exp(column[3]), 0.01 * 0.5 + 0.33 * 0.5, rtol=1e-5)


# the models


def _simulate(seed, sentences=96, time=12, width=6):
    """Entities of one or two words; functions of known reliability that are otherwise silent, and rarely stray."""
    rng = np.random.default_rng(seed)
    gold = np.zeros((sentences, time), np.int64)
    for b in range(sentences):
        for t in range(time):
            before = gold[b, t - 1] if t else 0
            gold[b, t] = rng.choice(3, p=[0.75, 0.25, 0] if before == 0 else [0.5, 0.1, 0.4])
    right = rng.random((sentences, time, 5)) < np.where(gold[..., None] > 0, RELIABILITY, 0.97)
    wrong = np.where(gold[..., None] > 0, 0, rng.integers(1, 3, right.shape))
    votes = np.where(right, gold[..., None], wrong)
    vectors = rng.normal(size=(sentences, time, width)) + 1.5 * np.eye(3, width)[gold]
    data = make_weak_labels([["w"] * time] * sentences, list(votes), list(gold), ("O", "B-x", "I-x"), list("abcde"))
    return EmbeddedText(data, list(vectors.astype(np.float32)))


@pytest.fixture(scope="module")
def texts():
    return _simulate(0), _simulate(1, 48)


OPTIONS = TrainOptions(num_epochs=12, batch_size=48, learning_rate=0.01, pretrain_epochs=4)
SPARSE = SparseOptions(base=1.0, expansion=100.0, root=2.0, power=1.2)


def _f1(text, labels):
    return entity_scores(text.labels.tags(labels), text.labels.tags(text.labels.labels)).f1


def _vote_f1(text):
    model, arrays = majority_vote(3), (jnp.asarray(text.labels.observations), jnp.asarray(text.labels.lengths))
    return _f1(text, np.asarray(model.predict(model.init(jax.random.key(0), *arrays), *arrays).labels))


@pytest.fixture(scope="module")
def fitted(texts):
    model = sparse_chmm(3, options=OPTIONS, sparse=SPARSE)
    started = model.init(jax.random.key(0), texts[0])
    return model, started, model.fit(jax.random.key(1), started, *texts)


@pytest.mark.long
def test_sparse_chmm_recovers_the_reliabilities_and_beats_the_vote(texts, fitted):
    model, _, result = fitted
    reliability = sparse_reliabilities(result.params, texts[0], SPARSE)[..., 1:].mean((0, 2))
    assert np.corrcoef(reliability, RELIABILITY)[0, 1] > 0.95
    forecast = model.predict(result.params, texts[1])
    assert _f1(texts[1], forecast.labels) > _vote_f1(texts[1]) + 0.05
    assert result.objective[11] > result.objective[0]
    # a sentence by itself, cut short by padding elsewhere
    data, embeddings, _ = texts[1]
    alone = EmbeddedText(data.take([3]), [embeddings[3]])
    np.testing.assert_allclose(
        model.predict(result.params, alone).probabilities, forecast.probabilities[3:4], atol=1e-5
    )
    shorter = data._replace(lengths=np.where(np.arange(48) % 2, 12, 11).astype(np.int32))
    mixed = EmbeddedText(shorter, [v[:n] for v, n in zip(embeddings, shorter.lengths)])
    again = model.predict(result.params, mixed)
    np.testing.assert_allclose(again.probabilities[3], forecast.probabilities[3], atol=1e-5)
    assert (again.labels[0, 11:] == -1).all() and (again.probabilities[0, 11:] == 0).all()


def test_the_last_stage_moves_transitions_alone(texts, fitted):
    _, started, result = fitted
    changed = {
        name: max(float(np.abs(a - b).max()) for a, b in zip(*map(jax.tree.leaves, pair)))
        for name, pair in ((n, (getattr(started, n), getattr(result.params, n))) for n in started._fields)
    }
    assert min(changed[name] for name in ("transition", "outside", "entity", "addon", "wxor")) > 0
    assert changed["scaling"] == changed["split"] == 0
    two = sparse_chmm(3, options=OPTIONS._replace(num_epochs=2), sparse=SPARSE._replace(stages="1-2"))
    three = sparse_chmm(3, options=OPTIONS._replace(num_epochs=2), sparse=SPARSE)
    first, second = (m.fit(jax.random.key(1), started, texts[0]).params for m in (two, three))
    for name in ("outside", "entity", "addon", "wxor"):
        jax.tree.map(np.testing.assert_array_equal, getattr(first, name), getattr(second, name))
    assert np.abs(first.transition.weight - second.transition.weight).max() > 0


@pytest.mark.long
def test_each_ablation_changes_what_it_should(texts, fitted):
    _, started, _ = fitted
    quick = OPTIONS._replace(num_epochs=1, pretrain_epochs=0)
    plain = sparse_reliabilities(started, texts[1], SPARSE)
    unscaled = sparse_reliabilities(started, texts[1], SPARSE._replace(scaling=False))
    np.testing.assert_allclose(unscaled[..., 1:].sum(1), 1, atol=1e-5)  # shares of a softmax over functions
    again = scale_reliability(jnp.asarray(unscaled[..., 1:]), split=0.2, power=1.2, root=2.0)
    np.testing.assert_allclose(again, plain[..., 1:], atol=1e-5)
    free = sparse_reliabilities(started, texts[1], SPARSE._replace(scaling=False, softmax=False))
    assert np.abs(free[..., 1:].sum(1) - 1).max() > 1e-3
    by_type = sparse_chmm(3, sparse=SPARSE._replace(level="entity")).init(jax.random.key(0), texts[0])
    shared = sparse_reliabilities(by_type, texts[1], SPARSE._replace(level="entity"))
    np.testing.assert_array_equal(shared[..., 1], shared[..., 2])
    one = sparse_chmm(3, options=quick, sparse=SPARSE._replace(stages="1")).fit(jax.random.key(1), started, texts[0])
    assert len(one.objective) == 1 and float(jnp.abs(one.params.wxor).max()) == 0
    even = SPARSE._replace(stages="1", naive=True, dirichlet=False, extra_majority=True)
    model = sparse_chmm(3, options=quick, sparse=even)
    params = model.fit(jax.random.key(1), model.init(jax.random.key(0), texts[0]), texts[0]).params
    assert params.entity.bias.shape == (6 * 2,), "the majority vote is a sixth function"
    assert model.predict(params, texts[1]).labels.shape == (48, 12)


def test_em_climbs_and_chmm_beats_the_vote(texts):
    options = OPTIONS._replace(objective="em", batch_size=96, num_epochs=15, patience=15)
    model = chmm(3, options=options)
    result = model.fit(jax.random.key(1), model.init(jax.random.key(0), texts[0]), *texts)
    assert (np.diff(result.objective) > -0.01).all() and result.objective[-1] > result.objective[0] + 0.3
    assert _f1(texts[1], model.predict(result.params, texts[1]).labels) > _vote_f1(texts[1]) + 0.05
    with pytest.raises(ValueError, match=r"sentence 0 has embeddings of shape \(12, 7\); expected \(12, 6\)"):
        model.predict(result.params, _simulate(0, 4, width=7))


def test_fixed_emissions_want_gold_and_stay_fixed(texts):
    model = chmm_fixed_emissions(3, options=OPTIONS._replace(num_epochs=2, selection="f1"))
    started = model.init(jax.random.key(0), texts[0])
    result = model.fit(jax.random.key(1), started, *texts)
    np.testing.assert_array_equal(result.params.statistics[1], started.statistics[1])
    np.testing.assert_allclose(np.diagonal(started.statistics[1], 0, 1, 2)[:, 1], RELIABILITY, atol=0.08)
    best = np.max(result.scores)
    assert _f1(texts[1], model.predict(result.params, texts[1]).labels) == pytest.approx(best)
    with pytest.raises(ValueError, match="no gold labels"):
        model.init(jax.random.key(0), texts[0]._replace(labels=texts[0].labels._replace(labels=None)))
    with pytest.raises(ValueError, match="no gold labels; use selection='likelihood'"):
        model.fit(jax.random.key(1), started, texts[0], texts[1]._replace(labels=texts[1].labels._replace(labels=None)))


def test_connet_learns_the_functions_from_words_alone(texts):
    model = connet(3, options=OPTIONS, hidden=8)
    params = model.fit(jax.random.key(1), model.init(jax.random.key(0), texts[0]), texts[0]).params
    forecast = model.predict(params, texts[1])
    unseen = texts[1]._replace(labels=texts[1].labels._replace(observations=texts[1].labels.observations * 0))
    np.testing.assert_allclose(model.predict(params, unseen).probabilities, forecast.probabilities, atol=1e-6)
    assert np.mean(forecast.labels == texts[1].labels.labels) > 0.6
    np.testing.assert_allclose(forecast.probabilities.sum(-1), 1, atol=1e-5)
