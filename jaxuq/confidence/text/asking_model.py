"""Asking the model about its answer: whether it is true, with the judge's attention, and a confidence in words."""

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxuq.confidence.asking import parse_confidence
from jaxuq.confidence.text.answering import Response
from jaxuq.confidence.text.generating import all_stops, generate_greedy
from jaxuq.confidence.text.passes import stacked
from jaxuq.language import Captured, attention_rows, decode_tokens, encode_prompt, encode_reply
from jaxuq.networks import Model, capability
from jaxuq.parallel import RowBatch, on_host, pad_rows, rung

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_JUDGE = ("Question: {question}\nProposed answer:", "\nIs the proposed answer true or false? The proposed answer is")
_CONFIDENCE = (
    "Question: {question}\nProposed answer: {answer}\n\nHow sure are you that the proposed answer is right? Give a "
    "number from 0 (certainly wrong) to 10 (certainly right) and nothing else."
)
_REPLY_TOKENS = 12


def _spellings(model: "LanguageModel", word: str) -> list[int]:
    """First tokens of the ways to write a word."""
    found = set()
    for text in (word, word.capitalize(), " " + word, " " + word.capitalize()):
        tokens = encode_reply(model.tokenizer, text)
        if len(tokens) == 1:
            found.add(tokens[0])
    if not found:
        found.add(encode_reply(model.tokenizer, " " + word)[0])
    return sorted(found)


@functools.partial(jax.jit, static_argnames=("model", "attends"))
def _judged(
    model: Model,
    params: PyTree,
    tokens: Int[Array, "batch time"],
    lengths: Int[Array, " batch"],
    true: Int[Array, " spellings"],
    false: Int[Array, " others"],
    *,
    attends: bool,
) -> tuple[Array, Array, Float[Array, "batch heads time"] | None]:
    slots = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
    positions = jnp.where(slots < lengths[:, None], slots, -1)
    states, cache, queries = model.hidden_of(params, tokens, positions)
    last = jnp.maximum(lengths - 1, 0)
    hidden = jnp.take_along_axis(states, last[:, None, None], axis=1)[:, 0]
    logits = model.token_logits(params, hidden).astype(jnp.float32)
    if not attends:
        return logits[:, true], logits[:, false], None
    captured = Captured(
        stacked(model.layered_queries(queries)), stacked(capability(model, "attention").keys(cache)), positions
    )
    rows = attention_rows(model, captured, last[:, None])[:, :, :, 0]
    return logits[:, true], logits[:, false], rows.reshape(rows.shape[0], -1, rows.shape[-1])


def ask_true(
    model: "LanguageModel",
    questions: Sequence[str],
    responses: Sequence[Response],
    *,
    rows: int,
    time: int,
    attends: bool = True,
) -> dict[str, np.ndarray]:
    """Ask whether final answers are true: the logits of both words, and the attention of that question on the answers.

    Args:
        model: the judge.
        questions: as asked.
        responses: to them, with their final answers.
        rows: of the arrays.
        time: of the responses' own arrays, where the attention on a token of the answer stands at its place.
        attends: whether that attention is asked for, which the model must be able to give.

    Returns:
        The arrays of `Seen` that need `judge` or `judge_attention`, a row a question; zeros where there is no answer.
    """
    after = encode_reply(model.tokenizer, _JUDGE[1])
    parts: list[tuple[list[int], list[int]]] = []
    for question, response in zip(questions, responses):
        answer = response.tokens[response.answer].tolist()
        before = encode_prompt(model.tokenizer, _JUDGE[0].format(question=question), chat=False) if answer else []
        parts.append((before, answer))
    texts = [[*before, *answer, *after] for before, answer in parts]
    tokens, lengths = pad_rows(texts, RowBatch(np.arange(len(texts)), rows, rung(max(map(len, texts)), least=32)))
    options = (jnp.asarray(_spellings(model, word), jnp.int32) for word in ("true", "false"))
    true, false, attention = on_host(
        _judged(model.functions, model.variables, jnp.asarray(tokens), jnp.asarray(lengths), *options, attends=attends)
    )
    if not attends:
        return {"true_logits": true, "false_logits": false}
    placed = np.zeros((rows, attention.shape[1], time), np.float32)
    for row, (response, (before, answer)) in enumerate(zip(responses, parts)):
        places = len(response.prompt) + np.flatnonzero(response.answer)
        placed[row][:, places] = attention[row][:, len(before) : len(before) + len(answer)]
    return {"true_logits": true, "false_logits": false, "judge_attention": placed}


def ask_confidence(
    model: "LanguageModel", questions: Sequence[str], answers: Sequence[str | None], *, rows: int
) -> tuple[np.ndarray, list[str]]:
    """The confidence from 0 to 10 that the model states of its answers, as a share; NaN for a reply without a number.

    Returns:
        Confidences in [0, 1], and the replies.
    """
    values, replies = np.full(len(questions), np.nan, np.float32), [""] * len(questions)
    asked = [number for number, answer in enumerate(answers) if answer is not None]
    if not asked:
        return values, replies
    chat = bool(model.tokenizer.chat_template)
    prompts = [
        encode_prompt(
            model.tokenizer,
            _CONFIDENCE.format(question=questions[number], answer=answers[number]) + ("" if chat else "\nNumber:"),
            chat=chat,
        )
        for number in asked
    ]
    _, tokens = generate_greedy(
        model, prompts, max_new_tokens=_REPLY_TOKENS, stops=all_stops(model, True), rows=rows, keep=False
    )
    for number, reply in zip(asked, tokens):
        replies[number] = decode_tokens(model.tokenizer, reply.tolist()).strip()
        values[number] = parse_confidence([replies[number]], scale="ten").values[0]
    return values, replies
