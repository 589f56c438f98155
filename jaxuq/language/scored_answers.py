"""What a model thinks of answers that are already there."""

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.language._prompt_batches import Chat, captured_row, encode_prompts, listed_prompts
from jaxuq.language.answers import Answer
from jaxuq.language.errors import PromptError
from jaxuq.language.model import LanguageModel
from jaxuq.language.scoring import score_tokens
from jaxuq.language.tokenization import decode_tokens, encode_reply
from jaxuq.parallel import on_host, pad_rows, plan_rows, row_parts


@typed()
def score(
    model: LanguageModel,
    prompts: str | Chat | Sequence[str | Chat],
    responses: str | Sequence[str] | Sequence[Sequence[int]] | Sequence[np.ndarray],
    *,
    chat: bool = True,
    batch_size: int = 8,
    overflow: Literal["error", "truncate"] = "error",
    top_alternatives: int = 0,
    keep_hidden: bool = False,
    keep_queries: bool = False,
    mesh: jax.sharding.Mesh | None = None,
) -> list[Answer]:
    """What a model thinks of answers that are already there: what `generate` would have said of them.

    One pass a batch. To score an answer of `generate` give its `tokens`: the same text may be written with other tokens
    than those that the model chose, and has other probabilities then.

    Args:
        model: from `load_model`.
        prompts: as for `generate`; one prompt may have several responses.
        responses: texts (what looks like a special token is text), or token numbers.
        chat: as for `generate`.
        batch_size: texts in a pass.
        overflow: as for `generate`; the prompt's beginning is cut off, never the response.
        top_alternatives: how many of the most likely tokens to keep at each place.
        keep_hidden: keep last hidden states.
        keep_queries: keep what `attention_rows` needs.
        mesh: as for `generate`.

    Returns:
        One `Answer` for each response, in their order.

    Raises:
        PromptError: an empty or too long prompt or response, an invalid chat, a token that the model does not have.
        ValueError: another number of responses than of prompts.
    """
    model, listed = model.on_mesh(mesh), listed_prompts(prompts)
    check_count("batch_size", batch_size)
    given: list[Any] = [responses] if isinstance(responses, str) else list(responses)
    if len(listed) == 1:
        listed = listed * len(given)
    if len(listed) != len(given):
        raise OptionError(f"{len(listed)} prompts have {len(given)} responses; expected one response for each prompt")
    replies = [_response(model, number, response) for number, response in enumerate(given)]
    encoded = encode_prompts(model, listed, chat, [len(reply) for reply in replies], overflow)
    texts = [[*prompt, *reply] for prompt, reply in zip(encoded, replies)]
    answers: list[Answer] = []
    for batch in plan_rows([len(text) for text in texts], max_rows=batch_size, devices=row_parts(model.mesh)):
        group = batch.rows.tolist()
        tokens, lengths = map(jnp.asarray, pad_rows([texts[index] for index in group], batch))
        begins = np.full(tokens.shape[0], tokens.shape[1], np.int32)
        begins[: len(group)] = [len(encoded[index]) for index in group]
        slots = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
        scores = score_tokens(
            model.functions,
            model.variables,
            tokens,
            jnp.where(slots < lengths[:, None], slots, -1),
            where=slots >= jnp.asarray(begins)[:, None],
            top_alternatives=top_alternatives,
            keep_hidden=keep_hidden,
            keep_queries=keep_queries,
        )
        fetched = on_host((scores.log_probs, scores.entropies, scores.alternatives, scores.hidden))
        for row, index in enumerate(group):
            part = slice(len(encoded[index]), len(texts[index]))
            log_probs, entropies, alternatives, hidden = jax.tree.map(
                lambda leaf, row=row, part=part: np.array(leaf[row, part]), fetched
            )
            reply = np.asarray(replies[index], np.int32)
            text = given[index] if isinstance(given[index], str) else decode_tokens(model.tokenizer, replies[index])
            captured = None if scores.captured is None else captured_row(scores.captured, row)
            prompt = np.asarray(encoded[index], np.int32)
            answers.append(
                Answer(index, 0, text, reply, "given", log_probs, entropies, alternatives, hidden, captured, prompt)
            )
    return sorted(answers, key=lambda answer: answer.prompt)


def _response(model: LanguageModel, number: int, response: str | Sequence[int] | np.ndarray) -> list[int]:
    if isinstance(response, str):
        tokens = encode_reply(model.tokenizer, response, what=f"response {number}")
    else:
        tokens = [int(token) for token in response]
    if not tokens:
        raise PromptError(f"response {number} is empty")
    vocabulary = model.functions.vocab_size
    wrong = [token for token in tokens if not 0 <= token < vocabulary]
    if wrong:
        raise PromptError(f"response {number} has the token {wrong[0]}; the model has {vocabulary} tokens")
    return tokens
