"""Random projections of gradients to a few thousand numbers, from a key; the matrix is never held."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, widest
from jaxuq._entries import Entries, function_of
from jaxuq._errors import ArrayError, OptionError
from jaxuq._meshes import divided_like, whole
from jaxuq._options import check_count
from jaxuq.experts._dense_projection import gaussian, rademacher
from jaxuq.experts._rademacher_kernel import rademacher_kernel
from jaxuq.experts._structured_projection import hadamard, sparse
from jaxuq.experts._words import seed_words

Projection = Callable[..., Float[Array, "examples dimension"]]
"""`projection(seeds, x, start=, dimension=)`: products of rows with columns `start, start + 1, ...` of a matrix that
follows from two 32-bit words, unscaled."""

PROJECTIONS: Entries[Projection] = Entries(
    "projection",
    "jaxuq.projections",
    {
        "rademacher": rademacher,
        "gaussian": gaussian,
        "sparse": sparse,
        "hadamard": hadamard,
        "rademacher-pallas": rademacher_kernel,
    },
)
"""Projections by name; the last is the first as one Pallas kernel, never measured on an accelerator.
Put yours in, or declare an entry point of the group `jaxuq.projections`."""


@typed()
def project(
    rng_key: Key[Array, ""],
    gradients: PyTree[Float[Array, "..."]],
    *,
    dimension: int = 8192,
    kind: str | Projection = "rademacher",
    scaled: bool = True,
) -> Float[Array, "examples dimension"]:
    r"""Project each example's numbers to `dimension` numbers that keep lengths, distances and inner products.

    $g' = R g / \sqrt d$ with a random $R$ of `dimension` rows, for which $\langle g_1', g_2' \rangle$ is
    $\langle g_1, g_2 \rangle$ in expectation, and off by $\lVert g_1 \rVert \lVert g_2 \rVert / \sqrt d$ or so. Kinds:

    - `rademacher`: independent signs; `rademacher-pallas`: the same ones, in one kernel;
    - `gaussian`: independent standard normal numbers;
    - `sparse`: 8 signs a column, scaled; cost grows with 8 instead of `dimension`;
    - `hadamard`: blocks of $2 d$ coordinates or more get random signs and a fast Hadamard transform, of which
      `dimension` outputs in random order are added up; the fastest.

    Every column follows from the key and from the column's number alone: the leaves of a tree are projected one after
    another, and give the same as all their numbers in one row. The same key, kind and dimension give the same
    projection. It is linear: a mean can be taken before or after.

    Args:
        rng_key: for the matrix.
        gradients: an array, or a tree of arrays, whose first axis is that of examples; the others are flattened.
            Fewer than 2**32 numbers an example.
        dimension: of the result.
        kind: a name in `PROJECTIONS`, or a `Projection` of yours.
        scaled: False leaves out the factor $1 / \sqrt d$, as LESS and Eq 5.6 of ELREA do.

    Returns:
        Float32. Beside a copy of one leaf, holds a block of the matrix, which has no more than 2**20 entries (or four
        `dimension`), however many parameters there are.

    Raises:
        ValueError: unknown kind, a dimension below 1, no arrays, leaves with different numbers of examples.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x = jax.random.normal(jax.random.key(0), (2, 1000))
        >>> y = project(jax.random.key(1), x, dimension=4096)
        >>> bool(jnp.abs(jnp.linalg.norm(y, axis=1) / jnp.linalg.norm(x, axis=1) - 1).max() < 0.05)
        True

    References:
        D. Achlioptas. Database-friendly random projections. JCSS 66, 2003 (signs).
        D. M. Kane, J. Nelson. Sparser Johnson-Lindenstrauss transforms. JACM 61, 2014 (sparse, block construction).
        N. Ailon, B. Chazelle. The fast Johnson-Lindenstrauss transform. SIAM J. Comput. 39, 2009.
        O. Balabanov et al. Block subsampled randomized Hadamard transform for Nystrom approximation on distributed
        architectures. ICML 2023.
        M. Xia et al. LESS: selecting influential data for targeted instruction tuning. ICML 2024, section 4.1.
    """
    projection = function_of(PROJECTIONS, kind)
    check_count("dimension", dimension)
    leaves = jax.tree.leaves(gradients)
    if len({leaf.shape[:1] for leaf in leaves}) != 1 or not leaves[0].ndim:
        shapes = [leaf.shape for leaf in leaves]
        raise OptionError(f"gradients have the shapes {shapes}; expected arrays with one first axis of examples")
    size = sum(math.prod(leaf.shape[1:]) for leaf in leaves)
    if size >= 2**32:
        raise OptionError(f"an example has {size} numbers; at most 2**32 - 1 can be told apart")
    seeds = seed_words(rng_key)
    total, start = jnp.zeros((leaves[0].shape[0], dimension), widest(*leaves)), 0
    for leaf in leaves:
        flat = as_float(leaf, *leaves).reshape(leaf.shape[0], math.prod(leaf.shape[1:]))
        if flat.shape[1]:
            project_part = partial(projection, start=start, dimension=dimension)
            part = divided_like(project_part, whole(flat, 1), seeds, flat)
            if part.shape != total.shape:
                raise ArrayError(f"the projection gives {part.shape} where {total.shape} is expected")
            total = total + part
        start += flat.shape[1]
    return total * dimension**-0.5 if scaled else total
