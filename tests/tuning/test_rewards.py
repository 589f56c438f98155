"""Preferences: the closed form of DPO, rewards against their posterior, and which preference to ask for."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from jaxuq import losses, tuning


def close(actual, expected, atol=2e-6):
    np.testing.assert_allclose(np.asarray(actual), expected, atol=atol)


def single(*values):
    return [jnp.asarray([value], jnp.float32) for value in values]


def test_direct_preferences_have_their_worked_numbers():
    pair = single(-12.0, -15.0, -13.0, -14.0)
    close(losses.direct_preference_loss(*pair)[0], 0.598139)
    slopes = jax.grad(lambda *pair: losses.direct_preference_loss(*pair)[0], argnums=(0, 1, 2, 3))(*pair)
    close([float(one[0]) for one in slopes[:2]], [-0.045017, 0.045017])
    same = single(-7.0, -9.0, -7.0, -9.0)
    close(losses.direct_preference_loss(*same)[0], np.log(2))
    close(jax.grad(lambda chosen: losses.direct_preference_loss(chosen, *same[1:])[0])(same[0])[0], -0.05)


def test_the_optimum_of_direct_preferences_is_the_closed_form():
    """Over a handful of responses pi(y) is proportional to pi_ref(y) exp(r(y) / beta), for preferences by r."""
    beta, utilities = 0.7, jnp.asarray([1.0, 0.2, -0.5, 0.4])
    reference = jnp.log(jnp.asarray([0.1, 0.4, 0.3, 0.2]))  # computed once, before any step
    first, second = (jnp.asarray(one) for one in np.triu_indices(4, 1))
    wins = jax.nn.sigmoid(utilities[first] - utilities[second])

    @jax.jit
    def objective(logits):
        policy = jax.nn.log_softmax(logits)
        sides = policy[first], policy[second], reference[first], reference[second]
        forward = losses.direct_preference_loss(*sides, beta=beta)
        back = losses.direct_preference_loss(sides[1], sides[0], sides[3], sides[2], beta=beta)
        return jnp.mean(wins * forward + (1 - wins) * back)

    slope = jax.jit(jax.grad(objective))
    found = minimize(lambda x: float(objective(jnp.asarray(x, jnp.float32))), np.zeros(4), method="BFGS", tol=1e-7,
                     jac=lambda x: np.asarray(slope(jnp.asarray(x, jnp.float32)), np.float64)).x  # fmt: skip
    expected = jax.nn.softmax(reference + utilities / beta)
    close(jax.nn.softmax(jnp.asarray(found)), np.asarray(expected), 2e-3)


def test_doubtful_labels_are_a_mixture_of_both_ways():
    pair = single(-12.0, -15.0, -13.0, -14.0)
    turned = [pair[1], pair[0], pair[3], pair[2]]
    mixed = 0.8 * losses.direct_preference_loss(*pair) + 0.2 * losses.direct_preference_loss(*turned)
    close(losses.direct_preference_loss(*pair, flipped=0.2), np.asarray(mixed))


def test_only_differences_of_rewards_count():
    won, lost = single(1.2, 0.2)
    plain = losses.bradley_terry_loss(won, lost, centring=0.0)
    close(plain, -np.log(1 / (1 + np.exp(-1.0))))
    close(losses.bradley_terry_loss(won + 3, lost + 3, centring=0.0), np.asarray(plain))
    close(losses.bradley_terry_loss(won, lost, centring=0.01)[0] - plain[0], 0.01 * 1.4**2)
    rewards = jnp.asarray([[1.2, 0.2], [0.8, 0.6], [1.6, 0.1]])
    pair = jnp.asarray([0]), jnp.asarray([1])
    found = tuning.preference_information(rewards, *pair)
    close(found.information[0], 0.029488)
    close(found.probability[0], np.mean([0.731059, 0.549834, 0.817574]))
    moved = tuning.preference_information(rewards + jnp.asarray([[5.0], [-2.0], [0.0]]), *pair)
    close(moved.information, np.asarray(found.information))
    close(tuning.cautious_reward(rewards, caution=0.5), [1.036701, 0.191988])


def test_the_posterior_of_rewards_has_its_worked_numbers():
    """The precision at known weights, and the spread of a difference."""
    apart, weights = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]), np.array([0.5, -0.3])
    p = 1 / (1 + np.exp(-apart @ weights))
    precision = np.eye(2) + sum(q * (1 - q) * np.outer(h, h) for q, h in zip(p, apart))
    close(np.ones(2) @ np.linalg.inv(precision) @ np.ones(2), 1.613271)
    heads = tuning.fit_reward_heads(jax.random.key(0), jnp.asarray(apart, jnp.float32), jnp.zeros((3, 2)),
                                    members=20000)  # fmt: skip

    def objective(v):
        return 0.5 * v @ v + np.log1p(np.exp(-apart @ v)).sum()

    close(heads.centre, minimize(objective, np.zeros(2), tol=1e-12).x, 1e-4)
    p = 1 / (1 + np.exp(-apart @ np.asarray(heads.centre)))
    expected = np.eye(2) + sum(q * (1 - q) * np.outer(h, h) for q, h in zip(p, apart))
    close(heads.precision, expected, 1e-4)
    close(np.cov(np.asarray(heads.weights).T), np.linalg.inv(expected), 0.03)
