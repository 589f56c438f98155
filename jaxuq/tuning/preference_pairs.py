"""Pairs of responses from which a model learns to say how sure it is: of a listener's trust, and of judged claims."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxuq._arguments import typed
from jaxuq._errors import ArrayError
from jaxuq._options import check_count, check_number

_UTILITY = {(True, True): 1.0, (False, False): 1.0, (True, False): -0.5, (False, True): -1.0}  # (right, accepted)


class PreferencePairs(NamedTuple):
    """Numbers of answers, the better of each pair and the worse.

    Attributes:
        chosen: of the better.
        rejected: of the worse.
        kinds: what the pair is of, as `right accepted > wrong accepted`.
    """

    chosen: Int[np.ndarray, " pairs"]
    rejected: Int[np.ndarray, " pairs"]
    kinds: list[str]


@typed()
def listener_pairs(
    rng_key: Key[Array, ""],
    questions: Int[np.ndarray, " answers"],
    trust: Float[np.ndarray, " answers"],
    correct: Bool[np.ndarray, " answers"],
    *,
    threshold: float | None = None,
    apart: float = 0.1,
    per_question: int = 3,
    balanced: bool = True,
) -> PreferencePairs:
    r"""Which of two answers a listener should have been given (LACIE), for `jaxuq.losses.direct_preference_loss`.

    A listener hears an answer with its final string masked, and trusts it by its tone with probability p; it accepts
    above the threshold. An answer is worth 1 where the listener is right about it, -1/2 where it rejects a right one,
    and -1 where it accepts a wrong one. Two answers to one question make a pair if they differ in worth, and by `apart`
    in p. The published code's limit of pairs a question ends its inner loop alone; here it is kept.

    Args:
        rng_key: of which pairs are kept where there are too many.
        questions: number of the question that each answer answers.
        trust: p of each answer, such as the probability of "yes" when a model is asked whether it would believe it;
            an answer without one (NaN) is in no pair.
        correct: whether the answer is right.
        threshold: of p; None: the median of all.
        apart: the least difference of p in a pair.
        per_question: the most pairs of a question.
        balanced: keep as many pairs of each kind as there are of the rarest that there is.

    Returns:
        `PreferencePairs`, in the order of the questions.

    Raises:
        ArrayError: the arrays differ in length.
        ValueError: an option out of range.

    Example:
        >>> import jax, numpy as np
        >>> found = listener_pairs(
        ...     jax.random.key(0), np.zeros(3, int), np.array([0.9, 0.7, 0.2]), np.arange(3) == 0, threshold=0.5
        ... )
        >>> sorted(zip(found.chosen.tolist(), found.rejected.tolist()))
        [(0, 1), (2, 1)]

    References:
        Stengel-Eskin, Hase and Bansal. LACIE: Listener-Aware Finetuning for Calibration in Large Language Models.
        NeurIPS 2024.
    """
    if not len(questions) == len(trust) == len(correct):
        raise ArrayError(f"{len(questions)} questions, {len(trust)} trusts, {len(correct)} grades: one an answer each")
    apart, per_question = check_number("apart", apart, 0.0, 1.0), check_count("per_question", per_question)
    if threshold is None:
        known = trust[~np.isnan(trust)]
        threshold = float(np.median(known)) if len(known) else 0.5
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)))
    states = [(bool(right), bool(p > threshold)) for right, p in zip(correct, trust)]
    found: list[tuple[int, int, str]] = []
    for question in np.unique(questions):
        own = np.flatnonzero(questions == question).tolist()
        pairs = [
            (better, worse, f"{_said(states[better])} > {_said(states[worse])}")
            for better in own
            for worse in own
            if _UTILITY[states[better]] > _UTILITY[states[worse]] and abs(trust[better] - trust[worse]) >= apart - 1e-6
        ]
        kept = rng.permutation(len(pairs))[:per_question]
        found += [pairs[index] for index in sorted(kept.tolist())]
    if balanced and found:
        found = _balanced(rng, found)
    chosen, rejected, kinds = zip(*found) if found else ((), (), ())
    return PreferencePairs(np.array(chosen, np.int64), np.array(rejected, np.int64), list(kinds))


def _said(state: tuple[bool, bool]) -> str:
    right, accepted = state
    return f"{'right' if right else 'wrong'} {'accepted' if accepted else 'rejected'}"


def _balanced(rng: np.random.Generator, found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    by_kind: dict[str, list[int]] = {}
    for index, (_, _, kind) in enumerate(found):
        by_kind.setdefault(kind, []).append(index)
    count = min(map(len, by_kind.values()))
    kept = [index for indices in by_kind.values() for index in rng.permutation(indices)[:count].tolist()]
    return [found[index] for index in sorted(kept)]


def _doubted(claim: str) -> str:
    return f"I am not sure of this: {claim}"


@typed()
def hedged_pairs(
    claims: Sequence[Sequence[str]],
    correct: Sequence[Sequence[bool]],
    *,
    hedge: Callable[[str], str] = _doubted,
) -> list[tuple[str, str]]:
    """Two tellings of the claims of each answer (LoGU): one that doubts what is wrong, one that doubts what is right.

    The first is also a target of supervised tuning; the pair is for `jaxuq.losses.direct_preference_loss`.

    Args:
        claims: of each answer, sentences that were judged alone.
        correct: whether each claim is right.
        hedge: says a claim with doubt.

    Returns:
        The better text and the worse of each answer that has claims.

    Raises:
        ArrayError: there are other numbers of claims than of grades.

    Example:
        >>> better, worse = hedged_pairs([["Oslo is in Norway.", "It has ten rivers."]], [[True, False]])[0]
        >>> better
        'Oslo is in Norway. I am not sure of this: It has ten rivers.'
        >>> worse
        'I am not sure of this: Oslo is in Norway. It has ten rivers.'

    References:
        Yang et al. LoGU: Long-form Generation with Uncertainty Expressions. ACL 2025.
    """
    if [len(one) for one in claims] != [len(one) for one in correct]:
        raise ArrayError("claims and correct must have one grade a claim, answer by answer")

    def told(said: Sequence[str], doubted: Sequence[bool]) -> str:
        return " ".join(hedge(claim) if doubt else claim for claim, doubt in zip(said, doubted))

    return [
        (told(said, [not right for right in grades]), told(said, list(grades)))
        for said, grades in zip(claims, correct)
        if said
    ]
