r"""How probable constrained answers are: the model's own distribution, given that the answer has the form asked for.

A constraint cuts the distribution of every token to those allowed, so an answer x is drawn from

$$q(x) = \prod_t \frac{p(x_t \mid x_{<t})}{Z_t(x)}, \qquad w(x) = \prod_t Z_t(x) = \frac{p(x)}{q(x)}$$

where $Z_t$ is the probability of all tokens allowed at place t. That is not the model's answer given that it has the
form, $p(x) / Z$: a beginning that is likely but hard to end well is drawn too often. The weights make up for it:
$\mathbb{E}_q[w] = Z$, and the weighted share of an answer tends to $p(x) / Z$.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq.language._prompt_batches import Chat, listed_prompts
from jaxuq.language.answers import Answer
from jaxuq.language.constraints import choices_constraint
from jaxuq.language.model import LanguageModel
from jaxuq.language.scored_answers import score
from jaxuq.language.tokenization import encode_reply, stop_tokens


class AnswerShares(NamedTuple):
    """What constrained answers to one prompt say together.

    Attributes:
        shares: of each different text of whole form, the likeliest first; they sum to one. Empty if none is whole.
        mass: estimated probability that the model's free answer has the form, Z.
        mass_error: standard error of it; NaN for one answer.
        effective: $(\\sum w)^2 / \\sum w^2$: so many equally weighted answers would be as good.
    """

    shares: dict[str, float]
    mass: float
    mass_error: float
    effective: float


@typed()
def weigh_answers(answers: Sequence[Answer]) -> AnswerShares:
    r"""Self-normalised importance weights of constrained answers.

    $$\hat P(\text{text}) = \sum_{i:\,x_i = \text{text}} w_i \Big/ \sum_i w_i, \qquad \hat Z = \frac1n \sum_i w_i$$

    Use it on many answers to one prompt (`num_samples`), drawn at temperature 1 without filters or penalties; other
    draws have other weights. For a few choices `choice_probabilities` is exact.

    Args:
        answers: of `generate` with a constraint, to one prompt. Those that were cut off or met a dead end have weight
            zero and count in the mass.

    Returns:
        `AnswerShares`.

    Raises:
        OptionError: there are none, they are of several prompts, or were made without a constraint.

    Example:
        >>> import numpy as np
        >>> def made(text, *allowed):
        ...     none = np.zeros(len(allowed))
        ...     return Answer(0, 0, text, none, "stop", none, none, None, None, None, none, np.log(allowed))
        >>> shares, mass, _, effective = weigh_answers([made("a", 0.7), made("b", 0.5, 0.4), made("b", 0.5, 0.2)])
        >>> {text: round(share, 3) for text, share in shares.items()}, round(mass, 4), round(effective, 6)
        ({'a': 0.7, 'b': 0.3}, 0.3333, 1.851852)

    References:
        B. Lipkin et al. Fast controlled generation from language models with adaptive weighted rejection sampling.
        COLM 2025, section 3: with all allowed tokens known, the weight of a token is Z itself, without noise.
    """
    if not answers or len({answer.prompt for answer in answers}) > 1:
        raise OptionError("shares are of several answers to one prompt; give those of one")
    if any(answer.allowed_log_probs is None for answer in answers):
        raise OptionError("some answers were made without a constraint; generate with constraint=")
    weights = np.array([
        np.exp(np.sum(np.asarray(answer.allowed_log_probs, np.float64))) if answer.finish == "stop" else 0.0
        for answer in answers
    ])  # fmt: skip
    sums: dict[str, float] = {}
    for answer, weight in zip(answers, weights):
        if weight > 0:
            sums[answer.text] = sums.get(answer.text, 0.0) + float(weight / weights.sum())
    error = float(weights.std(ddof=1) / np.sqrt(len(weights))) if len(weights) > 1 else float("nan")
    effective = float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0
    return AnswerShares(
        dict(sorted(sums.items(), key=lambda item: -item[1])), float(weights.mean()), error, effective
    )  # fmt: skip


class ChoiceProbabilities(NamedTuple):
    """How probable each of some texts is as the whole answer.

    Attributes:
        probabilities: of each choice given that the answer is one of them; they sum to one.
        mass: probability that the model's free answer is one of them, written as the tokenizer writes it.
    """

    probabilities: np.ndarray
    mass: float


@typed()
def choice_probabilities(
    model: LanguageModel,
    prompts: str | Chat | Sequence[str | Chat],
    choices: Sequence[str],
    *,
    chat: bool = True,
    batch_size: int = 8,
    mesh: jax.sharding.Mesh | None = None,
) -> list[ChoiceProbabilities]:
    r"""Probabilities of multiple choices, normalised over the choices.

    $$P(c) = \frac{p(c, \text{end})}{\sum_{c'} p(c', \text{end})}$$

    The end counts, so a choice that is the beginning of another (`1` and `12`) does not take the other's probability,
    and a long choice is not punished for more than its tokens. Each choice is read once.

    Args:
        model: from `load_model`.
        prompts: as for `generate`.
        choices: different texts.
        chat: as for `generate`.
        batch_size: texts in a pass.
        mesh: as for `generate`.

    Returns:
        One for each prompt.

    Raises:
        ConstraintError: choices are missing, empty or the same.
        PromptError: an empty or too long prompt.
    """
    choices_constraint(choices)
    listed, stops = listed_prompts(prompts), stop_tokens(model)
    if not stops:
        raise OptionError("the model has no token that ends an answer")
    replies = [[*encode_reply(model.tokenizer, choice), stop] for choice in choices for stop in stops]
    asked = [prompt for prompt in listed for _ in replies]
    scored = score(model, asked, replies * len(listed), chat=chat, batch_size=batch_size, mesh=mesh)
    log_probs = np.array([answer.log_probs.sum(dtype=np.float64) for answer in scored])
    each = np.logaddexp.reduce(log_probs.reshape(len(listed), len(choices), len(stops)), axis=-1)
    masses = np.logaddexp.reduce(each, axis=-1)
    return [ChoiceProbabilities(np.exp(row - mass), float(np.exp(mass))) for row, mass in zip(each, masses)]
