"""From prompts and responses to padded arrays: tokens, where the answer is, and which tokens no chain takes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxuq.confidence.stop_tokens import stop_tokens
from jaxuq.confidence.text.passes import Texts
from jaxuq.confidence.text.spans import token_pieces, tokens_within
from jaxuq.parallel import rung
from jaxuq.questions import FoundAnswer, Question, read_answer

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class Response(NamedTuple):
    """A response in tokens, and its final answer.

    Attributes:
        prompt: tokens of the prompt.
        tokens: of the response; the token that ended it included.
        pieces: what each adds to the text.
        text: all of them.
        found: the final answer; None if there is none.
        answer: True for the tokens that hold it.
    """

    prompt: np.ndarray
    tokens: np.ndarray
    pieces: list[str]
    text: str
    found: FoundAnswer | None
    answer: np.ndarray


def locate_answer(
    model: "LanguageModel",
    prompt: np.ndarray,
    tokens: np.ndarray,
    question: Question,
    *,
    answer: str | None = None,
    end: int | None = None,
) -> Response:
    """Find the final answer of a response and the tokens that hold it.

    Args:
        model: whose tokens they are.
        prompt: tokens of the prompt.
        tokens: of the response.
        question: that it is to; says how an answer is read.
        answer: the answer, if it is known; its last occurrence in the response counts.
        end: characters of the text that count (before a stop string); None: all.
    """
    pieces = token_pieces(model.tokenizer, tokens.tolist())
    text = "".join(pieces)
    read = text if end is None else text[:end]
    if answer is None:
        found = read_answer(read, question)
    else:
        at = read.rfind(answer) if answer else -1
        found = FoundAnswer(answer, at, at + len(answer)) if at >= 0 else None
    marks = np.zeros(len(tokens), bool)
    if found is not None:
        marks = tokens_within(model.tokenizer, tokens.tolist(), pieces, found.start, found.end)
    return Response(np.asarray(prompt), np.asarray(tokens), pieces, text, found, marks)


def make_texts(responses: Sequence[Response], *, rows: int | None = None) -> Texts:
    """Pad responses into arrays; rows beyond them are empty."""
    rows = len(responses) if rows is None else rows
    time = rung(max(len(one.prompt) + len(one.tokens) for one in responses), least=32)
    tokens, answer, stop = (np.zeros((rows, time), kind) for kind in (np.int32, bool, bool))
    lengths, begins = np.zeros(rows, np.int32), np.zeros(rows, np.int32)
    for row, one in enumerate(responses):
        begin, end = len(one.prompt), len(one.prompt) + len(one.tokens)
        tokens[row, :begin], tokens[row, begin:end] = one.prompt, one.tokens
        answer[row, begin:end], stop[row, begin:end] = one.answer, stop_tokens(one.pieces)
        begins[row], lengths[row] = begin, end
    return Texts(*map(jnp.asarray, (tokens, lengths, begins, answer, stop)))
