"""The sum over substituted chains: sequences with one token changed, scored from where they differ."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxuq.confidence.chain_confidence import answer_approximation
from jaxuq.confidence.text.options import DEFAULTS, ChainOptions
from jaxuq.confidence.text.passes import Texts
from jaxuq.confidence.text.reading import Reading
from jaxuq.networks import Decoder, Model, as_model, capability
from jaxuq.parallel import plan_rows, rung

_TOKENS, _ROWS = 2048, 32  # read at a time, at most: few long suffixes or many short ones


class _Row(NamedTuple):
    """One substitution: which text, which of its substitutions, and which stretch must be read again."""

    text: int
    number: int
    begin: int
    targets: np.ndarray  # tokens whose probabilities count, after the changed one


@functools.partial(jax.jit, static_argnames=("model",))
def _score_suffixes(
    model: Model | Decoder,
    params: PyTree,
    cache: Any,
    owner: Int[Array, " rows"],
    begins: Int[Array, " rows"],
    tokens: Int[Array, "rows length"],
    valid: Bool[Array, "rows length"],
    places: Int[Array, "rows targets"],
    targets: Int[Array, "rows targets"],
) -> Float[Array, "rows targets"]:
    """Log-probabilities of targets after the suffixes' tokens at `places`, each row on its own text's prefix."""
    model = as_model(model)
    length, rows = tokens.shape[1], capability(model, "rows")
    own = rows.take(cache, owner)
    positions = capability(model, "attention").positions(own)
    slots = jnp.arange(positions.shape[1], dtype=jnp.int32)
    room = rows.extend(rows.arrange(own, jnp.where(slots[None] < begins[:, None], positions, -1)), length)
    steps = begins[:, None] + jnp.arange(length, dtype=jnp.int32)[None]
    states, _, _ = model.read(params, tokens, jnp.where(valid, steps, -1), room)
    logits = model.logits(params, jnp.take_along_axis(states, places[..., None], axis=1)).astype(jnp.float32)
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    return jnp.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]


@functools.partial(jax.jit, static_argnames=("convention",))
def _sums(log_probs: Array, answer: Array, filtered: Array, where: Array, convention: Any) -> Array:
    one = functools.partial(answer_approximation, convention=convention)
    return jax.vmap(lambda rows, answer, filtered, where: one(rows, answer, filtered, where=where))(
        log_probs, answer, filtered, where
    )


def marginal_confidence(
    model: Model | Decoder,
    params: PyTree,
    texts: Texts,
    reading: Reading,
    cache: Any,
    *,
    options: ChainOptions = DEFAULTS,
) -> np.ndarray:
    r"""$\tilde P$ of each text: the sum over the chain as it is and with single tokens changed (Eq 3.12).

    Every changed sequence starts from the cache of its own text up to the change, and is read from there to the last
    token of the answer; logits are made for the tokens that count and for no others. Sequences of similar length,
    whichever texts they belong to, run together: at most 2,048 tokens at a time, or one sequence. Holds their caches.

    Returns:
        In [0, 1]; NaN for texts without an answer.
    """
    tokens, answer, filtered, changes, log_probs = jax.device_get(
        (texts.tokens, texts.answer, reading.filtered.tokens, reading.changes, reading.quantities.log_probs)
    )
    batch = tokens.shape[0]
    size = changes.positions.shape[1]
    counted = answer | filtered
    ends = [int(row.nonzero()[0].max(initial=0)) for row in counted]
    work = []
    for text, number in zip(*np.nonzero(changes.valid & answer.any(1)[:, None])):
        begin = int(changes.positions[text, number])
        targets = np.flatnonzero(counted[text])
        work.append(_Row(int(text), int(number), begin, targets[targets > begin]))
    rows = np.repeat(log_probs[:, None], size + 1, axis=1)
    wide = rung(max((len(row.targets) for row in work), default=1), least=8)
    # The last token of the answer is predicted, not read; a suffix of nothing else has one token all the same.
    counts = [max(ends[row.text] - row.begin, 1) for row in work]
    for plan in plan_rows(counts, max_rows=_ROWS, max_tokens=_TOKENS, least=8):
        group, together, length = [work[number] for number in plan.rows], plan.size, plan.length
        suffixes, valid = np.zeros((together, length), np.int32), np.zeros((together, length), bool)
        places, targets = np.zeros((together, wide), np.int32), np.zeros((together, wide), np.int32)
        owner, begins = np.zeros(together, np.int32), np.zeros(together, np.int32)
        for at, row in enumerate(group):
            count = ends[row.text] - row.begin
            suffixes[at, :count] = tokens[row.text, row.begin : row.begin + count]
            suffixes[at, 0] = changes.tokens[row.text, row.number]
            valid[at, :count] = True
            owner[at], begins[at] = row.text, row.begin
            places[at, : len(row.targets)] = row.targets - row.begin - 1
            targets[at, : len(row.targets)] = tokens[row.text, row.targets]
        arguments = map(jnp.asarray, (owner, begins, suffixes, valid, places, targets))
        scored = np.asarray(_score_suffixes(model, params, cache, *arguments))
        for at, row in enumerate(group):
            rows[row.text, row.number + 1, row.targets] = scored[at, : len(row.targets)]
            rows[row.text, row.number + 1, row.begin] = changes.log_probs[row.text, row.number]
    where = np.concatenate([np.ones((batch, 1), bool), changes.valid], axis=1)
    arrays = map(jnp.asarray, (rows, answer, filtered, where))
    return np.asarray(_sums(*arrays, options.convention))
