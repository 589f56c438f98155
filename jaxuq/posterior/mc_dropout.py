r"""Monte-Carlo dropout: dropout stays on when predicting, and the random masks are the samples.

A mask $z$ makes a network with weights $\theta \odot z$; $p(y \mid x, D) \approx \frac{1}{S} \sum_s p(y \mid x, \theta
\odot z_s)$. A mask is a function of a key, so the samples are keys and the parameters are never copied.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Key, PyTree, Shaped

from jaxuq.posterior._draws import sample_keys
from jaxuq.posterior._model import ApplyFn, Params


class MCDropout(NamedTuple):
    """The functions of `mc_dropout`; `init(params)`, `sample(rng_key, state, num_samples)`, `bind`."""

    init: Callable[[Params], Params]
    sample: Callable[[Key[Array, ""], Params, int], Key[Array, "samples"]]
    bind: Callable[[ApplyFn, Params], ApplyFn]


def mc_dropout() -> MCDropout:
    """Keys as samples of a network with dropout.

    Use it when a network was trained with dropout and must not be trained again; its spread depends on the dropout rate
    more than on the data. The model must drop when it is given `rng_key` and not otherwise; an epistemic part that is
    zero everywhere means that it does not. A layer that draws one mask per row of its batch gives other masks for
    another `batch_size`, so compare numbers at one batch size.

    Returns:
        `MCDropout(init, sample, bind)`: `init(params)` returns the parameters, which are the state;
        `sample(rng_key, state, num_samples)` returns `[num_samples]` keys, key `i` the same whatever `num_samples`;
        `bind(apply_fn, state)` returns `lambda key, inputs: apply_fn(state, inputs, rng_key=key)` for `predict`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def model(params, inputs, *, rng_key=None):
        ...     if rng_key is None:
        ...         return inputs @ params
        ...     keep = jax.random.bernoulli(rng_key, 0.5, params.shape)
        ...     return inputs @ jnp.where(keep, params / 0.5, 0.0)
        >>> method = mc_dropout()
        >>> state = method.init(jnp.ones((4, 1)))
        >>> keys = method.sample(jax.random.key(0), state, 30)
        >>> from jaxuq.posterior import predict
        >>> predict(method.bind(model, state), keys, jnp.ones((2, 4))).shape
        (30, 2, 1)

    References:
        Gal, Ghahramani. Dropout as a Bayesian approximation: representing model uncertainty in deep learning.
        ICML 2016, Eq. 6 and 7.
    """

    def init(params: Params) -> Params:
        return params

    def sample(rng_key: Key[Array, ""], state: Params, num_samples: int) -> Key[Array, "samples"]:
        del state
        return sample_keys(rng_key, num_samples)

    def bind(apply_fn: ApplyFn, state: Params) -> ApplyFn:
        def apply(key: Key[Array, ""], inputs: PyTree) -> Shaped[Array, "..."]:
            return apply_fn(state, inputs, rng_key=key)

        return apply

    return MCDropout(init, sample, bind)
