"""What a model is asked for, and what it gives back token by token; what any backend of the server speaks."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jaxuq.language import Constraint

MOST_ANSWERS = 16
MOST_ALTERNATIVES = 20


class Asked(NamedTuple):
    """What a request wants to know of how sure the model is.

    Attributes:
        chain: whether the tokens are wanted that the answer rests on.
        kind: how the final answer is read, see `jaxuq.questions.find_answer`; empty: as the server was told.
    """

    chain: bool = False
    kind: str = ""


class Job(NamedTuple):
    """Answers to one prompt.

    Attributes:
        prompt: token numbers.
        max_tokens: of each answer.
        answers: how many.
        temperature: 0 for the likeliest token.
        top_k: keep so many tokens; 0: all.
        top_p: keep the likeliest tokens of this probability together; 1: all.
        min_p: keep tokens at least so many times as likely as the likeliest; 0: all.
        seed: 64 bits; answer i of one seed is the same whatever `answers` is.
        number: of the prompt among those of its request, which share the seed.
        stop: texts that end an answer and are no part of it.
        bias: added to the logits of tokens.
        frequency_penalty: taken off a token's logit for each time that it was said.
        presence_penalty: taken off once it was said.
        alternatives: how many of the likeliest tokens to tell.
        eager: whether somebody reads along, so that each token is wanted at once.
        confidence: what is wanted to be known of how sure the model is; None: nothing.
        constraint: what the text of an answer must be; None: anything.
        model: which of the backend's names was asked for; empty: any.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    answers: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    number: int = 0
    stop: tuple[str, ...] = ()
    bias: Mapping[int, float] = {}
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    alternatives: int = 0
    eager: bool = False
    confidence: Asked | None = None
    constraint: "Constraint | None" = None
    model: str = ""


class TokenText(NamedTuple):
    """A token as the protocol shows it.

    Attributes:
        text: of its bytes, with U+FFFD for what is no whole character.
        raw: its bytes.
        log_prob: natural logarithm of its probability.
        alternatives: the likeliest tokens in its place.
    """

    text: str
    raw: bytes
    log_prob: float | None
    alternatives: tuple["TokenText", ...] = ()


class Growth(NamedTuple):
    """What an answer has grown by.

    Attributes:
        answer: its index.
        text: that it grows by; perhaps empty, within a character or where a stop text may be beginning.
        tokens: whose bytes are part of the answer's text, in order; none of a stop token's or of a stop text's.
        count: tokens generated, those included.
        finish: `stop` or `length` at its end, `content_filter` if it is withheld; else empty.
        verdict: how sure the model is, after the end; where the answer was kept to a form, how probable that is.
    """

    answer: int
    text: str
    tokens: tuple[TokenText, ...] = ()
    count: int = 0
    finish: str = ""
    verdict: Mapping[str, Any] | None = None


class BadRequest(ValueError):
    """A request that is refused; the message is what the client is told, and repeats no prompt.

    Args:
        message: names the field and what is expected.
        status: of HTTP.
        param: the field.
        code: for programs.
    """

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


@runtime_checkable
class Backend(Protocol):
    """A model behind the server. All but the encoders run in one thread, one call at a time."""

    context: int
    vocabulary: int
    dimension: int
    kinds: Sequence[str]
    """How final answers can be read, which `Asked` may name; empty: it cannot say how sure it is."""

    @property
    def names(self) -> Sequence[str]:
        """All models that a request may name; `name` is the first."""
        ...

    @property
    def name(self) -> str:
        """The model that is meant where a request names none."""
        ...

    def encode_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokens of a chat; raises `BadRequest`."""
        ...

    def encode_text(self, text: str) -> list[int]:
        """Tokens of a text; raises `BadRequest`."""
        ...

    def check(self, job: Job) -> None:
        """Raise `BadRequest` for what the model can never answer; called like the encoders."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        ...

    @property
    def busy(self) -> bool:
        """Whether there are answers to be made."""
        ...

    def add(self, job: Job) -> Any:
        """Take a job in, beside those that run; what it is known by."""
        ...

    def waits(self, ticket: Any) -> bool:
        """Whether nothing of a job is begun."""
        ...

    def leave(self, ticket: Any) -> None:
        """Nobody wants a job any more."""
        ...

    def advance(self) -> Sequence[tuple[Any, "Growth | Exception", bool]]:
        """Go on with all answers: what has grown, by ticket, and whether it is the last of its job."""
        ...

    def score(self, tokens: Sequence[int], alternatives: int, model: str = "") -> list[TokenText]:
        """Every token of a text with its probability after those before it; None for the first."""
        ...

    def embed(self, tokens: Sequence[int], model: str = "") -> Any:
        """The mean of the last hidden states, `[dimension]`."""
        ...

    def load(self, name: str, folder: str) -> None:
        """Put an adapter in, by the name of its folder; raises `BadRequest`, also where there are none by name."""
        ...

    def drop(self, name: str) -> None:
        """Take an adapter out; raises `BadRequest`."""
        ...
