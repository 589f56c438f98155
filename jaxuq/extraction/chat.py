"""What a chat model is here: a name, and a function from conversations to replies."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.passages import read_lines
from jaxuq.study import digest

Message = dict[str, str]


class TableForm(NamedTuple):
    """A table that a reply is to be, see `jaxuq.language.table_constraint`.

    Attributes:
        columns: their names.
        text: that its cells are quoted from.
        choices: columns that are not quoted, with what may stand in them.
    """

    columns: tuple[str, ...]
    text: str
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Request(NamedTuple):
    """A conversation that waits for its next reply.

    Attributes:
        messages: `{"role", "content"}` each, the last one the user's.
        item: id of the text that it is about.
        kind: name of the type, or of the step (`"*"` all types, `"?"` conflicts).
        sample: number of the sample.
        step: how many replies there are already.
        last: whether this is the last question.
        form: what the reply is to be; None: anything.
    """

    messages: tuple[Message, ...]
    item: str = ""
    kind: str = ""
    sample: int = 0
    step: int = 0
    last: bool = True
    form: TableForm | None = None


class Reply(NamedTuple):
    """What a model said.

    Attributes:
        text: the reply; empty where there is none.
        error: why there is none; empty if all went well.
        finish: why the model stopped: `"stop"`, `"length"` and so on.
        pieces: the text of each token; empty where the model does not say.
        log_probs: natural logarithm of the probability of each.
        prompt_tokens: read by the model, as it says.
        completion_tokens: written by it.
        cached: whether it was asked before and not again.
    """

    text: str
    error: str = ""
    finish: str = "stop"
    pieces: tuple[str, ...] = ()
    log_probs: tuple[float, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False


class ChatSettings(NamedTuple):
    """How replies are made.

    Attributes:
        temperature: 0 for the likeliest.
        max_tokens: the longest reply.
        top_p: sample among the likeliest tokens that together have this probability.
        seed: samples depend on it.
        log_probs: ask for the probability of each token.
    """

    temperature: float = 0.0
    max_tokens: int = 1024
    top_p: float = 1.0
    seed: int = 0
    log_probs: bool = False


DEFAULT_SETTINGS = ChatSettings()


class ChatModel(NamedTuple):
    """Anything that can hold a conversation.

    Attributes:
        name: for results; never holds a key.
        ask: one reply for each request, in order. A request that fails has a reply with `error`; it raises
            `ExtractionError` only where no request can succeed (a wrong key, an unknown model).
        batch: how many requests it likes at a time.
        identity: what replies follow from: a digest of weights or of stored replies, with the settings; of a server its
            address, model and settings, for what it serves under them cannot be seen from here.
    """

    name: str
    ask: Callable[[Sequence[Request]], list[Reply]]
    batch: int = 8
    identity: str = ""


def scripted_chat(answer: Callable[[Request], str], *, name: str = "scripted") -> ChatModel:
    """A model whose replies a function writes; for tests and demonstrations.

    Args:
        answer: from a request to the reply's text.
        name: of the model.

    Returns:
        `ChatModel`.

    Example:
        >>> model = scripted_chat(lambda request: request.messages[-1]["content"].upper())
        >>> model.ask([Request(({"role": "user", "content": "hello"},))])[0].text
        'HELLO'
    """
    return ChatModel(name, lambda requests: [Reply(answer(request)) for request in requests], 64)


def replay_chat(path: str | pathlib.Path) -> ChatModel:
    """A model that repeats stored conversations.

    Two forms of JSON lines are understood: what jaxuq writes to `conversations.jsonl`, with the messages of each
    conversation (`id`, `type`, `sample`, `messages`); and records of final replies (`idx`, `final`, which is a text or
    a text for each type), as in the published data, which answer every step of a conversation with its final reply.

    Args:
        path: the file, `.jsonl` or `.jsonl.gz`.

    Returns:
        `ChatModel`; a request about a conversation that is not stored fails by itself.

    Raises:
        ExtractionError: the file is missing, or a line is neither form.
    """
    stored: dict[tuple[str, str, int], list[str]] = {}
    finals: dict[tuple[str, str, int], str] = {}
    for number, record in enumerate(read_lines(path, "conversations"), 1):
        try:
            if "final" in record:
                replies = record["final"]
                for kind, text in replies.items() if isinstance(replies, dict) else [("*", replies)]:
                    finals[str(record["idx"]), kind, 0] = str(text)
            else:
                said = [str(m["content"]) for m in record["messages"] if m["role"] == "assistant"]
                stored[str(record["id"]), str(record["type"]), int(record.get("sample", 0))] = said
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ExtractionError(f"{path}, line {number} is no stored conversation: {error!r}") from None

    def ask(requests: Sequence[Request]) -> list[Reply]:
        replies = []
        for item, kind, sample, step in ((r.item, r.kind, r.sample, r.step) for r in requests):
            said = stored.get((item, kind, sample), [])
            if step < len(said):
                replies.append(Reply(said[step]))
            elif (item, kind, sample) in finals:
                replies.append(Reply(finals[item, kind, sample]))
            else:
                replies.append(Reply("", error="this conversation is not stored"))
        return replies

    known = digest([(list(key), value) for replies in (stored, finals) for key, value in sorted(replies.items())])
    return ChatModel(f"replay:{pathlib.Path(path).name}", ask, 256, known)


class Usage:
    """What the questions have cost so far.

    Attributes:
        requests: replies that were wanted.
        cached: of these, answered from the cache.
        failed: of these, without a reply.
        retries: attempts beyond the first.
        prompt_tokens: read by the model (cached replies aside).
        completion_tokens: written by it.
    """

    def __init__(self):
        self.requests = self.cached = self.failed = self.retries = 0
        self.prompt_tokens = self.completion_tokens = 0

    def add(self, reply: Reply) -> None:
        """Count a reply."""
        self.requests += 1
        self.cached += reply.cached
        self.failed += bool(reply.error)
        if not reply.cached:
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens

    def record(self, prices: tuple[float, float] | None = None) -> dict[str, Any]:
        """As plain data; with prices of a million tokens read and written, also the cost."""
        numbers: dict[str, Any] = dict(vars(self))
        if prices is not None:
            numbers["cost"] = (prices[0] * self.prompt_tokens + prices[1] * self.completion_tokens) / 1e6
        return numbers
