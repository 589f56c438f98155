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
    FinetuneConfig,
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
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.posteriors.blob import BLoBState, blob, flipout, growing_kl_weight
from jaxuq.tuning.posteriors.tuned import Drawn, Tuned
from jaxuq.tuning.token_losses import TokenLoss

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_PATIENCE = 3
_PRIOR_SCALE = 1.0  # of SGLD's Gaussian prior on the adapters


class _Batches(NamedTuple):
    """An endless walk over the data: batches, and how many steps an epoch has."""

    batches: Iterator[tuple[TokenBatch, list[int]]]
    steps: int


def swag_draws(rng_key: Key[Array, ""], tuned: Tuned) -> Drawn:
    """Adam at a fifth of the learning rate for as many epochs as the tuning had, a snapshot twice an epoch; a Gaussian.

    Args:
        rng_key: of order, dropout and samples.
        tuned: adapters and what they were tuned on.

    Returns:
        Samples of `jaxuq.posterior.swag`, and the number of steps.

    Raises:
        TuningError: three steps in a row had no finite loss; names the examples of the last.
    """
    chain = _chain(rng_key, tuned)
    method = swag(rank=max(2, tuned.num_samples), count_start=True)  # the tuned adapters are the first of the snapshots
    collected = _Collected(method, chain.draw, tuned.model.lora)

    def after(step: int, trained: PyTree) -> None:
        if step % max(1, chain.walk.steps // 2) == 0:
            collected.add(trained)

    _run(chain, tuned.model.lora, optax.adam(tuned.config.learning_rate / 5), _plain_loss, after)
    return collected.sample(tuned.num_samples), {"steps": float(chain.steps)}


def sgld_draws(rng_key: Key[Array, ""], tuned: Tuned) -> Drawn:
    r"""Langevin steps with $\epsilon = 2 \eta / N$ for the learning rate $\eta$ and N learnt tokens.

    On the sum of the loss over all tokens and a prior $\mathcal{N}(0, 1)$, without dropout, for as many epochs as the
    tuning had; samples are spread over the second half.

    Args:
        rng_key: of order, noise and samples.
        tuned: adapters and what they were tuned on.

    Returns:
        Samples, and the number of steps.

    Raises:
        TuningError: three steps in a row had no finite loss; the chain is too short.
    """
    chain = _quiet(_chain(rng_key, tuned))
    tokens = float(sum(int(one.response.sum()) for one in tuned.examples))
    steps = sgld(2 * tuned.config.learning_rate / tokens, prior_scale=_PRIOR_SCALE, capacity=0)
    optimizer = optax.chain(optax.scale(tokens), steps.as_optax(chain.noise))
    collected = _Collected(ensemble(tuned.num_samples), chain.draw, tuned.model.lora)
    every = max(1, chain.steps // (2 * tuned.num_samples))

    def after(step: int, trained: PyTree) -> None:
        if step > chain.steps // 2 and step % every == 0:
            collected.add(trained)

    _run(chain, tuned.model.lora, optimizer, _plain_loss, after)
    if not collected.count:
        raise TuningError("the chain of sgld is too short to keep a sample: raise --epochs")
    return collected.sample(tuned.num_samples), {"steps": float(chain.steps)}


def blob_draws(rng_key: Key[Array, ""], tuned: Tuned) -> Drawn:
    """BLoB: flipout noise on the first factors, AdamW on the likelihood, SGD on the divergence from the prior.

    Without dropout, for as many epochs as the tuning had.

    Args:
        rng_key: of order, noise and samples.
        tuned: adapters and what they were tuned on.

    Returns:
        Samples, and the number of steps.

    Raises:
        TuningError: three steps in a row had no finite loss; names the examples of the last.
    """
    chain, method = _quiet(_chain(rng_key, tuned)), blob()
    start = method.init(named_key(chain.noise, "roots"), tuned.model.lora)
    nll, divergence = optax.adamw(tuned.config.learning_rate), optax.sgd(0.01)

    def init(params: PyTree) -> Any:
        return nll.init(params), jnp.zeros((), jnp.int32)

    def update(gradients: PyTree, state: Any, params: PyTree) -> Any:
        """One step on the likelihood, then one on the weighted divergence."""
        moments, number = state
        updates, moments = nll.update(gradients, moments, params)
        moved = optax.apply_updates(params, updates)
        weight = growing_kl_weight(number, chain.walk.steps)
        pull = jax.grad(lambda one: method.kl(BLoBState(*one)) * weight)(moved)
        change, _ = divergence.update(pull, divergence.init(moved))
        return jax.tree.map(jnp.add, updates, change), (moments, number + 1)

    optimizer = optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]
    noisy = chain._replace(noise=named_key(chain.noise, "flipout"))
    state = BLoBState(*_run(noisy, tuple(start), optimizer, _flipout_loss, lambda *_: None))
    return method.sample(chain.draw, state, tuned.num_samples), {"steps": float(chain.steps)}


class _Chain(NamedTuple):
    """What a chain of steps is made of: a model to go on tuning, a walk over its data, three keys."""

    model: "LanguageModel"
    token_loss: TokenLoss
    walk: _Batches
    steps: int
    noise: Array
    draw: Array


def _chain(rng_key: Array, tuned: Tuned) -> _Chain:
    order, noise, draw = (named_key(rng_key, name) for name in ("order", "noise", "draw"))
    walk = _walk(order, tuned.examples, tuned.config)
    return _Chain(tuned.model, tuned.token_loss, walk, tuned.config.epochs * walk.steps, noise, draw)


def _quiet(chain: _Chain) -> _Chain:
    """Without dropout: the chain's own noise is all there should be."""
    decoder = chain.model.decoder
    if decoder.lora is None:
        return chain
    quiet = decoder.clone(lora=dataclasses.replace(decoder.lora, dropout=0.0))
    return chain._replace(model=chain.model._replace(decoder=quiet))


class _Collected:
    """Snapshots, in the state of a method that samples from them."""

    def __init__(self, method: Any, rng_key: Array, lora: PyTree):
        self._method, self._rng_key, self.count = method, rng_key, 0
        self._state, self._update = method.init(rng_key, lora), jax.jit(method.update)

    def add(self, trained: PyTree) -> None:
        self._state, self.count = self._update(self._rng_key, self._state, trained), self.count + 1

    def sample(self, num_samples: int) -> PyTree:
        return self._method.sample(self._rng_key, self._state, num_samples)


def _plain_loss(decoder: Decoder, token_loss: Any, trained: PyTree, params: PyTree, batch: Any, rng_key: Any) -> Any:
    variables = {"params": params, "lora": trained}
    return response_loss(decoder, variables, batch, rng_key=rng_key, token_loss=token_loss)


def _flipout_loss(decoder: Decoder, token_loss: Any, trained: PyTree, params: PyTree, batch: Any, rng_key: Any) -> Any:
    variables = {"params": params, "lora": blob().adapters(BLoBState(*trained))}
    with flipout():
        return response_loss(decoder, variables, batch, rng_key=rng_key, token_loss=token_loss)


def _run(
    chain: _Chain,
    trained: PyTree,
    optimizer: optax.GradientTransformation,
    loss: Callable[..., Any],
    after: Callable[[int, PyTree], None],
) -> PyTree:
    """Steps from `trained`; bad ones are skipped, and three in a row end it."""
    model = chain.model

    def one(state: FinetuneState, params: PyTree, batch: TokenBatch) -> Any:
        bound = functools.partial(loss, model.decoder, chain.token_loss)
        return finetune_step(state, params, batch, chain.noise, loss=bound, optimizer=optimizer)

    step = jax.jit(one, donate_argnums=0)
    state, failures = init_finetuning(trained, optimizer), 0
    for number in range(chain.steps):
        batch, numbers = next(chain.walk.batches)
        state, report = step(state, model.params, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], batch))
        failures = 0 if bool(report.applied) else failures + 1
        if failures == _PATIENCE:
            raise TuningError(
                f"loss or gradient was not finite in {_PATIENCE} steps in a row, lastly with the questions {numbers}: "
                "lower --learning-rate"
            )
        after(number + 1, state.trained)
    return state.trained


def _walk(rng_key: Array, examples: Sequence[Instruction], config: FinetuneConfig) -> _Batches:
    lengths = np.array([len(one.tokens) for one in examples], np.int32)
    seed = [int(word) for word in np.asarray(jax.random.key_data(rng_key)).ravel()]

    def plans(epoch: int) -> list[Any]:
        return plan_batches(lengths, batch_size=config.batch_size, max_length=config.max_length, seed=[*seed, epoch])

    def batches() -> Iterator[tuple[TokenBatch, list[int]]]:
        epoch = 0
        while True:
            for plan in plans(epoch):
                numbers = [number for row in plan.rows for number in row]
                yield make_batch(examples, plan, batch_size=config.batch_size), numbers
            epoch += 1

    return _Batches(batches(), len(plans(0)))
