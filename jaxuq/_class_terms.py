"""What losses of a class want to know about a softmax, without an array of all classes beside logits and gradient.

A vocabulary is large: a one-hot array, or one of probabilities, is as large as the logits. So everything is a number an
entry, read off the logits in one pass, with its slope given.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxuq._arrays import as_float, class_numbers, counted, select, undefined_unless, within_classes
from jaxuq._meshes import vary_like


def class_terms(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *wanted: str,
    where: Bool[Array, "*batch"] | None = None,
) -> tuple[Float[Array, "*batch"], ...]:
    r"""The log probability of each label, $\log p_y$, and more about the softmax $p$ where it is wanted, nats.

    | wanted | is |
    |---|---|
    | `"others"` | $\sum_{k \ne y} \log p_k$ |
    | `"rest"` | $\log (1 - p_y)$, exact where $p_y$ rounds to 1 |
    | `"highest"` | $\max_k \log p_k$; those that share it share its slope |
    | `"entropy"` | $-\sum_k p_k \log p_k$ with $0 \log 0 = 0$ |

    In at least single precision; limits where logits are infinite; all NaN for a label that is no class; 0, with
    gradient 0, where `where` is False.

    Returns:
        $\log p_y$, then what is wanted in its order.
    """
    known = counted(where, labels)
    terms = _terms(wanted, logits, class_numbers(labels, logits.shape[-1]), known)
    defined = within_classes(labels, logits.shape[-1]) | ~known
    return tuple(undefined_unless(defined, terms[name]) for name in ("own", *wanted))


def log_probability_of(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""$z_y - \log \sum_k e^{z_k}$ of each label under a softmax; see `class_terms`."""
    return class_terms(logits, labels, where=where)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
@functools.partial(jax.jit, static_argnums=0)
def _terms(wanted: tuple[str, ...], logits: Array, classes: Array, known: Array) -> dict[str, Array]:
    top, moved = shifted(logits)
    weights = jnp.exp(moved)
    most, impossible = largest(moved), jnp.full_like(moved, -jnp.inf)
    not_own = _numbers(logits) != classes[..., None]
    summed = {"total": weights}
    if "others" in wanted:
        summed["others"] = _only(not_own, jnp.where(moved > -most, moved, impossible))
    if "rest" in wanted:
        summed["rest"] = _only(not_own, weights)
    if "highest" in wanted:
        summed["leaders"] = (moved >= 0).astype(moved.dtype)
    if "entropy" in wanted:
        summed["entropy"] = weights * moved
    sums = dict(zip(summed, sum_together(*summed.values())))
    log_total = jnp.log(sums["total"])
    own = as_float(jnp.take_along_axis(logits, classes[..., None], axis=-1)[..., 0])
    never = (top == most) & (own < top)
    own = jnp.where(never, jnp.full_like(own, -jnp.inf), jnp.minimum(own, most) - top)
    found = {"own": own - log_total}
    if "others" in wanted:
        found["others"] = sums["others"] - (logits.shape[-1] - 1) * log_total
    if "rest" in wanted:
        found["rest"] = jnp.log(sums["rest"]) - log_total
    if "highest" in wanted:
        found |= {"highest": 0.0 - log_total, "leaders": sums["leaders"]}
    if "entropy" in wanted:
        found["entropy"] = log_total - sums["entropy"] / sums["total"]
    return {name: select(term, known) for name, term in found.items()}


@_terms.defjvp
def _terms_jvp(
    wanted: tuple[str, ...], primals: tuple[Array, ...], tangents: tuple[Any, ...]
) -> tuple[dict[str, Array], dict[str, Array]]:
    logits, classes, known = primals
    terms = _terms(wanted, *primals)
    _, moved = shifted(logits)
    log_p = moved - jnp.log(jnp.sum(jnp.exp(moved), axis=-1))[..., None]
    p = jnp.exp(log_p)
    own = (_numbers(logits) == classes[..., None]).astype(p.dtype)  # a comparison in the place of a one-hot array
    slopes = {"own": own - p}
    if "others" in wanted:
        slopes["others"] = (1 - own) - (logits.shape[-1] - 1) * p
    if "rest" in wanted:
        rest = jnp.where(terms["rest"] > -jnp.inf, terms["rest"], jnp.zeros_like(terms["rest"]))
        slopes["rest"] = (1 - own) * jnp.exp(log_p - rest[..., None]) - p
    if "highest" in wanted:
        count = jnp.where(known, terms["leaders"], jnp.ones_like(terms["leaders"]))
        slopes["highest"] = (moved >= 0).astype(p.dtype) / count[..., None] - p
        slopes["leaders"] = jnp.zeros_like(p)
    if "entropy" in wanted:
        slopes["entropy"] = -p * (log_p + terms["entropy"][..., None])
    tangent = tangents[0].astype(p.dtype)
    return terms, {name: jnp.sum(select(slope, known) * tangent, axis=-1) for name, slope in slopes.items()}


def shifted(logits: Array) -> tuple[Array, Array]:
    r"""The largest logit, and all of them less it.

    Infinities are the largest numbers there are, whose differences underflow as they should: no comparison is needed,
    which compilers do not fuse into a sum everywhere. NaN if all are $-\infty$ or one is NaN.
    """
    values = as_float(logits)
    most = largest(values)
    top = jax.lax.stop_gradient(jnp.minimum(jnp.max(values, axis=-1), most))
    return top, jnp.maximum(jnp.minimum(values, most) - top[..., None], -most)


def largest(values: Array) -> Array:
    """The largest finite number of the type of `values`, in the place of infinity where differences are taken."""
    return jnp.asarray(jnp.finfo(values.dtype).max, values.dtype)


def sum_together(*arrays: Array) -> list[Array]:
    """The sums over the last axis in one pass, so that what is summed is held nowhere; not to be differentiated."""
    zeros = tuple(vary_like(jnp.zeros((), array.dtype), array) for array in arrays)
    return list(jax.lax.reduce(arrays, zeros, _add, (arrays[0].ndim - 1,)))


def _add(these: tuple[Array, ...], those: tuple[Array, ...]) -> tuple[Array, ...]:
    return tuple(map(jnp.add, these, those))


def _only(kept: Array, values: Array) -> Array:
    return jnp.where(kept, values, jnp.zeros_like(values))


def _numbers(logits: Array) -> Array:
    return jnp.arange(logits.shape[-1], dtype=jnp.int32).reshape((1,) * (logits.ndim - 1) + (-1,))
