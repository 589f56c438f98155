"""Requests of the protocol, read whole: every field is of its type, or the request is refused by the field's name."""

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxuq.serving.fields import Fields, read_bias, read_inputs, read_messages
from jaxuq.serving.forms import read_form, read_response_format
from jaxuq.serving.jobs import MOST_ALTERNATIVES, MOST_ANSWERS, Asked, Backend, BadRequest, Job

if TYPE_CHECKING:
    from jaxuq.language import Constraint

_UNSUPPORTED = "unsupported_parameter"
_LONGEST_ANSWER = 1024  # tokens, where a chat does not say
_LONGEST_COMPLETION = 16  # as the protocol has it
_ANY_NAME = "default"


class Completion(NamedTuple):
    """A request for text.

    Attributes:
        jobs: one for each prompt.
        chat: whether it is a chat.
        stream: whether it is told as it grows.
        usage: whether a stream ends with the number of tokens.
        log_probs: whether probabilities of tokens are told.
        echo: whether the prompt comes before the answer.
        texts: the prompts as texts, for `echo`; None where tokens were given.
        messages: of the chat.
    """

    jobs: tuple[Job, ...]
    chat: bool
    stream: bool
    usage: bool
    log_probs: bool
    echo: bool = False
    texts: tuple[str | None, ...] = ()
    messages: tuple[dict[str, str], ...] = ()


class Embedding(NamedTuple):
    """A request for vectors.

    Attributes:
        inputs: token numbers.
        model: that is asked.
        base64: whether vectors are told as base64 of little-endian float32.
    """

    inputs: tuple[tuple[int, ...], ...]
    model: str
    base64: bool


class Loading(NamedTuple):
    """A request to load or drop an adapter.

    Attributes:
        name: of the adapter.
        path: of its folder, within the one that the server was given; None where it is dropped.
    """

    name: str
    path: str | None


def read_chat(content: Any, backend: Backend) -> Completion:
    """A request to `/v1/chat/completions`.

    Args:
        content: its JSON.
        backend: the model.

    Returns:
        The request.

    Raises:
        BadRequest: a field is missing, wrong or not supported.
    """
    fields = Fields(content)
    model = _check_model(fields, backend)
    messages = read_messages(fields.take("messages"))
    log_probs = fields.flag("logprobs")
    alternatives = fields.integer("top_logprobs", 0, 0, MOST_ALTERNATIVES)
    if alternatives and not log_probs:
        raise BadRequest("top_logprobs needs logprobs to be true", param="top_logprobs")
    both = [fields.take(name) for name in ("max_completion_tokens", "max_tokens")]
    if both[0] is not None and both[1] is not None and both[0] != both[1]:
        raise BadRequest("max_tokens and max_completion_tokens differ; give one", param="max_tokens")
    name = "max_tokens" if both[0] is None else "max_completion_tokens"
    wanted = fields.integer(name, 0, 1, 10**9) if any(one is not None for one in both) else None
    stream, usage = _stream(fields)
    formed = read_response_format(fields.take("response_format"))
    sampled = _sampling(fields, backend, alternatives, stream)
    confidence, form = _extension(fields, backend)
    if formed is not None and form is not None:
        raise BadRequest("response_format and jaxuq ask for two forms; give one", param="response_format")
    sampled = sampled._replace(confidence=confidence, constraint=formed or form, model=model)
    fields.end()
    prompt = backend.encode_chat(messages)
    longest = max(1, min(_LONGEST_ANSWER, backend.context - len(prompt))) if wanted is None else wanted
    job = sampled._replace(prompt=tuple(prompt), max_tokens=longest)
    _check_room(len(prompt), longest, backend)
    backend.check(job)
    return Completion((job,), True, stream, usage, log_probs, messages=tuple(map(dict, messages)))


def read_completion(content: Any, backend: Backend) -> Completion:
    """A request to `/v1/completions`.

    Args:
        content: its JSON.
        backend: the model.

    Returns:
        The request.

    Raises:
        BadRequest: a field is missing, wrong or not supported.
    """
    fields = Fields(content)
    model = _check_model(fields, backend)
    prompts = read_inputs(fields.take("prompt"), "prompt", backend.vocabulary)
    echo = fields.flag("echo")
    log_probs = fields.take("logprobs") is not None
    alternatives = fields.integer("logprobs", 0, 0, MOST_ALTERNATIVES) if log_probs else 0
    longest = fields.integer("max_tokens", _LONGEST_COMPLETION, 0 if echo else 1, 10**9)
    stream, usage = _stream(fields)
    if echo and stream:
        raise BadRequest("echo is not supported in a stream; leave one of them out", param="echo")
    sampled = _sampling(fields, backend, alternatives, stream)
    confidence, form = _extension(fields, backend)
    if confidence is not None:
        raise BadRequest("confidence is told of chats; ask /v1/chat/completions", param="jaxuq", code=_UNSUPPORTED)
    sampled = sampled._replace(constraint=form, model=model)
    if fields.take("best_of", sampled.answers) != sampled.answers:
        raise BadRequest("best_of is not supported; leave it out", param="best_of", code=_UNSUPPORTED)
    if len(prompts) * sampled.answers > 2048:
        raise BadRequest(f"{len(prompts)} prompts with {sampled.answers} answers each; ask for at most 2048", param="n")
    fields.end()
    jobs, texts = [], []
    for number, prompt in enumerate(prompts):
        tokens = backend.encode_text(prompt) if isinstance(prompt, str) else prompt
        _check_room(len(tokens), longest, backend)
        jobs.append(sampled._replace(prompt=tuple(tokens), max_tokens=longest, number=number))
        backend.check(jobs[-1])
        texts.append(prompt if isinstance(prompt, str) else None)
    return Completion(tuple(jobs), False, stream, usage, log_probs, echo, tuple(texts))


def read_embedding(content: Any, backend: Backend) -> Embedding:
    """A request to `/v1/embeddings`.

    Args:
        content: its JSON.
        backend: the model.

    Returns:
        The request.

    Raises:
        BadRequest: a field is missing, wrong or not supported.
    """
    fields = Fields(content)
    model = _check_model(fields, backend)
    inputs = read_inputs(fields.take("input"), "input", backend.vocabulary)
    form = fields.take("encoding_format", "float")
    if form not in ("float", "base64"):
        raise BadRequest("encoding_format is 'float' or 'base64'", param="encoding_format")
    fields.end()
    encoded = [tuple(backend.encode_text(one) if isinstance(one, str) else one) for one in inputs]
    for tokens in encoded:
        _check_room(len(tokens), 0, backend)
    return Embedding(tuple(encoded), model, form == "base64")


def read_loading(content: Any, *, drop: bool) -> Loading:
    """A request to `/v1/load_lora_adapter` or `/v1/unload_lora_adapter`, in the form that vLLM gave them.

    Args:
        content: its JSON.
        drop: whether an adapter is dropped.

    Returns:
        The request.

    Raises:
        BadRequest: a field is missing, wrong or not supported.
    """
    fields = Fields(content)
    names = ("lora_name",) if drop else ("lora_name", "lora_path")
    found = [fields.take(name) for name in names]
    fields.end()
    for name, value in zip(names, found):
        if not isinstance(value, str) or not value:
            raise BadRequest(f"{name} is missing; expected a text", param=name)
    return Loading(found[0], None if drop else found[1])


def _check_model(fields: Fields, backend: Backend) -> str:
    name = fields.take("model", _ANY_NAME)
    if name not in (*backend.names, _ANY_NAME):
        shown = ", ".join(map(repr, backend.names))
        raise BadRequest(
            f"there is no such model here; this server has {shown} (or {_ANY_NAME!r})",
            status=404,
            param="model",
            code="model_not_found",
        )
    return backend.name if name == _ANY_NAME else name


def _check_room(prompt: int, longest: int, backend: Backend) -> None:
    if prompt + longest > backend.context:
        raise BadRequest(
            f"the prompt has {prompt} tokens and the answer may have {longest}: the context is {backend.context}",
            code="context_length_exceeded",
        )


def _stream(fields: Fields) -> tuple[bool, bool]:
    stream, options = fields.flag("stream"), fields.take("stream_options")
    if options is None:
        return stream, False
    if not stream or not isinstance(options, dict):
        raise BadRequest("stream_options is an object that needs stream to be true", param="stream_options")
    inner = Fields(options)
    usage, obscured = inner.flag("include_usage"), inner.flag("include_obfuscation")
    if obscured:
        raise BadRequest("include_obfuscation is not supported; leave it out", param="stream_options")
    inner.end()
    return stream, usage


def _sampling(fields: Fields, backend: Backend, alternatives: int, stream: bool) -> Job:
    return Job(
        prompt=(),
        max_tokens=0,
        answers=fields.integer("n", 1, 1, MOST_ANSWERS),
        temperature=fields.number("temperature", 1.0, 0.0, 100.0),
        top_k=fields.integer("top_k", 0, 0, backend.vocabulary),
        top_p=_share(fields),
        min_p=fields.number("min_p", 0.0, 0.0, 1.0),
        seed=fields.integer("seed", secrets.randbits(63), -(2**63), 2**64 - 1),
        stop=fields.texts("stop"),
        bias=read_bias(fields.take("logit_bias", {}), backend.vocabulary),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2.0, 2.0),
        presence_penalty=fields.number("presence_penalty", 0.0, -2.0, 2.0),
        alternatives=alternatives,
        eager=stream,
    )


def _extension(fields: Fields, backend: Backend) -> "tuple[Asked | None, Constraint | None]":
    """The field `jaxuq`: what is to be known of an answer, and its form."""
    given = fields.take("jaxuq", {})
    if not isinstance(given, dict):
        raise BadRequest("jaxuq is an object such as {'confidence': true, 'chain': true}", param="jaxuq")
    inner = Fields(given)
    wanted, chain, kind = inner.flag("confidence"), inner.flag("chain"), inner.take("kind", "")
    form = read_form(inner)
    inner.end()
    if not (wanted or chain):
        return None, form
    if not backend.kinds:
        raise BadRequest("this model cannot say how sure it is", param="jaxuq", code=_UNSUPPORTED)
    if kind != "" and kind not in backend.kinds:
        raise BadRequest(f"jaxuq.kind is one of {', '.join(backend.kinds)}", param="jaxuq")
    return Asked(chain, kind), form


def _share(fields: Fields) -> float:
    value = fields.number("top_p", 1.0, 0.0, 1.0)
    return max(value, 1e-6)  # 0 asks for the likeliest token alone
