"""What a run of `jaxuq tune` does: one dataclass for the command line and for Python."""

import dataclasses
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from jaxuq._arguments import check_fields
from jaxuq.language import FinetuneConfig
from jaxuq.networks import LoraConfig
from jaxuq.networks.linear import LINEAR_LAYERS
from jaxuq.parallel.meshes import check_rows
from jaxuq.study import CrewOptions, Options, from_packages, options_of
from jaxuq.tuning.choices import Choices
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.kinds import check_kind

DEFAULT_LOSSES = ("plain", "ual", "label-smoothing")
DEFAULT_POSTERIORS = ("none", "laplace", "dropout", "ensemble")


@dataclasses.dataclass(frozen=True)
class TuneConfiguration(CrewOptions):
    """Fine-tune a language model on questions with answers, and see what that does to accuracy and to calibration.

    Every loss is tuned once a seed; posteriors are laid over the first loss, or over all with --cross.
    """

    model: str = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, or organisation/model on the hub."""

    data: str = "facts"
    """facts (packaged); a file of JSON lines or CSV with `question`, `answer` and perhaps `choices`, `uncertainty`,
    `weight` and `part`; families; or mmlu:/path, bbh:/path, gsm8k:/path, ..., as published."""

    layout: str = "line"
    """How questions are put to the model: line, short, instruction, boxed; always as plain text."""

    test: Path | None = None
    """A file of the same form to test on; otherwise one half of the data is kept for that."""

    shifted: Path | None = None
    """A file of questions of another kind; the packaged facts have sums and two-step questions."""

    texts: Path | None = None
    """A file with a text a line on which forgetting is measured; otherwise everyday sentences."""

    loss: Annotated[tuple[str, ...], from_packages("jaxuq.token_losses")] = DEFAULT_LOSSES
    """plain, ual, label-smoothing, scheduled-smoothing, focal, entropy, uncertainty-aware; also with commas."""

    posterior: Annotated[tuple[str, ...], from_packages("jaxuq.adapter_posteriors")] = DEFAULT_POSTERIORS
    """none, laplace, laplace-last, dropout, ensemble, tfb, swag, sgld, blob; several, also with commas."""

    cross: bool = False
    """Lay every posterior over every loss."""

    seeds: int = 1
    """Tunings of everything: new adapters, another order of the data."""

    members: int = 3
    """Of an ensemble."""

    samples: int = 10
    """Of any other posterior."""

    uncertainty: Annotated[str, from_packages("jaxuq.sample_uncertainties")] = "perplexity"
    """For ual, of each sample: column, perplexity, disagreement, judge."""

    judge: str | None = None
    """For --uncertainty judge: the address of a server with the OpenAI protocol, or a model as for --model."""

    judge_model: str = ""
    """The model's name at that server."""

    smoothing: float = 0.1
    """Mean smoothing of ual; of label-smoothing; the first of scheduled-smoothing; strength of entropy."""

    largest_smoothing: float = 0.3
    """At most this for one sample of ual."""

    direction: str = "increasing"
    """increasing: uncertain samples are smoothed more; decreasing: less."""

    epochs: int = 4
    """Passes over the data."""

    learning_rate: float = 1e-3
    """The highest."""

    batch_size: int = 2
    """Rows of a step; a row holds several examples."""

    max_length: int = 128
    """Tokens of a row, and of the longest question."""

    rank: int = 8
    """Of the adapters."""

    alpha: float = 16.0
    """The adapters' output is scaled by alpha / rank."""

    dropout: float = 0.1
    """On the adapters' input, in tuning and for the posterior dropout."""

    targets: tuple[str, ...] = ("query", "value")
    """Adapted layers: query, key, value, output, gate, up, down."""

    options: int = 4
    """Answers to choose from, for questions that bring none."""

    limit: int | None = None
    """Take this many questions of each part at most."""

    keep_ratio: float | None = None
    """Tune on about this share of the questions: what is noise, and what is known already, is left out (Q-Tuning)."""

    acquire: Annotated[tuple[str, ...], from_packages("jaxuq.acquisitions")] = ()
    """Label in rounds what each of these chooses: random, entropy, margin, bald, batch-bald, gap; also with commas.
    With one loss (plain unless another is given) and one posterior (ensemble)."""

    start: int = 20
    """With --acquire: labels to begin with, chosen by chance."""

    label: int = 10
    """With --acquire: labels of a round."""

    rounds: int = 5
    """With --acquire: how often questions are labelled; the model is tuned once more than that."""

    teach: Annotated[tuple[str, ...], from_packages("jaxuq.ways_of_teaching")] = ()
    """Teach the model, from its own graded answers, how sure to be, and score that: sure, refuse (R-Tuning), true,
    known, head (calibration tuning, P(IK)), stated (ConfTuner); several, also with commas."""

    graded: str = "choice"
    """With --teach: choice grades the likeliest of the answers to choose from, written what the model writes itself."""

    mesh: str = ""
    """Devices to divide the work over, such as data=2,tensor=4; otherwise one."""

    merge: bool = False
    """Also save the model with the adapters of the first loss and seed merged into it."""

    output: Path = Path("runs/tune")
    """The result folder; the same command goes on with it."""

    resume: bool = True
    """--no-resume refuses a folder that holds this run already."""


def normalised(configuration: TuneConfiguration, choices: Choices | None = None) -> TuneConfiguration:
    """Names given with commas taken apart; refuses what cannot work, in one sentence.

    What a caller gave is used whether or not the configuration names it; it names it to say in which order, or which
    of jaxuq's own are left out.

    Args:
        configuration: as typed.
        choices: what there is to choose from, see `make_choices`; None: what comes with jaxuq.

    Returns:
        The configuration with tuples of single names.

    Raises:
        TuningError: an option out of range, an unknown name.
    """
    check_fields(configuration, TuningError)
    choices = choices or Choices()
    lists = {
        name: _names(getattr(configuration, name)) for name in ("loss", "posterior", "acquire", "teach", "targets")
    }
    for name, names in lists.items():
        known = LINEAR_LAYERS if name == "targets" else getattr(choices, name)
        unknown = [one for one in names if one not in known]
        if unknown or (name in ("loss", "posterior", "targets") and not names):
            raise TuningError(f"--{name} {' '.join(unknown) or 'is empty'}: choose among {', '.join(known)}")
        lists[name] = tuple(dict.fromkeys((*names, *choices.given.get(name, ()))))
    if lists["acquire"] or lists["teach"]:
        lists |= check_kind(configuration, lists, choices)
    uncertainty = _uncertainty(configuration, choices)
    counts = ("seeds", "members", "samples", "epochs", "batch_size", "rank", "limit", "start", "label", "rounds")
    for name, least in (*((name, 1) for name in counts), ("options", 2), ("max_length", 8)):
        value = getattr(configuration, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
            raise TuningError(f"--{name.replace('_', '-')} is {value!r}; it is a whole number")
        if value is not None and value < least:
            raise TuningError(f"--{name.replace('_', '-')} is {value}; it starts at {least}")
    if not 0 <= configuration.smoothing < 1 or not configuration.smoothing <= configuration.largest_smoothing < 1:
        raise TuningError(
            f"--smoothing is {configuration.smoothing} and --largest-smoothing {configuration.largest_smoothing}; "
            "expected 0 <= smoothing <= largest smoothing < 1"
        )
    if not 0 <= configuration.dropout < 1:
        raise TuningError(f"--dropout is {configuration.dropout}; expected a rate in [0, 1)")
    for name in lists["posterior"]:
        if "dropout" in choices.posterior[name].needs and configuration.dropout == 0:
            raise TuningError(f"--posterior {name} needs adapters tuned with dropout: --dropout must be above 0")
    if not 0 < configuration.learning_rate < 1:
        raise TuningError(f"--learning-rate is {configuration.learning_rate}; expected a number in (0, 1)")
    if configuration.keep_ratio is not None and not 0 < configuration.keep_ratio <= 1:
        raise TuningError(f"--keep-ratio is {configuration.keep_ratio}; expected a share in (0, 1]")
    if configuration.graded not in ("choice", "written"):
        raise TuningError(f"--graded {configuration.graded}: choose choice or written")
    if configuration.direction not in ("increasing", "decreasing"):
        raise TuningError(f"--direction {configuration.direction}: choose increasing or decreasing")
    check_rows("--batch-size", configuration.batch_size, configuration.mesh)
    judge = configuration.judge or choices.judge
    if asks_judge(lists["loss"], uncertainty, choices) and judge is None:
        raise TuningError(f"--uncertainty {uncertainty} needs --judge, the address of a server or a model")
    return dataclasses.replace(configuration, uncertainty=uncertainty, **lists)


def _uncertainty(configuration: TuneConfiguration, choices: Choices) -> str:
    given: tuple[str, ...] = choices.given.get("uncertainty", ())
    if configuration.uncertainty not in choices.uncertainty:
        raise TuningError(f"--uncertainty {configuration.uncertainty}: choose among {', '.join(choices.uncertainty)}")
    if not given or configuration.uncertainty in given:
        return configuration.uncertainty
    if len(given) > 1:
        raise TuningError(f"there are the sources of uncertainty {', '.join(given)}; name one with uncertainty=")
    return next(iter(given))


def asks_judge(losses: Sequence[str], uncertainty: str, choices: Choices | None = None) -> bool:
    """Whether a run asks a judge how uncertain its samples are.

    Args:
        losses: of the run.
        uncertainty: the source.
        choices: what there is to choose from.

    Returns:
        Whether a loss needs uncertainties and the source of them a judge.
    """
    choices = choices or Choices()
    wanted = any("uncertainty" in choices.loss[name].needs for name in losses)
    return wanted and "judge" in choices.uncertainty[uncertainty].needs


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in given for name in one.split(",") if name))


def run_options(configuration: TuneConfiguration) -> Options:
    """Everything that decides the numbers, for `run.json`.

    Args:
        configuration: normalised.

    Returns:
        Options; those that name data and model are compared by content.
    """
    return options_of(
        configuration, left_out=("merge", "mesh"), names=("data", "test", "shifted", "texts", "model"), free=("seeds",)
    )


def training_options(configuration: TuneConfiguration) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that tuned adapters follow from, besides data, weights, loss and seed.

    Args:
        configuration: normalised.

    Returns:
        Values and defaults by name.
    """
    names = ("epochs", "learning_rate", "batch_size", "max_length", "rank", "alpha", "dropout", "targets")
    fields = type(configuration).__dataclass_fields__
    return {name: getattr(configuration, name) for name in names}, {name: fields[name].default for name in names}


def finetune_config(configuration: TuneConfiguration) -> FinetuneConfig:
    """How each member is tuned.

    Args:
        configuration: normalised.

    Returns:
        For `jaxuq.language.finetune`.
    """
    lora = LoraConfig(
        rank=configuration.rank, alpha=configuration.alpha, dropout=configuration.dropout,
        targets=configuration.targets,
    )  # fmt: skip
    return FinetuneConfig(
        lora, epochs=configuration.epochs, batch_size=configuration.batch_size, max_length=configuration.max_length,
        learning_rate=configuration.learning_rate,
    )  # fmt: skip


def method_names(configuration: TuneConfiguration) -> dict[str, tuple[str, str]]:
    """The methods of a run: name, loss and posterior; `base`, the model as it was, comes first.

    Args:
        configuration: normalised.

    Returns:
        Name to loss and posterior. A loss without posterior goes by its name; `plain` is left out of the others'.

    Example:
        >>> list(method_names(TuneConfiguration(loss=("plain", "ual"), posterior=("none", "laplace"))))
        ['base', 'plain', 'laplace', 'ual']
    """
    found = {"base": ("", "none")}
    for number, loss in enumerate(configuration.loss):
        for posterior in configuration.posterior:
            if posterior == "none":
                found[loss] = (loss, posterior)
            elif number == 0 or configuration.cross:
                found[posterior if loss == "plain" else f"{loss}-{posterior}"] = (loss, posterior)
        if number and not configuration.cross:
            found[loss] = (loss, "none")
    return found
