"""Predicting with parameter samples of any origin: every sample's outputs, or the forecast alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree, Shaped

from jaxuq._errors import ArrayError
from jaxuq._meshes import join_rows, row_parts, split_rows
from jaxuq._options import check_count
from jaxuq.posterior._model import ApplyFn, Samples
from jaxuq.posterior.draws import split_samples
from jaxuq.posterior.likelihood import Likelihood
from jaxuq.posterior.likelihoods import likelihood_of
from jaxuq.posterior.moments import merge, reduce


def predict(
    apply_fn: ApplyFn,
    samples: Samples,
    inputs: PyTree[Shaped[Array, "n ..."]],
    *,
    batch_size: int | None = None,
    sample_chunk: int | None = None,
) -> Shaped[Array, "samples n ..."]:
    r"""The outputs of every parameter sample for every input: $f(x_i; \theta_s)$.

    Use it to look at single samples. It holds `samples * n * outputs` numbers; `predict_forecast` gives the summary of
    the same outputs without that array.

    Args:
        apply_fn: the model, `apply_fn(params, inputs) -> outputs` with the axis of examples first.
        samples: what `method.sample` returns, or any parameters with a leading sample axis on every array.
        inputs: any pytree of arrays whose leading axis is the examples.
        batch_size: how many inputs go through the network at once; None for all. Rows that a mesh divides stay where
            they are: a batch takes equal numbers from every device, at least one. The last batch overlaps the one
            before it where `n` is not a multiple, so that no row is made up; examples must not influence each other.
        sample_chunk: how many samples run side by side (`vmap`); None for all, 1 for one after another (`lax.map`),
            which holds the activations of one sample at a time.

    Returns:
        Outputs `[samples, n, ...]`, in the dtype of the model.

    Raises:
        ValueError: when the leaves disagree on the number of samples or inputs, or a size is smaller than 1.

    Example:
        >>> import jax.numpy as jnp
        >>> slopes = jnp.array([1.0, 2.0])
        >>> predict(lambda slope, x: slope * x, slopes, jnp.arange(3.0), batch_size=2)
        Array([[0., 1., 2.],
               [0., 2., 4.]], dtype=float32)
    """
    samples, read = split_samples(samples)
    apply = read(apply_fn)
    num_samples = _leading(samples, "samples")
    chunk = _size(sample_chunk, num_samples, "sample_chunk")

    def one_batch(batch):
        if chunk == num_samples or not _leading(batch, "inputs"):  # a map in parts cannot give nothing
            return jax.vmap(apply, in_axes=(0, None), out_axes=1)(samples, batch)
        outputs = jax.lax.map(lambda sample: apply(sample, batch), samples, batch_size=chunk if chunk > 1 else None)
        return jnp.moveaxis(outputs, 0, 1)

    return jnp.moveaxis(_in_batches(one_batch, inputs, batch_size), 1, 0)


def predict_forecast(
    apply_fn: ApplyFn,
    samples: Samples,
    inputs: PyTree[Shaped[Array, "n ..."]],
    likelihood: str | Likelihood,
    *,
    batch_size: int | None = None,
    sample_chunk: int = 1,
) -> Any:
    r"""The forecast of `summarise(predict(...))` with running moments in place of the sample axis.

    One batch of inputs at a time, all samples pass over it, and their means, squared deviations, log mean
    probabilities and entropies are merged pairwise (Welford's update for one sample at a time). Working memory is
    `sample_chunk * batch_size` activations and a few numbers per example, whatever the number of samples.

    Args:
        apply_fn: the model; see `predict`.
        samples: what `method.sample` returns; see `predict`.
        inputs: any pytree of arrays whose leading axis is the examples.
        likelihood: how outputs are read, a name or a record; see `summarise`.
        batch_size: how many inputs go through the network at once; None for all.
        sample_chunk: how many samples run side by side; larger is faster on an accelerator and holds as many
            activations.

    Returns:
        The forecast of `n` examples; equal to `summarise(predict(...), likelihood)` up to rounding.

    Raises:
        ValueError: as `predict` and `summarise` do.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.array([4.0, -4.0])  # two samples of a model with a single parameter
        >>> model = lambda logit, x: logit * x[:, None]
        >>> predict_forecast(model, logits, jnp.array([0.0, 1.0]), "bernoulli").epistemic[:, 0]  # x = 0: agreement
        Array([0. ..., 0.6030...], dtype=float32)

    References:
        Chan, Golub, LeVeque. Updating formulae and a pairwise algorithm for computing sample variances. COMPSTAT 1982,
        Eq. 2.1.
    """
    samples, read = split_samples(samples)
    apply = read(apply_fn)
    num_samples = _leading(samples, "samples")
    chunk = _size(sample_chunk, num_samples, "sample_chunk")
    chunks = num_samples // chunk
    likelihood = likelihood_of(likelihood)

    def one_batch(batch):
        def of_chunk(number, size=chunk):
            # Slices of the samples as they are: giving them a chunk axis first would copy all of them.
            some = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, number * chunk, size), samples)
            return reduce(likelihood.moments(jax.vmap(apply, in_axes=(0, None))(some, batch)))

        def step(number, running):
            return merge(running, of_chunk(number))

        running = jax.lax.fori_loop(1, chunks, step, of_chunk(0)) if chunks > 1 else of_chunk(0)
        if chunks * chunk < num_samples:
            running = merge(running, of_chunk(chunks, num_samples - chunks * chunk))
        return likelihood.predictive(running.moments)

    return _in_batches(one_batch, inputs, batch_size)


def _in_batches(function: Callable, inputs: PyTree, batch_size: int | None) -> PyTree:
    """Apply a function of a batch, example axis first in and out, to all inputs, `batch_size` rows at a time.

    Where devices share the rows, a batch takes as many from each: no row leaves its device.
    """
    n = _leading(inputs, "inputs")
    size = _size(batch_size, n, "batch_size")
    if size >= n:
        return function(inputs)
    parts = row_parts(inputs, size)
    rows, size = n // parts, max(size // parts, 1)
    inputs = jax.tree.map(lambda leaf: split_rows(leaf, parts), inputs)
    starts = jnp.minimum(jnp.arange(0, rows, size), rows - size)

    def one(start: Int[Array, ""]) -> PyTree:
        batch = jax.tree.map(
            lambda leaf: join_rows(jax.lax.dynamic_slice_in_dim(leaf, start, size, axis=1)),
            inputs,
        )
        return jax.tree.map(lambda leaf: split_rows(leaf, parts), function(batch))

    outputs = jax.lax.map(one, starts)

    def join(leaf: Float[Array, "batches parts size ..."]) -> Float[Array, "n ..."]:
        flat = join_rows(jnp.moveaxis(leaf, 1, 0), axis=1)
        last = flat.shape[1] - size
        overlap = flat.shape[1] - rows
        return join_rows(jnp.concatenate([flat[:, :last], flat[:, last + overlap :]], axis=1) if overlap else flat)

    return jax.tree.map(join, outputs)


def _leading(tree: PyTree, name: str) -> int:
    shapes = [leaf.shape for leaf in jax.tree.leaves(tree)]
    if not shapes or any(not shape or shape[0] != shapes[0][0] for shape in shapes):
        raise ArrayError(f"{name} have leaves of shapes {shapes[:8]}; every leaf must have the same leading axis")
    return shapes[0][0]


def _size(size: int | None, total: int, name: str) -> int:
    return total if size is None else min(check_count(name, size), max(total, 1))
