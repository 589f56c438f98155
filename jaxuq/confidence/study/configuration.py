"""What a run of `jaxuq confidence` does: one dataclass for the command line and for Python."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from jaxuq._arguments import check_fields
from jaxuq._entries import Entry, identity_of
from jaxuq.confidence._measure import OF_SAMPLES
from jaxuq.confidence.measures import needs_of
from jaxuq.confidence.text.assess import Plan
from jaxuq.confidence.text.options import ChainOptions
from jaxuq.parallel import mesh_axes
from jaxuq.questions import QuestionError
from jaxuq.study import Options
from jaxuq.study import options_of as options_of_fields
from jaxuq.study.crew import CrewOptions

_DEFAULT = Plan()


@dataclasses.dataclass(frozen=True)
class StudyConfiguration(CrewOptions):
    """Score how sure a model is of its answers to a set of questions, and compare the scores with the truth.

    For one question: jaxuq confidence ask "What is the capital of France?"
    """

    model: str = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, or organisation/model on the hub."""

    data: str = "facts"
    """facts, families, known, gsm8k, math, svamp, mathqa, bbh, mmlu (or mmlu:/path); or a file of JSON lines or CSV
    with `question` and `answer`."""

    layout: str = ""
    """How questions are put to the model: short, boxed, line, instruction; otherwise as their set usually is."""

    measures: tuple[str, ...] = ("all",)
    """all; single (from one answer alone), samples (several answers), asking; or names of measures, such as rauq,cocoa
    (also with commas)."""

    samples: int = 5
    """Further answers to each question, for the measures of several answers; 0 with --measures single,asking."""

    temperature: float = 0.7
    """Of the further answers."""

    output: Path = Path("runs/confidence")
    """The result folder; the same command goes on with it."""

    responses: Path | None = None
    """A JSONL file with `id` and `response` on each line: score these instead of letting the model answer. Or what
    another program wrote: samples of lm-evaluation-harness, completions of the OpenAI protocol (vLLM), a data frame of
    uqlm (CSV, JSON, parquet); then no model is loaded, and the measures that the file allows are taken."""

    folder: Path | None = None
    """Where the published sets are; otherwise JAXUQ_DATA and the cache."""

    limit: int | None = None
    """Take this many of the questions (a fixed choice)."""

    max_new_tokens: int | None = None
    """The longest answer; 32 for answers of one line (facts), else 256."""

    batch_size: int = 16
    """Questions that run together."""

    mesh: str = ""
    """Devices to divide the work over, such as data=4,tensor=2; otherwise one."""

    seed: int = 0
    """Of the further answers and of the questions that --limit takes."""

    use_attention: bool = True
    """--no-use-attention leaves the attention chain out and filters by similarity alone (Table 3.2)."""

    reduction: str = "max"
    """Over the heads of lowest entropy: max, or mean, a choice of UQAC's released code."""

    similar_tokens: int = 10
    """Most tokens that the similarity filter keeps."""

    similarity_threshold: float = 0.0
    """What a similarity must exceed."""

    published: bool = False
    """Follow UQAC's released code where it differs from the text."""

    resume: bool = True
    """--no-resume refuses a folder that holds this run already."""


def check_configuration(configuration: StudyConfiguration) -> None:
    """Refuse what cannot work, in one sentence.

    Raises:
        QuestionError: an option out of range.
    """
    check_fields(configuration, QuestionError)
    if configuration.mesh:
        mesh_axes(configuration.mesh)
    if configuration.reduction not in ("max", "mean"):
        raise QuestionError(f"--reduction {configuration.reduction}: expected max or mean")
    for name, least in (("samples", 0), ("batch_size", 1), ("similar_tokens", 1)):
        if getattr(configuration, name) < least:
            raise QuestionError(f"--{name.replace('_', '-')} is {getattr(configuration, name)}; it starts at {least}")
    for name in ("limit", "max_new_tokens"):
        value = getattr(configuration, name)
        if value is not None and value < 1:
            raise QuestionError(f"--{name.replace('_', '-')} is {value}; it starts at 1")
    if not 0 < configuration.temperature < float("inf"):
        raise QuestionError(f"--temperature is {configuration.temperature}; expected a positive number")


def check_samples(configuration: StudyConfiguration, measures: Sequence[Entry]) -> None:
    """Refuse measures of several answers where none are sampled.

    Raises:
        QuestionError: names them.
    """
    several = [one.name for one in measures if OF_SAMPLES.intersection(one.needs)]
    if several and configuration.samples == 0:
        shown = ", ".join(several[:3]) + (f" and {len(several) - 3} more" if len(several) > 3 else "")
        raise QuestionError(
            f"--samples is 0, and {shown} need further answers: leave them out (--measures single,asking), or sample "
            "some"
        )


def plan_of(configuration: StudyConfiguration, one_line: bool, measures: tuple[Entry, ...] = ()) -> Plan:
    """What is done for each question."""
    longest = configuration.max_new_tokens or (32 if one_line else 256)
    return Plan(
        max_new_tokens=longest,
        one_line=one_line,
        num_samples=configuration.samples,
        temperature=configuration.temperature,
        measures=measures,
        options=ChainOptions(
            reduction=cast(Any, configuration.reduction),
            use_attention=configuration.use_attention,
            max_tokens=configuration.similar_tokens,
            similarity_threshold=configuration.similarity_threshold,
            convention="published" if configuration.published else "text",
        ),
    )


def follows_of(plan: Plan) -> dict[str, Any]:
    """What a batch follows from besides model, questions and random numbers, as `RunFolder.log` takes it."""
    sampled = bool(needs_of(plan.measures or ()) & OF_SAMPLES)
    drawn = ("num_samples", "temperature") if sampled else ()
    names = ("max_new_tokens", "one_line", *drawn)
    return {
        "options": {name: getattr(plan, name) for name in names} | plan.options._asdict(),
        "defaults": {name: getattr(_DEFAULT, name) for name in drawn} | ChainOptions()._asdict(),
        "measures": [identity_of(one) for one in plan.measures or ()],
        "sampled": sampled,
    }


def options_of(configuration: StudyConfiguration, one_line: bool) -> Options:
    """Everything that decides the numbers, for `run.json`."""
    longest = plan_of(configuration, one_line).max_new_tokens
    names = ("data", "model", "responses")
    return options_of_fields(configuration, left_out=("folder", "mesh"), names=names, max_new_tokens=longest)
