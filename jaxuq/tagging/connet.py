"""ConNet: one conditional random field per labelling function, and a context that says whom to believe."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxuq.tagging._context_chain import ContextChain, path_log_probability
from jaxuq.tagging.embedded import Bucket, Bucketed, Scaling, check_embeddings, scaling_of
from jaxuq.tagging.label_model import LabelForecast, inside
from jaxuq.tagging.majority_vote import majority_vote
from jaxuq.tagging.neural_chains import forecast_chains, make_score, prepare
from jaxuq.tagging.neural_layers import Linear, make_linear, silence
from jaxuq.tagging.neural_model import (
    EmbeddedText,
    NeuralFitted,
    NeuralLabelModel,
    OutsideVotes,
    TrainOptions,
    check_options,
)
from jaxuq.tagging.neural_training import train


class ConNetParams(NamedTuple):
    """Parameters of `connet`.

    Attributes:
        hidden: from a word vector to a hidden vector, shared by all functions.
        scores: from a hidden vector to a score of each label, shared.
        transition: `[state, state]` scores, from and to, shared.
        initial: `[state]` scores of the first label, shared.
        functions: `[function, state, label]`, what each function makes of the shared scores ($A^{(k)}$).
        attention: from a sentence vector to a logit of each function.
        scaling: what vectors are shifted by and divided by first.
    """

    hidden: Linear
    scores: Linear
    transition: Float[Array, "state state"]
    initial: Float[Array, " state"]
    functions: Float[Array, "function state label"]
    attention: Linear
    scaling: Scaling


CONNET_OPTIONS = TrainOptions(learning_rate=5e-3, num_epochs=30, batch_size=32, patience=5)


def connet(
    num_labels: int,
    *,
    options: TrainOptions = CONNET_OPTIONS,
    hidden: int = 64,
    outside_votes: OutsideVotes = "votes",
) -> NeuralLabelModel:
    r"""Consensus network: what functions have in common, their habits, and an attention over these.

    $\log p(x_k \mid w) \propto \sum_t (U A^{(k)})_{t, x_k^{(t)}} + \sum_t (M A^{(k)})_{x_k^{(t-1)}, x_k^{(t)}}$;
    $A^* = \sum_k q_k A^{(k)}$, $q = \mathrm{softmax}(Q e^{(0)})$

    First, shared scores $U$ and $M$ and each function's matrix $A^{(k)}$ are fitted to what the functions say, summed
    over all labels where a function says nothing; then the attention $Q$ alone is fitted to the majority vote through
    $A^*$. Unlike an HMM it never sees the votes on the text that it labels: it is a tagger, which generalises to any
    text, but cannot lean on a reliable vote. The word encoder is one layer over contextual vectors in place of the
    paper's recurrent network.

    Args:
        num_labels: number of labels, in the order of `bio_label_names`.
        options: how each of the two phases is trained; `objective` and the pretraining are not used. With
            `selection="likelihood"` epochs are compared by the log-likelihood of the phase's targets.
        hidden: width of the hidden layer.
        outside_votes: what an `O` is at a token where another function marks an entity: `"votes"`, as in the paper, a
            label like others; `"abstain"`, nothing.

    Returns:
        `NeuralLabelModel` with `ConNetParams`.

    Raises:
        ValueError: if an option is out of range.

    Example:
        >>> connet(5)._fields
        ('init', 'fit', 'predict')

    References:
        Lan, Huang, Lin, Jiang, Liu, Ren. Learning to contextually aggregate multi-source supervision for sequence
        labeling. ACL 2020, section 4.
    """
    check_options(options)
    if outside_votes not in ("votes", "abstain"):
        raise ValueError(f"outside_votes is {outside_votes!r}; expected votes or abstain")
    if num_labels < 3 or num_labels % 2 == 0:
        raise ValueError(f"num_labels is {num_labels}; expected an odd number, O and then B- and I- of each type")

    def init(rng_key: Key[Array, ""], text: EmbeddedText) -> ConNetParams:
        width = check_embeddings(*text)
        functions = text.labels.observations.shape[2]
        keys = jax.random.split(rng_key, 3)
        return ConNetParams(
            make_linear(keys[0], width, jnp.zeros(hidden)),
            make_linear(keys[1], hidden, jnp.zeros(num_labels)),
            jnp.zeros((num_labels, num_labels)),
            jnp.zeros(num_labels),
            jnp.broadcast_to(jnp.eye(num_labels), (functions, num_labels, num_labels)),
            make_linear(keys[2], width, jnp.zeros(functions)),
            scaling_of(text.embeddings, text.sentences),
        )

    def field(params: ConNetParams, batch: Bucket, matrix: Float[Array, "row state label"]) -> ContextChain:
        """The random field of each sentence, its scores seen through the sentence's matrix."""
        shared = params.scores(jax.nn.relu(params.hidden(batch.embeddings)))
        steps = jnp.einsum("ij,bjl->bil", params.transition, matrix)[:, None]
        first = jnp.einsum("j,bjl->bl", params.initial, matrix)[:, None, None]
        rows, time = shared.shape[:2]
        states = jnp.broadcast_to(steps, (rows, time - 1, num_labels, num_labels))
        start = jnp.broadcast_to(first, (rows, 1, num_labels, num_labels))
        valid = inside(batch.observations, batch.lengths)
        return ContextChain(jnp.concatenate([start, states], axis=1), jnp.einsum("btj,bjl->btl", shared, matrix), valid)

    def consensus(params: ConNetParams, batch: Bucket, rng_key: Key[Array, ""] | None) -> ContextChain:
        weights = jax.nn.softmax(params.attention(batch.sentence))
        return field(params, batch, jnp.einsum("bk,kij->bij", weights, params.functions))

    def decoupled(params: ConNetParams, old: ConNetParams, batch: Bucket, rng_key: Key[Array, ""]) -> Array:
        def one(matrix: Array, votes: Array) -> Array:
            rows = jnp.broadcast_to(matrix, (votes.shape[0], num_labels, num_labels))
            return -path_log_probability(field(params, batch, rows), votes)

        votes = jnp.moveaxis(batch.observations, 2, 0)[:-1]  # the last is the majority vote
        return jnp.sum(jax.lax.map(lambda inputs: one(*inputs), (params.functions, votes)), axis=0)

    def aggregated(params: ConNetParams, old: ConNetParams, batch: Bucket, rng_key: Key[Array, ""]) -> Array:
        return -path_log_probability(consensus(params, batch, None), batch.observations[..., -1])

    def observed(text: EmbeddedText) -> np.ndarray:
        vote = majority_vote(num_labels)
        arrays = jnp.asarray(text.labels.observations), jnp.asarray(text.labels.lengths)
        labels = vote.predict(vote.init(jax.random.key(0), *arrays), *arrays).labels
        votes = silence(text.labels.observations, num_labels, outside_votes)
        return np.concatenate([votes, np.asarray(labels)[..., None]], axis=-1)

    @partial(jax.jit, static_argnums=0)
    def total(loss, params: ConNetParams, bucket: Bucket) -> Array:
        return jnp.sum(loss(params, params, bucket, jax.random.key(0)))

    def fit(
        rng_key: Key[Array, ""], params: ConNetParams, text: EmbeddedText, valid: EmbeddedText | None = None
    ) -> NeuralFitted:
        buckets = prepare(text, observed(text), params.scaling, options)
        held: Bucketed | None = None
        if valid is not None:
            held = prepare(valid, observed(valid), params.scaling, options)
        phases = ((decoupled, ("hidden", "scores", "transition", "initial", "functions")), (aggregated, ("attention",)))
        history = []
        for key, (loss, trainable) in zip(jax.random.split(rng_key), phases, strict=True):
            score = None
            if valid is not None and held is not None:
                score = partial(_minus_loss, partial(total, loss), held)
                if options.selection == "f1":
                    score = make_score(consensus, held, valid.labels, options)
            rate, epochs = options.learning_rate, options.num_epochs
            history.append(
                train(
                    key, loss, trainable, params, buckets, options, learning_rate=rate, num_epochs=epochs, score=score
                )
            )
            params = history[-1].params
        return NeuralFitted(params, *(np.concatenate(parts) for parts in list(zip(*history))[1:]))

    def predict(params: ConNetParams, text: EmbeddedText) -> LabelForecast:
        buckets = prepare(text, observed(text), params.scaling, options)
        return forecast_chains(consensus, params, buckets, text.labels, options.batch_size, num_labels)

    return NeuralLabelModel(init, fit, predict)


def _minus_loss(total, held: Bucketed, params: ConNetParams) -> float:
    return -sum(float(total(params, bucket)) for bucket in held.buckets)
