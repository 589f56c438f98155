"""Samples that are not simply parameters: what changes from one to the next, what does not, and how both are read."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from jaxuq.posterior._model import ApplyFn, Params, freeze, thaw

Reader = Callable[[ApplyFn, Params], ApplyFn]


@functools.partial(jax.tree_util.register_dataclass, data_fields=("varying", "fixed"), meta_fields=("reader",))
class Draws:
    """Samples with a part that they share.

    `predict` and `predict_forecast` read them as they read parameters with a leading sample axis, so what they are made
    of matters only to who looks inside: the parameters of a part and the rest of the tree (`on_part`), dropout keys and
    the parameters (`mc_dropout`), parameters and the point about which the model is linearised (`laplace`).

    Attributes:
        varying: a pytree with a leading sample axis on every array (or further `Draws`).
        fixed: a pytree without.
        reader: `reader(apply_fn, fixed) -> apply_fn` of one entry of `varying`; a function of a module, since it
            belongs to the tree's structure.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.posterior import predict
        >>> def shifted(apply_fn, centre):
        ...     return lambda change, inputs: apply_fn(centre + change, inputs)
        >>> draws = Draws(jnp.array([-1.0, 1.0]), jnp.array(3.0), shifted)
        >>> predict(lambda slope, x: slope * x, draws, jnp.arange(2.0))
        Array([[0., 2.],
               [0., 4.]], dtype=float32)
    """

    varying: Any
    fixed: Any
    reader: Reader

    def __init__(self, varying: Any, fixed: Any, reader: Reader):
        self.varying, self.fixed, self.reader = varying, fixed, reader

    def __repr__(self) -> str:
        return f"Draws(varying={self.varying!r}, fixed={self.fixed!r}, reader={self.reader.__name__})"


def split_samples(samples: Any) -> tuple[Any, Callable[[ApplyFn], ApplyFn]]:
    """The arrays with a sample axis, and what makes a model one of their entries."""
    if not isinstance(samples, Draws):
        return freeze(samples), lambda apply_fn: lambda one, inputs: apply_fn(thaw(one), inputs)
    varying, inner = split_samples(samples.varying)
    return varying, lambda apply_fn: inner(samples.reader(apply_fn, thaw(samples.fixed)))
