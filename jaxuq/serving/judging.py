"""How sure the model is of answers that it has just given: their measures, and probabilities if a study was kept."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxuq.serving.errors import ServingError
from jaxuq.serving.jobs import Asked

if TYPE_CHECKING:
    from jaxuq.confidence import KeptConfidence
    from jaxuq.confidence.text.given_tokens import SeenTokens
    from jaxuq.language import LanguageModel
    from jaxuq.questions import Question

_TOKENS = ("answer_probability", "mean_answer_probability", "minimum_answer_probability", "response_probability")
_TOGETHER = 8  # answers that are read in one pass
_NO_ANSWER = 'no final answer was found in the reply: ask for it to end with "The answer is ...", or take kind "whole"'


class Answered(NamedTuple):
    """An answer to be judged.

    Attributes:
        prompt: its tokens.
        tokens: of the answer.
        asked: what is wanted to be known.
        seen: of the answer while it was given; None: it is read once more.
    """

    prompt: Sequence[int]
    tokens: Sequence[int]
    asked: Asked
    seen: "SeenTokens | None" = None


class Verdict(NamedTuple):
    """What is known of an answer.

    Attributes:
        accepted: whether it may be given at the promised risk; True where none is promised.
        said: for the client.
    """

    accepted: bool
    said: Mapping[str, Any]


class Judge:
    """Measures answers: probabilities of their tokens, and the chain if the model attends.

    What was seen of an answer while it was given is used; one of which nothing was seen is read once more.

    Args:
        model: that answers.
        kept: labelled answers of a study with this model; None: no probabilities, measures alone.
        risk: answers of which more than this share may be wrong are withheld, as `KeptConfidence.threshold` has it;
            None: all are given.

    Raises:
        ServingError: a risk without labelled answers, one that cannot be kept, or answers of another model.
    """

    def __init__(self, model: "LanguageModel", kept: "KeptConfidence | None" = None, risk: float | None = None):
        from jaxuq.confidence.measures import chosen_measures
        from jaxuq.confidence.text.assess import Plan, check_model
        from jaxuq.language import model_digest
        from jaxuq.questions.answers import KINDS

        names = [*_TOKENS, *(("uqac_similarity", "uqac_attention") if model.functions.attention else ())]
        if kept is not None and kept.measure not in names:
            names.append(kept.measure)
        self._plan = Plan(measures=chosen_measures(names))
        check_model(model, self._plan.measures or ())
        if kept is not None and kept.weights not in ("", model_digest(model)):
            raise ServingError("the answers of --confidence are another model's; run the study with this one")
        self._model, self._kept, self.risk, self.kinds = model, kept, risk, KINDS
        self._threshold = -math.inf
        if risk is not None:
            if kept is None:
                raise ServingError("--abstain-risk needs --confidence FOLDER, the results of a study with this model")
            self._threshold = kept.threshold(risk)
            if self._threshold == math.inf:
                raise ServingError(
                    f"no answer can be promised to be wrong in at most {risk:g} of cases by the {len(kept.scores)} "
                    f"labelled answers of --confidence ({int(kept.correct.sum())} right); allow more, or label more"
                )

    def of_model(self, model: "LanguageModel") -> "Judge":
        """One who judges answers of another model by measures alone: the labelled answers are not that one's.

        Args:
            model: such as this one with an adapter.
        """
        other = copy.copy(self)
        other._model, other._kept = model, None
        return other

    def judge(self, answers: Sequence[Answered]) -> list[Verdict]:
        """Verdicts on some answers.

        Args:
            answers: any number; of those that must be read eight are read together.
        """
        unseen = [one for one in answers if one.seen is None]
        read = [self._read(unseen[begin : begin + _TOGETHER]) for begin in range(0, len(unseen), _TOGETHER)]
        found = iter([verdict for some in read for verdict in some])
        return [next(found) if one.seen is None else self._of_seen(one, one.seen) for one in answers]

    def _question(self, answer: Answered) -> "Question":
        from jaxuq.questions import Question

        kind: Any = answer.asked.kind or (self._kept.kind if self._kept is not None else "text")
        return Question("", "", kind=kind)

    def _of_seen(self, answer: Answered, seen: "SeenTokens") -> Verdict:
        from jaxuq.confidence.text.given_tokens import assess_seen

        question = self._question(answer)
        found = assess_seen(self._model, question, answer.prompt, answer.tokens, seen, plan=self._plan)
        return self._verdict(answer, found)

    def _read(self, answers: Sequence[Answered]) -> list[Verdict]:
        from jaxuq.confidence.text.given_tokens import assess_tokens

        assessed = assess_tokens(
            self._model,
            [self._question(one) for one in answers],
            [one.prompt for one in answers],
            [one.tokens for one in answers],
            plan=self._plan,
            rows=1 if len(answers) == 1 else _TOGETHER,
        )
        return [self._verdict(one, found) for one, found in zip(answers, assessed)]

    def _verdict(self, answer: Answered, found: Any) -> Verdict:
        said: dict[str, Any] = {"answer": None if found.found is None else found.found.text, "confidence": None}
        if found.found is None:
            said["why"] = _NO_ANSWER
        accepted = True
        if self._kept is not None:
            value = found.measures.get(self._kept.measure, math.nan)
            calibrated = self._kept.calibrated(value)
            said |= {
                "confidence": _number(calibrated.probability),
                "interval": [_number(calibrated.lower), _number(calibrated.upper)],
                "measure": self._kept.measure,
                "labelled_answers": len(self._kept.scores),
            }
            accepted = self.risk is None or self._kept.sign * value >= self._threshold  # NaN is not
        if self.risk is not None:
            said |= {"risk": self.risk, "withheld": not accepted}
        said["measures"] = {name: _number(value) for name, value in found.measures.items()}
        if answer.asked.chain:
            said["chain"] = [
                {"token": link.token, "text": link.text, "step": link.step, "source": link.source,
                 "weight": _number(link.weight), "similarity": _number(link.similarity), "kept": link.kept,
                 "probability": _number(link.probability)}
                for link in found.chain
            ]  # fmt: skip
        if not accepted:
            said["answer"] = None
            said.pop("chain", None)
        return Verdict(accepted, said)


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
