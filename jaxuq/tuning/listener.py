"""A language model as the listener of LACIE: how far it trusts answers by their tone, and what follows to prefer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from jaxuq._arguments import typed
from jaxuq._errors import ArrayError
from jaxuq.language import LanguageModel, PromptError, choice_probabilities
from jaxuq.tuning.preference_pairs import listener_pairs

HEARD = (
    "Somebody was asked a question and answered; the answer itself is hidden.\n\nQuestion: {prompt}\n"
    "Answer: {response}\n\nJudging by how it is said, would you accept this answer as right? Reply with yes or no."
)
"""What the listener is asked."""
MASK = "____"


@typed()
def listener_trust(
    model: LanguageModel,
    prompts: Sequence[str],
    responses: Sequence[str],
    answers: Sequence[str | None] | None = None,
    *,
    template: str = HEARD,
    chat: bool = True,
    batch_size: int = 8,
    mesh: jax.sharding.Mesh | None = None,
) -> Float[np.ndarray, " answers"]:
    r"""How far a model trusts answers by their tone: $p = P(\text{yes}) / (P(\text{yes}) + P(\text{no}))$.

    The answer itself is hidden wherever it stands in the response as words of its own, whatever its case, so that the
    listener judges how it is said and not what it knows.

    Args:
        model: the listener, from `jaxuq.language.load_model`.
        prompts: what was asked.
        responses: what was answered.
        answers: the final answer in each response, to be hidden; None, or None among them: nothing is.
        template: what the listener is asked, with `{prompt}` and `{response}` in it.
        chat: put it into the model's chat form; without, a blank is put before yes and no.
        batch_size: texts in a pass.
        mesh: as for `jaxuq.language.generate`.

    Returns:
        Trust in [0, 1], for `listener_pairs`.

    Raises:
        ArrayError: not as many responses or answers as prompts.
        PromptError: the template lacks one of its two places, or a text is too long.

    Example:
        >>> masked("It is Paris. Surely Paris!", "paris"), masked("Parisian", "Paris"), masked("85.5 or 85", "85")
        ('It is ____. Surely ____!', 'Parisian', '85.5 or ____')

    References:
        Stengel-Eskin, Hase and Bansal. LACIE: Listener-Aware Finetuning for Calibration in Large Language Models.
        NeurIPS 2024, section 3.
    """
    answers = [None] * len(prompts) if answers is None else answers
    if not len(prompts) == len(responses) == len(answers):
        raise ArrayError(
            f"{len(prompts)} prompts, {len(responses)} responses, {len(answers)} answers: expected as many of each"
        )
    if not {"{prompt}", "{response}"} <= set(re.findall(r"\{\w*\}", template)):
        raise PromptError("the listener's template lacks {prompt} or {response}")
    if not len(prompts):
        return np.zeros(0)
    heard = [
        re.sub(r"\{(prompt|response)\}", lambda place, parts=parts: parts[place[1]], template)
        for prompt, response, answer in zip(prompts, responses, answers)
        for parts in [{"prompt": prompt, "response": response if answer is None else masked(response, answer)}]
    ]
    choices = ["yes", "no"] if chat else [" yes", " no"]
    found = choice_probabilities(model, heard, choices, chat=chat, batch_size=batch_size, mesh=mesh)
    return np.array([one.probabilities[0] for one in found], np.float64)


def masked(response: str, answer: str) -> str:
    """The response with every place hidden where the answer stands as words of its own."""
    if not answer.strip():
        return response
    words = re.escape(answer.strip())
    return re.sub(rf"(?<!\w)(?<!\d[.,]){words}(?!\w)(?![.,]\d)", MASK, response, flags=re.IGNORECASE)


@typed()
def listener_preferences(
    rng_key: Key[Array, ""],
    model: LanguageModel,
    answered: Sequence[Mapping[str, Any]],
    *,
    threshold: float | None = None,
    apart: float = 0.1,
    per_question: int = 3,
    balanced: bool = True,
    chat: bool = True,
    batch_size: int = 8,
    mesh: jax.sharding.Mesh | None = None,
) -> list[dict[str, Any]]:
    """Preferences from graded answers (LACIE): what a listener rightly trusts or distrusts before what misleads it.

    The speaker's answers, several to a question, are heard by the listener (`listener_trust`) and paired
    (`listener_pairs`); the records are what `encode_preferences` takes.

    Args:
        rng_key: of which pairs are kept where there are too many.
        model: the listener.
        answered: of each answer `prompt`, `response`, whether it is `correct`, and the final `answer`, hidden from the
            listener, where it is known. Answers to one prompt belong together.
        threshold: see `listener_pairs`, like all that follow.
        apart: see there.
        per_question: see there.
        balanced: see there.
        chat: see `listener_trust`.
        batch_size: texts in a pass.
        mesh: as for `jaxuq.language.generate`.

    Returns:
        Records with `prompt`, `chosen`, `rejected` and `kind`; none if no two answers to a prompt make a pair.

    Raises:
        PromptError: an answer lacks something; names its number, from 0.

    Example:
        >>> import jax
        >>> from jaxuq.language import LanguageModel
        >>> listener_preferences(
        ...     jax.random.key(0), LanguageModel(None, None, None, "a"), [{"prompt": "What is 2 + 2?"}]
        ... )
        Traceback (most recent call last):
        jaxuq.language.errors.PromptError: answer 0 has no response, correct; expected a prompt and a response...

    References:
        Stengel-Eskin, Hase and Bansal. LACIE: Listener-Aware Finetuning for Calibration in Large Language Models.
        NeurIPS 2024.
    """
    for number, one in enumerate(answered):
        wrong = [name for name in ("prompt", "response") if not isinstance(one.get(name), str)]
        wrong += [] if isinstance(one.get("correct"), (bool, np.bool_)) else ["correct"]
        if wrong:
            raise PromptError(
                f"answer {number} has no {', '.join(wrong)}; expected a prompt and a response in words, and whether it "
                "is correct"
            )
    prompts, responses = ([one[name] for one in answered] for name in ("prompt", "response"))
    answers = [one.get("answer") for one in answered]
    trust = listener_trust(model, prompts, responses, answers, chat=chat, batch_size=batch_size, mesh=mesh)
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    pairs = listener_pairs(
        rng_key,
        np.array([numbers[prompt] for prompt in prompts], np.int64),
        trust,
        np.array([bool(one["correct"]) for one in answered], bool),
        threshold=threshold,
        apart=apart,
        per_question=per_question,
        balanced=balanced,
    )
    return [
        {"prompt": prompts[better], "chosen": responses[better], "rejected": responses[worse], "kind": kind}
        for better, worse, kind in zip(pairs.chosen, pairs.rejected, pairs.kinds)
    ]
