"""How many multiplications and additions a function does in its matrix products, loops multiplied out."""

import math
from collections.abc import Callable
from typing import Any

import jax

from jaxuq._arguments import typed

_NESTED = ("jaxpr", "call_jaxpr", "fun_jaxpr", "body_jaxpr")


@typed()
def count_flops(function: Callable[..., Any], *args: Any, **kwargs: Any) -> int:
    r"""Operations of all matrix products of a function: $2 b m n k$ for each.

    What else is done, such as norms and softmax, is a few parts in a thousand of a language model and is not counted;
    `Compiled.cost_analysis` counts that, but a loop's body once. Of the branches of a condition the costliest counts,
    of a `while` loop one turn.

    Args:
        function: of arrays, jitted or not.
        *args: arrays or their shapes; nothing is computed.
        **kwargs: the same.

    Returns:
        The number, of all devices together.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jax.ShapeDtypeStruct((8, 8), jnp.float32)
        >>> count_flops(lambda x: jax.lax.fori_loop(0, 3, lambda _, y: y @ x, x), x)
        3072
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*args, **kwargs).jaxpr)


def _of_jaxpr(jaxpr: Any) -> int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
    if name == "cond":
        return max(_of_jaxpr(_opened(branch)) for branch in params["branches"])
    nested = sum(_of_jaxpr(_opened(params[key])) for key in _NESTED if params.get(key) is not None)
    return nested * params["length"] if name == "scan" else nested


def _opened(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)
