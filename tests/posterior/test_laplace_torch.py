"""Laplace against laplace-torch, whose numbers for a small network are in golden/laplace.npz (see make_laplace.py)."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.posterior import (
    dense,
    gaussian,
    laplace,
    log_marginal_likelihood,
    on_part,
    output_variance,
    paths_containing,
)

NOISE, PRIOR = 0.4, 0.7  # as in make_laplace.py
STRUCTURES = {"full": "full", "diag": "diagonal", "kron": "kronecker"}
close = functools.partial(np.testing.assert_allclose, rtol=2e-3)


@pytest.fixture(scope="module")
def golden():
    with np.load(pathlib.Path(__file__).parent / "golden" / "laplace.npz") as file:
        return dict(file)


def _network(params, inputs):
    return dense(params["output"], jnp.tanh(dense(params["hidden"], inputs)))


def _params(golden, prefix):
    def layer(number):
        kernel, bias = golden[f"{prefix}:{number}.weight"].T, golden.get(f"{prefix}:{number}.bias")
        return {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}

    layers = {"hidden": layer(0), "output": layer(2)}
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), layers)


def _fitted(golden, likelihood, part, structure):
    """The state, of the part alone, and the model of that part."""
    params = _params(golden, "bare" if part == "bare" else "weight")
    read = gaussian(NOISE) if likelihood == "regression" else "categorical"
    method = laplace(read, STRUCTURES[structure], prior_precision=PRIOR)
    whole = method if part == "all" else on_part(method, paths_containing("output"))
    labels = golden[f"labels:{likelihood}"]
    labels = jnp.asarray(labels, jnp.int32 if likelihood == "classification" else jnp.float32)
    inputs = jnp.asarray(golden["inputs"], jnp.float32)
    key = jax.random.key(0)
    state = whole.update(key, whole.init(key, params), _network, inputs, labels)
    if part == "all":
        return state, _network
    return state.part, lambda some, x: _network({**params, "output": some["output"]}, x)


def _compare(golden, at, state, model):
    close(output_variance(state, model, jnp.asarray(golden["new"], jnp.float32)), golden[f"{at}:variance"])
    close(log_marginal_likelihood(state), golden[f"{at}:evidence"], rtol=1e-4)


LIKELIHOODS = pytest.mark.parametrize("likelihood", ["classification", "regression"])


@LIKELIHOODS
@pytest.mark.parametrize("part", ["all", "last", "bare"])
@pytest.mark.parametrize("structure", ["full", "diag"])
def test_whole_and_diagonal_matrices_are_those_of_laplace_torch(golden, likelihood, part, structure):
    state, model = _fitted(golden, likelihood, part, structure)
    at = f"{likelihood}:{part}:{structure}"
    _compare(golden, at, state, model)
    if structure == "diag":
        layers = (state.curvature.values[i : i + 2] for i in range(0, len(state.curvature.values), 2))
        kernels_first = [leaf.T.ravel() for layer in layers for leaf in reversed(layer)]  # dictionaries sort their keys
        close(np.concatenate(kernels_first), golden[f"{at}:diagonal"], atol=1e-4)


@LIKELIHOODS
def test_a_layer_without_bias_has_the_kronecker_factors_of_laplace_torch(golden, likelihood):
    _compare(golden, f"{likelihood}:bare:kron", *_fitted(golden, likelihood, "bare", "kron"))


@LIKELIHOODS
@pytest.mark.parametrize("part", ["all", "last"])
def test_laplace_torch_splits_the_bias_off(golden, likelihood, part):
    """Its factors are the joint ones without the covariance of kernel and bias."""
    state, model = _fitted(golden, likelihood, part, "kron")

    def split(factors):
        apart = jnp.ones_like(factors.inputs).at[-1, :-1].set(0.0).at[:-1, -1].set(0.0)
        return factors._replace(inputs=factors.inputs * apart)

    curvature = state.curvature._replace(factors=[split(factors) for factors in state.curvature.factors])
    _compare(golden, f"{likelihood}:{part}:kron", state._replace(curvature=curvature), model)


def test_the_joint_form_is_exact_in_regression_where_the_split_form_is_not(golden):
    _compare(golden, "regression:last:full", *_fitted(golden, "regression", "last", "kron"))
    split, exact = (golden[f"regression:last:{structure}:variance"] for structure in ("kron", "full"))
    assert (np.abs(np.log(split / exact)) > 0.2).all()
