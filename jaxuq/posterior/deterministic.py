r"""Deterministic prediction: the posterior is one point, $p(\theta \mid D) = \delta(\theta - \hat\theta)$.

The baseline of every comparison: what uncertainty there is comes from the likelihood (aleatoric), the epistemic part
is zero. The samples are one copy of the parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Key

from jaxuq.posterior._model import ApplyFn, Params, Samples, bind_parameters


class Deterministic(NamedTuple):
    """The functions of `deterministic`; `init(params)`, `sample(rng_key, state, num_samples)`, `bind`."""

    init: Callable[[Params], Params]
    sample: Callable[..., Samples]
    bind: Callable[[ApplyFn, Params], ApplyFn]


def deterministic() -> Deterministic:
    """One set of parameters as its own and only sample.

    Use it where code is written for samples and the model has none. It says nothing about what the model does not know.

    Returns:
        `Deterministic(init, sample, bind)`: `init(params)` returns the parameters, which are the state;
        `sample(rng_key, state, num_samples=1)` adds a sample axis of size one and does not use the key;
        `bind(apply_fn, state)` is `apply_fn`.

    Raises:
        ValueError: from `sample`, when `num_samples` is not 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = deterministic()
        >>> state = method.init({"kernel": jnp.ones((3, 2))})
        >>> method.sample(jax.random.key(0), state)["kernel"].shape
        (1, 3, 2)

    References:
        Li, Kong, Du, Yu, Zhuang, Mu, Zhang. MUBen: benchmarking the uncertainty of molecular representation models.
        TMLR 2024 ("Deterministic").
    """

    def init(params: Params) -> Params:
        return params

    def sample(rng_key: Key[Array, ""], state: Params, num_samples: int = 1) -> Samples:
        del rng_key
        if num_samples != 1:
            raise ValueError(f"num_samples is {num_samples}; a deterministic model has one sample, ask for 1")
        return jax.tree.map(lambda leaf: leaf[None], state)

    return Deterministic(init, sample, bind_parameters)
