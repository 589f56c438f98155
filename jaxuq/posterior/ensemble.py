r"""Deep ensembles: members trained from different initial weights, each one sample of the parameters.

$p(y \mid x, D) \approx \frac{1}{M} \sum_{m=1}^{M} p(y \mid x, \theta_m)$.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxuq._keys import named_key
from jaxuq._options import check_count
from jaxuq.posterior import trace
from jaxuq.posterior._model import Params, Samples, freeze, freeze_numbers, thaw
from jaxuq.posterior.method import Method
from jaxuq.posterior.optax_form import observing


def ensemble(num_members: int = 5) -> Method:
    """Trained parameters as they come, each a sample.

    Use it when the cost of training several times is bearable: it is the strongest simple method, for members reach
    different modes. Probabilities (or mixture moments) are averaged by `summarise`, never logits or weights; averaging
    the weights of one run is SWA, see `swag`. Members that were trained stacked, from `init_members`, are samples as
    they are: pass them to `predict_forecast`. Given snapshots of one run it is a snapshot ensemble, or the trace of a
    chain that runs elsewhere.

    Args:
        num_members: how many are kept, the newest.

    Returns:
        A `Method` that observes snapshots, one a member. `sample` picks evenly among them; ask for as many samples as
        there are members. Before the first the samples are NaN.

    Raises:
        OptionError: fewer than one member.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = ensemble(2)
        >>> state = method.init(jax.random.key(0), {"bias": jnp.zeros(2)})
        >>> for value in (1.0, 2.0):
        ...     state = method.update(jax.random.key(1), state, {"bias": jnp.full(2, value)})
        >>> method.sample(jax.random.key(2), state, 2)["bias"][:, 0]
        Array([1., 2.], dtype=float32)

    References:
        Lakshminarayanan, Pritzel, Blundell. Simple and scalable predictive uncertainty estimation using deep
        ensembles. NeurIPS 2017, algorithm 1.
        Huang, Li, Pleiss, Liu, Hopcroft, Weinberger. Snapshot ensembles: train 1, get M for free. ICLR 2017.
    """
    check_count("num_members", num_members)

    def init(rng_key: Key[Array, ""], params: Params) -> trace.Trace:
        del rng_key
        params = freeze_numbers(params)
        return trace.start(params, num_members)

    def update(rng_key: Key[Array, ""], state: trace.Trace, params: Params) -> trace.Trace:
        del rng_key
        return trace.collect(state, freeze(params))

    def sample(rng_key: Key[Array, ""], state: trace.Trace, num_samples: int) -> Samples:
        del rng_key
        return thaw(trace.draw(state, num_samples))

    return Method(init, update, sample, "snapshots", observing(init, update))


def init_members(rng_key: Key[Array, ""], init_fn: Callable[[Key[Array, ""]], Params], num_members: int) -> Samples:
    """Initial parameters of an ensemble's members, stacked on a leading axis over which training maps.

    Args:
        rng_key: of all members; member `m` gets `named_key(rng_key, "member", m)`, however many there are.
        init_fn: `init_fn(rng_key) -> params`.
        num_members: how many.

    Returns:
        Parameters with a leading axis of members.

    Raises:
        OptionError: fewer than one member.

    Example:
        >>> import jax
        >>> init_members(jax.random.key(0), lambda key: {"bias": jax.random.normal(key, (2,))}, 5)["bias"].shape
        (5, 2)
    """
    check_count("num_members", num_members)
    fold = functools.partial(jax.random.fold_in, named_key(rng_key, "member"))
    return jax.vmap(lambda member: init_fn(fold(member)))(jnp.arange(num_members))
