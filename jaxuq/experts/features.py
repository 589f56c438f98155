"""Gradient features of a data set: one row of unit length an example, streamed to disk and resumable."""

import functools
import pathlib
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._entries import function_of, label_of
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.experts._feature_file import FeatureFile, fingerprint
from jaxuq.experts._feature_shards import compute_in_shards
from jaxuq.experts.gradients import REDUCTIONS, TOKENS, Choosing, Reduction, example_gradients, gradient_tokens
from jaxuq.experts.preconditioning import CONVENTIONS, AdapterCheckpoint, Convention, precondition
from jaxuq.experts.projection import PROJECTIONS, Projection, project
from jaxuq.language import (
    Instruction,
    LanguageModel,
    PromptError,
    Rejected,
    TokenBatch,
    init_adapters,
    make_batch,
    plan_batches,
)
from jaxuq.networks import Decoder, Model, capability
from jaxuq.networks.sharding import place_params
from jaxuq.parallel import divide_rows, on_every_device, on_host, process_folder, row_axes, row_parts


class GradientFeatures(NamedTuple):
    """Features of the examples that have any.

    Attributes:
        features: of unit length, float32; a memory-mapped file where a folder was given. Zero where `zero`.
        kept: the examples' numbers in the data, in rising order.
        dropped: examples without a row: that could not be read, or had no token left.
        zero: rows whose gradient is zero or not finite at every checkpoint: they have no direction.
    """

    features: Float[np.ndarray, "kept dimension"]
    kept: Int[np.ndarray, " kept"]
    dropped: tuple[Rejected, ...]
    zero: Bool[np.ndarray, " kept"]


@typed()
def gradient_features(
    model: LanguageModel,
    checkpoints: Sequence[AdapterCheckpoint],
    instructions: Sequence[Any],
    *,
    rng_key: Key[Array, ""],
    dimension: int = 8192,
    kind: str | Projection = "rademacher",
    batch_size: int = 16,
    tokens: str | Choosing = "instruction",
    max_length: int | None = None,
    preconditioned: bool = True,
    convention: str | Convention = "elrea",
    reduction: str | Reduction = "mean",
    folder: str | pathlib.Path | None = None,
    shards: int = 1,
    mesh: jax.sharding.Mesh | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> GradientFeatures:
    r"""The direction in which each example would move the adapters.

    $$\delta(x) = \frac{\delta'(x)}{\lVert \delta'(x) \rVert}, \qquad
      \delta'(x) = \frac1E \sum_e R\, \Gamma^{(e)}(x)$$

    with the preconditioned gradients $\Gamma^{(e)}$ of the checkpoints and one projection $R$ for all: since it is
    linear, the mean over checkpoints is projected once. ELREA takes instruction tokens, so that features of questions
    need no answers; LESS takes response tokens, and `preconditioned=False` for validation data.

    Args:
        model: whose decoder has a `lora` configuration, such as one that `finetune` returned; its own adapters are not
            read. Or a `Model` of yours that trains a part of its parameters (`join`), with the others as `params`.
        checkpoints: of its adapters, from `load_adapter_checkpoints`; of your model, records with the trained part as
            `lora`.
        instructions: an `InstructionFile`, or any sequence of `Instruction`s; an example that cannot be read, or has no
            token that counts, is dropped and named.
        rng_key: for the projection: features can be compared when key, kind and dimension are the same.
        dimension: of the features.
        kind: of the projection, see `project`.
        batch_size: rows of a backward pass; making the projection's matrix takes the same time for any number of rows.
        tokens: `"instruction"`, `"response"` or `"all"`, see `gradient_tokens`.
        max_length: tokens after which an example is cut; None: the model's context.
        preconditioned: whether gradients go through `precondition`; False: plain gradients.
        convention: see `precondition`.
        reduction: see `example_gradients`.
        folder: where to write `features.npy` as it comes; called again with the same arguments after an interruption,
            it goes on and ends with the same numbers. None: held in memory.
        shards: parts of the work, each a file of its own in the folder until all are there. Any number of processes
            that see the folder may make the same call at one time, on devices of their own: each takes parts that no
            other has, and of one that dies another goes on. All of them get the whole.
        mesh: devices with an axis `data`, over which the rows of a batch are divided, and the model's parameters as
            `PARTITION_RULES` say unless they lie on that mesh already. None: one device.
        on_progress: `on_progress(done, total)`, in examples, after each batch.

    Returns:
        `GradientFeatures`. Held on the device: a batch's activations, its gradients (twice `batch_size` times the
        adapters' size), a block of the projection. On the host: 8 bytes an example, and what no folder takes.

    Raises:
        ValueError: an option is not among its choices; shards without a folder, or a folder and a mesh over several
            processes; no checkpoints; a checkpoint without optimiser state, or that
            does not fit the model.
        CapabilityError: the decoder has no adapters, your model trains no part.
        PromptError: no example can be used.
        OSError: the disk is full or refuses; what was written serves to go on.
        CheckpointError: the folder holds features of other data, checkpoints or options.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from jaxuq.networks import DecoderConfig, LoraConfig
        >>> decoder = Decoder(DecoderConfig(9, 8, 8, 1, 1, 1, 8), lora=LoraConfig(rank=2))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
        >>> model = LanguageModel(decoder, variables["params"], tokenizer=None, name="tiny")
        >>> moments = jax.tree.map(jnp.ones_like, variables["lora"])
        >>> checkpoint = AdapterCheckpoint(variables["lora"], moments, moments, count=3, learning_rate=1e-4)
        >>> examples = [Instruction(np.array([1, n, 3]), np.array([False, False, True])) for n in range(3)]
        >>> found = gradient_features(model, [checkpoint], examples, rng_key=jax.random.key(1), dimension=64)
        >>> found.features.shape, found.kept
        ((3, 64), array([0, 1, 2]))

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, Eqs 5.5-5.7.
        M. Xia et al. LESS: selecting influential data for targeted instruction tuning. ICML 2024, section 4.1.
    """
    rows = _check(
        model, checkpoints, mesh, batch_size,
        (PROJECTIONS, kind), (TOKENS, tokens), (CONVENTIONS, convention), (REDUCTIONS, reduction),
    )  # fmt: skip
    context = model.functions.max_positions
    if check_count("shards", shards) > 1 and folder is None:
        raise OptionError(f"{shards} shards need a folder, where all processes find them")
    if folder is not None and mesh is not None and mesh.is_multi_process:
        folder = process_folder(folder)
    data = _Cut(instructions, tokens, min(max_length or context, context))
    lengths, dropped, content = _survey(data)
    kept = np.flatnonzero(lengths)
    place = np.cumsum(lengths > 0) - 1
    plans = plan_batches(lengths, batch_size=rows, max_length=int(lengths.max()), seed=0, packed=False)
    compute = functools.partial(
        batch_features, decoder=model.decoder, dimension=dimension, kind=kind, preconditioned=preconditioned,
        convention=convention, reduction=reduction,
    )  # fmt: skip
    settings = {
        "dimension": dimension, "kind": label_of(kind), "tokens": label_of(tokens), "preconditioned": preconditioned,
        "convention": label_of(convention), "reduction": label_of(reduction), "rows": rows, "data": content,
    }  # fmt: skip
    record = {} if folder is None else fingerprint(settings, rng_key, (checkpoints, model.params))
    arrays = (place_params(model.params, mesh), *on_every_device((tuple(checkpoints), rng_key), mesh))
    batches = [place[[row[0] for row in plan.rows]] for plan in plans]
    told = lambda done: None if on_progress is None else on_progress(done, len(kept))  # noqa: E731

    def features_of(number: int) -> Float[np.ndarray, "batch dimension"]:
        batch = make_batch(data, plans[number], batch_size=rows)
        return on_host(compute(*arrays, divide_rows(batch, mesh)))[: len(batches[number])]

    shape = len(kept), dimension
    if folder is not None and shards > 1:
        where = pathlib.Path(folder).expanduser()
        features = compute_in_shards(where, shards, shape, batches, record, features_of, told)
    else:
        file, done = FeatureFile(folder, shape, len(plans), record), np.cumsum([len(batch) for batch in batches])
        for number in range(file.batches_done, len(plans)):
            file.write(batches[number], features_of(number))
            told(int(done[number]))
        features = file.finished()
    zero = np.array([not np.any(features[row]) for row in range(len(kept))], bool)
    return GradientFeatures(features, kept, dropped, zero)


class _Cut(Sequence):
    """The examples with the tokens whose losses count."""

    def __init__(self, data: Sequence[Any], tokens: str | Choosing, max_length: int):
        self._data, self._tokens, self._max_length = data, tokens, max_length

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, row: int) -> Instruction:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient_tokens(self._data[row], self._tokens, max_length=self._max_length)


def _survey(data: _Cut) -> tuple[Int[np.ndarray, " examples"], tuple[Rejected, ...], int]:
    """Lengths, 0 where there is nothing to compute, and why; a checksum of all that is computed."""
    lengths, dropped, content = np.zeros(len(data), np.int32), [], 0
    for row in range(len(data)):
        try:
            example = data[row]
            lengths[row] = len(example.tokens)
            content = zlib.crc32(example.tokens.tobytes() + example.response.tobytes(), content)
            if not lengths[row]:
                raise PromptError(f"example {row} has no token left whose loss could be computed")
        except PromptError as error:
            dropped.append(Rejected(row, str(error)))
    if not lengths.any():
        reason = dropped[0].reason if dropped else "there are none"
        raise PromptError(f"none of the {len(data)} examples can be used; first: {reason}")
    return lengths, tuple(dropped), content


def _check(
    model: LanguageModel,
    checkpoints: Sequence[AdapterCheckpoint],
    mesh: jax.sharding.Mesh | None,
    batch_size: int,
    *choices: tuple[Any, Any],
) -> int:
    """Rows of a batch: a multiple of the devices."""
    for table, given in choices:
        function_of(table, given)
    if not checkpoints:
        raise OptionError("there are no checkpoints: gradients are taken at the adapters of at least one")
    capability(model.decoder, "join")
    expected, whose = _expected(model, checkpoints[0])
    for number, checkpoint in enumerate(checkpoints):
        shapes = jax.tree.map(jnp.shape, checkpoint.lora)
        if shapes != expected:
            raise OptionError(
                f"checkpoint {number} has adapters of the shapes {shapes}; {whose} have {expected}: give the model "
                "that the checkpoints were trained on"
            )
    check_count("batch_size", batch_size)
    if mesh is not None:
        row_axes(mesh)
    return -(-batch_size // row_parts(mesh)) * row_parts(mesh)


def _expected(model: LanguageModel, first: AdapterCheckpoint) -> tuple[PyTree, str]:
    """Shapes that all checkpoints have, and whose they are; what a model of one's own trains, it alone knows."""
    decoder = model.decoder
    if not isinstance(decoder, Decoder):
        return jax.tree.map(jnp.shape, first.lora), "those of checkpoint 0"
    adapters = jax.eval_shape(lambda params: init_adapters(jax.random.key(0), decoder, params), model.params)
    return jax.tree.map(jnp.shape, adapters), f"those of the model {model.name} with {decoder.lora}"


@functools.partial(
    jax.jit, static_argnames=("decoder", "dimension", "kind", "preconditioned", "convention", "reduction")
)
def batch_features(
    params: PyTree,
    checkpoints: tuple[AdapterCheckpoint, ...],
    rng_key: Key[Array, ""],
    batch: TokenBatch,
    *,
    decoder: Decoder | Model,
    dimension: int,
    kind: str | Projection,
    preconditioned: bool,
    convention: str | Convention,
    reduction: str | Reduction,
) -> Float[Array, "rows dimension"]:
    """The program of `gradient_features`: features of one batch."""
    total, size = None, jnp.zeros(batch.tokens.shape[0], jnp.float32)
    for checkpoint in checkpoints:
        gradients = example_gradients(decoder, params, checkpoint.lora, batch, reduction=reduction)
        size = size + sum(_squares(leaf) for leaf in jax.tree.leaves(gradients))
        if preconditioned:
            gradients = precondition(gradients, checkpoint, convention=convention)
        total = gradients if total is None else jax.tree.map(jnp.add, total, gradients)
    projected = project(rng_key, total, dimension=dimension, kind=kind)
    norm = jnp.sqrt(_squares(projected))
    usable = (size > 0) & jnp.isfinite(size) & (norm > 0) & jnp.isfinite(norm)
    norm = jnp.broadcast_to(jnp.where(usable, norm, 1.0)[:, None], projected.shape)
    return jnp.where(jnp.broadcast_to(usable[:, None], projected.shape), projected / norm, 0.0)


def _squares(leaf: Array) -> Float[Array, " rows"]:
    return jnp.sum(leaf.reshape(leaf.shape[0], -1) ** 2, axis=1)
