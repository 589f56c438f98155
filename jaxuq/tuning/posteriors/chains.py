"""Posteriors that go on tuning: snapshots along a chain of steps from tuned adapters (SWAG, SGLD), and BLoB."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key, PyTree

from jaxuq._keys import named_key
from jaxuq.language import (
    FinetuneState,
    Instruction,
    TokenBatch,
    finetune_step,
    init_finetuning,
    make_batch,
    plan_batches,
    response_loss,
)
from jaxuq.networks import Decoder
from jaxuq.posterior import ensemble, sgld, swag
from jaxuq.tuning.configuration import TuneConfiguration
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.posteriors.blob import BLoBState, blob, flipout, growing_kl_weight

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_PATIENCE = 3
_PRIOR_SCALE = 1.0  # of SGLD's Gaussian prior on the adapters


class _Batches(NamedTuple):
    """An endless walk over the data: batches, and how many steps an epoch has."""

    batches: Iterator[tuple[TokenBatch, list[int]]]
    steps: int


def chain_draws(
    rng_key: Key[Array, ""],
    posterior: str,
    model: "LanguageModel",
    examples: Sequence[Instruction],
    configuration: TuneConfiguration,
    token_loss: Callable[..., Any],
) -> tuple[PyTree, dict[str, float]]:
    r"""Samples of adapters from a chain of steps that starts at tuned ones; as many epochs as the tuning had.

    - `swag`: Adam at a fifth of the learning rate, a snapshot twice an epoch; Gaussian of `jaxuq.posterior.swag`.
    - `sgld`: $\epsilon = 2 \eta / N$ with the learning rate $\eta$ and N learnt tokens, on the sum of the loss over all
      tokens and a prior $\mathcal{N}(0, 1)$; samples are spread over the second half.
    - `blob`: flipout noise on the first factors, AdamW on the likelihood and SGD on the divergence from the prior.

    Args:
        rng_key: of order, noise and samples.
        posterior: `swag`, `sgld` or `blob`.
        model: with tuned adapters.
        examples: that it was tuned on.
        configuration: of the run.
        token_loss: of the tuning.

    Returns:
        Samples of the adapters, and the number of steps.

    Raises:
        TuningError: three steps in a row had no finite loss; names the examples of the last.
    """
    order, noise, draw = (named_key(rng_key, name) for name in ("order", "noise", "draw"))
    walk = _walk(order, examples, configuration)
    num_steps, count = configuration.epochs * walk.steps, configuration.samples
    every = max(1, walk.steps // 2) if posterior == "swag" else max(1, num_steps // (2 * count))
    if posterior != "swag" and model.decoder.lora is not None:  # their own noise is all there should be
        quiet = dataclasses.replace(model.decoder.lora, dropout=0.0)
        model = model._replace(decoder=model.decoder.clone(lora=quiet))
    run = functools.partial(_run, model, walk, num_steps, token_loss)
    if posterior == "blob":
        state = _blob(noise, model, run, walk.steps, configuration)
        return blob().sample(draw, state, count), {"steps": float(num_steps)}
    if posterior == "swag":
        method = swag(rank=max(2, count), count_start=True)  # the tuned adapters are the first of the snapshots
        optimizer = optax.adam(configuration.learning_rate / 5)
    else:
        tokens = float(sum(int(one.response.sum()) for one in examples))
        chain = sgld(2 * configuration.learning_rate / tokens, prior_scale=_PRIOR_SCALE, capacity=0)
        method = ensemble(count)
        optimizer = optax.chain(optax.scale(tokens), chain.as_optax(noise))
    kept = method.init(draw, model.lora)
    collect, taken = jax.jit(method.update), 0

    def after(step: int, trained: PyTree) -> None:
        nonlocal kept, taken
        burnt = posterior == "swag" or step > num_steps // 2
        if burnt and step % every == 0:
            kept, taken = collect(draw, kept, trained), taken + 1

    run(model.lora, optimizer, _plain_loss, noise, after)
    if posterior == "sgld" and not taken:
        raise TuningError("the chain of sgld is too short to keep a sample: raise --epochs")
    return method.sample(draw, kept, count), {"steps": float(num_steps)}


def _blob(
    rng_key: Array, model: "LanguageModel", run: Callable[..., PyTree], steps: int, configuration: TuneConfiguration
) -> BLoBState:
    method = blob()
    start = method.init(named_key(rng_key, "roots"), model.lora)
    nll, divergence = optax.adamw(configuration.learning_rate), optax.sgd(0.01)

    def init(params: PyTree) -> Any:
        return nll.init(params), jnp.zeros((), jnp.int32)

    def update(gradients: PyTree, state: Any, params: PyTree) -> Any:
        """One step on the likelihood, then one on the weighted divergence."""
        moments, number = state
        updates, moments = nll.update(gradients, moments, params)
        moved = optax.apply_updates(params, updates)
        weight = growing_kl_weight(number, steps)
        pull = jax.grad(lambda one: method.kl(BLoBState(*one)) * weight)(moved)
        change, _ = divergence.update(pull, divergence.init(moved))
        return jax.tree.map(jnp.add, updates, change), (moments, number + 1)

    optimizer = optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]
    return BLoBState(*run(tuple(start), optimizer, _flipout_loss, named_key(rng_key, "flipout"), lambda *_: None))


def _plain_loss(decoder: Decoder, token_loss: Any, trained: PyTree, params: PyTree, batch: Any, rng_key: Any) -> Any:
    variables = {"params": params, "lora": trained}
    return response_loss(decoder, variables, batch, rng_key=rng_key, token_loss=token_loss)


def _flipout_loss(decoder: Decoder, token_loss: Any, trained: PyTree, params: PyTree, batch: Any, rng_key: Any) -> Any:
    variables = {"params": params, "lora": blob().adapters(BLoBState(*trained))}
    with flipout():
        return response_loss(decoder, variables, batch, rng_key=rng_key, token_loss=token_loss)


def _run(
    model: "LanguageModel",
    walk: _Batches,
    num_steps: int,
    token_loss: Any,
    trained: PyTree,
    optimizer: optax.GradientTransformation,
    loss: Callable[..., Any],
    rng_key: Array,
    after: Callable[[int, PyTree], None],
) -> PyTree:
    """Steps from `trained`; bad ones are skipped, and three in a row end it."""

    def one(state: FinetuneState, params: PyTree, batch: TokenBatch) -> Any:
        bound = functools.partial(loss, model.decoder, token_loss)
        return finetune_step(state, params, batch, rng_key, loss=bound, optimizer=optimizer)

    step = jax.jit(one, donate_argnums=0)
    state, failures = init_finetuning(trained, optimizer), 0
    for number in range(num_steps):
        batch, numbers = next(walk.batches)
        state, report = step(state, model.params, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], batch))
        failures = 0 if bool(report.applied) else failures + 1
        if failures == _PATIENCE:
            raise TuningError(
                f"loss or gradient was not finite in {_PATIENCE} steps in a row, lastly with the questions {numbers}: "
                "lower --learning-rate"
            )
        after(number + 1, state.trained)
    return state.trained


def _walk(rng_key: Array, examples: Sequence[Instruction], configuration: TuneConfiguration) -> _Batches:
    lengths = np.array([len(one.tokens) for one in examples], np.int32)
    seed = [int(word) for word in np.asarray(jax.random.key_data(rng_key)).ravel()]

    def plans(epoch: int) -> list[Any]:
        return plan_batches(
            lengths, batch_size=configuration.batch_size, max_length=configuration.max_length, seed=[*seed, epoch]
        )

    def batches() -> Iterator[tuple[TokenBatch, list[int]]]:
        epoch = 0
        while True:
            for plan in plans(epoch):
                numbers = [number for row in plan.rows for number in row]
                yield make_batch(examples, plan, batch_size=configuration.batch_size), numbers
            epoch += 1

    return _Batches(batches(), len(plans(0)))
