"""What a study keeps of its labelled answers, so that the confidence of later answers is a probability.

`confidence.json` of a result folder holds, of every measure of one answer, the scores, and whether the answers were
right: all that Venn-Abers calibration and a promised risk are made from, readable with NumPy alone.
"""

import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq._arguments import typed
from jaxuq._errors import ArrayError, OptionError
from jaxuq._options import check_number
from jaxuq.calibration import VennAbers, abstention_threshold, venn_abers
from jaxuq.checkpoints import read_json
from jaxuq.confidence.measures import MeasureFacts
from jaxuq.posterior import BernoulliForecast
from jaxuq.questions import QuestionError
from jaxuq.study import write_text

FILE = "confidence.json"
_FORMAT = 1
_FEWEST = 20  # answers, and both right and wrong ones among them
_OF_ONE_ANSWER = ("uqac", "answer", "response")


_ABERS = VennAbers(*map(jax.jit, venn_abers()))
_threshold = jax.jit(abstention_threshold, static_argnames=("level", "delta"))


class CalibratedScore(NamedTuple):
    """A score as a probability.

    Attributes:
        probability: that the answer is right.
        lower: end of the interval that the labelled answers leave open.
        upper: the other end.
    """

    probability: float
    lower: float
    upper: float


class KeptConfidence:
    """Labelled answers of a study under one measure: scores of further answers become probabilities.

    The promises hold for answers to questions like those of the study, by the same model.

    Args:
        measure: its name.
        scores: of the answers; higher is more confident. Seven digits of them count, as files keep them, so that equal
            scores stay equal; answers whose score is not finite are left out.
        correct: whether each was right, 0 or 1.
        sign: -1 if higher values of the measure mean less confident.
        kind: how answers are read, see `find_answer`.
        weights: digest of the model's numbers.

    Raises:
        ArrayError: there is not one grade for each score.
        QuestionError: there are fewer than 20 answers, or all are right, or all wrong, or one is neither.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> scores = rng.uniform(size=400)
        >>> kept = KeptConfidence("mine", scores, rng.uniform(size=400) < scores)
        >>> found = kept.calibrated(0.9)
        >>> 0.8 < found.lower <= found.probability <= found.upper < 1
        True
        >>> 0.4 < kept.threshold(risk=0.3) < 0.5  # (1 - 0.4) / 2 of these answers are wrong from 0.4 on
        True
    """

    def __init__(
        self, measure: str, scores: Any, correct: Any, *, sign: int = 1, kind: str = "text", weights: str = ""
    ):
        self.measure, self.sign, self.kind, self.weights = measure, sign, kind, weights
        scores, grades = np.asarray(scores, np.float64), np.asarray(correct, np.float64)
        if scores.ndim != 1 or scores.shape != grades.shape:
            raise ArrayError(
                f"scores has shape {scores.shape} and correct {grades.shape}; expected a grade for each of n scores"
            )
        if not ((grades == 0) | (grades == 1)).all():
            raise QuestionError(f"{measure} has a grade that is neither 0 nor 1; leave out what was not graded")
        there = np.isfinite(scores)
        self.scores = np.array([_rounded(one) for one in scores[there].tolist()], np.float32)
        self.correct = grades[there] == 1
        if len(self.scores) < _FEWEST or self.correct.all() or not self.correct.any():
            raise QuestionError(
                f"{measure} has {len(self.scores)} labelled answers, {int(self.correct.sum())} of them right; expected "
                f"at least {_FEWEST}, both right and wrong ones"
            )

    @functools.cached_property
    def _state(self) -> Any:
        return _ABERS.fit(_forecast(self.scores), jnp.asarray(self.correct, jnp.float32)[:, None])

    def calibrated(self, value: float) -> CalibratedScore:
        """The probability that an answer with this value of the measure is right: Venn-Abers.

        Args:
            value: as the measure gives it; NaN gives NaN.
        """
        if not np.isfinite(value):
            return CalibratedScore(*[float("nan")] * 3)
        low, high = (
            float(part[0, 0]) for part in _ABERS.probabilities(self._state, _forecast([_rounded(self.sign * value)]))
        )
        return CalibratedScore(high / (1.0 - low + high), low, high)

    def threshold(self, risk: float, *, delta: float = 0.1) -> float:
        """The score (`sign` times the measure) from which on to answer: at most `risk` of those answers are wrong.

        With probability 1 - delta over the labelled answers. Thresholds are tried where fixed numbers of them are
        accepted, twenty from three times as many on as could prove the risk if all were right.

        Args:
            risk: wanted error rate among the answers given.
            delta: chance that the promise fails.

        Returns:
            The threshold, just below the scores that are equal to it in seven digits; infinity if no answer can be
            given.
        """
        check_number("risk", risk, 0.0, 1.0, open_low=True, open_high=True)
        check_number("delta", delta, 0.0, 1.0, open_low=True, open_high=True)
        count, fewest = len(self.scores), math.ceil(3.0 * math.log(delta) / math.log1p(-risk))
        if fewest > count:
            return math.inf
        accepted = np.linspace(fewest, count, 20).round().astype(int)
        tried = np.sort(self.scores)[::-1][accepted - 1]
        scores, correct = jnp.asarray(self.scores), jnp.asarray(self.correct)
        return _below(float(_threshold(scores, correct, jnp.asarray(tried, jnp.float32), level=risk, delta=delta)))


def _rounded(score: float) -> float:
    """To the digits of a file: a third that was kept as 0.3333333 and one that was computed anew are the same."""
    return float(f"{score:.7g}")


def _below(score: float) -> float:
    """The least number that is rounded to a score."""
    if score == 0 or not math.isfinite(score):
        return score
    return score - 0.5 * 10.0 ** (math.floor(math.log10(abs(score))) - 6)


def _forecast(scores: Any) -> BernoulliForecast:
    logits = jnp.asarray(scores, jnp.float32)[:, None]
    return BernoulliForecast(logits, jnp.zeros_like(logits), jnp.zeros_like(logits))


def write_kept(
    path: Path,
    lines: Sequence[Mapping[str, Any]],
    about: Mapping[str, MeasureFacts],
    weights: str,
    groups: Sequence[str] = _OF_ONE_ANSWER,
) -> None:
    """Write `confidence.json` beside the results of a study.

    Args:
        path: of the result folder.
        lines: of the study.
        about: its measures.
        weights: digest of the model's numbers.
        groups: of measures that are kept.
    """
    kept = [line for line in lines if line["correct"] is not None]
    kinds = [line["kind"] for line in kept]
    content = {
        "format": _FORMAT,
        "weights": weights,
        "kind": max(sorted(set(kinds)), key=kinds.count) if kinds else "text",
        "correct": [int(line["correct"]) for line in kept],
        "measures": {
            name: {"sign": one.sign, "values": [line["measures"].get(name) for line in kept]}
            for name, one in about.items()
            if one.group in groups
        },
    }
    write_text(path / FILE, json.dumps(content, allow_nan=False) + "\n")


@typed()
def load_kept(folder: str | os.PathLike, measure: str = "uqac_similarity") -> KeptConfidence:
    """Read what a study keeps.

    Args:
        folder: of its results.
        measure: whose scores are wanted.

    Returns:
        `KeptConfidence`.

    Raises:
        CheckpointError: the folder has no such file, or it is damaged.
        QuestionError: it lacks the measure, or has too few answers.
        OptionError: the file is of another format.
    """
    path = Path(folder).expanduser() / FILE
    content = read_json(path)
    known = content.get("measures")
    if content.get("format") != _FORMAT or not isinstance(known, dict):
        raise OptionError(f"{path} is no file of labelled answers as this version writes it; run the study again")
    if measure not in known:
        raise QuestionError(f"{path} has no measure {measure!r}; it has {', '.join(sorted(known))}")
    try:
        sign, correct = int(known[measure]["sign"]), np.asarray(content["correct"], np.float32)
        values = np.asarray([np.nan if one is None else one for one in known[measure]["values"]], np.float32)
        kind, weights = str(content["kind"]), str(content["weights"])
        whole = values.shape == correct.shape and values.ndim == 1 and set(correct.tolist()) <= {0.0, 1.0}
        whole = whole and sign in (1, -1)
    except (KeyError, TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        raise OptionError(f"{path} is damaged; run the study again")
    there = np.isfinite(values)
    return KeptConfidence(measure, sign * values[there], correct[there], sign=sign, kind=kind, weights=weights)
