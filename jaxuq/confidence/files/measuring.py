"""The measures that a file of answers allows: those that ask for nothing but what it holds."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxuq._entries import Entry
from jaxuq.confidence.files.records import GivenAnswer
from jaxuq.confidence.text.generating import Sampled
from jaxuq.confidence.text.samples import sample_fields
from jaxuq.questions import FoundAnswer, Question, answer_tokens, read_answer

_ROUND = 16  # tokens to which answers are padded, so that few programs are compiled


def fields_of(
    answers: Sequence[GivenAnswer], questions: Sequence[Question], found: Sequence[FoundAnswer | None],
    measures: Sequence[Entry],
) -> dict[str, Any]:  # fmt: skip
    """The arrays of `Seen` that are known of answers, all of which have the same kinds of facts and as many samples.

    Args:
        answers: of a file.
        questions: that they are to.
        found: their final answers.
        measures: whose own reductions may be made of the likeliest tokens.

    Returns:
        By name, a row an answer.
    """
    lengths = [len(one.log_probs) for one in answers]
    time = -(-max(*lengths, 1) // _ROUND) * _ROUND

    def padded(rows: Sequence[Any]) -> np.ndarray:
        whole = np.zeros((len(rows), time), np.asarray(rows[0]).dtype if len(rows[0]) else np.float32)
        for row, one in enumerate(rows):
            whole[row, : len(one)] = one
        return whole

    first = answers[0]
    fields: dict[str, Any] = {"answered": np.array([one is not None for one in found])}
    if first.log_probs:
        response = np.arange(time)[None] < np.asarray(lengths)[:, None]
        masks = [_answer_mask(one, own) for one, own in zip(answers, found)]
        fields |= {
            "log_probs": padded([np.asarray(one.log_probs, np.float32) for one in answers]), "response": response,
            "inner": response & (np.arange(time)[None] < np.asarray(lengths)[:, None] - 1), "answer": padded(masks),
        }  # fmt: skip
        if first.entropies:
            fields["entropies"] = padded([np.asarray(one.entropies, np.float32) for one in answers])
        values = {}
        for one in measures if first.likeliest else ():
            if "likeliest" in one.functions:
                make = one.functions["likeliest"]
                values[one.name] = padded(
                    [np.asarray(make(jnp.asarray(own.likeliest, jnp.float32)), np.float32) for own in answers]
                )
        if values:
            fields["values"] = values
    if first.samples:
        texts = [[sample.text for sample in one.samples] for one in answers]
        read = [[final_answer(text, question) for text in own] for own, question in zip(texts, questions)]
        whole = all(sample.log_prob is not None for one in answers for sample in one.samples)
        drawn = [
            Sampled([np.zeros(sample.tokens or 0, np.int32) for sample in one.samples],
                    np.array([sample.log_prob or 0.0 for sample in one.samples], np.float32), None)
            for one in answers
        ]  # fmt: skip
        made = sample_fields(drawn, texts, read, questions, found, needs=("words",), rows=len(answers))
        unknown = () if whole else ("sample_log_probs", "sample_lengths")
        fields |= {name: value for name, value in made.items() if name not in unknown}
    return fields


def final_answer(text: str, question: Question) -> FoundAnswer | None:
    """The final answer of a text; a single line is one as it stands, unless it says which part of it is.

    Args:
        text: of an answer.
        question: that it is to.
    """
    return read_answer(text, question, bare="\n" not in text.strip())


def _answer_mask(answer: GivenAnswer, found: FoundAnswer | None) -> np.ndarray:
    """Tokens of the final answer; all False where the tokens are not those of the text."""
    nothing = np.zeros(len(answer.log_probs), bool)
    whole = b"".join(one if isinstance(one, bytes) else one.encode() for one in answer.pieces)
    if found is None or len(answer.pieces) != len(answer.log_probs) or not whole.startswith(answer.text.encode()):
        return nothing
    return np.asarray(answer_tokens(answer.pieces, found.start, found.end))
