"""`jaxuq confidence`: how sure is a model of its answers, over a set of questions or of one."""

import dataclasses
import functools
from typing import Annotated

import tyro

from jaxuq.confidence.study.configuration import StudyConfiguration

_FILES = (
    ("report.html", "open this: scores, calibration, costs, confident mistakes"),
    ("results.csv", "one row per measure and balanced subsample"),
    ("summary.csv", "one row per measure, with intervals"),
    ("predictions.csv", "one row per question: response, answer, truth, measures"),
    ("predictions.jsonl", "the same with chains, samples and states"),
    ("figures/", "the page's figures as files"),
    ("run.json", "configuration, versions, device"),
)


@dataclasses.dataclass(frozen=True)
class AskCommand:
    """Answer one question, and say how sure the model is and which tokens the answer rests on."""

    question: Annotated[str, tyro.conf.Positional]
    """What to ask; - reads it from the standard input."""

    model: str = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, or organisation/model on the hub."""

    kind: str = "auto"
    """How the answer is read: number, expression, choice, text, whole; auto: a number if there is one, else words."""

    response: str | None = None
    """A response that is there already: score it instead of letting the model answer."""

    answer: str | None = None
    """The final answer in that response, if it should not be looked for."""

    samples: int = 0
    """Further answers, for the measures of several answers."""

    max_new_tokens: int = 32
    """The longest answer."""

    chat: bool = False
    """Put the question as it is into the model's chat template, instead of after two examples of short answers."""

    seed: int = 0
    """Of the further answers."""

    mesh: str = ""
    """Devices to divide the model over, such as tensor=4; otherwise one."""

    explain: str | None = None
    """Write a page here that shows the chain step by step."""

    def run(self) -> None:
        """Load, answer, print."""
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.cli.confidence_answer import answer_question

        keep_compiled_programs()
        answer_question(self)


def run(configuration: StudyConfiguration) -> None:
    """Run a study as the command line does.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.display import run_and_report
    from jaxuq.cli.generate import load_named_model, use_devices
    from jaxuq.confidence.study.run import run_study

    use_devices(configuration.mesh)
    load = functools.partial(load_named_model, mesh=configuration.mesh)
    run_and_report(lambda listener: run_study(configuration, model=load, listener=listener), _FILES)
