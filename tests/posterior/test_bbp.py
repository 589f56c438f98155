import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import integrate, stats

from jaxuq.molecules.muben.published_posteriors import published_start
from jaxuq.posterior import bbp, dense, kl_to_prior, noisy_dense, predict


def _layer(rng, features=3, outputs=2):
    return {
        "kernel": jnp.asarray(rng.normal(size=(features, outputs)), jnp.float32),
        "bias": jnp.asarray(rng.normal(size=outputs), jnp.float32),
    }


def _scales(state):
    return {name: 1e-6 + np.logaddexp(0, np.asarray(raw)) for name, raw in state.raw_scale.items()}


def test_noise_on_activations_and_on_weights_have_the_same_moments(rng, rng_key):
    method, count = bbp(), 20000
    state = method.init(rng_key, _layer(rng))
    features = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
    scales = _scales(state)
    mean = np.asarray(features @ state.mean["kernel"]) + np.asarray(state.mean["bias"])
    variance = np.asarray(features) ** 2 @ scales["kernel"] ** 2 + scales["bias"] ** 2
    keys = jax.random.split(rng_key, count)
    local = jax.vmap(lambda key: noisy_dense(state, features, rng_key=key))(keys)
    weights = predict(dense, method.sample(rng_key, state, count), features)
    np.testing.assert_allclose(noisy_dense(state, features), mean, rtol=1e-5, atol=1e-6)
    for outputs in (local, weights):
        assert (np.abs(outputs.mean(0) - mean) < 4.5 * np.sqrt(variance / count)).all()
        assert (np.abs(outputs.var(0) / variance - 1) < 4.5 * np.sqrt(2 / count)).all()
    correlation = np.corrcoef(np.asarray(local[:, :2, 0]).T)[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(count)  # examples have noise of their own, as the docstring says


def test_kl_is_the_integral(rng, rng_key):
    prior_scale = 0.3
    method = bbp(prior_scale)
    state = method.init(rng_key, _layer(rng, 2, 1))
    scales, expected = _scales(state), 0.0
    for name in ("kernel", "bias"):
        for mean, scale in zip(np.ravel(state.mean[name]), np.ravel(scales[name])):
            q, p = stats.norm(mean, scale), stats.norm(0, prior_scale)

            def integrand(w, q=q, p=p):
                return q.pdf(w) * (q.logpdf(w) - p.logpdf(w))

            expected += integrate.quad(integrand, mean - 12 * scale, mean + 12 * scale)[0]
    np.testing.assert_allclose(kl_to_prior(state, prior_scale), expected, rtol=1e-5)


def test_training_ends_at_the_closed_form_mean_field_posterior(rng, rng_key):
    """For a Gaussian posterior N(m, A^-1) the best factorised Gaussian has mean m and precision diag(A)."""
    noise, prior_scale, n = 0.5, 0.8, 12
    design = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    labels = design @ np.array([[1.0], [-0.5]]) + 0.3 + noise * rng.normal(size=(n, 1))
    with_bias = np.concatenate([design, np.ones((n, 1))], axis=1)
    precision = with_bias.T @ with_bias / noise**2 + np.eye(3) / prior_scale**2
    mean = np.linalg.solve(precision, with_bias.T @ labels / noise**2)[:, 0]
    x, y = jnp.asarray(design, jnp.float32), jnp.asarray(labels, jnp.float32)

    method = bbp(prior_scale)
    state = method.init(rng_key, {"kernel": jnp.zeros((2, 1)), "bias": jnp.zeros(1)})

    def loss(state, key):
        outputs = jax.vmap(lambda k: noisy_dense(state, x, rng_key=k))(jax.random.split(key, 32))
        nll = jnp.mean((outputs - y[None]) ** 2) / (2 * noise**2)
        return nll + kl_to_prior(state, prior_scale) / n

    steps = 1200
    with jax.numpy_dtype_promotion("standard"):  # optax
        optimiser = optax.adam(optax.cosine_decay_schedule(0.05, steps))

        def step(carry, key):
            state, optimiser_state = carry
            updates, optimiser_state = optimiser.update(jax.grad(loss)(state, key), optimiser_state)
            return (optax.apply_updates(state, updates), optimiser_state), None

        (state, _), _ = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys))(
            (state, optimiser.init(state)), jax.random.split(rng_key, steps)
        )
    scales = _scales(state)
    deviations = 1 / np.sqrt(np.diag(precision))
    np.testing.assert_allclose(np.append(state.mean["kernel"], state.mean["bias"]), mean, atol=0.1 * deviations.min())
    np.testing.assert_allclose(np.append(scales["kernel"], scales["bias"]), deviations, rtol=0.04)


def test_conventions_differ_in_where_the_means_start(rng, rng_key):
    layer = _layer(rng, 40, 30)
    paper = bbp().init(rng_key, layer)
    muben = published_start(rng_key, paper)
    np.testing.assert_array_equal(paper.mean["kernel"], layer["kernel"])
    for values, (low, high) in ((muben.mean["kernel"], (-0.1, 0.1)), (paper.raw_scale["kernel"], (-3.0, -2.0))):
        width = high - low
        assert low <= values.min() < low + 0.01 * width
        assert high - 0.01 * width < values.max() <= high
    np.testing.assert_array_equal(paper.raw_scale["kernel"], muben.raw_scale["kernel"])


def test_a_layer_without_bias_has_finite_gradients_at_zero_input(rng_key):
    method = bbp()
    state = method.init(rng_key, {"kernel": jnp.ones((2, 1))})
    gradient = jax.grad(lambda s, x: jnp.sum(noisy_dense(s, x, rng_key=rng_key)), argnums=(0, 1))
    for leaf in jax.tree.leaves(gradient(state, jnp.zeros((3, 2)))):
        assert np.isfinite(leaf).all()


@pytest.mark.long
def test_its_own_steps_end_at_the_closed_form_mean_field_posterior(rng, rng_key):
    """The protocol's update, on a pytree that is no dense layer, with gradients of the summed likelihood."""
    precision = np.array([[4.0, 1.5], [1.5, 2.0]])
    mean = np.array([0.7, -0.4])
    matrix, centre = (
        jnp.asarray(precision - np.eye(2) / 0.8**2, jnp.float32),
        jnp.asarray(precision @ mean, jnp.float32),
    )
    steps = 6000
    with jax.numpy_dtype_promotion("standard"):
        method = bbp(0.8, optimizer=optax.adam(optax.cosine_decay_schedule(0.02, steps)))

        def gradient(params):
            whole = jnp.concatenate([params["a"], params["b"]])
            moved = matrix @ whole - centre
            return {"a": moved[:1], "b": moved[1:]}

        @jax.jit
        def run(keys):
            state = method.init(rng_key, {"a": jnp.zeros(1), "b": jnp.zeros(1)})
            return jax.lax.scan(lambda s, key: (method.update(key, s, gradient), None), state, keys)[0]

        state = run(jax.random.split(rng_key, steps))
    found = np.concatenate([state.mean["a"], state.mean["b"]])
    scales = _scales(state)
    np.testing.assert_allclose(found, mean, atol=0.05)
    np.testing.assert_allclose([scales["a"][0], scales["b"][0]], 1 / np.sqrt(np.diag(precision)), rtol=0.05)


def test_errors_name_what_is_wrong(rng_key):
    with pytest.raises(ValueError, match="prior_scale is -1"):
        bbp(-1.0)
    state = bbp().init(rng_key, {"scale": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"\['scale'\]; expected those of one dense layer"):
        noisy_dense(state, jnp.ones((1, 2)))
    with pytest.raises(ValueError, match="there is no optimiser; pass optimizer="):
        bbp().update(rng_key, state, lambda params: params)
    with pytest.raises(ValueError, match="gradients are no function"):
        bbp(optimizer=optax.sgd(0.1)).update(rng_key, state, {"scale": jnp.ones(2)})
