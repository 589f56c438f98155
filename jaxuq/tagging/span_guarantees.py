"""Spans with a promise: how sure one has to be of a span for recall, or precision, to hold on new texts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxuq._options import check_number
from jaxuq.tagging.records import Span, TaggingDataError

Candidates = Mapping[Span, float]
"""What may be marked in one text: how sure the tagger is of each span, higher is surer; never NaN."""


class SpanThresholds(NamedTuple):
    """From which score on a span of a type is kept.

    Attributes:
        promise: `"recall"` or `"precision"`.
        level: that is promised.
        lowest: by type; minus infinity keeps all candidates, infinity none.
        texts: by type, how many calibration texts had a say.
        reached: by type, whether the promise holds. Where it does not, there were too few texts, or no threshold is
            good enough: `lowest` is then what comes nearest, all candidates (recall) or none (precision).
    """

    promise: Literal["recall", "precision"]
    level: float
    lowest: dict[str, float]
    texts: dict[str, int]
    reached: dict[str, bool]


def candidate_spans(
    marginals: Float[np.ndarray, "time labels"], label_names: Sequence[str], *, least: float = 0.01
) -> dict[Span, float]:
    """Every span that a tagger would mark if it were bolder, and how bold it has to be.

    A token belongs to an entity of the type with the largest $p(B_x) + p(I_x)$ if its probability of being in any,
    $1 - p(O)$, is at least a threshold; a span begins at the first such token, at another type and where
    $p(B_x) > p(I_x)$. The score of a span is the highest threshold at which it is marked, so that what is marked at one
    threshold stays at every lower one.

    Args:
        marginals: probability of each label of each token of one text, without padding.
        label_names: `O, B-x, I-x, ...`
        least: no token below this probability is marked, in (0, 1].

    Returns:
        Scores in [least, 1] by `(start, end, type)`; the end is exclusive.

    Raises:
        TaggingDataError: the first label is not `O`, or there is not a probability for each label.
        OptionError: `least` is out of range.

    Example:
        >>> marginals = np.array([[0.1, 0.9, 0.0], [0.6, 0.0, 0.4], [0.95, 0.05, 0.0]])
        >>> candidate_spans(marginals, ["O", "B-PER", "I-PER"], least=0.2)
        {(0, 1, 'PER'): 0.9, (0, 2, 'PER'): 0.4}
    """
    check_number("least", least, 0.0, 1.0, open_low=True)
    marginals = np.asarray(marginals, float)
    types = list(dict.fromkeys(name[2:] for name in label_names[1:]))
    if not label_names or label_names[0] != "O" or marginals.ndim != 2 or marginals.shape[1] != len(label_names):
        raise TaggingDataError(
            f"marginals of shape {marginals.shape} for the labels {list(label_names)}; "
            "expected [tokens, labels], the first label O"
        )
    if not types:
        return {}
    begins = np.stack([_mass(marginals, label_names, f"B-{name}") for name in types], 1)
    inside = np.stack([_mass(marginals, label_names, f"I-{name}") for name in types], 1)
    kinds = (begins + inside).argmax(1)
    rows = np.arange(len(kinds))
    opens = begins[rows, kinds] > inside[rows, kinds]
    mass = np.round(1.0 - marginals[:, 0], 12)
    found: dict[Span, float] = {}
    for threshold in sorted({float(one) for one in mass if one >= least}, reverse=True):
        start = None
        for at in range(len(mass) + 1):
            on = at < len(mass) and mass[at] >= threshold
            if start is not None and (not on or opens[at] or kinds[at] != kinds[start]):
                found.setdefault((start, at, types[kinds[start]]), threshold)
                start = None
            start = at if on and start is None else start
    return found


def _mass(marginals: np.ndarray, label_names: Sequence[str], name: str) -> np.ndarray:
    return marginals[:, label_names.index(name)] if name in label_names else np.zeros(len(marginals))


def promise_recall(
    candidates: Sequence[Candidates],
    gold: Sequence[Iterable[Span]],
    *,
    level: float = 0.9,
    types: Sequence[str] | None = None,
) -> SpanThresholds:
    r"""The highest threshold for each type at which a new text keeps so much of what is in it.

    $$E\left[\frac{|\{s \in G : \mathrm{score}(s) \ge \hat\lambda\}|}{|G|}\right] \ge \mathrm{level}$$

    for the right spans $G$ of a type in a text that has some, by conformal risk control: the calibration texts and the
    new one are exchangeable, and no tagger was trained on either. A right span that is no candidate is missed at every
    threshold, so a share that is hardly reached by all candidates is promised for some calibration texts and not for
    others; the mean above is then over both, nothing being missed where nothing is promised.

    Args:
        candidates: of each calibration text; see `candidate_spans`.
        gold: right spans of each.
        level: share of right spans that is kept in expectation, in (0, 1).
        types: None: those that occur in `gold`.

    Returns:
        `SpanThresholds`.

    Raises:
        TaggingDataError: not as many texts with candidates as with right spans, or a score is NaN.
        OptionError: `level` is out of range.

    Example:
        >>> texts = [{(0, 1, "PER"): score} for score in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)]
        >>> promise_recall(texts, [[(0, 1, "PER")]] * 9, level=0.8).lowest
        {'PER': 0.2}

    References:
        Angelopoulos, Bates, Fisch, Lei and Schuster. Conformal Risk Control. ICLR 2024, Eq 4.
    """
    import jax.numpy as jnp

    from jaxuq.calibration import conformal_risk_control

    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    lowest, texts, reached = {}, {}, {}
    for name, pairs in _by_type(candidates, gold, types).items():
        scores = [[said.get(span, -np.inf) for span in right] for said, right in pairs if right]
        settings = _settings(score for text in scores for score in text)
        missed = [np.mean(np.asarray(text)[:, None] < settings, axis=0) for text in scores]
        at = len(settings)
        if missed:
            risks = jnp.asarray(np.mean(missed, axis=0), jnp.float32)
            at = int(conformal_risk_control(risks, len(missed), level=1.0 - level))
        texts[name], reached[name] = len(missed), at < len(settings)
        lowest[name] = float(settings[at]) if reached[name] else -np.inf
    return SpanThresholds("recall", level, lowest, texts, reached)


def promise_precision(
    candidates: Sequence[Candidates],
    gold: Sequence[Iterable[Span]],
    *,
    level: float = 0.9,
    delta: float = 0.1,
    types: Sequence[str] | None = None,
) -> SpanThresholds:
    r"""The lowest threshold for each type at which so much of what is kept in a text is right.

    $$P\left(E\left[\frac{|K \cap G|}{|K|} \,\middle|\, K \ne \emptyset\right] \ge \mathrm{level}\right) \ge 1 - \delta,
      \qquad K = \{s : \mathrm{score}(s) \ge \hat\lambda\}$$

    by learn then test in a fixed order: thresholds are tried from the highest down, and the first that cannot be shown
    to be good ends it (Hoeffding-Bentkus p-values). The first is the highest that so many texts reach as could show it
    at all, $\log \delta / \log \mathrm{level}$; what is right has no say in that. The outer probability is over the
    calibration texts.

    Args:
        candidates: of each calibration text; see `candidate_spans`.
        gold: right spans of each.
        level: share of kept spans that is right in expectation, in (0, 1).
        delta: chance that the promise does not hold, in (0, 1).
        types: None: those that occur in `gold` or among the candidates.

    Returns:
        `SpanThresholds`.

    Raises:
        TaggingDataError: not as many texts with candidates as with right spans, or a score is NaN.
        OptionError: `level` or `delta` is out of range.

    Example:
        >>> right, wrong = {(0, 1, "PER"): 0.9}, {(0, 1, "PER"): 0.2}
        >>> promise_precision([right] * 50 + [wrong] * 50, [[(0, 1, "PER")]] * 50 + [[]] * 50).lowest
        {'PER': 0.9}

    References:
        Angelopoulos, Bates, Candès, Jordan and Lei. Learn Then Test. Annals of Applied Statistics 2025.
    """
    import jax.numpy as jnp

    from jaxuq.calibration import learn_then_test, risk_p_values

    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    check_number("delta", delta, 0.0, 1.0, open_low=True, open_high=True)
    lowest, texts, reached = {}, {}, {}
    for name, pairs in _by_type(candidates, gold, types, of_candidates=True).items():
        settings = _settings(score for said, _ in pairs for score in said.values())
        risks, counts = np.zeros(len(settings)), np.zeros(len(settings))
        for said, right in pairs:
            scores = np.array(list(said.values()))
            kept = scores[:, None] >= settings
            wrong = np.array([span not in right for span in said], bool)
            some = kept.any(0)
            counts += some
            risks += np.where(some, (kept & wrong[:, None]).sum(0) / np.maximum(kept.sum(0), 1), 0.0)
        means = jnp.asarray(risks / np.maximum(counts, 1), jnp.float32)
        values = risk_p_values(means, jnp.asarray(counts, jnp.float32), level=1.0 - level, loss="bounded")
        tried = counts >= np.log(delta) / np.log(level)
        passed = learn_then_test(jnp.where(tried, values, 0.0), delta=delta)
        passed = np.flatnonzero(np.asarray(passed) & tried)
        texts[name], reached[name] = sum(bool(said) for said, _ in pairs), len(passed) > 0
        lowest[name] = float(settings[passed[-1]]) if len(passed) else np.inf
    return SpanThresholds("precision", level, lowest, texts, reached)


def keep_spans(candidates: Candidates, thresholds: SpanThresholds) -> list[Span]:
    """What of a text is kept, surest first; a type without a threshold keeps nothing.

    Args:
        candidates: of one text.
        thresholds: from `promise_recall` or `promise_precision`.

    Returns:
        Spans; of a promise of recall they may overlap.

    Example:
        >>> keep_spans({(0, 1, "PER"): 0.5, (2, 3, "PER"): 0.1}, SpanThresholds("recall", 0.9, {"PER": 0.2}, {}, {}))
        [(0, 1, 'PER')]
    """
    kept = [span for span, score in candidates.items() if score >= thresholds.lowest.get(span[2], np.inf)]
    return sorted(kept, key=lambda span: (-candidates[span], span))


def _by_type(
    candidates: Sequence[Candidates],
    gold: Sequence[Iterable[Span]],
    types: Sequence[str] | None,
    of_candidates: bool = False,
) -> dict[str, list[tuple[dict[Span, float], set[Span]]]]:
    """Candidates and right spans of each type, text by text."""
    rights = [set(spans) for spans in gold]
    if len(candidates) != len(rights):
        raise TaggingDataError(f"candidates of {len(candidates)} texts, but right spans of {len(rights)}")
    for number, said in enumerate(candidates):
        for span, score in said.items():
            if np.isnan(score):
                raise TaggingDataError(f"text {number}: the score of {span} is NaN; leave the span out")
    known = [*(span for right in rights for span in right)]
    known += [span for said in candidates for span in said] if of_candidates else []
    names = sorted({span[2] for span in known}) if types is None else list(types)
    return {
        name: [
            ({span: score for span, score in said.items() if span[2] == name}, {s for s in right if s[2] == name})
            for said, right in zip(candidates, rights)
        ]
        for name in names
    }


def _settings(scores: Iterable[float], most: int = 256) -> np.ndarray:
    """Thresholds from the highest down: the scores themselves, or so many of them, evenly by rank."""
    known = np.unique([score for score in scores if np.isfinite(score)])[::-1]
    if len(known) > most:
        known = known[np.unique(np.linspace(0, len(known) - 1, most).round().astype(int))]
    return np.concatenate([known, np.full(most - len(known), known[-1])]) if len(known) else np.full(most, np.inf)
