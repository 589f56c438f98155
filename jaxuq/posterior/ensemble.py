r"""Deep ensembles: members trained from different initial weights, each one sample of the parameters.

$p(y \mid x, D) \approx \frac{1}{M} \sum_{m=1}^{M} p(y \mid x, \theta_m)$.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxuq._keys import named_key
from jaxuq.posterior._model import ApplyFn, Params, Samples, bind_parameters


class Ensemble(NamedTuple):
    """The functions of `ensemble`; `init(rng_key, init_fn, num_members)`, `sample(rng_key, state)`, `bind`."""

    init: Callable[[Key[Array, ""], Callable[[Key[Array, ""]], Params], int], Samples]
    sample: Callable[..., Samples]
    bind: Callable[[ApplyFn, Samples], ApplyFn]


def ensemble() -> Ensemble:
    """Members stacked on a leading axis; training maps over it, and its entries are the samples.

    Use it when the cost of training several times is bearable: it is the strongest simple method, for members reach
    different modes. Probabilities (or mixture moments) are averaged by `summarise`, never logits or weights; averaging
    the weights of one run is SWA, see `swag`.

    Returns:
        `Ensemble(init, sample, bind)`: `init(rng_key, init_fn, num_members)` calls `init_fn(key)` for each member with
        `named_key(rng_key, "member", m)`, so member `m` is the same however many there are;
        `sample(rng_key, members, num_samples=None)` returns the members and does not use the key;
        `bind(apply_fn, members)` is `apply_fn`.

    Raises:
        ValueError: from `init`, when `num_members` is smaller than 1; from `sample`, when `num_samples` is given and is
            not the number of members.

    Example:
        >>> import jax
        >>> method = ensemble()
        >>> members = method.init(jax.random.key(0), lambda key: {"bias": jax.random.normal(key, (2,))}, 5)
        >>> method.sample(jax.random.key(1), members)["bias"].shape
        (5, 2)

    References:
        Lakshminarayanan, Pritzel, Blundell. Simple and scalable predictive uncertainty estimation using deep
        ensembles. NeurIPS 2017, algorithm 1.
    """

    def init(rng_key: Key[Array, ""], init_fn: Callable[[Key[Array, ""]], Params], num_members: int) -> Samples:
        if num_members < 1:
            raise ValueError(f"num_members is {num_members}; an ensemble needs at least one")
        fold = functools.partial(jax.random.fold_in, named_key(rng_key, "member"))
        return jax.vmap(lambda member: init_fn(fold(member)))(jnp.arange(num_members))

    def sample(rng_key: Key[Array, ""], state: Samples, num_samples: int | None = None) -> Samples:
        del rng_key
        members = jax.tree.leaves(state)[0].shape[0]
        if num_samples not in (None, members):
            raise ValueError(
                f"num_samples is {num_samples}, but the ensemble has {members} members, each of which is one sample; "
                f"ask for {members} or leave it out"
            )
        return state

    return Ensemble(init, sample, bind_parameters)
