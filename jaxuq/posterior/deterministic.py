r"""Deterministic prediction: the posterior is one point, $p(\theta \mid D) = \delta(\theta - \hat\theta)$.

The baseline of every comparison: what uncertainty there is comes from the likelihood (aleatoric), the epistemic part
is zero. The samples are copies of the parameters.
"""

from jaxtyping import Array, Key

from jaxuq._options import check_count
from jaxuq.posterior._model import Params, Samples, aligned, freeze, stacked, thaw
from jaxuq.posterior.method import Method
from jaxuq.posterior.optax_form import observing


def deterministic() -> Method:
    """The newest parameters as their own and only sample.

    Use it where code is written for samples and the model has none. It says nothing about what the model does not know.

    Returns:
        A `Method` that observes snapshots; the state is the newest of them. All samples are the same, so ask for one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = deterministic()
        >>> state = method.init(jax.random.key(0), {"kernel": jnp.ones((3, 2))})
        >>> method.sample(jax.random.key(1), state, 1)["kernel"].shape
        (1, 3, 2)

    References:
        Li, Kong, Du, Yu, Zhuang, Mu, Zhang. MUBen: benchmarking the uncertainty of molecular representation models.
        TMLR 2024 ("Deterministic").
    """

    def sample(rng_key: Key[Array, ""], state: Params, num_samples: int) -> Samples:
        del rng_key
        return thaw(stacked(state, check_count("num_samples", num_samples)))

    return Method(point, newest, sample, "snapshots", observing(point, newest))


def point(rng_key: Key[Array, ""], params: Params) -> Params:
    """The state of a method that keeps one point: the parameters."""
    del rng_key
    return freeze(params)


def newest(rng_key: Key[Array, ""], state: Params, params: Params) -> Params:
    """Its update: the newest parameters."""
    del rng_key
    aligned(state, params)
    return freeze(params)
