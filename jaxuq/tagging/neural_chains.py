"""What the neural models whose forecast is a chain have in common: bucketed text, loss, score and forecast."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from jaxuq.metrics import entity_scores
from jaxuq.tagging._context_chain import (
    ContextChain,
    engine_arguments,
    expected_log_joint,
    posterior,
    published_objective,
)
from jaxuq.tagging.decoding import viterbi
from jaxuq.tagging.embedded import Bucket, Bucketed, Scaling, bucketed, check_embeddings, scattered
from jaxuq.tagging.inference import smoothed_marginals
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.neural_model import EmbeddedText, Objective, Params, TrainOptions
from jaxuq.tagging.neural_training import RowLoss
from jaxuq.tagging.records import WeakLabels

ChainOf = Callable[[Params, Bucket, Key[Array, ""] | None], ContextChain]  # of a batch


def prepare(text: EmbeddedText, observations: np.ndarray, scaling: Scaling, options: TrainOptions) -> Bucketed:
    """Check and bucket a text with changed observations."""
    check_embeddings(*text, width=scaling.shift.shape[0])
    changed = text.labels._replace(observations=observations)
    return bucketed(changed, text.embeddings, scaling, text.sentences, max_padding=options.max_padding)


def chain_loss(chain_of: ChainOf, objective: Objective) -> RowLoss:
    """Minus the objective of each sentence."""

    def loss(params: Params, old: Params, batch: Bucket, rng_key: Key[Array, ""]) -> Float[Array, " row"]:
        chain = chain_of(params, batch, rng_key)
        if objective == "published":
            return -published_objective(chain)
        # Outside training the emissions are means, not draws: so in the E-step with parameters that are kept.
        before = chain_of(old, batch, None) if objective == "em" else chain
        expected = jax.lax.stop_gradient(posterior(jax.lax.stop_gradient(before)))
        joint = expected_log_joint(chain, expected)
        # the value is the log-likelihood, the gradient that of Q
        return -(jax.lax.stop_gradient(expected.log_likelihood - joint) + joint)

    return loss


def statistics_distance(
    log_transition: Float[Array, "row time state state"] | None,
    log_emission: Array | None,
    statistics: tuple[Float[Array, "state state"], Float[Array, "function state label"]],
    valid: Bool[Array, "row time"],
) -> Float[Array, " row"]:
    r"""How far predicted matrices are from the statistics that they are first fitted to.

    $\ell_{MSE} = \frac1T \sum_t \|\Psi^* - \Psi^{(t)}\|_F^2 + \|\Phi^* - \Phi^{(t)}\|_F^2$

    Args:
        log_transition: of each token; None leaves the first term out.
        log_emission: `[row, function, state, label]`, one for all tokens of a sentence, or `[row, time, function,
            state, label]`; None leaves the second term out.
        statistics: $\Psi^*$ and $\Phi^*$.
        valid: where there is a token.

    Returns:
        The distance of each sentence.
    """
    transition, emission = statistics
    by_token = jnp.zeros(valid.shape, emission.dtype)
    if log_transition is not None:
        by_token += jnp.sum((jnp.exp(log_transition) - transition[None, None]) ** 2, axis=(2, 3))
    if log_emission is not None:
        target = emission.reshape(*(1,) * (log_emission.ndim - 3), *emission.shape)
        off = jnp.sum((jnp.exp(log_emission) - target) ** 2, axis=(-3, -2, -1))
        by_token += off if off.ndim == 2 else jnp.broadcast_to(off[:, None], valid.shape)
    lengths = jnp.sum(valid, axis=1, dtype=by_token.dtype)
    return jnp.sum(jnp.where(valid, by_token, 0.0), axis=1) / lengths


@partial(jax.jit, static_argnums=0)
def _paths(chain_of, params, bucket):
    return viterbi(*engine_arguments(chain_of(params, bucket, None))).paths[:, 0]


@partial(jax.jit, static_argnums=0)
def _marginals(chain_of, params, bucket):
    return smoothed_marginals(*engine_arguments(chain_of(params, bucket, None)))


@partial(jax.jit, static_argnums=0)
def _log_likelihoods(chain_of, params, bucket):
    return posterior(chain_of(params, bucket, None)).log_likelihood


def _chunks(function, text: Bucketed, batch_size: int) -> list[np.ndarray]:
    """A function of a bucket, a few sentences at a time, on the host."""
    outputs = []
    for bucket in text.buckets:
        rows = bucket.lengths.shape[0]
        size = -(-rows // -(-rows // batch_size))
        order = np.minimum(np.arange(-(-rows // size) * size), rows - 1).astype(np.int32)
        parts = [function(bucket.take(jnp.asarray(order[i : i + size]))) for i in range(0, len(order), size)]
        outputs.append(np.concatenate([np.asarray(part) for part in parts])[:rows])
    return outputs


def decode(chain_of: ChainOf, params: Params, text: Bucketed, data: WeakLabels, batch_size: int) -> np.ndarray:
    """The most probable label path of each sentence, -1 in padding."""
    paths = _chunks(partial(_paths, chain_of, params), text, batch_size)
    return scattered(text, paths, data.observations.shape[:2], -1, np.int32)


def forecast_chains(
    chain_of: ChainOf, params: Params, text: Bucketed, data: WeakLabels, batch_size: int, num_labels: int
) -> LabelForecast:
    """Most probable paths and smoothed marginals."""
    marginals = _chunks(partial(_marginals, chain_of, params), text, batch_size)
    shape = (*data.observations.shape[:2], num_labels)
    return LabelForecast(
        decode(chain_of, params, text, data, batch_size),  # type: ignore[arg-type]
        scattered(text, marginals, shape, 0.0, np.float32),  # type: ignore[arg-type]
    )


def make_score(chain_of: ChainOf, text: Bucketed, data: WeakLabels, options: TrainOptions) -> Callable[[Params], float]:
    """What epochs are compared by."""
    if options.selection == "likelihood":
        tokens = float(data.lengths.sum())

        def score(params: Params) -> float:
            values = _chunks(partial(_log_likelihoods, chain_of, params), text, options.batch_size)
            return float(sum(value.sum() for value in values)) / tokens

        return score
    if data.labels is None:
        raise ValueError("selection is 'f1' and the validation text has no gold labels; use selection='likelihood'")
    gold = data.tags(data.labels)

    def score_f1(params: Params) -> float:
        return entity_scores(data.tags(decode(chain_of, params, text, data, options.batch_size)), gold).f1

    return score_f1
