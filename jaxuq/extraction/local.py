"""jaxuq's own decoder as a chat model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxuq.extraction.chat import DEFAULT_SETTINGS, ChatModel, ChatSettings, Reply, Request
from jaxuq.study import digest

if TYPE_CHECKING:
    from jaxuq.language import Answer, LanguageModel


def local_chat(
    model: "LanguageModel", settings: ChatSettings = DEFAULT_SETTINGS, *, batch_size: int = 8, name: str | None = None
) -> ChatModel:
    """A model of `jaxuq.language`, asked in batches; the probability of every token comes with its replies.

    A conversation that leaves no room for an answer in the model's context costs that conversation only.

    Args:
        model: from `jaxuq.language.load_model`.
        settings: how replies are made; at temperature 0 all samples are the same.
        batch_size: conversations at a time.
        name: of the model; None takes its own.

    Returns:
        `ChatModel`.
    """
    from jaxuq.language import GREEDY, PromptError, Sampling, encode_prompt, generate, model_digest, table_constraint

    context = model.functions.max_positions
    longest = min(settings.max_tokens, max(1, context // 2))
    sampling = (
        GREEDY
        if settings.temperature == 0
        else Sampling(settings.temperature, None, settings.top_p if settings.top_p < 1 else None)
    )

    def problem(request: Request) -> str:
        try:
            tokens = len(encode_prompt(model.tokenizer, list(request.messages)))
        except PromptError as error:
            return str(error)
        if tokens + longest > context:
            return f"the conversation has {tokens} tokens and the reply may have {longest}: the context is {context}"
        return ""

    def ask(requests: Sequence[Request]) -> list[Reply]:
        replies = [Reply("", error=problem(request)) for request in requests]
        by_sample: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            if not replies[index].error:
                by_sample.setdefault(request.sample, []).append(index)
        for sample, chosen in by_sample.items():
            answers = generate(
                model,
                [list(requests[index].messages) for index in chosen],
                max_new_tokens=longest,
                sampling=sampling,
                rng_key=settings.seed + sample,
                batch_size=batch_size,
                constraint=[
                    None if (form := requests[index].form) is None
                    else table_constraint(form.columns, form.text, choices=dict(form.choices))
                    for index in chosen
                ],
            )  # fmt: skip
            for index, answer in zip(chosen, answers):
                replies[index] = _reply(model, answer)
        return replies

    return ChatModel(name or model.name, ask, batch_size, digest(model_digest(model), settings, batch_size))


def _reply(model: "LanguageModel", answer: "Answer") -> Reply:
    from jaxuq.language import TextStream

    stream = TextStream(model.tokenizer)
    last = len(answer.tokens) - 1
    pieces = [stream.push(int(token), last=number == last) for number, token in enumerate(answer.tokens)]
    return Reply(
        answer.text,
        "",
        "length" if answer.finish == "length" else "stop",
        tuple(pieces),
        tuple(float(value) for value in answer.log_probs),
        len(answer.prompt_tokens),
        len(answer.tokens),
    )
