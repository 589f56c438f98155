"""What labelled texts make of a run: spans with a promise, and confidences that are calibrated."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.pipeline import Extraction
from jaxuq.extraction.spans import Span
from jaxuq.tagging import SpanPromise, calibrating_half, keep_spans

Scored = dict[tuple[int, int, str], float]
_LEAST = 1e-6  # of a score, so that it has a logit


class Calibrating(NamedTuple):
    """Labelled texts that are asked about too, and what they are for.

    Attributes:
        passages: with gold spans; the model that answers was not trained on them.
        where: what they are called.
        promise: of the spans that are kept; None keeps what a run without labelled texts keeps.
    """

    passages: tuple[Passage, ...]
    where: str
    promise: SpanPromise | None = None


class Promised(NamedTuple):
    """What is found in new texts.

    Attributes:
        extractions: of each, with the spans that are kept and a calibrated confidence where there is one.
        lines: what a user is told.
        record: the same as plain data.
    """

    extractions: list[Extraction]
    lines: list[str]
    record: dict[str, Any]


def set_aside(
    passages: Sequence[Passage], labelled: Sequence[Passage] | None, where: str, promise: SpanPromise | None
) -> tuple[list[Passage], Calibrating]:
    """Choose the texts that calibrate.

    Args:
        passages: the texts that are wanted.
        labelled: others with gold spans; None takes half of those of `passages` that have some.
        where: what they are called.
        promise: what they are for.

    Returns:
        The texts of which results are wanted, and those that calibrate; where both have an id, the latter's is changed.

    Raises:
        ExtractionError: no text has gold spans.

    Example:
        >>> from jaxuq.extraction import make_passages, make_schema
        >>> records = [{"text": "Ada met Bo.", "entities": []}] * 4
        >>> some = make_passages({str(n): one for n, one in enumerate(records)}, make_schema(["person"]))
        >>> rest, calibrating = set_aside(some, None, "half", None)
        >>> len(rest), len(calibrating.passages)
        (2, 2)
    """
    if labelled is None:
        half = calibrating_half([passage.gold is not None for passage in passages])
        chosen = [passage for passage, aside in zip(passages, half) if aside]
        passages = [passage for passage, aside in zip(passages, half) if not aside]
    else:
        taken = {passage.id for passage in passages}
        chosen = [passage for passage in labelled if passage.gold is not None]
        chosen = [one._replace(id=f"calibrate/{one.id}") if one.id in taken else one for one in chosen]
    if not chosen:
        raise ExtractionError(f"{where}: there are no texts with gold entities, from which a promise is learned")
    return list(passages), Calibrating(tuple(chosen), where, promise)


def scored_spans(extractions: Sequence[Extraction]) -> tuple[list[Scored], str]:
    """How sure a run is of each span: its confidence, or, where no span has one, how well it matches the text.

    Args:
        extractions: with all that was found; see `every` of `extract`.

    Returns:
        Scores of each text, and in words what they are.
    """
    known = any(not math.isnan(span.confidence) for found in extractions for span in found.spans)

    def score(span: Span) -> float:
        return (0.0 if math.isnan(span.confidence) else span.confidence) if known else span.score

    what = "by confidence" if known else "by how well they match the text, for the model says no probability"
    return [{span[:3]: score(span) for span in found.spans} for found in extractions], what


def keep_promised(
    calibrating: Calibrating,
    labelled: Sequence[Extraction],
    found: Sequence[Extraction],
    settled: Sequence[Extraction],
    types: Sequence[str],
) -> Promised:
    """Keep what reaches the thresholds, and calibrate confidences, type by type.

    Args:
        calibrating: the labelled texts.
        labelled: all that was found in them.
        found: all that was found in the texts that are wanted.
        settled: what is kept of these without a promise.
        types: names of all types.

    Returns:
        `Promised`.
    """
    scores, what = scored_spans([*labelled, *found])
    known, new = scores[: len(labelled)], scores[len(labelled) :]
    gold = [[span[:3] for span in passage.gold or ()] for passage in calibrating.passages]
    lines = [f"calibrated on {len(gold)} texts ({calibrating.where}); spans are ranked {what}"]
    record: dict[str, Any] = {"calibrated_on": calibrating.where, "texts": len(gold), "ranked": what}
    kept = [list(one.spans) for one in settled]
    if calibrating.promise is not None:
        thresholds = calibrating.promise.thresholds(known, gold, types)
        lines += calibrating.promise.lines(thresholds)
        record |= calibrating.promise.record(thresholds)
        chosen = [set(keep_spans(one, thresholds)) for one in new]
        kept = [[span for span in one.spans if span[:3] in places] for one, places in zip(found, chosen)]
    sure, examples = calibrated_confidences(known, gold, new, types)
    record["examples"] = examples
    bare = [f"{name} ({count})" for name, count in examples.items() if count < 10]
    if bare:
        lines.append(f"confidences of few examples, found in the labelled texts: {', '.join(bare)}")
    spans = [
        tuple(span._replace(confidence=known.get(span[:3], span.confidence)) for span in own)
        for own, known in zip(kept, sure)
    ]
    return Promised([one._replace(spans=own) for one, own in zip(settled, spans)], lines, record)


def calibrated_confidences(
    known: Sequence[Scored], gold: Sequence[Sequence[tuple[int, int, str]]], new: Sequence[Scored], types: Sequence[str]
) -> tuple[list[Scored], dict[str, int]]:
    """The probability that a span is right, of each type by itself (Venn-Abers, which holds with few examples too).

    Args:
        known: scores of all spans found in the labelled texts.
        gold: their right spans.
        new: scores of spans found in other texts.
        types: names of the types.

    Returns:
        Probabilities in the places of `new`, none of a type without examples; and the number of examples of each type.

    Example:
        >>> span = (0, 1, "person")
        >>> sure, count = calibrated_confidences([{span: 0.5}] * 9, [[span]] * 6 + [[]] * 3, [{span: 0.5}], ["person"])
        >>> round(sure[0][span], 3), count  # p0 = 6/10, p1 = 7/10
        (0.636, {'person': 9})

    References:
        Vovk, Petej. Venn-Abers predictors. UAI 2014.
    """
    import jax.numpy as jnp

    from jaxuq.calibration import venn_abers
    from jaxuq.posterior import BernoulliForecast

    def forecast(values: Sequence[float]) -> BernoulliForecast:
        clipped = np.clip(np.asarray(values, np.float64), _LEAST, 1 - _LEAST)
        logits = jnp.asarray(np.log(clipped) - np.log1p(-clipped), jnp.float32)[:, None]
        return BernoulliForecast(logits, jnp.zeros_like(logits), jnp.zeros_like(logits))

    method, result = venn_abers(), [Scored() for _ in new]
    examples: dict[str, int] = {}
    for name in types:
        rows = [
            (score, span in right)
            for one, right in zip(known, map(set, gold))
            for span, score in one.items()
            if span[2] == name
        ]
        places = [(row, span) for row, one in enumerate(new) for span in one if span[2] == name]
        examples[name] = len(rows)
        if not rows or not places:
            continue
        state = method.fit(forecast([score for score, _ in rows]), jnp.asarray([[right] for _, right in rows], int))
        low, high = method.probabilities(state, forecast([new[row][span] for row, span in places]))
        merged = np.asarray(high / (1 - low + high), float)[:, 0]
        for (row, span), value in zip(places, merged.tolist()):
            result[row][span] = value
    return result, examples
