"""From what was seen of answers to their measures: one program for all that are asked for."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxuq._entries import Entry
from jaxuq._errors import JaxuqError
from jaxuq.confidence._measure import Seen
from jaxuq.confidence.semantic_clusters import greedy_clusters
from jaxuq.confidence.text.passes import Texts, inner_mask, response_mask
from jaxuq.confidence.text.reading import Reading
from jaxuq.parallel import on_host
from jaxuq.questions import QuestionError


class Score(NamedTuple):
    """A measure as programs are found by it."""

    name: str
    needs: tuple[str, ...]
    function: Callable[[Seen], Any]


def reading_fields(texts: Texts, reading: Reading, *, answered: Array, published: bool) -> dict[str, Any]:
    """The arrays of `Seen` that are of one pass, a row a text.

    Args:
        texts: that were read.
        reading: of them.
        answered: which have a final answer.
        published: whether the first token of a response counts for nothing, as in UQAC's released code.

    Returns:
        By name.
    """
    response = response_mask(texts)
    if published:
        slots = jnp.arange(texts.tokens.shape[1], dtype=jnp.int32)
        response &= slots[None] != texts.begins[:, None]
    found = {
        "response": response, "inner": inner_mask(texts), "answer": texts.answer, "answered": answered,
        "log_probs": reading.said, "entropies": reading.entropies, "values": reading.values, "back": reading.back,
        "itself": reading.itself, "without": reading.without, "embedding": reading.embedding, "chain": reading.chain,
        "filtered": reading.filtered, "joint": reading.confidence,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


class _Fields(Mapping[str, Any]):
    """What was seen of one answer, and what follows from it, made when it is asked for, once."""

    def __init__(self, given: Mapping[str, Any]):
        self._known = dict(given)

    def __getitem__(self, name: str) -> Any:
        if name not in self._known and name in _FOLLOWS:
            self._known[name] = _FOLLOWS[name](self)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _directions(seen: Mapping[str, Any]) -> Array:
    states = seen["sample_embeddings"]
    return states / jnp.maximum(jnp.linalg.norm(states, axis=-1, keepdims=True), 1e-12)


def _near(seen: Mapping[str, Any]) -> Array:
    unit = seen["embedding"] / jnp.maximum(jnp.linalg.norm(seen["embedding"]), 1e-12)
    return jnp.clip(_directions(seen) @ unit, 0.0, 1.0)


_FOLLOWS: Mapping[str, Callable[[Mapping[str, Any]], Array]] = {
    "clusters": lambda seen: jnp.where(seen["named"], greedy_clusters(seen["equal"], where=seen["named"]), -1),
    "cosines": lambda seen: jnp.clip(_directions(seen) @ _directions(seen).T, 0.0, 1.0),
    "near": _near,
}


@functools.partial(jax.jit, static_argnames=("scores", "convention"))
def _measured(
    fields: dict[str, Any], *, scores: tuple[Score, ...], convention: str
) -> dict[str, Float[Array, " batch"]]:
    def one(given: dict[str, Any]) -> dict[str, Array]:
        known = _Fields(given)
        return {score.name: _number(score, Seen(_own(known, score), *score[:2], convention)) for score in scores}

    return jax.vmap(one)(fields)


def _own(known: _Fields, score: Score) -> Mapping[str, Any]:
    """With the reductions of this measure under `values`."""
    if "values" not in known or score.name not in known["values"]:
        return known
    return _Fields({**known, "values": known["values"][score.name]})


def _number(score: Score, seen: Seen) -> Array:
    try:
        given = score.function(seen)
    except JaxuqError:
        raise
    except Exception as error:  # of the user's own function
        raise QuestionError(f"the measure {score.name!r} ends in {type(error).__name__}: {error}") from error
    if isinstance(given, str) or (not hasattr(given, "dtype") and not isinstance(given, int | float)):
        raise QuestionError(f"the measure {score.name!r} gives {given!r:.60}; expected one number")
    found = jnp.asarray(given)
    if found.shape != () or jnp.iscomplexobj(found):
        raise QuestionError(
            f"the measure {score.name!r} gives an array of shape {found.shape} and type {found.dtype}; expected one "
            "real number"
        )
    return found.astype(jnp.float32)


def measurable(one: Entry, fields: Mapping[str, Any], texts: Mapping[str, Any]) -> bool:
    """Whether a measure asks for nothing but what is known; nothing is computed unless it needs texts.

    Args:
        one: the measure.
        fields: the arrays of `Seen` that are known, a row an answer.
        texts: the texts of the first answer.
    """
    if "score" not in one.functions:
        return False
    row = jax.tree.map(lambda leaf: leaf[:1], dict(fields))
    score = Score(one.name, one.needs, one.functions["score"])
    try:
        if "text" in one.needs:
            measured([one], row, [texts])
        else:
            jax.eval_shape(lambda given: _measured(given, scores=(score,), convention="text"), row)
    except (JaxuqError, KeyError):
        return False
    return True


def measured(
    measures: Sequence[Entry],
    fields: Mapping[str, Any],
    texts: Sequence[Mapping[str, Any]],
    *,
    convention: str = "text",
) -> list[dict[str, float]]:
    """The measures of a batch of answers: those of arrays in one program, those that need texts one after the other.

    Args:
        measures: that are asked for.
        fields: the arrays of `Seen`, a row an answer, and perhaps rows that are not in use.
        texts: the texts of `Seen`, of each answer.
        convention: of UQAC.

    Returns:
        Of each answer, by name.
    """
    scores = [Score(one.name, one.needs, one.functions["score"]) for one in measures if "score" in one.functions]
    arrays = tuple(one for one in scores if "text" not in one.needs)
    found = on_host(_measured(dict(fields), scores=arrays, convention=convention)) if arrays else {}
    rows = [{name: float(values[row]) for name, values in found.items()} for row in range(len(texts))]
    host = [one for one in scores if "text" in one.needs]
    if host:
        kept = on_host(dict(fields))
        for row, own in enumerate(texts):
            known = _Fields(jax.tree.map(lambda leaf, row=row: np.asarray(leaf)[row], kept) | dict(own))
            rows[row] |= {one.name: float(_number(one, Seen(_own(known, one), *one[:2], convention))) for one in host}
    return [{one.name: row[one.name] for one in scores} for row in rows]
