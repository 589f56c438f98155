"""Fine-tuning on instructions: the host's loop around `finetune_step`, with checkpoints, progress and exact resume."""

import collections
import contextlib
import dataclasses
import functools
import math
import pathlib
import time
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._keys import named_key
from jaxuq.language.adapters import init_adapters
from jaxuq.language.batches import BatchPlan, Survey, TokenBatch, make_batch, plan_batches, survey_examples
from jaxuq.language.digest import model_digest
from jaxuq.language.errors import CheckpointError, PromptError
from jaxuq.language.instructions import Rejected
from jaxuq.language.model import LanguageModel
from jaxuq.language.tuning import (
    FinetuneConfig,
    FinetuneState,
    PairLoss,
    ScheduledLoss,
    StepReport,
    TokenLoss,
    cross_entropy,
    finetune_step,
    init_finetuning,
    learning_rate_schedule,
    make_optimizer,
    response_loss,
)
from jaxuq.networks import Decoder, Model, QuantizedKernel, as_model, capability
from jaxuq.networks.model import check_decoder
from jaxuq.networks.sharding import place_params
from jaxuq.parallel import divide_rows, on_host, row_axes, row_parts
from jaxuq.study import write_json
from jaxuq.training import claim_checkpoints, load_checkpoint, start_checkpoint

_PATIENCE = 3  # steps in a row without a finite loss
_AHEAD = 2  # batches prepared while the device works


class FinetuneHistory(NamedTuple):
    """What happened in each step; NaN where none was.

    Attributes:
        loss: mean over the learnt tokens, before the step.
        tokens: learnt.
        gradient_norm: before it is cut.
    """

    loss: Float[np.ndarray, " steps"]
    tokens: Float[np.ndarray, " steps"]
    gradient_norm: Float[np.ndarray, " steps"]


class FinetuneProgress(NamedTuple):
    """What is known after a step.

    Attributes:
        step: done.
        num_steps: in all.
        epoch: the one that the step belongs to, from 1.
        num_epochs: in all.
        loss: of the step.
        tokens_per_second: tokens computed (prompts included, padding not) since this call began, compilation excluded.
        seconds: since this call began.
    """

    step: int
    num_steps: int
    epoch: int
    num_epochs: int
    loss: float
    tokens_per_second: float
    seconds: float


class Finetuned(NamedTuple):
    """What `finetune` returns.

    Attributes:
        model: the model with what was learnt.
        history: of all steps, those of an earlier, interrupted call included.
        state: after the last step.
        survey: of the data: lengths, and which examples were rejected and why.
        skipped: steps whose loss or gradient was not finite, and which changed nothing.
    """

    model: LanguageModel
    history: FinetuneHistory
    state: FinetuneState
    survey: Survey
    skipped: int

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """Examples that could not be used."""
        return self.survey.rejected


@typed()
def finetune(
    rng_key: Key[Array, ""],
    model: LanguageModel,
    data: Sequence[Any],
    config: FinetuneConfig | None = None,
    *,
    token_loss: TokenLoss | ScheduledLoss | PairLoss = cross_entropy,
    mesh: jax.sharding.Mesh | None = None,
    checkpoint: str | pathlib.Path | None = None,
    checkpoint_steps: int | None = None,
    on_progress: Callable[[FinetuneProgress], None] | None = None,
) -> Finetuned:
    r"""Tune a model's adapters, or all its parameters, on the responses of instructions.

    Minimises the mean of $-\log p(y_t \mid y_{<t})$ over response tokens, see `response_loss` and `finetune_step`.
    A model that has adapters already goes on from them; else new ones are made. Of a `Model` of functions all
    parameters are tuned, or the part that it `join`s, given as the model's `lora`: `FinetuneConfig(adapters=None)`.

    Order of the data, new adapters and dropout follow from `rng_key` alone, each step's from its number: called again
    with the same arguments after an interruption, it goes on from the last checkpoint and ends with the very numbers of
    an uninterrupted run.

    Args:
        rng_key: for new adapters, order of the data, dropout.
        model: to be tuned; its own arrays are not changed.
        data: an `InstructionFile`, or any sequence of `Instruction`s; bad examples are left out and reported.
        config: how; None: the defaults.
        token_loss: see `response_loss`; or a `ScheduledLoss`, which changes from step to step. With a `PairLoss`
            examples 2i and 2i + 1 of the data are a pair, both of which are left out if one is bad; the sizes of
            batches count pairs, and so does `history.tokens`.
        mesh: devices with an axis `data`, over which the rows of a batch are divided, and, unless they lie on this mesh
            already, parameters and the optimiser's moments as `PARTITION_RULES` say. None: one device.
        checkpoint: a folder. `latest` in it serves to resume; `epoch-1`, `epoch-2`, ... keep the `FinetuneState` after
            each epoch (`load_checkpoint(folder / "epoch-1", like=state)`, or all with
            `jaxuq.experts.load_adapter_checkpoints`), `schedule.json` its mean learning rate. None keeps none.
        checkpoint_steps: also write `latest` every so many steps. It is written while the next ones are computed.
        on_progress: called after each step.

    Returns:
        `Finetuned(model, history, state, survey, skipped)`. Beside the model, the trained arrays are held in float32
        three times (with Adam's moments), gradients, and the activations of a micro-batch.

    Raises:
        PromptError: no example can be used.
        CheckpointError: the folder belongs to a run with another model, options, data, key or name of the loss.
        CapabilityError: adapters, or several examples in a row, for a model of functions that has not what they need.
        ValueError: the options do not fit the model or the mesh.
        FloatingPointError: three steps in a row had no finite loss or gradient; names the last one's examples.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> from jaxuq.language import Instruction
        >>> from jaxuq.networks import DecoderConfig, LoraConfig
        >>> decoder = Decoder(DecoderConfig(7, 8, 8, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=8))
        >>> params = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
        >>> data = [Instruction(np.array([1, 2, 3]), np.array([False, True, True]))]
        >>> config = FinetuneConfig(LoraConfig(rank=4), epochs=3, batch_size=1, max_length=4, learning_rate=0.1)
        >>> model = LanguageModel(decoder, params, tokenizer=None, name="tiny")
        >>> tuned = finetune(jax.random.key(1), model, data, config)
        >>> bool(tuned.history.loss[-1] < tuned.history.loss[0])
        True
    """
    config = FinetuneConfig() if config is None else config
    paired = isinstance(token_loss, PairLoss)
    if isinstance(token_loss, PairLoss):
        _check_pairs(config, token_loss, len(data))
    micro, rows = (size * (2 if paired else 1) for size in _check(config, model, mesh))
    vocab_size = as_model(model.decoder).vocab_size
    survey = survey_examples(data, max_length=config.max_length, vocab_size=vocab_size)
    order = named_key(rng_key, "order")
    seed = [int(x) for x in jax.random.key_data(order).ravel()]
    plans = functools.partial(_pair_plans if paired else _epoch_plans, survey, config, seed)
    steps_before = np.cumsum([0, *(len(plans(epoch)) for epoch in range(config.epochs))])
    num_steps = min(int(steps_before[-1]), config.max_steps or int(steps_before[-1]))

    decoder, frozen, trained = _divide(rng_key, model, config)
    optimizer = make_optimizer(config, num_steps)
    state = init_finetuning(trained, optimizer)
    frozen, state = place_params(frozen, mesh), place_params(state, mesh)
    compiled: Any = compiled_step if isinstance(token_loss, Hashable) else compiled_step.__wrapped__
    step = compiled(decoder, config, token_loss, num_steps)
    history = FinetuneHistory(*(np.full(num_steps, np.nan, np.float32) for _ in range(3)))
    folder = None if checkpoint is None else pathlib.Path(checkpoint).expanduser()
    if folder is not None:
        _claim(folder, model, config, survey, rng_key, token_loss)
        rates = np.asarray(learning_rate_schedule(config, num_steps)(np.arange(num_steps)))
        epochs = np.split(rates, np.minimum(steps_before[1:-1], num_steps))
        write_json(
            folder / "schedule.json", {"learning_rates": [float(epoch.mean()) for epoch in epochs if epoch.size]}
        )
        saved = load_checkpoint(folder / "latest", like=(state, jax.tree.map(jnp.asarray, history)))
        if saved is not None:
            state, history = saved[0], jax.tree.map(np.array, saved[1])
    done = int(state.step)
    dropout = None if config.adapters is None or not config.adapters.dropout else named_key(rng_key, "dropout")

    def prepared() -> Iterator[tuple[int, int, BatchPlan, TokenBatch]]:
        for epoch in range(config.epochs):
            if done >= steps_before[epoch + 1]:
                continue
            for number, plan in enumerate(plans(epoch), start=int(steps_before[epoch])):
                if done <= number < num_steps:
                    yield number, epoch, plan, make_batch(data, plan, batch_size=rows)

    began = steady = time.monotonic()
    computed, failures = 0, 0
    with contextlib.ExitStack() as writing:  # a checkpoint, while the steps after it are computed

        def keep(place: pathlib.Path, tree: PyTree) -> None:
            writing.close()
            writing.callback(start_checkpoint(place, tree))

        for number, epoch, plan, batch in _ahead(prepared()):
            shaped = jax.tree.map(lambda leaf: leaf.reshape(-1, micro, leaf.shape[-1]), batch)
            state, report = step(state, frozen, divide_rows(shaped, mesh, axis=1), dropout)
            report = StepReport(*on_host(report))
            for whole, value in zip(history, report):
                whole[number] = value
            failures = 0 if report.applied else failures + 1
            if failures == _PATIENCE:
                examples = [example for row in plan.rows for example in row]
                raise FloatingPointError(
                    f"loss or gradient was not finite in {_PATIENCE} steps in a row, lastly in step {number + 1} with "
                    f"the examples {examples[:20]}: lower the learning rate (now {config.learning_rate}), or look at "
                    "the data"
                )
            now = time.monotonic()
            if number == done:
                steady = now  # the first step of a call compiles
            else:
                computed += int((batch.positions >= 0).sum())
            if on_progress is not None:
                speed = computed / (now - steady) if now > steady and computed else math.nan
                on_progress(
                    FinetuneProgress(
                        number + 1, num_steps, epoch + 1, config.epochs, float(report.loss), speed, now - began
                    )
                )
            last = number + 1 == min(int(steps_before[epoch + 1]), num_steps)
            if folder is not None and last:
                keep(folder / f"epoch-{epoch + 1}", state)
            if folder is not None and (last or (checkpoint_steps and (number + 1) % checkpoint_steps == 0)):
                keep(folder / "latest", (state, jax.tree.map(jnp.array, history)))
    if failures == num_steps - done > 0:
        raise FloatingPointError(
            f"loss or gradient was not finite in any of the {failures} steps: lower the learning rate (now "
            f"{config.learning_rate}), or look at the data"
        )
    skipped = int(np.sum(~(np.isfinite(history.loss) & np.isfinite(history.gradient_norm))))
    return Finetuned(_tuned_model(model, config, state.trained), history, state, survey, skipped)


def _check_pairs(config: FinetuneConfig, loss: PairLoss, examples: int) -> None:
    if config.packed:
        raise OptionError("examples in pairs have a row each: FinetuneConfig(packed=False)")
    if examples % 2:
        raise OptionError(f"there are {examples} examples; expected pairs, the preferred one first")
    if loss.count not in (None, examples // 2):
        raise OptionError(f"there are {examples // 2} pairs, and the loss was made for {loss.count}")


def _check(config: FinetuneConfig, model: LanguageModel, mesh: jax.sharding.Mesh | None) -> tuple[int, int]:
    """Rows of a micro-batch and of a batch."""
    if config.max_length > model.functions.max_positions:
        raise OptionError(
            f"max_length is {config.max_length}, but the model's context is {model.functions.max_positions} tokens"
        )
    if config.adapters is None:
        leaves = jax.tree.leaves(model.params, is_leaf=lambda leaf: isinstance(leaf, QuantizedKernel))
        if any(isinstance(leaf, QuantizedKernel) for leaf in leaves):
            raise OptionError("quantised parameters cannot be trained: tune adapters, or load the model unquantised")
        if model.lora is not None and isinstance(model.decoder, Decoder):
            raise OptionError("the model has adapters: merge them before training all parameters, or leave them out")
    elif not isinstance(model.decoder, Decoder):
        check_decoder(model.decoder, "tuning adapters", "tune its own parameters: FinetuneConfig(adapters=None)")
    elif model.lora is not None and model.decoder.lora != config.adapters:
        raise OptionError(f"the model has the adapters {model.decoder.lora}; the options ask for {config.adapters}")
    if config.packed:
        capability(model.functions, "segments")
    micro = config.micro_batch_size or config.batch_size
    if mesh is not None:
        row_axes(mesh)
        if micro % row_parts(mesh):
            raise OptionError(f"{micro} rows at a time cannot be divided over {row_parts(mesh)} devices evenly")
    return micro, config.batch_size


def _epoch_plans(survey: Survey, config: FinetuneConfig, seed: list[int], epoch: int) -> list[BatchPlan]:
    return plan_batches(
        survey.lengths,
        batch_size=config.batch_size,
        max_length=config.max_length,
        seed=[*seed, epoch],
        packed=config.packed,
    )


def _pair_plans(survey: Survey, config: FinetuneConfig, seed: list[int], epoch: int) -> list[BatchPlan]:
    """As `_epoch_plans` of pairs, in two rows each; one with a bad example is left out."""
    lengths = survey.lengths.reshape(-1, 2)
    whole = np.where((lengths > 0).all(axis=1), lengths.max(axis=1), 0)
    if not whole.any():
        raise PromptError(f"none of the {len(whole)} pairs can be used; first: {survey.rejected[0].reason}")
    plans = _epoch_plans(survey._replace(lengths=whole), config, seed, epoch)
    return [plan._replace(rows=tuple((2 * pair + side,) for (pair,) in plan.rows for side in (0, 1))) for plan in plans]


def _divide(
    rng_key: Key[Array, ""], model: LanguageModel, config: FinetuneConfig
) -> tuple[Decoder | Model, PyTree, PyTree]:
    """The model as it is trained, what stays, and what is trained."""
    if not isinstance(model.decoder, Decoder):
        return (model.functions, None, model.params) if model.lora is None else (
            model.functions, model.params, model.lora
        )  # fmt: skip
    dtype = jnp.dtype(config.dtype)
    decoder = model.decoder.clone(dtype=dtype, lora=config.adapters, remat=config.remat)
    if config.adapters is None:
        return decoder, None, model.params
    lora = model.lora
    if lora is None:
        lora = jax.jit(lambda key, params: init_adapters(key, decoder, params))(
            named_key(rng_key, "adapters"), model.params
        )
    floating = jax.tree.map(
        lambda leaf: leaf.astype(dtype) if not isinstance(leaf, QuantizedKernel) else leaf,
        model.params,
        is_leaf=lambda leaf: isinstance(leaf, QuantizedKernel),
    )
    return decoder, floating, lora


def _variables(model: Decoder | Model, frozen: PyTree, trained: PyTree) -> PyTree:
    """What the model takes as parameters."""
    if isinstance(model, Decoder):
        return {"params": trained} if frozen is None else {"params": frozen, "lora": trained}
    return trained if frozen is None else capability(model, "join")(frozen, trained)


def _tuned_model(model: LanguageModel, config: FinetuneConfig, trained: PyTree) -> LanguageModel:
    before = model.params if config.adapters is None and model.lora is None else model.lora
    if config.adapters is not None:
        return model._replace(decoder=model.decoder.clone(lora=config.adapters), lora=trained)
    cast = jax.tree.map(lambda new, old: new.astype(old.dtype), trained, before)
    return model._replace(params=cast) if model.lora is None else model._replace(lora=cast)


@functools.lru_cache(maxsize=4)  # members of an ensemble, and rounds of labelling, trace it once
def compiled_step(
    model: Decoder | Model, config: FinetuneConfig, token_loss: TokenLoss | ScheduledLoss | PairLoss, num_steps: int
) -> Callable:
    """The program of `finetune`: `step(state, frozen, micro-batches, rng_key)`, which reuses the state's buffers."""
    optimizer = make_optimizer(config, num_steps)

    def step(state: FinetuneState, frozen: PyTree, batches: TokenBatch, rng_key: Any) -> Any:
        now = token_loss
        if isinstance(token_loss, ScheduledLoss):
            now = token_loss.at(state.step.astype(jnp.float32) / num_steps)

        def loss(trained: PyTree, frozen: PyTree, batch: TokenBatch, rng_key: Any) -> tuple[Any, Any]:
            whole = _variables(model, frozen, trained)
            return response_loss(model, whole, batch, rng_key=rng_key, token_loss=now)

        return finetune_step(state, frozen, batches, rng_key, loss=loss, optimizer=optimizer)

    return jax.jit(step, donate_argnums=0)


def _ahead(items: Iterable[Any]) -> Iterator[Any]:
    """The items, a few of them prepared by another thread in advance."""
    iterator, nothing = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        waiting = collections.deque(pool.submit(next, iterator, nothing) for _ in range(_AHEAD))
        while (item := waiting.popleft().result()) is not nothing:
            waiting.append(pool.submit(next, iterator, nothing))
            yield item


def _claim(
    folder: pathlib.Path,
    model: LanguageModel,
    config: FinetuneConfig,
    survey: Survey,
    rng_key: Key[Array, ""],
    loss: TokenLoss | ScheduledLoss | PairLoss,
) -> None:
    """Note whose checkpoints these are, and refuse those of a run with another model, options, data, key or loss."""
    function = loss.func if isinstance(loss, functools.partial) else loss
    record = {
        "model": model_digest(model),
        "config": dataclasses.asdict(config),
        "examples": len(survey.lengths),
        "data": survey.digest,
        "key": zlib.crc32(np.asarray(jax.random.key_data(rng_key)).tobytes()),
        "loss": getattr(function, "__qualname__", type(function).__name__),  # arrays that it holds are not compared
    }
    different = claim_checkpoints(folder, record)
    if different:
        raise CheckpointError(
            f"{folder} holds the checkpoints of a run with another {', '.join(different)}; name another folder or "
            "remove this one"
        )
