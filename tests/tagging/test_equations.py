"""Every equation of the room against the text, by the loops of `loops.py`; axes of different lengths where they can be.

States and labels said are as many, so what tells their axes apart are values without symmetry.
"""

import inspect
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.tagging import (
    EmbeddedText,
    Linear,
    SparseOptions,
    TrainOptions,
    chmm,
    dawid_skene,
    emission_addon_prior,
    emission_base_prior,
    emission_concentration,
    expected_counts,
    filtered_marginals,
    hmm,
    log_dirichlet_mean,
    log_dirichlet_sample,
    log_likelihood,
    make_weak_labels,
    observation_log_evidence,
    pairwise_marginals,
    scale_reliability,
    silence_probability,
    smoothed_marginals,
    snorkel,
    sparse_chmm,
    sparse_reliabilities,
    true_emissions,
    wxor_counts,
    wxor_scores,
)
from jaxuq.tagging._context_chain import ContextChain, expected_log_joint, posterior
from jaxuq.tagging.neural_chains import statistics_distance
from jaxuq.tagging.sparse_emissions import addon_scale, second_target, sparse_log_emissions
from jaxuq.tagging.sparse_reliability import entity_logits
from tests.tagging import loops

LABELS, FUNCTIONS, SENTENCES, TIME, WIDTH = 5, 3, 2, 4, 7
LENGTHS = np.array([4, 2])
SPARSE = SparseOptions(root=1.7, power=1.3, silence_power=3.5, base=1.5, expansion=40.0, split=0.4, split_decay=0.5)
NAMES = ("O", "B-x", "I-x", "B-y", "I-y")


def _float(values):
    return jnp.asarray(values, jnp.float32)


def _rows(rng, *shape):
    """Random distributions along the last axis."""
    values = rng.random(shape) + 0.05
    return values / values.sum(-1, keepdims=True)


# Eq. 4.1 to 4.11, one by one


@pytest.mark.parametrize(("split", "power", "root"), [(0.2, 1.7, 2.5), (0.6, 0.8, 1.1)])
def test_the_scaling_of_equation_4_3(split, power, root):
    shares = np.linspace(0, 1, 101)
    scale = jax.jit(lambda a: scale_reliability(a, split=split, power=power, root=root))
    np.testing.assert_allclose(scale(_float(shares)), [loops.h(a, split, power, root) for a in shares], atol=3e-6)
    edge = _float([split**root * 0.9999, split**root * 1.0001])
    assert np.ptp(scale(edge)) < 1e-3, "continuous at the split"
    slope = jax.jit(jax.grad(lambda x: jnp.sum(scale_reliability(x, split=split, power=power, root=root))))
    assert np.isfinite(slope(_float([0.0, 0.3, 1.0]))).all()


@pytest.mark.parametrize("power", [4.0, 2.5])
def test_the_base_prior_of_equations_4_4_and_4_5(rng, power):
    split = 0.13
    reliability = rng.random((SENTENCES, FUNCTIONS, LABELS)).astype(np.float32)
    reliability[0, 0] = [0.0, split, 1.0, 0.01, 0.5]
    for naive in (False, True):
        ours = emission_base_prior(jnp.asarray(reliability), split=split, power=power, naive=naive)
        for sentence, function in product(range(SENTENCES), range(FUNCTIONS)):
            expected = loops.base_prior(reliability[sentence, function], LABELS, split, power, naive=naive)
            np.testing.assert_allclose(ours[sentence, function], expected, atol=3e-6)
        np.testing.assert_allclose(ours.sum(-1), 1, atol=1e-5)
        assert (np.asarray(ours) >= -1e-6).all()
    silent = silence_probability(jnp.asarray(reliability[0, 0]), num_labels=LABELS, split=split, power=power)
    expected = [loops.g(float(a), LABELS, split, power) for a in reliability[0, 0]]
    np.testing.assert_allclose(silent, expected, atol=3e-6)


@pytest.mark.parametrize("split", [0, 1, 0.0, 1.0, -1])
def test_a_split_outside_the_unit_interval_is_refused(split):
    with pytest.raises(ValueError, match=r"expected at least 3, in \(0, 1\), at least 1"):
        silence_probability(jnp.array([0.5]), num_labels=3, split=split)


def test_wxor_and_the_add_on_prior_of_equations_4_6_to_4_9(rng):
    observations = rng.integers(-1, LABELS, (SENTENCES, 60, FUNCTIONS))
    reliability = rng.random((SENTENCES, FUNCTIONS, LABELS)).astype(np.float32)
    lengths = np.array([60, 31])
    counts = jax.jit(wxor_counts)(jnp.asarray(observations), jnp.asarray(reliability), jnp.asarray(lengths))
    logits, often = loops.wxor(observations, reliability.astype(float), lengths, LABELS)
    np.testing.assert_allclose(counts.logits, logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(counts.queries, often, atol=1e-6)
    scores = loops.wxor_scores(logits, often)
    np.testing.assert_allclose(wxor_scores(counts), scores, atol=1e-6)
    assert np.abs(scores - scores.transpose(0, 2, 1)).max() > 0.01, "a transposed score would be seen"
    scale = rng.random((SENTENCES, FUNCTIONS, LABELS))
    ours = emission_addon_prior(_float(scale), _float(scores))
    for sentence in range(SENTENCES):
        np.testing.assert_allclose(ours[sentence], loops.addon_prior(scale[sentence], scores), atol=1e-6)


def test_concentrations_and_draws_of_equations_4_10_and_4_11(rng):
    prior = rng.random((FUNCTIONS, LABELS, LABELS))
    expected = np.zeros_like(prior)
    for function, state, said in product(range(FUNCTIONS), range(LABELS), range(LABELS)):
        expected[function, state, said] = 40.0 * prior[function, state, said] + 1.5
    omega = emission_concentration(_float(prior), base=1.5, expansion=40.0)
    np.testing.assert_allclose(omega, expected, rtol=1e-6)
    mean = loops.dirichlet_mean(expected)
    np.testing.assert_allclose(jnp.exp(log_dirichlet_mean(omega)), mean, rtol=1e-5)
    draws = jnp.exp(jax.jit(log_dirichlet_sample)(jax.random.key(5), jnp.broadcast_to(omega, (4000, *omega.shape))))
    np.testing.assert_allclose(draws.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(draws.mean(0), mean, atol=5 * np.sqrt(mean.max() / expected.sum(-1).min() / 4000))
    for function, state, said in product(range(FUNCTIONS), range(LABELS), range(LABELS)):
        total = sum(expected[function, state, other] for other in range(LABELS))
        variance = mean[function, state, said] * (1 - mean[function, state, said]) / (total + 1)
        assert np.var(draws[:, function, state, said]) == pytest.approx(variance, rel=0.15)


# the whole of Sparse-CHMM, from parameters to marginals


@pytest.fixture(scope="module", params=["means of words", "their own vectors"])
def text(request):
    rng = np.random.default_rng(2)
    votes = [rng.integers(0, LABELS, (length, FUNCTIONS)) for length in LENGTHS]
    words = [["w"] * length for length in LENGTHS]
    data = make_weak_labels(words, votes, None, NAMES, ["f", "g", "h"])
    vectors = [rng.normal(size=(length, WIDTH)).astype(np.float32) for length in LENGTHS]
    own = rng.normal(size=(SENTENCES, WIDTH)).astype(np.float32) + 1
    return EmbeddedText(data, vectors, None if request.param == "means of words" else own)


def _random_params(model, text, seed=4):
    """Every weight and bias random, so that each index matters."""
    rng = np.random.default_rng(seed)
    params = model.init(jax.random.key(0), text)

    def draw(layer):
        return Linear(_float(rng.normal(size=layer.weight.shape) * 0.7), _float(rng.normal(size=layer.bias.shape)))

    return params._replace(
        **{name: draw(layer) for name, layer in params._asdict().items() if isinstance(layer, Linear)}
    )


def _vectors(text, params):
    """Vectors of the words and of the sentences with mean 0 and deviation 1, in float64."""
    words = np.concatenate([vectors.astype(float) for vectors in text.embeddings])
    shift, spread = words.mean(0), words.std(0)
    by_word = [(vectors.astype(float) - shift) / spread for vectors in text.embeddings]
    if text.sentences is None:  # means of words keep the words' origin
        whole = np.stack([vectors.astype(float).mean(0) for vectors in text.embeddings]) - shift
    else:
        whole = text.sentences.astype(float) - text.sentences.astype(float).mean(0)
    by_sentence = whole / np.sqrt((whole**2).mean(0))
    for ours, expected in zip(params.scaling[:2], (shift, spread)):
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    return by_word, list(by_sentence)


def _layer(layer):
    return np.asarray(layer.weight, np.float64), np.asarray(layer.bias, np.float64)


def _sparse_emission(params, vector, scores, split, options=SPARSE):
    """Reliabilities, C and the mean emissions of a sentence by loops."""
    reliability = loops.reliabilities(
        _layer(params.outside), _layer(params.entity), vector, FUNCTIONS, LABELS, options.power, options.root
    )
    weight, bias = _layer(params.addon)
    scale = np.zeros((FUNCTIONS, LABELS))
    for function, said in product(range(FUNCTIONS), range(1, LABELS)):
        scale[function, said] = loops.sigmoid(loops.linear(weight, bias, vector, function * (LABELS - 1) + said - 1))
    delta = loops.addon_prior(scale, scores)
    omega = np.zeros_like(delta)
    for function in range(FUNCTIONS):
        prior = loops.base_prior(reliability[function], LABELS, split, options.silence_power)
        omega[function] = options.expansion * (prior + delta[function]) + options.base
    return reliability, scale, loops.dirichlet_mean(omega)


def test_emissions_of_sparse_chmm_from_its_parameters(text, rng):
    params = _random_params(sparse_chmm(LABELS, sparse=SPARSE), text)
    scores = rng.random((FUNCTIONS, LABELS, LABELS))
    params = params._replace(wxor=_float(scores))
    vectors = _vectors(text, params)[1]
    ours = jnp.exp(sparse_log_emissions(params, _float(np.stack(vectors)), SPARSE, None))
    scales = addon_scale(params, _float(np.stack(vectors)), FUNCTIONS)
    reliabilities = sparse_reliabilities(params, text, SPARSE)
    for sentence, vector in enumerate(vectors):
        reliability, scale, emission = _sparse_emission(params, vector, scores, SPARSE.split / LABELS)
        np.testing.assert_allclose(reliabilities[sentence], reliability, atol=1e-5)
        np.testing.assert_allclose(scales[sentence], scale, atol=1e-5)
        np.testing.assert_allclose(ours[sentence], emission, atol=1e-5)
    key = jax.random.key(1)
    many = jnp.broadcast_to(_float(np.stack(vectors))[:1], (3000, WIDTH))
    drawn = jnp.exp(sparse_log_emissions(params, many, SPARSE, key))
    np.testing.assert_allclose(drawn.mean(0), ours[0], atol=0.015)
    assert drawn.std(0).min() > 0.01
    plain = jnp.exp(sparse_log_emissions(params, _float(np.stack(vectors)), SPARSE._replace(dirichlet=False), None))
    bare = _sparse_emission(params, vectors[0], scores, SPARSE.split / LABELS, SPARSE._replace(base=1e-9))[2]
    np.testing.assert_allclose(plain[0], bare, atol=1e-5)


def test_logits_at_the_start_give_the_reliabilities_that_were_asked_for(rng):
    right = rng.random((FUNCTIONS, LABELS - 1)) * 0.5
    logits = np.asarray(entity_logits(_float(right), SPARSE))
    for function, state in product(range(FUNCTIONS), range(LABELS - 1)):
        share = np.exp(logits[function, state])
        assert loops.h(share, 1 / FUNCTIONS, SPARSE.power, SPARSE.root) == pytest.approx(right[function, state], 1e-4)


def test_a_function_that_marks_little_starts_as_one_that_never_strays():
    """Clipped at 0.99, it would mark one `O` in a hundred for nothing, and its lone marks would be worthless."""
    votes = np.zeros((4000, 2), int)
    votes[::20] = 1
    data = make_weak_labels([["w"] * len(votes)], [votes], None, NAMES, ["f", "g"])
    text = EmbeddedText(data, [np.ones((len(votes), 2), np.float32)])
    start = sparse_chmm(LABELS, weight_scale=0.0).init(jax.random.key(0), text)
    counted = 1 - (LABELS - 1) * 0.1 / (3800 + LABELS * 0.1)  # 0.1 is the pseudo-count of the statistics
    np.testing.assert_allclose(sparse_reliabilities(start, text)[0, :, 0], counted, atol=2e-6)
    assert counted > 0.9998


def test_what_the_second_stage_is_fitted_to(text, rng):
    observed, learned = rng.random((2, FUNCTIONS, LABELS, LABELS))
    ours = second_target(_float(observed), _float(learned), 0.2)
    for index in product(range(FUNCTIONS), range(LABELS), range(LABELS)):
        assert float(ours[index]) == pytest.approx(0.2 * observed[index] + 0.8 * learned[index], rel=1e-5)

    # in the model, with stages of no step: WXOR and the mean of the emissions, both of the first stage's parameters
    none = TrainOptions(num_epochs=0, pretrain_epochs=0)
    model = sparse_chmm(LABELS, options=none, sparse=SPARSE._replace(stages="1-2"))
    params = _random_params(model, text)
    fitted = model.fit(jax.random.key(0), params, text).params
    found = [_sparse_emission(params, vector, np.zeros((FUNCTIONS, LABELS, LABELS)), SPARSE.split / LABELS)
             for vector in _vectors(text, params)[1]]  # fmt: skip
    logits, often = loops.wxor(text.labels.observations, [row[0] for row in found], LENGTHS, LABELS)
    np.testing.assert_allclose(fitted.wxor, loops.wxor_scores(logits, often), atol=1e-5)
    statistics = np.asarray(params.statistics[1], np.float64)
    for index in product(range(FUNCTIONS), range(LABELS), range(LABELS)):
        mean = sum(row[2][index] for row in found) / SENTENCES
        assert float(fitted.statistics[1][index]) == pytest.approx(0.2 * statistics[index] + 0.8 * mean, abs=1e-5)
    assert float(fitted.split) == pytest.approx(SPARSE.split / LABELS * SPARSE.split_decay)


@pytest.mark.parametrize("by_token", [False, True])
def test_the_distance_to_the_statistics(rng, by_token):
    """Section 4.3.5: the mean over tokens of two squared Frobenius norms; stage 2 leaves out the first."""
    transition = _rows(rng, SENTENCES, TIME, LABELS, LABELS)
    emission = _rows(rng, *((SENTENCES, TIME) if by_token else (SENTENCES,)), FUNCTIONS, LABELS, LABELS)
    psi, phi = _rows(rng, LABELS, LABELS), _rows(rng, FUNCTIONS, LABELS, LABELS)
    valid = np.arange(TIME)[None] < LENGTHS[:, None]
    arrays = (_float(np.log(transition)), _float(np.log(emission)))
    for with_transition, with_emission in ((True, True), (False, True), (True, False)):
        ours = statistics_distance(
            arrays[0] if with_transition else None,
            arrays[1] if with_emission else None,
            (_float(psi), _float(phi)),
            jnp.asarray(valid),
        )
        for sentence, length in enumerate(LENGTHS):
            total = 0.0
            for token in range(length):
                if with_transition:
                    for of, to in product(range(LABELS), repeat=2):
                        total += (psi[of, to] - transition[sentence, token, of, to]) ** 2
                if with_emission:
                    predicted = emission[sentence, token] if by_token else emission[sentence]
                    for function, state, said in product(range(FUNCTIONS), range(LABELS), range(LABELS)):
                        total += (phi[function, state, said] - predicted[function, state, said]) ** 2
            assert float(ours[sentence]) == pytest.approx(total / length, rel=1e-4)


def _transitions(params, vectors):
    """The transition into each token from its vector, an `I-` only after its own type."""
    weight, bias = _layer(params.transition)
    matrices = []
    for vector in vectors:
        matrix = np.zeros((LABELS, LABELS))
        for of in range(LABELS):
            allowed = [to for to in range(LABELS) if loops.bio_follows(of, to)]
            logits = [loops.linear(weight, bias, vector, of * LABELS + to) for to in allowed]
            matrix[of, allowed] = loops.softmax(logits)
        matrices.append(matrix)
    return matrices


def _marginals(transition, emission_at, observations):
    """Smoothed marginals of a sentence, which starts at `O` one step before its first token."""
    likelihood = []
    for token, row in enumerate(observations):
        likelihood.append(loops.evidence(emission_at(token), [loops.one_hot(said, LABELS) for said in row]))
    return loops.Messages([1.0] + [0.0] * (LABELS - 1), transition, likelihood)


def test_chmm_from_its_parameters(text):
    model = chmm(LABELS)
    params = _random_params(model, text)
    forecast = model.predict(params, text)
    weight, bias = _layer(params.emission)
    for sentence, vectors in enumerate(_vectors(text, params)[0]):
        emissions = np.zeros((len(vectors), FUNCTIONS, LABELS, LABELS))
        for token, function, state in product(range(len(vectors)), range(FUNCTIONS), range(LABELS)):
            start = (function * LABELS + state) * LABELS
            logits = [loops.linear(weight, bias, vectors[token], start + said) for said in range(LABELS)]
            emissions[token, function, state] = loops.softmax(logits)
        observations = text.labels.observations[sentence, : len(vectors)]
        expected = _marginals(_transitions(params, vectors), lambda token, e=emissions: e[token], observations)
        ours = forecast.probabilities[sentence, : len(vectors)]
        np.testing.assert_allclose(ours, expected.smoothed[1:], atol=1e-4)


def test_sparse_chmm_from_its_parameters(text, rng):
    model = sparse_chmm(LABELS, sparse=SPARSE)
    scores = rng.random((FUNCTIONS, LABELS, LABELS))
    params = _random_params(model, text)._replace(wxor=_float(scores))
    forecast = model.predict(params, text)
    for sentence, (words, vector) in enumerate(zip(*_vectors(text, params))):
        emission = _sparse_emission(params, vector, scores, SPARSE.split / LABELS)[2]
        observations = text.labels.observations[sentence, : len(words)]
        expected = _marginals(_transitions(params, words), lambda token, e=emission: e, observations)
        np.testing.assert_allclose(forecast.probabilities[sentence, : len(words)], expected.smoothed[1:], atol=1e-4)


# the observation likelihood, the recursions, Q


def _emissions(rng, kind):
    leading = {"shared": (), "sentence": (SENTENCES,), "token": (SENTENCES, TIME)}[kind]
    return _rows(rng, *leading, FUNCTIONS, LABELS, LABELS)


def _emission_at(emission, kind, sentence, token):
    index = {"shared": (), "sentence": (sentence,), "token": (sentence, token)}[kind]
    return emission[index]


@pytest.mark.parametrize("kind", ["shared", "sentence", "token"])
def test_the_observation_likelihood(rng, kind):
    emission = _emissions(rng, kind)
    emission[..., 0, 1, 3] = 0.0  # function 0 never says 3 in state 1
    said = rng.integers(-1, LABELS, (SENTENCES, TIME, FUNCTIONS))
    said[0, 0, 0] = 3
    shares = rng.random((SENTENCES, TIME, FUNCTIONS, LABELS)) * (rng.random((SENTENCES, TIME, FUNCTIONS, LABELS)) < 0.6)
    shares[0, 1, 2] = 0.0  # says nothing
    shares[1, 0, 0] = loops.one_hot(3, LABELS)
    with np.errstate(divide="ignore"):
        log_emission = _float(np.log(emission))
    function = jax.jit(observation_log_evidence)
    hard, soft = function(log_emission, jnp.asarray(said)), function(log_emission, _float(shares))
    for sentence, token in product(range(SENTENCES), range(TIME)):
        here = _emission_at(emission, kind, sentence, token)
        expected = loops.evidence(here, [loops.one_hot(label, LABELS) for label in said[sentence, token]])
        np.testing.assert_allclose(np.exp(hard[sentence, token]), expected, rtol=2e-5)
        expected = loops.evidence(here, shares[sentence, token])
        np.testing.assert_allclose(np.exp(soft[sentence, token]), expected, rtol=2e-5)
    assert hard[0, 0, 1] == soft[1, 0, 1] == -np.inf
    as_shares = [[[loops.one_hot(label, LABELS) for label in row] for row in rows] for rows in said]
    np.testing.assert_allclose(function(log_emission, _float(as_shares)), hard, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["shared", "sentence", "token"])
def test_gradients_of_the_observation_likelihood_are_finite_and_right(rng, kind):
    emission = _emissions(rng, kind)
    shares = _rows(rng, SENTENCES, TIME, FUNCTIONS, LABELS)
    shares[0, 0, 0] = loops.one_hot(2, LABELS)
    weights = rng.normal(size=(SENTENCES, TIME, LABELS))

    def total(log_emission):
        return jnp.sum(observation_log_evidence(log_emission, _float(shares)) * _float(weights))

    gradient = jax.jit(jax.grad(total))(_float(np.log(emission)))
    expected = np.zeros_like(emission)
    for sentence, token, function, state in product(*map(range, (SENTENCES, TIME, FUNCTIONS, LABELS))):
        here = _emission_at(emission, kind, sentence, token)[function, state]
        terms = [here[said] * shares[sentence, token, function, said] for said in range(LABELS)]
        target = _emission_at(expected, kind, sentence, token)
        for said in range(LABELS):
            target[function, state, said] += weights[sentence, token, state] * terms[said] / sum(terms)
    np.testing.assert_allclose(gradient, expected, atol=1e-4)
    hard = jax.jit(jax.grad(lambda e: jnp.sum(observation_log_evidence(e, jnp.zeros((2, 4, 3), jnp.int32)))))
    impossible = np.log(emission)
    impossible[..., 0] = -np.inf
    assert np.isfinite(hard(_float(impossible))).all()


def test_shapes_that_do_not_belong_together_are_refused():
    evidence = inspect.unwrap(observation_log_evidence)  # past the type checks of the tests
    emission, said = jnp.zeros((3, 5, 5)), jnp.zeros((2, 4, 3), jnp.int32)
    for wrong in (jnp.zeros((1, 5, 5)), jnp.zeros((3, 3, 5, 5)), jnp.zeros((2, 1, 3, 5, 5))):
        with pytest.raises(ValueError, match=r"observations \(2, 4, 3\); their sentences, tokens, functions"):
            evidence(wrong, said)
    with pytest.raises(ValueError, match=r"\(2, 4, 3, 1\); their"):
        evidence(emission, jnp.zeros((2, 4, 3, 1)))
    with pytest.raises(ValueError, match="type float32; expected integer indices"):
        evidence(emission, said.astype(jnp.float32))
    with pytest.raises(ValueError, match="type int32; expected integer indices"):
        evidence(emission, jnp.zeros((2, 4, 3, 5), jnp.int32))
    with pytest.raises(ValueError, match=r"shape \(5, 5\) and observations"):
        evidence(emission[0], said)


@pytest.mark.parametrize("by_token", [False, True])
def test_the_recursions_of_appendix_c_1(rng, by_token):
    states = 3
    transition = _rows(rng, *((SENTENCES, TIME) if by_token else ()), states, states)
    initial, likelihood = _rows(rng, SENTENCES, states), rng.random((SENTENCES, TIME, states)) + 0.01
    arrays = [_float(np.log(values)) for values in (initial, transition, likelihood)]
    # the text's chain starts one step earlier: what reaches the first token is log_initial here
    chain = (*arrays, jnp.asarray(LENGTHS))
    counts = expected_counts(*chain)
    starts, pairs_in_all = np.zeros(states), np.zeros((states, states))
    functions = (log_likelihood, filtered_marginals, smoothed_marginals, pairwise_marginals)
    ours = [jax.jit(function)(*chain) for function in functions]
    for sentence, length in enumerate(LENGTHS):
        one_step = [[initial[sentence][to] for to in range(states)] for _ in range(states)]  # from wherever z0 is
        steps = [one_step]
        for token in range(1, length):
            steps.append(transition[sentence, token] if by_token else transition)
        expected = loops.Messages([1.0, 0.0, 0.0], steps, likelihood[sentence, :length])
        assert float(ours[0][sentence]) == pytest.approx(expected.log_likelihood, rel=1e-5)
        np.testing.assert_allclose(ours[1][sentence, :length], expected.filtered[1:], atol=1e-5)
        np.testing.assert_allclose(ours[2][sentence, :length], expected.smoothed[1:], atol=1e-5)
        np.testing.assert_allclose(ours[3][sentence, : length - 1], expected.pairs[1:], atol=1e-5)
        starts += expected.smoothed[1]
        pairs_in_all += expected.pairs[1:].sum(0)
    np.testing.assert_allclose(counts.initial, starts, atol=1e-5)
    np.testing.assert_allclose(counts.transitions, pairs_in_all, atol=1e-5)


def test_the_expected_log_joint_of_equation_4_14(rng):
    """Posterior of old parameters, logarithms of new ones."""
    states = 3
    transition, other = _rows(rng, 2, SENTENCES, TIME, states, states)
    likelihood, elsewhere = rng.random((2, SENTENCES, TIME, states)) + 0.01
    valid = jnp.asarray(np.arange(TIME)[None] < LENGTHS[:, None])
    old = ContextChain(_float(np.log(transition)), _float(np.log(likelihood)), valid)
    new = ContextChain(_float(np.log(other)), _float(np.log(elsewhere)), valid)
    expected = posterior(old)
    joint = expected_log_joint(new, expected)
    same = expected_log_joint(old, expected)
    for sentence, length in enumerate(LENGTHS):
        start = [1.0, 0.0, 0.0]
        messages = loops.Messages(start, transition[sentence, :length], likelihood[sentence, :length])
        assert float(expected.log_likelihood[sentence]) == pytest.approx(messages.log_likelihood, rel=1e-5)
        assert float(same[sentence]) == pytest.approx(messages.q, rel=1e-5)
        q = 0.0
        for token, of, to in product(range(length), range(states), range(states)):
            q += messages.pairs[token, of, to] * np.log(other[sentence, token, of, to])
        for token, state in product(range(length), range(states)):
            q += messages.smoothed[token + 1, state] * np.log(elsewhere[sentence, token, state])
        assert float(joint[sentence]) == pytest.approx(q, rel=1e-5)
        np.testing.assert_allclose(np.asarray(expected.pairs)[:length, :, :, sentence], messages.pairs, atol=1e-5)


# expectation-maximisation


@pytest.fixture(scope="module")
def votes():
    rng = np.random.default_rng(7)
    lengths = np.array([9, 4, 1])
    observations = rng.integers(-1, LABELS, (3, 9, FUNCTIONS))
    return observations, lengths


def _shares_of_votes(observations, lengths):
    """Where the models start: the shares of labels other than O, O where there is none."""
    shares = np.zeros((*observations.shape[:2], LABELS))
    for sentence, length in enumerate(lengths):
        for token in range(length):
            entities = [said for said in observations[sentence, token] if said > 0]
            for said in entities:
                shares[sentence, token, said] += 1 / len(entities)
            if not entities:
                shares[sentence, token, 0] = 1.0
    return shares


def _said_in_states(posterior, observations, lengths):
    """Expected number of times that a function says a label in a state."""
    counts = np.zeros((FUNCTIONS, LABELS, LABELS))
    for sentence, length in enumerate(lengths):
        for token, function, state in product(range(length), range(FUNCTIONS), range(LABELS)):
            said = observations[sentence, token, function]
            if said >= 0:
                counts[function, state, said] += posterior[sentence, token, state]
    return counts


def _normalised(counts, pseudo):
    return (counts + pseudo) / (counts + pseudo).sum(-1, keepdims=True)


def _token_posterior(prior, emission, observations, lengths):
    """gamma and log p(x) where tokens are independent."""
    gamma, log_evidence = np.zeros((*observations.shape[:2], LABELS)), 0.0
    for sentence, length in enumerate(lengths):
        for token in range(length):
            said = [loops.one_hot(label, LABELS) for label in observations[sentence, token]]
            joint = [p * e for p, e in zip(prior, loops.evidence(emission, said))]
            gamma[sentence, token] = [value / sum(joint) for value in joint]
            log_evidence += np.log(sum(joint))
    return gamma, log_evidence


def _accuracies(counts, pseudo):
    """Snorkel's M-step: one accuracy for each function, errors evenly."""
    emission = np.zeros_like(counts)
    for function in range(FUNCTIONS):
        right = sum(counts[function, label, label] for label in range(LABELS)) + pseudo
        accuracy = right / (counts[function].sum() + 2 * pseudo)
        for state, said in product(range(LABELS), repeat=2):
            emission[function, state, said] = accuracy if state == said else (1 - accuracy) / (LABELS - 1)
    return emission


@pytest.mark.parametrize("kind", ["dawid_skene", "snorkel"])
def test_em_of_single_tokens(votes, kind):
    observations, lengths = votes
    pseudo, steps = 0.3, 3
    arrays = jnp.asarray(observations), jnp.asarray(lengths)
    model = {"dawid_skene": dawid_skene, "snorkel": snorkel}[kind](LABELS, num_steps=steps, pseudo_count=pseudo)
    fitted = jax.jit(model.fit)(model.init(jax.random.key(0), *arrays), *arrays)
    gamma = _shares_of_votes(observations, lengths)
    for step in range(steps + 1):
        counts = _said_in_states(gamma, observations, lengths)
        prior = _normalised(gamma.sum((0, 1)), pseudo)
        emission = _normalised(counts, pseudo) if kind == "dawid_skene" else _accuracies(counts, pseudo)
        if step == steps:
            break
        gamma, objective = _token_posterior(prior, emission, observations, lengths)
        objective += pseudo * np.log(prior).sum()
        if kind == "dawid_skene":
            objective += pseudo * np.log(emission).sum()
        else:  # as many pseudo-counts as the M-step adds: one right and one wrong answer of each function
            for function in range(FUNCTIONS):
                objective += pseudo * (np.log(emission[function, 0, 0]) + np.log(emission[function, 0, 1]))
        assert float(fitted.objective[step]) == pytest.approx(objective, rel=1e-5)
    np.testing.assert_allclose(np.exp(fitted.params.log_prior), prior, atol=1e-5)
    np.testing.assert_allclose(np.exp(fitted.params.log_emission), emission, atol=1e-5)
    gamma, _ = _token_posterior(prior, emission, observations, lengths)
    forecast = model.predict(fitted.params, *arrays)
    np.testing.assert_allclose(forecast.probabilities, gamma, atol=1e-5)


@pytest.mark.parametrize("scheme", ["bio", "any"])
def test_em_of_the_hmm(votes, scheme):
    observations, lengths = votes
    pseudo, steps = 0.3, 3
    arrays = jnp.asarray(observations), jnp.asarray(lengths)
    model = hmm(LABELS, num_steps=steps, pseudo_count=pseudo, scheme=scheme)
    fitted = jax.jit(model.fit)(model.init(jax.random.key(0), *arrays), *arrays)
    allowed = np.array([[scheme == "any" or loops.bio_follows(of, to) for to in range(LABELS)] for of in range(LABELS)])
    first = allowed[0]

    def maximise(starts, pairs, said):
        return (
            _normalised(np.where(first, starts, -pseudo), pseudo),
            _normalised(np.where(allowed, pairs, -pseudo), pseudo),
            _normalised(said, pseudo),
        )

    gamma = _shares_of_votes(observations, lengths)
    pairs = np.zeros((LABELS, LABELS))
    for sentence, length in enumerate(lengths):
        for token, of, to in product(range(1, length), range(LABELS), range(LABELS)):
            pairs[of, to] += gamma[sentence, token - 1, of] * gamma[sentence, token, to]
    params = maximise(gamma[:, 0].sum(0), pairs, _said_in_states(gamma, observations, lengths))
    for step in range(steps):
        initial, transition, emission = params
        starts, pairs, gamma, total = np.zeros(LABELS), np.zeros((LABELS, LABELS)), np.zeros_like(gamma), 0.0
        for sentence, length in enumerate(lengths):
            likelihood = [
                loops.evidence(emission, [loops.one_hot(said, LABELS) for said in observations[sentence, token]])
                for token in range(length)
            ]
            matrices = [np.tile(initial, (LABELS, 1)), *[transition] * (length - 1)]
            messages = loops.Messages([1.0] + [0.0] * (LABELS - 1), matrices, likelihood)
            gamma[sentence, :length] = messages.smoothed[1:]
            starts += messages.smoothed[1]
            pairs += messages.pairs[1:].sum(0)
            total += messages.log_likelihood
        total += pseudo * sum(np.log(value[value > 0]).sum() for value in params)
        assert float(fitted.objective[step]) == pytest.approx(total, rel=1e-5)
        params = maximise(starts, pairs, _said_in_states(gamma, observations, lengths))
    for ours, expected in zip(fitted.params, params):
        np.testing.assert_allclose(np.exp(ours), expected, atol=1e-5)


def test_true_emissions_of_section_4_3_8(votes, rng):
    observations, lengths = votes
    gold = rng.integers(0, LABELS, observations.shape[:2])
    counts = np.full((FUNCTIONS, LABELS, LABELS), 0.01)
    for sentence, length in enumerate(lengths):
        for token, function in product(range(length), range(FUNCTIONS)):
            said = observations[sentence, token, function]
            if said >= 0:
                counts[function, gold[sentence, token], said] += 1
    ours = true_emissions(jnp.asarray(observations), jnp.asarray(gold), jnp.asarray(lengths), LABELS)
    np.testing.assert_allclose(ours, counts / counts.sum(-1, keepdims=True), atol=1e-5)
