"""`jaxuq tune`: fine-tune with progress on the terminal, print the scores before and after, write the page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxuq.tuning.configuration import TuneConfiguration

if TYPE_CHECKING:
    from jaxuq.tuning.uncertainty import Judge


def run(configuration: TuneConfiguration) -> None:
    """Tune and score as the command line does.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.display import run_and_report
    from jaxuq.cli.generate import use_devices
    from jaxuq.tuning.configuration import asks_judge, normalised
    from jaxuq.tuning.study import run_tuning

    configuration = normalised(configuration)
    use_devices(configuration.mesh)
    judge = None
    if asks_judge(configuration.loss, configuration.uncertainty) and configuration.judge is not None:
        judge = _judge(configuration.judge, configuration.judge_model, configuration.mesh)
    run_and_report(lambda listener: run_tuning(configuration, judge=judge, listener=listener), _files(configuration))


def _files(configuration: TuneConfiguration) -> list[tuple[str, str]]:
    """What is in the folder of a finished run."""
    files = [("report.html", "open this: scores before and after, reliability")]
    if configuration.acquire:
        files += [
            ("active.csv", "one row per test, acquisition, seed and round"),
            ("curve.csv", "the same over seeds, with intervals over questions: the learning curves"),
            ("labels.csv", "which question was labelled in which round"),
            ("rounds/", "forecasts of the pool and of the tests after every round"),
        ]
    files += [
        ("results.csv", "one row per test, method and seed" + (", after the last round" * bool(configuration.acquire))),
        ("summary.csv", "the same over seeds, with intervals over questions"),
    ]
    if configuration.teach:
        files += [
            ("predictions/", "confidence and grade of every answer"),
            ("adapters/", "one folder per way and seed"),
        ]
    elif not configuration.acquire:
        files += [
            ("predictions/", "distributions over answers, aleatoric and epistemic parts"),
            ("adapters/", "tuned adapters in PEFT's format, one folder per loss, seed and member"),
        ]
    files += [("figures/", "the page's figures as files"), ("run.json", "configuration, versions, device")]
    return [*files, ("merged/", "the model with the first adapters merged into it")] if configuration.merge else files


def _judge(address: str, model: str, mesh: str) -> "Judge":
    """A server or a local model as a function from prompts to replies."""
    from jaxuq.extraction.chat import Request
    from jaxuq.extraction.local import local_chat
    from jaxuq.serving.endpoint import open_endpoint

    if "://" in address:
        chat = open_endpoint(address, model)
    else:
        from jaxuq.cli.generate import load_named_model

        chat = local_chat(load_named_model(address, mesh=mesh))

    def ask(prompts: Sequence[str]) -> list[str]:
        return [reply.text for reply in chat.ask([Request(({"role": "user", "content": one},)) for one in prompts])]

    return ask
