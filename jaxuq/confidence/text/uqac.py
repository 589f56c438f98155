"""`uqac`: from questions to answers with a confidence each, and the tokens that it rests on."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax

from jaxuq._arguments import typed
from jaxuq._entries import Entry
from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq.confidence._measure import Seen
from jaxuq.confidence.measures import chosen_measures
from jaxuq.confidence.text.assess import Assessment, Plan, assess
from jaxuq.confidence.text.options import DEFAULTS, ChainOptions
from jaxuq.language.errors import PromptError
from jaxuq.parallel import row_parts
from jaxuq.questions import Question
from jaxuq.questions.answers import AnswerKind

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


@typed()
def uqac(
    model: "LanguageModel",
    questions: str | Sequence[str | Sequence[Mapping[str, str]] | Question],
    responses: str | Sequence[str] | None = None,
    *,
    answers: Sequence[str | None] | None = None,
    kind: AnswerKind = "number",
    chat: bool = True,
    max_new_tokens: int = 256,
    num_samples: int = 0,
    temperature: float = 0.7,
    ask: bool = False,
    measures: Sequence[str] = ("single",),
    own: Mapping[str, Entry | Callable[[Seen], Any]] | None = None,
    seed: int = 0,
    batch_size: int = 8,
    options: ChainOptions = DEFAULTS,
    mesh: jax.sharding.Mesh | None = None,
) -> list[Assessment]:
    r"""How likely is the final answer of a language model right? UQAC, and all other measures of one answer.

    $$\tilde P = \sum_{x'_{attn} \in S} P(x_{ans}, x'_{attn} \mid x_{instr})$$

    The model answers greedily (or its response is given); the final answer is found in the text and in the tokens; from
    what that one pass left behind come the attention chain, its filtered version, $\tilde P_{attn}$, $\tilde P_{sim}$,
    and every other measure of one answer; $\tilde P$ scores the substituted sequences on the caches of their prefixes.
    The numbers are scores: make probabilities of them with `calibrate_scores` on labelled answers.

    Args:
        model: from `jaxuq.language.load_model`.
        questions: prompts, chats, or questions that were laid out.
        responses: to each; None: the model answers.
        answers: final answers of the responses, where known: their last occurrence counts. None: looked for.
        kind: of answers, see `find_answer`.
        chat: whether a prompt of text goes into the model's chat template.
        max_new_tokens: longest answer.
        num_samples: further answers to each question, for the measures of several answers.
        temperature: of these.
        ask: ask the model about its answers too: P(True), a stated confidence, and CSL.
        measures: names and groups, see `chosen_measures`; with `num_samples` and `ask` those of these, too.
        own: further measures by name, entries or functions of `Seen`.
        seed: of the samples.
        batch_size: questions that run together.
        options: of UQAC: heads, thresholds, ablations.
        mesh: devices to divide the work over, see `LanguageModel.on_mesh`; None: where the model lies.

    Returns:
        An `Assessment` for each question; NaN where there is no answer. `explain` draws them.

    Raises:
        PromptError: a prompt or response that is empty or too long.
        ValueError: numbers of questions, responses and answers that differ, or an option out of range.
        CapabilityError: a measure needs what the model cannot do, such as attention.

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, chapter 3.
    """
    listed: list[Any] = [questions] if isinstance(questions, str) else list(questions)
    given = [responses] if isinstance(responses, str) else responses
    for name, values in (("responses", given), ("answers", answers)):
        if values is not None and len(values) != len(listed):
            raise OptionError(f"{len(listed)} questions have {len(values)} {name}; expected one for each question")
    for name, value, least in (
        ("batch_size", batch_size, 1), ("max_new_tokens", max_new_tokens, 1), ("num_samples", num_samples, 0),
    ):  # fmt: skip
        check_count(name, value, least)
    check_number("temperature", temperature, 0.0, open_low=True)
    asked = []
    for number, prompt in enumerate(listed):
        if not isinstance(prompt, Question):
            bare = prompt if isinstance(prompt, str) else _last_message(prompt)
            prompt = Question(str(number), bare, kind=kind, prompt=prompt, chat=chat)
        asked.append(prompt if given is None else prompt._replace(response=given[number]))
    names = [*measures, *(["samples"] if num_samples else []), *(["asking"] if ask else [])]
    chosen = chosen_measures(names, own)
    plan = Plan(max_new_tokens, False, num_samples or 5, temperature, chosen, options)
    model = model.on_mesh(mesh)
    rows = min(batch_size, 1 << max(0, len(asked) - 1).bit_length())
    rows = -(-rows // row_parts(model.mesh)) * row_parts(model.mesh)
    found: list[Assessment] = []
    for number, begin in enumerate(range(0, len(asked), batch_size)):
        key = jax.random.fold_in(jax.random.key(seed), number)
        part = slice(begin, begin + batch_size)
        known = None if answers is None else answers[part]
        found += assess(model, asked[part], key, plan=plan, rows=rows, answers=known)
    return found


def _last_message(chat: Sequence[Mapping[str, str]]) -> str:
    content = chat[-1].get("content") if chat else None
    if not isinstance(content, str):
        raise PromptError(f"a chat is a list of messages such as {{'role': 'user', 'content': 'Hi'}}, not {chat!r:.60}")
    return content
