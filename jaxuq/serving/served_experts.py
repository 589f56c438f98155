"""A trained ensemble of experts behind the server: every prompt is routed by itself, and all share the batch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxuq.serving.jobs import BadRequest
from jaxuq.serving.served import Given

if TYPE_CHECKING:
    from jaxuq.experts.pipeline.served_run import ServedRun
    from jaxuq.language import LanguageModel


class ServedExperts:
    """The experts of a run: together by the run's name, and each by its own.

    Args:
        served: of `read_served`.
        name: of the ensemble, for clients.
    """

    def __init__(self, served: "ServedRun", name: str):
        from jaxuq.experts.shared_batch import Members, weighted_experts

        self._served, self.model = served, served.run.model
        self.functions = weighted_experts(self.model.decoder)
        self.params = Members(self.model.params, served.experts)
        self.names: Sequence[str] = (name, *served.names)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> tuple[Any, bool]:
        """A question as the experts were trained on questions; a whole chat where that was in the chat template."""
        from jaxuq.experts.pipeline.records import typed_questions

        configuration = self._served.run.configuration
        one = len(messages) == 1 and messages[0]["role"] == "user"
        if not one and not configuration.chat:
            raise BadRequest(
                "these experts were trained on single instructions without a chat template: send one message of a user "
                "(experts for chats: jaxuq experts train --chat)",
                param="messages",
            )
        if not one:
            return list(messages), True
        (question,) = typed_questions(configuration, [messages[0]["content"]])
        return question.prompt, question.chat

    def given(self, name: str, prompt: Sequence[int]) -> Given:
        """The weights of the members: routed for the ensemble, one for a member of that name."""
        names = self._served.names
        if name in names:
            return Given(np.asarray([one == name for one in names], np.float32))
        weights = self._served.weights(prompt)
        return Given(weights, told={"weights": dict(zip(names, (round(float(one), 5) for one in weights)))})

    def observed(self, given: Given, parts: Sequence[Any]) -> Mapping[str, Any]:
        """How far the members disagree about the tokens, and what each of them thinks of the whole answer."""
        if not given.told:
            return {}
        information, variance, members = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("mutual_information", "variance", "member_log_probs")
        )
        heard = [(name, column) for name, weight, column in zip(self._served.names, given.condition, members.T)
                 if weight > 0]  # fmt: skip
        return {
            "disagreement": {
                "mutual_information": float(f"{information.mean():.6g}"),
                "variance": float(f"{variance.mean():.6g}"),
                "of_tokens": [float(f"{one:.4g}") for one in information.tolist()],
                "logprobs": {name: float(f"{column.sum(dtype=float):.6g}") for name, column in heard},
            }
        }

    def alone(self, name: str) -> "LanguageModel | None":
        """The model with one member's adapter."""
        import jax

        if name not in self._served.names:
            return None
        at = self._served.names.index(name)
        return self.model._replace(lora=jax.tree.map(lambda leaf: leaf[at], self._served.experts))
