"""How uncertain each sample to learn from is: a user's column, the model's perplexity, disagreement, a judge."""

import collections
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from jaxuq._arguments import typed
from jaxuq._entries import Entries, Entry
from jaxuq._keys import named_key
from jaxuq.language import Instruction, generate
from jaxuq.questions import Question
from jaxuq.questions.shares import OF, share, without_scale
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.responses import response_scores

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

Judge = Callable[[Sequence[str]], Sequence[str]]
"""Prompts to replies; an empty reply is none."""
_NUMBER = re.compile(r"(?<![\w.,-])(\d{1,3}(?:[.,]\d+)?)(?![\w]|[.,]\d)" + OF, re.I)


class SampleUncertainty(NamedTuple):
    """One number for each sample; higher is more uncertain.

    Attributes:
        values: finite where `known`, else 0.
        known: False where there is none; such samples get the mean smoothing.
        notes: for the reader, such as how many replies were nonsense.
    """

    values: Float[np.ndarray, " samples"]
    known: Bool[np.ndarray, " samples"]
    notes: tuple[str, ...]


class Samples(NamedTuple):
    """What there is to measure the uncertainty of samples by.

    Attributes:
        model: before tuning, without room for adapters.
        records: questions with answers, to learn from.
        examples: the same as tokens.
        judge: what can be asked; None: nothing.
    """

    model: "LanguageModel"
    records: Sequence[Question]
    examples: Sequence[Instruction]
    judge: Judge | None


@typed()
def column_uncertainty(records: Sequence[Question]) -> SampleUncertainty:
    """The uncertainties that came with the data.

    Args:
        records: with `uncertainty` where there is one.

    Returns:
        `SampleUncertainty`; says how many have none, and if all are equal, which makes `ual` plain label smoothing.

    Raises:
        TuningError: no record has one.

    Example:
        >>> column_uncertainty([Question("a", "Q", uncertainty=0.5), Question("b", "Q")]).notes
        ('1 of 2 samples have no uncertainty and get the mean smoothing.', ...)
    """
    known = np.array([one.uncertainty is not None for one in records], bool)
    if not known.any():
        raise TuningError(
            "no sample has an `uncertainty`: give the data that column, or choose another source "
            f"({', '.join(name for name in SOURCES if name != 'column')})"
        )
    values = np.array([0.0 if one.uncertainty is None else one.uncertainty for one in records], np.float32)
    missing = int((~known).sum())
    notes = [f"{missing} of {len(records)} samples have no uncertainty and get the mean smoothing."] if missing else []
    return SampleUncertainty(values, known, (*notes, *_constant(values[known])))


@typed()
def perplexity_uncertainty(
    model: "LanguageModel", examples: Sequence[Instruction], *, batch_size: int = 8
) -> SampleUncertainty:
    r"""$u_i = -\frac{1}{T_i} \sum_t \log p(y_{it} \mid y_{i,<t})$: log perplexity of each response under the model.

    The logarithm, for perplexities themselves span orders of magnitude and the largest alone would count.

    Args:
        model: before tuning.
        examples: to learn from.
        batch_size: texts in a pass.

    Returns:
        `SampleUncertainty`, nats a token.
    """
    values = -response_scores(model, examples, batch_size=batch_size).log_probs
    return SampleUncertainty(values, np.isfinite(values), _constant(values))


@typed()
def disagreement_uncertainty(
    rng_key: jax.Array,
    model: "LanguageModel",
    records: Sequence[Question],
    *,
    num_samples: int = 5,
    temperature: float = 0.7,
    max_new_tokens: int = 8,
    batch_size: int = 8,
) -> SampleUncertainty:
    r"""$u_i = -\sum_a \frac{n_{ia}}{K} \log \frac{n_{ia}}{K}$: entropy of the answers that the model itself gives.

    Answers are the same if their first lines are, case and a final full stop aside.

    Args:
        rng_key: for the samples.
        model: before tuning.
        records: the questions.
        num_samples: K.
        temperature: of the samples.
        max_new_tokens: the longest answer.
        batch_size: answers that are generated together.

    Returns:
        `SampleUncertainty`, nats in [0, log K].

    References:
        H. Zhang et al., "R-Tuning: Instructing Large Language Models to Say 'I Don't Know'", NAACL 2024, section 3
        (5 samples at temperature 0.7).
    """
    from jaxuq.language import Sampling

    answers = generate(
        model, [one.prompt for one in records], chat=False, rng_key=rng_key, num_samples=num_samples,
        max_new_tokens=max_new_tokens, sampling=Sampling(temperature=temperature), batch_size=batch_size,
    )  # fmt: skip
    texts: dict[int, list[str]] = collections.defaultdict(list)
    for answer in answers:
        lines = answer.text.strip().splitlines()
        texts[answer.prompt].append(lines[0].strip().rstrip(".").lower() if lines else "")
    values = np.array([answer_entropy(texts[number]) for number in range(len(records))], np.float32)
    return SampleUncertainty(values, np.ones(len(records), bool), _constant(values))


@typed()
def answer_entropy(answers: Sequence[str]) -> float:
    r"""Entropy of the counts of equal answers, $-\sum_a \frac{n_a}{K} \log \frac{n_a}{K}$.

    Args:
        answers: texts, compared as they are.

    Returns:
        Nats; 0 for none.

    Example:
        >>> round(answer_entropy(["a", "a", "a", "b", "c"]), 6)
        0.950271
    """
    shares = [count / len(answers) for count in collections.Counter(answers).values()]
    return abs(-sum(share * math.log(share) for share in shares))


@typed()
def judged_uncertainty(judge: Judge, records: Sequence[Question]) -> SampleUncertainty:
    """What a stronger model says: a number from 0 (certain) to 100 for each question with its answer.

    A reply counts if it holds one number in that range, alone or first; another reply, or none, is nonsense: it is
    counted, and the sample gets the mean smoothing.

    Args:
        judge: prompts to replies.
        records: the samples.

    Returns:
        `SampleUncertainty`, in [0, 1].

    Raises:
        TuningError: no reply made sense; shows the first.

    Example:
        >>> records = [Question("a", "", prompt="Q: 2+2?\\nA:", reply=" 4")] * 3
        >>> found = judged_uncertainty(lambda prompts: ["20", "It is certain.", "Uncertainty: 60%"], records)
        >>> [round(float(value), 2) for value in found.values], found.known.tolist()
        ([0.2, 0.0, 0.6], [True, False, True])
        >>> found.notes
        ('1 of 3 replies of the judge made no sense: these samples get the mean smoothing.',)

    References:
        Y. Wang et al., "Uncertainty Aware Learning for Language Model Alignment", ACL 2024 (a stronger model as judge;
        its prompt is not published, this one is jaxuq's own).
    """
    if not records:
        raise TuningError("there are no samples to be judged")
    found: Any = judge([judge_prompt(one) for one in records])
    replies = found if isinstance(found, list | tuple) else []
    if len(replies) != len(records) or not all(isinstance(reply, str) for reply in replies):
        raise TuningError(
            f"the judge gives {found!r:.80} ({type(found).__name__}) for {len(records)} prompts; expected a list of as "
            "many texts"
        )
    read = [read_judgement(reply) for reply in replies]
    known = np.array([value is not None for value in read], bool)
    if not known.any():
        raise TuningError(
            f"the judge gave no number from 0 to 100 in {len(read)} replies; the first: {replies[0]!r:.80}"
        )
    values = np.array([0.0 if value is None else value for value in read], np.float32)
    wrong = int((~known).sum())
    note = f"{wrong} of {len(read)} replies of the judge made no sense: these samples get the mean smoothing."
    return SampleUncertainty(values, known, (*((note,) if wrong else ()), *_constant(values[known])))


@typed()
def judge_prompt(record: Question) -> str:
    """What a judge is asked about a sample.

    Args:
        record: question and answer.

    Returns:
        The prompt.

    Example:
        >>> judge_prompt(Question("a", "", prompt="Q: 2+2?\\nA:", reply=" 4")).splitlines()[-1]
        'Uncertainty (0 to 100):'
    """
    return (
        "Below is a question and the answer that it was given. How uncertain is the answer: could an expert well have "
        "answered otherwise? 0 means that nothing else is possible, 100 that many other answers are as good. Reply "
        f"with the number alone.\n\n{record.prompt}{record.reply}\n\nUncertainty (0 to 100):"
    )


@typed()
def read_judgement(reply: str) -> float | None:
    """The number in a judge's reply, as a share of 100, or of what it says (`9/10`, `3 out of 5`).

    A number below 1 that is of nothing said (0.9) may be either, and counts as none.

    Args:
        reply: what the judge wrote.

    Returns:
        A number in [0, 1]; None if there is no number from 0 to 100.

    Example:
        >>> read_judgement("I would say 35 out of 100."), read_judgement("around 400"), read_judgement("very")
        (0.35, None, None)
        >>> read_judgement("9/10"), read_judgement("3 out of 5"), read_judgement("0.9")
        (0.9, 0.6, None)
        >>> read_judgement("On a scale of 0 to 100: 30")
        0.3
    """
    found = _NUMBER.search(without_scale(reply))
    if found is None:
        return None
    found_share = share(float(found[1].replace(",", ".")), found[2], 100.0)
    return None if math.isnan(found_share) else found_share


def _constant(values: np.ndarray) -> tuple[str, ...]:
    if values.size and np.ptp(values) == 0:
        return ("All uncertainties are equal: smoothing by uncertainty is then plain label smoothing.",)
    return ()


def measured_uncertainty(source: Entry, samples: Samples) -> SampleUncertainty:
    """The uncertainty of samples by a source.

    Args:
        source: an entry of the form of those in `SOURCES`.
        samples: to be measured.

    Returns:
        `SampleUncertainty`; where a source gives bare numbers, those that are not finite count as not known.

    Raises:
        TuningError: the source gives another number of them, or none that is finite.
    """
    found = source.functions["measure"](samples)
    if isinstance(found, SampleUncertainty):
        return found
    values = np.asarray(found, np.float32)
    if values.shape != (len(samples.records),):
        raise TuningError(f"{source.name} gives numbers of shape {values.shape} for {len(samples.records)} samples")
    known = np.isfinite(values)
    if not known.any():
        raise TuningError(f"{source.name} gives no finite number for any of {len(values)} samples")
    return SampleUncertainty(np.where(known, values, 0.0).astype(np.float32), known, _constant(values[known]))


def _disagreement(samples: Samples) -> SampleUncertainty:
    return disagreement_uncertainty(named_key(jax.random.key(0), "disagreement"), samples.model, samples.records)


def _judged(samples: Samples) -> SampleUncertainty:
    if samples.judge is None:
        raise TuningError("--uncertainty judge: there is no judge to ask")
    return judged_uncertainty(samples.judge, samples.records)


def _source(name: str, measure: Callable[[Samples], Any], *needs: str) -> Entry:
    return Entry(name, name.capitalize(), {"measure": measure}, needs=needs)


SOURCES: Entries[Entry] = Entries(
    "source of uncertainty",
    "jaxuq.sample_uncertainties",
    {
        "column": _source("column", lambda samples: column_uncertainty(samples.records)),
        "perplexity": _source("perplexity", lambda samples: perplexity_uncertainty(samples.model, samples.examples)),
        "disagreement": _source("disagreement", _disagreement),
        "judge": _source("judge", _judged, "judge"),
    },
    role="measure",
)
"""Sources by name. The functions of an entry hold `measure(Samples)`, which returns `SampleUncertainty` or one number a
sample, higher for the more uncertain. Put yours in, or declare an entry point of the group."""
