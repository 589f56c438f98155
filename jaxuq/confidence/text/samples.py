"""What sampled answers say of each other and of the answer that is judged, as arrays."""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from jaxuq.confidence.text.generating import Sampled
from jaxuq.confidence.text_similarity import jaccard_similarities, rouge_similarities
from jaxuq.questions import FoundAnswer, Question, equivalent_answers


def same_answers(
    answers: Sequence[FoundAnswer | None], question: Question, extra: FoundAnswer | None = None
) -> tuple[Bool[ndarray, "samples samples"], Bool[ndarray, " samples"]]:
    """Which of several answers are equivalent, and which are equivalent to one more.

    Each pair of *different* texts is compared once, however many samples say them.

    Args:
        answers: None where there is none: equivalent to itself alone.
        question: says how they are read.
        extra: the one more.

    Returns:
        Two masks.
    """
    texts = [None if one is None else one.text for one in (*answers, extra)]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(text for text in texts if text is not None))}
    said = list(numbers)
    same = np.eye(len(said) + 1, dtype=bool)  # the last stands for no answer
    for row, first in enumerate(said):
        same[row, : row + 1] = [equivalent_answers(first, other, question.kind) for other in said[: row + 1]]
    same |= same.T
    same[np.arange(len(said)), np.arange(len(said))] |= True
    same[-1] = same[:, -1] = False
    index = np.array([len(said) if text is None else numbers[text] for text in texts])
    equal = same[np.ix_(index, index)]
    return equal[:-1, :-1] | np.eye(len(answers), dtype=bool), equal[-1, :-1]


def sample_fields(
    drawn: Sequence[Sampled],
    texts: Sequence[Sequence[str]],
    answers: Sequence[Sequence[FoundAnswer | None]],
    questions: Sequence[Question],
    judged: Sequence[FoundAnswer | None],
    *,
    needs: Collection[str],
    rows: int,
) -> dict[str, ndarray]:
    """The arrays of `Seen` that are of samples, a row a question; rows beyond them are empty.

    Meanings are the same where final answers are equivalent; similarities are of words (ROUGE-L, Jaccard) or of mean
    hidden states, so that no second model is needed.

    Args:
        drawn: samples of each question.
        texts: of the samples.
        answers: their final answers.
        questions: that were asked.
        judged: the final answer that is judged, of each.
        needs: which of them are made: `words`, `states`.
        rows: of the arrays.

    Returns:
        By name.
    """
    pairs = [same_answers(own, one, found) for own, one, found in zip(answers, questions, judged)]
    fields = {
        "sample_log_probs": [one.log_probs for one in drawn],
        "sample_lengths": [np.array([len(tokens) for tokens in one.tokens], np.int32) for one in drawn],
        "equal": [equal for equal, _ in pairs],
        "named": [np.array([one is not None for one in own], bool) for own in answers],
        "agrees": [like for _, like in pairs],
        "distinct": [np.array([text not in own[:at] for at, text in enumerate(own)], bool) for own in texts],
    }
    if "states" in needs:
        fields["sample_embeddings"] = [one.embeddings for one in drawn]
    if "words" in needs:
        fields["rouge"] = [rouge_similarities(own) for own in texts]
        fields["jaccard"] = [jaccard_similarities(own) for own in texts]
    stacked = {name: np.stack(values) for name, values in fields.items()}
    return {
        name: np.pad(values, [(0, rows - len(values)), *[(0, 0)] * (values.ndim - 1)])
        for name, values in stacked.items()
    }
