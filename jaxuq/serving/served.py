"""What is served: one model, or several that share a running batch, each by its name."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jaxtyping import PyTree

    from jaxuq.language import LanguageModel
    from jaxuq.networks import Model


class Given(NamedTuple):
    """What the model is given with the prompt of a job.

    Attributes:
        condition: see `jaxuq.language.Ask`.
        reading: the same.
        told: what every answer's field `jaxuq` says of it.
    """

    condition: Any = None
    reading: Hashable = None
    told: Mapping[str, Any] = {}


@runtime_checkable
class Served(Protocol):
    """Models that share a batch. What is not said to be otherwise is called in the model's thread."""

    model: "LanguageModel"
    """Whose tokenizer and vocabulary they have."""
    functions: "Model"
    """That a `RunningBatch` runs."""
    params: "PyTree"
    """Of the functions."""

    @property
    def names(self) -> Sequence[str]:
        """By which a request may ask for them; the first is meant where it does not say. Called from any thread."""
        ...

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> tuple[Any, bool]:
        """A chat as `encode_prompt` takes it, and whether a text goes into the template. Called from any thread."""
        ...

    def given(self, name: str, prompt: Sequence[int]) -> Given:
        """What goes with a prompt to one of the names."""
        ...

    def observed(self, given: Given, parts: Sequence[Any]) -> Mapping[str, Any]:
        """What is told of an answer that has ended by what the functions observed, in the order of its tokens."""
        ...

    def alone(self, name: str) -> "LanguageModel | None":
        """The model of a name by itself, for scores, vectors and measures; None: it is none by itself."""
        ...


class OneModel:
    """A language model as it is.

    Args:
        model: from `jaxuq.language.load_model`.
        name: for clients; None takes its own.
    """

    def __init__(self, model: "LanguageModel", name: str | None = None):
        self.model, self.functions, self.params = model, model.functions, model.variables
        self.names: Sequence[str] = (name or model.name,)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> tuple[Any, bool]:
        """The messages, for the model's template."""
        return list(messages), True

    def given(self, name: str, prompt: Sequence[int]) -> Given:
        """Nothing."""
        return Given()

    def observed(self, given: Given, parts: Sequence[Any]) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def alone(self, name: str) -> "LanguageModel":
        """The model."""
        return self.model
