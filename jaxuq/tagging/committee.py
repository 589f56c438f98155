r"""A committee of taggers, trained side by side: what active learning asks which sentences to label next.

Each member is a `crf_tagger` on the same frozen vectors. The first learns from every labelled sentence, and is the one
that labels; the others count each sentence as often as a Poisson variable of mean 1 says, which is the bootstrap for
data that arrive bit by bit: a sentence has the same weight in every round, so that members differ by their data and not
by the luck of a round.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxuq._keys import named_key
from jaxuq.parallel import plan_rows
from jaxuq.tagging.acquisition import normalised_log_probability, sequence_bald
from jaxuq.tagging.decoding import viterbi
from jaxuq.tagging.embedded import Bucketed, scaling_of
from jaxuq.tagging.neural_layers import allowed_transitions
from jaxuq.tagging.neural_model import EmbeddedText, TrainOptions
from jaxuq.tagging.neural_training import train
from jaxuq.tagging.posterior_paths import path_entropy
from jaxuq.tagging.tagger import TaggerParams, Targets, crf_loss

_ROWS = 64  # sentences that are scored at once
_MAX_PADDING = 0.5  # few buckets: a committee compiles longer than it learns from a few hundred sentences
_LEAST_STEPS = 500  # of training: so many epochs as that takes where few sentences make a short one
_LEARNT = ("weight", "bias", "transition", "initial")
SCORES = ("mnlp", "entropy", "bald")
"""How unsure a committee is of a sentence: see `committee_scores`."""


class Pool(NamedTuple):
    """Sentences that can be labelled, on the device once for all rounds.

    Attributes:
        embeddings: `[row, time, width]`, scaled, zero in padding.
        targets: `[row, time, label]`.
        lengths: `[row]`.
        weights: `[row, member]` how often a member counts a sentence.
    """

    embeddings: Float[Array, "row time width"]
    targets: Float[Array, "row time label"]
    lengths: Int[Array, " row"]
    weights: Float[Array, "row member"]

    def take(self, rows: Int[Array, " batch"]) -> "Pool":
        """Some of the sentences."""
        return jax.tree.map(lambda leaf: leaf[rows], self)


def make_pool(rng_key: Key[Array, ""], text: EmbeddedText, targets: Targets, members: int) -> Bucketed:
    """Buckets of `Pool`, and how often each member counts each sentence.

    Args:
        rng_key: for the counts.
        text: the sentences.
        targets: probabilities of the labels, `[sentence, time, label]`.
        members: of the committee; the first counts every sentence once.

    Returns:
        The buckets.
    """
    lengths = text.labels.lengths
    counts = np.asarray(jax.random.poisson(rng_key, 1.0, (len(lengths), members)), np.float32)
    counts[:, 0] = 1.0
    scaling = scaling_of(text.embeddings)
    shift, spread = np.asarray(scaling.shift), np.asarray(scaling.words)
    buckets, batches = [], plan_rows(lengths, max_padding=_MAX_PADDING, least=None)
    for rows, _, time in batches:
        vectors = np.zeros((len(rows), time, len(shift)), np.float32)
        for place, row in enumerate(rows):
            vectors[place, : lengths[row]] = (text.embeddings[row] - shift) / spread
        wanted = np.asarray(targets[rows, :time], np.float32)
        leaves = (vectors, wanted, lengths[rows].astype(np.int32), counts[rows])
        buckets.append(Pool(*map(jnp.asarray, leaves)))
    return Bucketed(tuple(buckets), tuple(batch.rows for batch in batches))


def start_committee(rng_key: Key[Array, ""], text: EmbeddedText, num_labels: int, members: int) -> TaggerParams:
    """Parameters `[member, ...]` before anything is learnt, but for the scaling of the vectors, which they share."""
    scaling = scaling_of(text.embeddings)
    width = len(scaling.shift)
    keys = jax.random.split(rng_key, members)
    weight = jax.vmap(lambda key: jax.random.normal(key, (width, num_labels)))(keys) * 0.1 / width**0.5
    zero = jnp.zeros((members, num_labels))
    return TaggerParams(weight, zero, jnp.zeros((members, num_labels, num_labels)), zero, scaling.shift, scaling.words)


def _loss(params: TaggerParams, old: TaggerParams, batch: Pool, rng_key: Array) -> Float[Array, " row"]:
    def of(weight: Array, bias: Array, transition: Array, initial: Array) -> Array:
        return crf_loss(batch.embeddings @ weight + bias[None, None], transition, initial, batch.targets, batch.lengths)

    losses = jax.vmap(of)(params.weight, params.bias, params.transition, params.initial)
    return jnp.sum(losses * batch.weights.T, axis=0)  # members share no parameter: each has its own gradient


def teach_committee(
    rng_key: Key[Array, ""],
    params: TaggerParams,
    pool: Bucketed,
    options: TrainOptions,
    where: Bool[np.ndarray, " sentence"],
) -> TaggerParams:
    """All members, after `num_epochs` of learning from the labelled sentences, and 500 steps at least.

    Nothing is chosen by other labels.

    Args:
        rng_key: of the order of the sentences.
        params: to begin with.
        pool: of `make_pool`.
        options: rate, epochs, batch and weight decay are used.
        where: the sentences that have labels.

    Returns:
        The parameters of the last epoch.
    """
    if not where.any():
        return params
    batches = sum(-(-int(where[rows].sum()) // options.batch_size) for rows in pool.rows)
    fitted = train(
        rng_key, _loss, _LEARNT, params, pool, options, learning_rate=options.learning_rate,  # type: ignore[arg-type]
        num_epochs=max(options.num_epochs, -(-_LEAST_STEPS // batches)), where=where,
    )  # fmt: skip
    return fitted.params


def members_of(params: TaggerParams, first: int) -> TaggerParams:
    """The first members of a committee; none depends on how many there are."""
    return params._replace(**{name: getattr(params, name)[:first] for name in _LEARNT})


def one_tagger(params: TaggerParams) -> TaggerParams:
    """The first of a committee, for `crf_tagger`."""
    return params._replace(**{name: getattr(params, name)[0] for name in _LEARNT})


class CommitteeView(NamedTuple):
    """What a committee says of the pool.

    Attributes:
        scores: by name (`SCORES`), how much the labels of each sentence are wanted; higher is more.
        labels: `[sentence, time]` the first member's best path; -1 in padding.
    """

    scores: dict[str, Float[np.ndarray, " sentence"]]
    labels: Int[np.ndarray, "sentence time"]


def view_pool(
    rng_key: Key[Array, ""], params: TaggerParams, pool: Bucketed, names: Sequence[str], time: int
) -> CommitteeView:
    """Scores and labels of every sentence of the pool.

    - `mnlp`: minus `normalised_log_probability` of the first member.
    - `entropy`: `path_entropy` of the first member, a token, by the same reason.
    - `bald`: `sequence_bald` of all members, a token.

    Args:
        rng_key: for the paths that `bald` draws.
        params: of the committee.
        pool: of `make_pool`.
        names: of the scores.
        time: tokens of the longest sentence.

    Returns:
        `CommitteeView`.
    """
    count = sum(map(len, pool.rows))
    scores = {name: np.zeros(count) for name in names}
    labels = np.full((count, time), -1, np.int16)
    for number, (bucket, rows) in enumerate(zip(pool.buckets, pool.rows)):
        for first, some in _blocks(len(rows)):
            key = named_key(rng_key, number, first)
            found, paths = _view(tuple(names), key, params, bucket, jnp.asarray(some))
            own = rows[first : first + _ROWS]
            labels[own, : paths.shape[1]] = np.asarray(paths)[: len(own)]
            for name in names:
                scores[name][own] = np.asarray(found[name])[: len(own)]
    return CommitteeView(scores, labels)


def _blocks(count: int) -> Iterator[tuple[int, np.ndarray]]:
    """Row numbers in blocks of one size, the last one filled up with its last row."""
    for first in range(0, count, _ROWS):
        yield first, np.minimum(np.arange(first, first + min(_ROWS, count)), count - 1)


@partial(jax.jit, static_argnums=0)
def _view(
    names: tuple[str, ...], rng_key: Array, params: TaggerParams, bucket: Pool, rows: Array
) -> tuple[dict[str, Array], Array]:
    some = bucket.take(rows)
    allowed = jnp.asarray(allowed_transitions(params.bias.shape[1]))
    transition = jnp.where(allowed[None], params.transition, -jnp.inf)
    initial = jnp.where(allowed[0][None], params.initial, -jnp.inf)

    def emissions(weight: Array, bias: Array) -> Array:
        return some.embeddings @ weight + bias[None, None]

    one = (initial[0], transition[0], emissions(params.weight[0], params.bias[0]), some.lengths)
    tokens = some.lengths.astype(jnp.float32)
    found = {}
    for name in names:
        if name == "mnlp":
            found[name] = -normalised_log_probability(*one)
        elif name == "entropy":
            found[name] = path_entropy(*one) / tokens
        else:
            evidence = jax.vmap(emissions)(params.weight, params.bias)
            found[name] = sequence_bald(rng_key, initial, transition, evidence, some.lengths) / tokens
    return found, viterbi(*one).paths[:, 0]
