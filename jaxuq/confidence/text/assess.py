"""All measures of a batch of questions: generate (or take) the responses, read them, sample, ask."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq._entries import Entry
from jaxuq.confidence._measure import OF_ATTENTION, OF_SAMPLES
from jaxuq.confidence.measures import chosen_measures, needs_of
from jaxuq.confidence.text.answering import Response, locate_answer, make_texts
from jaxuq.confidence.text.asking_model import ask_confidence, ask_true
from jaxuq.confidence.text.generating import all_stops, generate_greedy, sample_answers
from jaxuq.confidence.text.marginal import substituted_log_probs
from jaxuq.confidence.text.measuring import measured, reading_fields
from jaxuq.confidence.text.options import ChainOptions
from jaxuq.confidence.text.passes import Pass, Texts, generated_pass, read_texts
from jaxuq.confidence.text.reading import ALL_NEEDS, Reading, read_pass
from jaxuq.confidence.text.samples import sample_fields
from jaxuq.confidence.text.token_quantities import reductions_of
from jaxuq.language import PromptError, decode_tokens, encode_prompt, encode_reply, score_tokens
from jaxuq.networks import CapabilityError
from jaxuq.parallel import on_host
from jaxuq.questions import FoundAnswer, Question, read_answer

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class Link(NamedTuple):
    """A token of an attention chain.

    Attributes:
        token: its index in the response.
        text: of the token.
        step: of the backtracking that took it, from 1.
        weight: cumulative attention with which it was taken.
        source: index in the response of the token that attended most to it.
        similarity: to the answer.
        kept: whether the similarity filter kept it.
        probability: of the token.
    """

    token: int
    text: str
    step: int
    weight: float
    source: int
    similarity: float
    kept: bool
    probability: float


class Assessment(NamedTuple):
    r"""A response, how sure the model is of its final answer, and why.

    Attributes:
        question: as asked.
        text: the response.
        found: its final answer; None if there is none.
        confidence: $\tilde P$, UQAC's probability of the answer; NaN without one, or where it was not asked for.
        measures: those that were asked for, by name.
        pieces: what each token adds to the text.
        answer: True for the tokens of the answer.
        log_probs: of the tokens.
        chain: the attention chain, in the order of the text.
        state: hidden state at the end of the prompt.
        samples: text and final answer of each sampled response.
        reply: what the model said of its confidence.
        seconds: spent on this question, by what it was spent on (a batch's time in equal parts).
    """

    question: str
    text: str
    found: FoundAnswer | None
    confidence: float
    measures: dict[str, float]
    pieces: list[str]
    answer: np.ndarray
    log_probs: np.ndarray
    chain: list[Link]
    state: np.ndarray
    samples: list[tuple[str, FoundAnswer | None]]
    reply: str
    seconds: dict[str, float]


class Plan(NamedTuple):
    """What to do beyond reading the answer.

    Attributes:
        max_new_tokens: longest answer.
        one_line: whether a line end ends an answer.
        num_samples: further answers, for measures that need them; at least 1 if one does.
        temperature: of these.
        measures: that are computed, see `chosen_measures`, and nothing that they do not need; None: all of one answer.
        options: of UQAC.
    """

    max_new_tokens: int = 256
    one_line: bool = False
    num_samples: int = 5
    temperature: float = 0.7
    measures: tuple[Entry, ...] | None = None
    options: ChainOptions = ChainOptions()


_PLAIN = Plan()
_OF_THE_TEXT = OF_ATTENTION - {"judge_attention"}


class Clock:
    """Seconds by what they were spent on."""

    def __init__(self):
        self.spent: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        """Do work, and count its time."""
        began = time.perf_counter()
        result = jax.block_until_ready(work())
        self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - began
        return result


class Work(NamedTuple):
    """Answers to one batch of questions, and what everything that is done with them takes."""

    model: "LanguageModel"
    questions: Sequence[Question]
    prompts: list[list[int]]
    responses: list[Response]
    rows: int
    plan: Plan
    needs: frozenset[str]
    clock: Clock


def assess(
    model: "LanguageModel",
    batch: Sequence[Question],
    rng_key: Key[Array, ""],
    *,
    plan: Plan = _PLAIN,
    rows: int,
    answers: Sequence[str | None] | None = None,
) -> list[Assessment]:
    """Assess the answers to one batch of questions; see `uqac` for the parts that most users need.

    Args:
        model: from `jaxuq.language.load_model`.
        batch: the questions, laid out; all with a response, or none (the model answers, greedily).
        rng_key: of the samples.
        plan: what to do.
        rows: of the arrays, at least as many as questions: equal batches compile once.
        answers: final answers of the responses, where they are known; None: they are looked for.

    Returns:
        One `Assessment` for each question.

    Raises:
        PromptError: a prompt that is empty or does not fit, an empty response.
        OptionError: a measure asks for what it does not need.
        CapabilityError: a measure needs what the model cannot do.
    """
    clock = Clock()
    measures = chosen_measures(["single"]) if plan.measures is None else plan.measures
    needs = needs_of(measures)
    check_model(model, measures)
    prompts = [_encoded(model, one, plan) for one in batch]
    generation, tokens = None, []
    if all(one.response is None for one in batch):
        generation, tokens = clock("generate", lambda: _generate(model, prompts, plan, rows, measures))
    else:
        tokens = [_given(model, one) for one in batch]
    responses = [
        locate_answer(model, np.asarray(prompt, np.int32), np.asarray(reply, np.int32), one, answer=answer)
        for one, prompt, reply, answer in zip(batch, prompts, tokens, answers or [None] * len(batch))
    ]
    work = Work(model, batch, prompts, responses, rows, plan, needs, clock)
    if generation is None:
        return assessed(work, None, rng_key, measures)
    made = generation
    return assessed(work, lambda texts: generated_pass(model.functions, made, texts), rng_key, measures)


def assessed(
    work: Work, kept: Callable[[Texts], Pass] | None, rng_key: Key[Array, ""], measures: Sequence[Entry]
) -> list[Assessment]:
    """The measures of answers that were found in their texts, by what is `kept` of a pass or by a new one."""
    batch, responses, rows, plan, clock = work.questions, work.responses, work.rows, work.plan, work.clock
    texts = make_texts(responses, rows=rows)
    reading, fields = _read(work, texts, kept, measures)
    samples: list[list[tuple[str, FoundAnswer | None]]] = [[] for _ in batch]
    if work.needs & OF_SAMPLES:
        drawn, samples = _sampled(work, rng_key)
        fields |= drawn
    asked, replies = _asked(work, texts.tokens.shape[1])
    fields |= asked
    said = [
        {"text": one.text, "answer_text": one.found and one.found.text, "question": question.question, "reply": reply,
         "sample_texts": [text for text, _ in own], "sample_answers": [answer and answer.text for _, answer in own]}
        for one, question, reply, own in zip(responses, batch, replies, samples)
    ]  # fmt: skip
    found = clock("measures", lambda: measured(measures, fields, said, convention=plan.options.convention))
    seen: Any = on_host(reading)
    seconds = {name: value / len(batch) for name, value in clock.spent.items()}
    assessments = []
    for row, (one, response) in enumerate(zip(batch, responses)):
        log_probs = seen.log_probs[row, len(response.prompt) : len(response.prompt) + len(response.tokens)]
        assessments.append(
            Assessment(
                one.question, response.text, response.found, found[row].get("uqac", float("nan")), found[row],
                response.pieces, response.answer, log_probs, _links(response, seen, row, log_probs), seen.state[row],
                samples[row], replies[row], seconds,
            )
        )  # fmt: skip
    return assessments


def _encoded(model: "LanguageModel", one: Question, plan: Plan) -> list[int]:
    longest = plan.max_new_tokens if one.response is None else len(_given(model, one))
    room = model.functions.max_positions - longest - 1
    if room < 1:
        raise PromptError(f"an answer of {longest} tokens leaves no room in the model's context")
    return encode_prompt(model.tokenizer, one.prompt, chat=one.chat, max_tokens=room)


def check_model(model: "LanguageModel", measures: Sequence[Entry]) -> None:
    """Refuse measures by name, before anything is generated, for which the model lacks a capability.

    Args:
        model: that is to answer, or has answered.
        measures: that are asked for.

    Raises:
        CapabilityError: names the capability, the measures that need it, and those that do not.
    """
    for capability, needs in (("attention", OF_ATTENTION), ("rows", {"substitutions"})):
        lacking = [one.name for one in measures if not needs.isdisjoint(one.needs)]
        if lacking and getattr(model.functions, capability) is None:
            others = [one.name for one in measures if one.name not in lacking]
            raise CapabilityError(
                f"this model has no `{capability}`, which these measures need: {', '.join(lacking)}; let the `Model` "
                f"have it, or ask for others only{f': {others}' if others else ''}"
            )


def _generate(
    model: "LanguageModel", prompts: Sequence[Sequence[int]], plan: Plan, rows: int, measures: Sequence[Entry]
) -> tuple[Any, list[np.ndarray]]:
    """Greedy answers, and what of their generation serves the measures: None if the texts must be read once more.

    That is where the attention over a text is asked for, and the cache of its generation cannot be arranged like it.
    """
    stops = all_stops(model, plan.one_line)
    attends = bool(needs_of(measures) & _OF_THE_TEXT)
    again = attends and model.functions.rows is None
    generation, tokens = generate_greedy(
        model, prompts, max_new_tokens=plan.max_new_tokens, stops=stops, rows=rows, keep=not again,
        keep_queries=attends, reductions=reductions_of(measures) if plan.options.convention == "text" else (),
    )  # fmt: skip
    return None if again else generation, tokens


def _given(model: "LanguageModel", one: Question) -> list[int]:
    return encode_reply(model.tokenizer, one.response or "", what="a response")


def _read(
    work: Work, texts: Texts, kept: Callable[[Texts], Pass] | None, measures: Sequence[Entry]
) -> tuple[Reading, dict[str, Any]]:
    """One pass over the answers, or what is kept of one, and what is read from it."""
    model, options = work.model, work.plan.options
    needs = work.needs | ({"chain"} if "substitutions" in work.needs else set())
    reductions = reductions_of(measures)

    def read() -> tuple[Any, Reading]:
        found = kept(texts) if kept is not None else read_texts(model.functions, model.variables, texts)
        known = {"options": options, "needs": needs & ALL_NEEDS, "reductions": reductions}
        return found.cache, read_pass(model.functions, model.variables, texts, found, **known)

    cache, reading = work.clock("read", read)
    found = [one.found is not None for one in work.responses]
    answered = jnp.asarray(found + [False] * (work.rows - len(found)))
    fields = reading_fields(texts, reading, answered=answered, published=options.convention == "published")
    if "substitutions" in needs:
        changed = work.clock(
            "substitutions", lambda: substituted_log_probs(model.functions, model.variables, texts, reading, cache)
        )
        fields |= dict(zip(("changed", "tried"), changed))
    return reading, fields


def _sampled(work: Work, rng_key: Array) -> tuple[dict[str, np.ndarray], list[list[tuple[str, FoundAnswer | None]]]]:
    """Draw further answers."""
    model, plan = work.model, work.plan

    def draw() -> tuple[Any, Any, Any]:
        drawn = sample_answers(
            model, work.prompts, jax.random.split(rng_key, work.rows), num_samples=plan.num_samples,
            temperature=plan.temperature, max_new_tokens=plan.max_new_tokens, stops=all_stops(model, plan.one_line),
            keep="states" in work.needs,
        )  # fmt: skip
        texts = [[decode_tokens(model.tokenizer, tokens.tolist()) for tokens in one.tokens] for one in drawn]
        answers = [[read_answer(text, one) for text in own] for own, one in zip(texts, work.questions)]
        judged = [one.found for one in work.responses]
        fields = sample_fields(drawn, texts, answers, work.questions, judged, needs=work.needs, rows=work.rows)
        return fields, texts, answers

    fields, texts, answers = work.clock("samples", draw)
    return fields, [list(zip(*both)) for both in zip(texts, answers)]


def _asked(work: Work, time: int) -> tuple[dict[str, Any], list[str]]:
    """Ask the model about its answers, and score responses without their prompts."""
    questions = [one.question for one in work.questions]
    fields: dict[str, Any] = {}
    replies = [""] * len(questions)
    if work.needs & {"judge", "judge_attention"}:
        asked = {"rows": work.rows, "time": time, "attends": "judge_attention" in work.needs}
        fields |= work.clock("p_true", lambda: ask_true(work.model, questions, work.responses, **asked))
    if "stated" in work.needs:
        answers = [one.found.text if one.found is not None else None for one in work.responses]
        stated, replies = work.clock(
            "stated_confidence", lambda: ask_confidence(work.model, questions, answers, rows=work.rows)
        )
        fields["stated"] = np.pad(stated, (0, work.rows - len(stated)))
    if "unprompted" in work.needs:
        fields["unprompted_log_probs"] = work.clock(
            "pointwise_mutual_information", lambda: _unprompted(work.model, work.responses, work.rows, time)
        )
    return fields, replies


def _unprompted(model: "LanguageModel", responses: Sequence[Response], rows: int, time: int) -> np.ndarray:
    """Log-probabilities of responses after their prompts' first token alone, at the places of the whole texts."""
    alone = make_texts([one._replace(prompt=one.prompt[:1]) for one in responses], rows=rows)
    slots = np.arange(alone.tokens.shape[1])[None]
    inside = (slots >= 1) & (slots < np.asarray(alone.lengths)[:, None])
    positions = np.where(slots < np.asarray(alone.lengths)[:, None], slots, -1)
    scores = score_tokens(
        model.functions, model.variables, alone.tokens, jnp.asarray(positions, jnp.int32), where=jnp.asarray(inside)
    )
    found, placed = on_host(scores.log_probs), np.zeros((rows, time), np.float32)
    for row, one in enumerate(responses):
        begin = len(one.prompt)
        placed[row, begin : begin + len(one.tokens)] = found[row, 1 : 1 + len(one.tokens)]
    return placed


def _links(response: Response, seen: Reading, row: int, log_probs: np.ndarray) -> list[Link]:
    if seen.chain is None or seen.filtered is None:
        return []
    begin, chain, filtered = len(response.prompt), seen.chain, seen.filtered
    return [
        Link(
            int(at - begin),
            response.pieces[at - begin],
            int(chain.steps[row, at]),
            float(chain.weights[row, at]),
            int(chain.sources[row, at]) - begin,
            float(filtered.similarities[row, at]),
            bool(filtered.tokens[row, at]),
            float(np.exp(log_probs[at - begin])),
        )
        for at in np.flatnonzero(chain.tokens[row])
    ]
