"""The worked numbers of the methods, computed elsewhere in float64, one test a method."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import tuning
from jaxuq.metrics import average_precision
from jaxuq.posterior import (
    KroneckerFactors,
    dense,
    kronecker_factors,
    laplace,
    log_marginal_likelihood,
    output_variance,
    predict,
    sgld,
    summarise,
    swag,
)

close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)
WEIGHTS = np.array([[0.5, -0.3], [-0.2, 0.4]], np.float32)  # outputs, inputs
X = np.array([[1, 0], [0, 1], [1, 1], [2, -1]], np.float32)
LABELS = np.array([0, 1, 1, 0])


def test_r_tuning_uncertainty_and_confidence():
    assert tuning.answer_entropy(list("aaabc")) == pytest.approx(0.950271, abs=1e-6)
    confidence = float(np.exp(np.mean(np.log([0.9, 0.8, 0.5]))))
    assert confidence == pytest.approx(0.711379, abs=1e-6)
    assert 0.5 * confidence + 0.5 * 0.4 == pytest.approx(0.555689, abs=1e-6)
    ranked = average_precision(jnp.array([0.9, 0.8, 0.7, 0.4, 0.2]), jnp.array([1, 0, 1, 1, 0]))
    close(ranked, 0.805556)


def test_us_tuning_makes_four_rows_of_two_passages():
    passages = {"a": ("It is x.", "What is a?", "x"), "b": ("It is y.", "What is b?", "y")}
    made = tuning.sufficiency_records(passages)
    assert [one.reply for one in made] == [" Sufficient", " Insufficient"] * 2
    assert "What is b?" in made[1].prompt and "It is x." in made[1].prompt
    assert (
        tuning.sufficiency_records(passages | {"b": ("It is y, not x.", "What is b?", "y")})[0].id == "a-b-sufficient"
    )


def test_laplace_lora_exact_and_kronecker():
    @jax.jit
    def compute(x, labels):
        found = {}
        for structure in ("full", "kronecker"):
            method, key = laplace("categorical", structure), jax.random.key(0)
            start = method.init(key, {"kernel": jnp.asarray(WEIGHTS.T)})
            state = method.update(key, start, dense, x, labels)
            new = jnp.array([[1.0, 0.0]])
            mean, variance = dense(state.params, new), output_variance(state, dense, new)
            found[structure] = (state.log_likelihood, log_marginal_likelihood(state), mean[0], variance[0])
            if structure == "full":
                curvature = state.curvature.matrix
        return found, curvature

    found, curvature = compute(jnp.asarray(X), jnp.asarray(LABELS))
    by_output = curvature.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)  # class first, as in the reference
    close(by_output[0], [0.860492, 0.055611, -0.860492, -0.055611], atol=2e-6)
    for structure, evidence, variance, probit in (
        ("full", -2.764363, 0.684149, 0.650554), ("kronecker", -2.873077, 0.651498, 0.651273),
    ):  # fmt: skip
        log_likelihood, log_evidence, mean, diagonal = found[structure]
        close([log_likelihood, log_evidence], [-1.615039, evidence])
        close(mean, [0.5, -0.2])
        close(diagonal[0], variance)
        close(jax.nn.softmax(mean / jnp.sqrt(1 + jnp.pi / 8 * diagonal))[0], probit, atol=1e-5)


@pytest.fixture(scope="module")
def small_state():
    """The same problem through the factors of several matrices."""

    @jax.jit
    def compute(x, labels):
        logits = x @ jnp.asarray(WEIGHTS.T)
        p = jax.nn.softmax(logits)
        roots = jnp.sqrt(p).T[:, :, None] * (jnp.eye(2)[:, None] - p[None])
        factors = kronecker_factors(x, roots)
        log_likelihood = jnp.take_along_axis(jnp.log(p), labels[:, None], 1).sum()
        method = laplace("categorical")
        state = method.init(jax.random.key(0), {"w": jnp.asarray(WEIGHTS.T)})
        state = state._replace(curvature=state.curvature.plus({"w": factors}), log_likelihood=log_likelihood)
        samples = method.sample(jax.random.key(0), state, 20_000)
        outputs = predict(lambda params, x: x @ params["w"], samples, jnp.array([[1.0, 0.0]]))
        return factors, log_marginal_likelihood(state), outputs[:, 0]

    return compute(jnp.asarray(X), jnp.asarray(LABELS))


def test_kronecker_factors_of_the_same_problem(small_state):
    factors, evidence, outputs = small_state
    assert isinstance(factors, KroneckerFactors)
    close(factors.outputs, 0.790620 * np.array([[1, -1], [-1, 1]]), rtol=1e-5)
    close(factors.inputs / factors.count, [[1.5, -0.25], [-0.25, 0.75]])
    close(evidence, -2.873077)
    np.testing.assert_allclose(np.cov(outputs.T), [[0.651498, 0.348502], [0.348502, 0.651498]], atol=0.02)
    assert float(jax.nn.softmax(outputs).mean(0)[0]) == pytest.approx(0.649915, abs=0.003)


def test_blob():
    mean = jnp.array([[0.1, -0.2, 0.3], [0, 0.05, -0.1]]).T
    root = jnp.array([[0.2, 0.1, 0.3], [0.25, 0.15, 0.2]]).T
    b = jnp.array([[1.0, 0], [0.5, -1]]).T
    adapter = {"layers_0": {"query": {"a": mean, "b": b}}}
    method = tuning.blob()
    state = tuning.BLoBState(adapter, {"layers_0": {"query": root}})
    close(method.kl(state), 9.464975)
    x, noise = jnp.array([1.0, 2, -1]), jnp.array([[1, -1, 0.5], [0, 2, -1]]).T
    signs = (jnp.array([1.0, -1, 1]), jnp.array([-1.0, 1]))
    close(2 * (x @ mean) @ b, [-1.2, -1.0], atol=1e-6)
    close(2 * tuning.flipout_noise(x, root**2, noise, *signs) @ b, [-0.03, 0.085])
    plain = tuning.flipout_noise(x, root**2, noise, jnp.ones(3), jnp.ones(2))
    close(2 * (x @ mean + plain) @ b, [-1.25, -1.285])
    drawn = method.sample(jax.random.key(0), state, 20_000)["layers_0"]["query"]
    outputs = 2 * jnp.einsum("i,sir,sro->so", x, drawn["a"], drawn["b"])
    np.testing.assert_allclose(outputs.var(0), [0.0404, 0.040225], rtol=0.05)
    weights = [float(tuning.growing_kl_weight(step, 5)) for step in range(6)]
    close(weights[:5], [0.031746, 0.063492, 0.126984, 0.253968, 0.507937], atol=1e-6)
    assert weights[5] == weights[0] and float(tuning.growing_kl_weight(0, 500)) == 0.0


def test_training_free_bayesianisation():
    b, a = jnp.array([[2.0, 0], [0, 1], [1, 1]]).T, jnp.array([[1.0, 0, 1, 0], [0, 1, 0, -1]]).T
    rotated, right, values = tuning.rotate_adapter(a, b)
    close(values, [2.302776, 1.302776])
    close(0.01 / values, [0.004343, 0.007676], atol=1e-6)
    close(rotated @ right, a @ b, atol=1e-5)
    lora = {"layers_0": {"query": {"a": a, "b": b}}}
    drawn = tuning.isotropic_samples(jax.random.key(0), lora, 0.01, 20_000)["layers_0"]["query"]
    product = jnp.einsum("sir,sro->sio", drawn["a"], drawn["b"]) - (a @ b)[None]
    covariance = np.cov(np.asarray(product[:, 0]).T)
    assert np.trace(covariance) == pytest.approx(2e-4, rel=0.03)
    assert covariance[0, 0] == pytest.approx(8.9e-5, rel=0.04)
    basis = np.linalg.svd(np.asarray(b).T, full_matrices=False)[0]
    np.testing.assert_allclose(covariance, 1e-4 * basis @ basis.T, atol=3e-6)


def test_swag_lora():
    method = swag(rank=3)
    key = jax.random.key(0)
    state = method.init(key, {"w": jnp.zeros(2)})
    for snapshot in ([1.0, 2.0], [1.2, 1.8], [0.8, 2.4]):
        state = method.update(key, state, {"w": jnp.array(snapshot)})
    close(state.mean["w"], [1, 2.066667])
    close(state.variance["w"], [0.026667, 0.062222], atol=1e-6)
    close(state.deviations["w"], [[0, 0], [0.1, -0.1], [-0.2, 0.333333]], atol=1e-6)
    drawn = jax.jit(lambda key: method.sample(key, state, 40_000))(jax.random.key(0))["w"]
    np.testing.assert_allclose(np.cov(drawn.T), [[0.025833, -0.019167], [-0.019167, 0.061389]], atol=1.5e-3)


def test_sgld_step(monkeypatch):
    module = importlib.import_module("jaxuq.posterior.chain")
    monkeypatch.setattr(module, "normal_like", lambda key, tree: [jnp.array([0.3, -1.0])])
    method = sgld(1e-3, prior_scale=1.0)
    state = method.init(jax.random.key(0), jnp.array([0.5, -0.2]))
    state = method.update(jax.random.key(0), state, 100 * jnp.array([0.8, -0.4]))
    close(state.position, [0.469237, -0.211523])


def test_lora_ensemble():
    members = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1]]))
    forecast = summarise(members, "categorical")
    close(forecast.probabilities, [0.466667, 0.433333, 0.1], atol=1e-6)
    close([forecast.total, forecast.aleatoric, forecast.epistemic], [0.948298, 0.848995, 0.099303])


def test_acquisition():
    points = jnp.array([[[0.9, 0.1], [0.6, 0.4], [0.85, 0.15]], [[0.2, 0.8], [0.5, 0.5], [0.25, 0.75]]])
    close(tuning.bald(jnp.log(points)), [0.275396, 0.005059, 0.195617], atol=1e-6)
    pair = jax.jit(lambda log_probs: tuning.batch_bald(log_probs, 2))
    pairs = {"ab": 0.277956, "ac": 0.378480, "bc": 0.198840}
    for names, value in pairs.items():
        kept = points[:, ["abc".index(name) for name in names]]
        chosen, information = pair(jnp.log(kept))
        close(information[1], value, atol=1e-6)
        close(information[0], tuning.bald(jnp.log(kept)).max(), atol=1e-6)
        assert sorted(chosen.tolist()) == [0, 1]
    close(tuning.margin(jnp.array([[0.6, 0.3, 0.1], [0.4, 0.35, 0.25], [0.9, 0.05, 0.05]])), [0.3, 0.05, 0.85])
    gap = tuning.base_tuned_gap(jnp.array([3.0, 4, 5, 8]), jnp.array([2.0, 5, 9, 4]), 0.3)
    close(gap, [0, 0.36, 0.82, 0.5])


def test_q_tuning():
    log_probs = jnp.array([-0.1, -2, -0.3, -0.2, -1.2])
    assert float(jnp.exp(-log_probs.mean())) == pytest.approx(2.138276, abs=1e-5)
    close(tuning.token_error(log_probs), [2.676142, 6.155550, 3.165009, 2.083546, 2.795438])
    close(tuning.token_error(log_probs, convention="mean"), [1.752510, 5.848671, 2.088701, 1.499799, 2.642763])


def test_rank_wise_variational_dropout():
    close(tuning.log_uniform_kl(jnp.array([0.5, 0.01]), jnp.full(2, -4.0)), [1.903060, 0.002765], atol=1e-6)
    found = tuning.useless_ranks(jnp.array([[0.5, 0.01]] * 3), jnp.array([[0.5] * 4, [0.01] * 4]), jnp.full(2, -4.0))
    assert found.tolist() == [False, True]
