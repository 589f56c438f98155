"""All measures of a batch of questions: generate (or take) the responses, read them, sample, ask."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq.confidence.text.answering import Response, locate_answer, make_texts
from jaxuq.confidence.text.asking_model import ask_confidence, ask_true
from jaxuq.confidence.text.generating import all_stops, generate_greedy, sample_answers
from jaxuq.confidence.text.marginal import marginal_confidence
from jaxuq.confidence.text.options import ChainOptions
from jaxuq.confidence.text.passes import generated_pass, read_texts
from jaxuq.confidence.text.reading import Reading, read_pass
from jaxuq.confidence.text.several_answers import several_answer_measures
from jaxuq.confidence.text.single_answer import single_answer_measures
from jaxuq.confidence.token_probabilities import pointwise_mutual_information
from jaxuq.language import PromptError, decode_tokens, encode_prompt, encode_reply, score_tokens
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
        confidence: $\tilde P$, UQAC's probability of the answer; NaN without one.
        measures: every measure by name.
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
        num_samples: further answers; 0 for none.
        temperature: of these.
        ask: whether to ask for P(True) and a stated confidence, and to score the answer without its prompt.
        options: of UQAC.
    """

    max_new_tokens: int = 256
    one_line: bool = False
    num_samples: int = 0
    temperature: float = 0.7
    ask: bool = False
    options: ChainOptions = ChainOptions()


_PLAIN = Plan()


class _Clock:
    def __init__(self):
        self.spent: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = jax.block_until_ready(work())
        self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - began
        return result


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
    """
    clock = _Clock()
    prompts = [_encoded(model, one, plan) for one in batch]
    generation = None
    if all(one.response is None for one in batch):
        generation, tokens = clock("generate", lambda: _generate(model, prompts, plan, rows))
    else:
        tokens = [_given(model, one) for one in batch]
    responses = [
        locate_answer(model, np.asarray(prompt, np.int32), np.asarray(reply, np.int32), one, answer=answer)
        for one, prompt, reply, answer in zip(batch, prompts, tokens, answers or [None] * len(batch))
    ]
    texts = make_texts(responses, rows=rows)

    def read() -> tuple[Any, Reading]:
        if generation is not None:
            kept = generated_pass(model.functions, generation, texts)
        else:
            kept = read_texts(model.functions, model.variables, texts)
        return kept.cache, read_pass(model.functions, model.variables, texts, kept, options=plan.options)

    cache, reading = clock("read", read)
    found = clock("measures", lambda: jax.device_get(single_answer_measures(texts, reading)))
    sums = clock(
        "substitutions",
        lambda: marginal_confidence(model.functions, model.variables, texts, reading, cache, options=plan.options),
    )
    found["uqac"] = sums
    seen: Any = jax.device_get(reading)
    log_probs = [
        seen.quantities.log_probs[row, len(one.prompt) : len(one.prompt) + len(one.tokens)]
        for row, one in enumerate(responses)
    ]
    measures = [{name: float(values[row]) for name, values in found.items()} for row in range(len(batch))]
    samples = _sampled(model, batch, prompts, rng_key, plan, rows, responses, seen, measures, clock)
    replies = [""] * len(batch)
    if plan.ask:
        replies = _asked(model, batch, responses, log_probs, measures, rows, clock)
    seconds = {name: value / len(batch) for name, value in clock.spent.items()}
    return [
        Assessment(
            one.question, response.text, response.found, measures[row]["uqac"], measures[row], response.pieces,
            response.answer, log_probs[row], _links(response, seen, row, log_probs[row]), seen.state[row],
            samples[row], replies[row], seconds,
        )
        for row, (one, response) in enumerate(zip(batch, responses))
    ]  # fmt: skip


def _encoded(model: "LanguageModel", one: Question, plan: Plan) -> list[int]:
    longest = plan.max_new_tokens if one.response is None else len(_given(model, one))
    room = model.functions.max_positions - longest - 1
    if room < 1:
        raise PromptError(f"an answer of {longest} tokens leaves no room in the model's context")
    return encode_prompt(model.tokenizer, one.prompt, chat=one.chat, max_tokens=room)


def _generate(model: "LanguageModel", prompts: Sequence[Sequence[int]], plan: Plan, rows: int) -> Any:
    stops = all_stops(model, plan.one_line)
    return generate_greedy(model, prompts, max_new_tokens=plan.max_new_tokens, stops=stops, rows=rows)


def _given(model: "LanguageModel", one: Question) -> list[int]:
    return encode_reply(model.tokenizer, one.response or "", what="a response")


def _sampled(
    model: "LanguageModel", batch: Sequence[Question], prompts: Sequence[Sequence[int]], rng_key: Array, plan: Plan,
    rows: int, responses: Sequence[Response], seen: Reading, measures: list[dict[str, float]], clock: _Clock,
) -> list[list[tuple[str, FoundAnswer | None]]]:  # fmt: skip
    """Draw samples and add their measures."""
    if not plan.num_samples:
        return [[] for _ in batch]
    drawn = clock(
        "samples",
        lambda: sample_answers(
            model,
            prompts,
            jax.random.split(rng_key, rows),
            num_samples=plan.num_samples,
            temperature=plan.temperature,
            max_new_tokens=plan.max_new_tokens,
            stops=all_stops(model, plan.one_line),
        ),
    )
    kept = []
    for row, (one, samples) in enumerate(zip(batch, drawn)):
        texts = [decode_tokens(model.tokenizer, tokens.tolist()) for tokens in samples.tokens]
        found = [read_answer(text, one) for text in texts]
        measures[row] |= several_answer_measures(
            samples,
            texts,
            found,
            kind=one.kind,
            answer=responses[row].found,
            embedding=np.asarray(seen.embedding[row]),
            mean_log_prob=measures[row]["mean_log_probability"],
        )
        kept.append(list(zip(texts, found)))
    return kept


def _asked(
    model: "LanguageModel", batch: Sequence[Question], responses: Sequence[Response], log_probs: Sequence[np.ndarray],
    measures: list[dict[str, float]], rows: int, clock: _Clock,
) -> list[str]:  # fmt: skip
    """Ask, and score responses without their prompts; add the measures."""
    questions = [one.question for one in batch]
    spans = [one.tokens[one.answer] if one.found is not None else None for one in responses]
    inside = [values[one.answer] for one, values in zip(responses, log_probs)]
    truth, likelihood = clock("p_true", lambda: ask_true(model, questions, spans, inside, rows=rows))
    answers = [one.found.text if one.found is not None else None for one in responses]
    stated, replies = clock("stated_confidence", lambda: ask_confidence(model, questions, answers, rows=rows))
    information = clock("pointwise_mutual_information", lambda: _information(model, responses, log_probs, rows))
    for row, values in enumerate(measures):
        values |= {
            "p_true": float(truth[row]),
            "contextualised_sequence_likelihood": float(likelihood[row]),
            "stated_confidence": float(stated[row]),
            "pointwise_mutual_information": float(information[row]),
        }
    return replies


def _information(
    model: "LanguageModel", responses: Sequence[Response], log_probs: Sequence[np.ndarray], rows: int
) -> np.ndarray:
    """How much likelier responses are after their prompts than after the prompts' first token alone."""
    alone = make_texts([one._replace(prompt=one.prompt[:1]) for one in responses], rows=rows)
    slots = np.arange(alone.tokens.shape[1])[None]
    inside = (slots >= 1) & (slots < np.asarray(alone.lengths)[:, None])
    positions = np.where(slots < np.asarray(alone.lengths)[:, None], slots, -1)
    scores = score_tokens(
        model.decoder, model.variables, alone.tokens, jnp.asarray(positions, jnp.int32), where=jnp.asarray(inside)
    )
    prompted = np.zeros(alone.tokens.shape, np.float32)
    for row, values in enumerate(log_probs):
        prompted[row, 1 : 1 + len(values)] = values
    return np.asarray(_mutual(jnp.asarray(prompted), scores.log_probs, jnp.asarray(inside)))


@jax.jit
def _mutual(prompted: Array, alone: Array, where: Array) -> Array:
    return jax.vmap(lambda one, other, mask: pointwise_mutual_information(one, other, where=mask))(
        prompted, alone, where
    )


def _links(response: Response, seen: Reading, row: int, log_probs: np.ndarray) -> list[Link]:
    begin = len(response.prompt)
    chain, filtered = seen.chain, seen.filtered
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
