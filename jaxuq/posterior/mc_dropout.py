r"""Monte-Carlo dropout: dropout stays on when predicting, and the random masks are the samples.

A mask $z$ makes a network with weights $\theta \odot z$; $p(y \mid x, D) \approx \frac{1}{S} \sum_s p(y \mid x, \theta
\odot z_s)$. A mask is a function of a key, so the samples are keys and the parameters are never copied.
"""

from typing import Any

from jaxtyping import Array, Key, PyTree

from jaxuq.posterior._draws import sample_keys
from jaxuq.posterior._model import ApplyFn, Params
from jaxuq.posterior.deterministic import newest, point
from jaxuq.posterior.draws import Draws
from jaxuq.posterior.method import Method
from jaxuq.posterior.optax_form import observing


def mc_dropout() -> Method:
    """Keys as samples of a network with dropout.

    Use it when a network was trained with dropout and must not be trained again; its spread depends on the dropout rate
    more than on the data. The model must drop when it is given `rng_key` and not otherwise; an epistemic part that is
    zero everywhere means that it does not. A layer that draws one mask per row of its batch gives other masks for
    another `batch_size`, so compare numbers at one batch size.

    Returns:
        A `Method` that observes snapshots; the state is the newest of them. `sample(rng_key, state, num_samples)`
        returns `Draws` of `[num_samples]` keys, key `i` the same whatever `num_samples`, and the parameters once.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def model(params, inputs, *, rng_key=None):
        ...     if rng_key is None:
        ...         return inputs @ params
        ...     keep = jax.random.bernoulli(rng_key, 0.5, params.shape)
        ...     return inputs @ jnp.where(keep, params / 0.5, 0.0)
        >>> method = mc_dropout()
        >>> state = method.init(jax.random.key(0), jnp.ones((4, 1)))
        >>> samples = method.sample(jax.random.key(1), state, 30)
        >>> from jaxuq.posterior import predict
        >>> predict(model, samples, jnp.ones((2, 4))).shape
        (30, 2, 1)

    References:
        Gal, Ghahramani. Dropout as a Bayesian approximation: representing model uncertainty in deep learning.
        ICML 2016, Eq. 6 and 7.
    """

    def sample(rng_key: Key[Array, ""], state: Params, num_samples: int) -> Draws:
        return Draws(sample_keys(rng_key, num_samples), state, _dropped)

    return Method(point, newest, sample, "snapshots", observing(point, newest))


def _dropped(apply_fn: ApplyFn, params: Params) -> ApplyFn:
    def apply(key: Key[Array, ""], inputs: PyTree) -> Any:
        return apply_fn(params, inputs, rng_key=key)

    return apply
