"""A Laplace posterior of trained adapters: curvature over the questions, and the prior by the evidence."""

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._keys import named_key
from jaxuq.networks import Decoder
from jaxuq.posterior import Draws, LaplaceState, laplace, linearised_at, log_marginal_likelihood
from jaxuq.posterior.kronecker import kronecker
from jaxuq.tuning.posteriors.curvature import adapter_factors, decoder_adapters, stacked_adapters
from jaxuq.tuning.predicting import question_batches
from jaxuq.tuning.prompts import AnswerPrompts

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

PRIOR_PRECISIONS = np.geomspace(1e-1, 1e5, 25)


@functools.partial(jax.jit, static_argnames="decoder")
def _factors(decoder: Decoder, params: PyTree, lora: PyTree, prompts: Any, labels: Array, where: Array) -> Any:
    return adapter_factors(decoder, params, lora, prompts, labels, where=where)


@jax.jit
def _evidence(state: LaplaceState, precisions: Array) -> Array:
    return jax.vmap(lambda tau: log_marginal_likelihood(state, tau))(precisions)


@functools.partial(jax.jit, static_argnames="num_samples")
def _sample(rng_key: Array, state: LaplaceState, num_samples: int) -> PyTree:
    return laplace("categorical", linearised=False).sample(rng_key, state, num_samples)


def _one_by_one(state: LaplaceState) -> list[LaplaceState]:
    """A state for each stack of matrices, without the likelihood.

    Programs that decompose many matrices side by side are known to stand still on a CPU with few threads.
    """
    curvature: Any = state.curvature
    return [
        LaplaceState(leaf, kronecker(leaf)._replace(factors=(own,)), jnp.zeros(()), state.prior_precision)
        for leaf, own in zip(jax.tree.leaves(state.params), curvature.factors)
    ]


@typed()
def fit_adapter_laplace(
    model: "LanguageModel",
    prompts: AnswerPrompts,
    labels: Int[np.ndarray, " questions"],
    *,
    last_block: bool = False,
    prior_precision: float | None = None,
    batch_size: int = 8,
) -> LaplaceState:
    """Kronecker-factored Laplace over a model's adapters, or over those of its last block.

    Args:
        model: with trained adapters.
        prompts: the questions that it was tuned on.
        labels: their right answers.
        last_block: take the adapters of the last block for random, the others as they are.
        prior_precision: None: the one of 25 from 0.1 to 1e5 with the highest evidence.
        batch_size: questions that run together.

    Returns:
        The state of `jaxuq.posterior.laplace`, its layers stacked.

    Raises:
        ValueError: the model has no adapters: there is no posterior before tuning.

    References:
        D. J. C. MacKay, "A Practical Bayesian Framework for Backpropagation Networks", Neural Computation 1992 (the
        prior by the evidence).
    """
    if model.lora is None:
        raise OptionError("the model has no adapters: tune it before asking for their posterior")
    lora = stacked_adapters(model.decoder, model.lora)
    first = model.decoder.config.num_layers - 1 if last_block else 0
    params = jax.tree.map(lambda leaf: leaf[first:], lora)
    state = laplace("categorical").init(jax.random.key(0), params)  # draws nothing
    for plan, batch in question_batches(prompts, batch_size, model.mesh):
        counted = jnp.asarray(np.arange(plan.size) < len(plan.rows))
        right = jnp.asarray(np.pad(np.asarray(labels)[plan.rows], (0, plan.size - len(plan.rows)), mode="edge"))
        factors, log_likelihood = _factors(model.decoder, model.params, model.lora, batch, right, counted)
        curvature: Any = state.curvature
        state = state._replace(
            curvature=curvature.plus(jax.tree.map(lambda leaf: leaf[first:], factors)),
            log_likelihood=state.log_likelihood + log_likelihood,
        )
    if prior_precision is None:
        precisions = jnp.asarray(PRIOR_PRECISIONS, jnp.float32)
        evidence = np.sum([np.asarray(_evidence(one, precisions)) for one in _one_by_one(state)], axis=0)
        prior_precision = float(PRIOR_PRECISIONS[int(np.nanargmax(evidence))])
    return state._replace(prior_precision=jnp.asarray(prior_precision, jnp.float32))


@typed()
def laplace_draws(rng_key: Key[Array, ""], model: "LanguageModel", state: LaplaceState, num_samples: int) -> Draws:
    """Samples of a Laplace posterior, to be read by the linearised network.

    Args:
        rng_key: of the samples.
        model: as given to `fit_adapter_laplace`.
        state: what it returned.
        num_samples: how many.

    Returns:
        `Draws`; adapters that are not random are repeated.
    """
    centre = stacked_adapters(model.decoder, model.lora)
    each = [
        jax.block_until_ready(_sample(named_key(rng_key, "matrices", number), one, num_samples))
        for number, one in enumerate(_one_by_one(state))
    ]
    drawn = jax.tree.unflatten(jax.tree.structure(state.params), each)

    def whole(random: Array, leaf: Array) -> Array:
        fixed = leaf[: leaf.shape[0] - random.shape[1]]
        return jnp.concatenate([jnp.broadcast_to(fixed[None], (num_samples, *fixed.shape)), random], axis=1)

    varying = jax.vmap(lambda one: decoder_adapters(model.decoder, one))(jax.tree.map(whole, drawn, centre))
    return Draws(varying, decoder_adapters(model.decoder, centre), linearised_at)
