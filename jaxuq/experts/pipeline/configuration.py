"""What `jaxuq experts` does: dataclasses for the command line and for Python."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from jaxuq._arguments import check_fields
from jaxuq.experts.clustering import CLUSTERINGS
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.projection import PROJECTIONS
from jaxuq.language import FinetuneConfig
from jaxuq.networks import LoraConfig
from jaxuq.parallel.meshes import check_rows
from jaxuq.study import CrewOptions, Options, from_packages, options_of


@dataclasses.dataclass(frozen=True)
class TrainConfiguration(CrewOptions):
    """Train a base adapter, find clusters of instructions by their gradients, and train an expert for each."""

    model: str = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, or organisation/model on the hub."""

    data: str = "families"
    """A file of JSON lines or CSV with `instruction` and `response`, or `question` and `answer`, and perhaps `source`;
    families: the built-in ones; gsm8k:/path, math:/path, as published."""

    layout: str = ""
    """How questions are put to the model: short, boxed, line, instruction; otherwise as their set usually is."""

    output: Path = Path("runs/experts")
    """The folder of the run; the same command continues an interrupted one."""

    rank: int = 8
    """Of all adapters."""

    alpha: float | None = None
    """Adapters are scaled by alpha / rank; none: 4 times the rank."""

    dropout: float = 0.0
    """On the adapters' inputs while training."""

    epochs: int = 2
    """Passes over the data for the base adapter, each of which ends with a checkpoint that gives gradients."""

    expert_epochs: int = 2
    """Passes over a cluster for its expert."""

    learning_rate: float = 5e-5
    """Of the base adapter; falls linearly to zero."""

    expert_learning_rate: float = 2e-5
    """Of the experts, which start from the base adapter."""

    batch_size: int = 16
    """Rows of an optimiser step; short examples share a row."""

    max_length: int = 512
    """Tokens of a row; longer examples lose their end."""

    dimension: int = 8192
    """Numbers of a projected gradient."""

    projection: Annotated[str, from_packages("jaxuq.projections")] = "rademacher"
    """rademacher, gaussian, sparse or hadamard (or another in jaxuq.experts.PROJECTIONS)."""

    clustering: Annotated[str, from_packages("jaxuq.clusterings")] = "birch"
    """birch or kmeans (or another in jaxuq.experts.CLUSTERINGS)."""

    clusters: int = 5
    """What the first round of clustering aims at."""

    rounds: int = 3
    """Clusters over five times the smallest are divided again, at most so many times (the first included)."""

    chat: bool = False
    """Put instructions into the model's chat template; else a line break follows them."""

    per_family: int = 60
    """With families: instructions of each."""

    mesh: str = ""
    """Devices to divide gradients and training over, such as data=2,tensor=4; otherwise gradients over all that there
    are, and one for the rest."""

    micro_batch: int = 8
    """Instructions whose gradients are computed at a time."""

    seed: int = 0
    """Of everything that is drawn."""

    resume: bool = True
    """--no-resume refuses a folder that holds this run already."""


@dataclasses.dataclass(frozen=True)
class EvaluateConfiguration(CrewOptions):
    """Exact match of ELREA and its baselines over runs of `jaxuq experts train`, with intervals."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished training runs, which differ in their seeds."""

    data: str = "families"
    """A file of questions, as for training; families: the built-in ones' test part; facts; or bbh:/path, mmlu:/path,
    gsm8k:/path, math:/path, svamp:/path, mathqa:/path, as published (these want more --max-new-tokens)."""

    baselines: Annotated[str, from_packages("jaxuq.expert_methods")] = "all"
    """Names separated by commas, none, or all; see --list."""

    routing: Annotated[tuple[str, ...], from_packages("jaxuq.routings")] = ()
    """Further rules by which gradients weigh the experts, a row each: names of jaxuq.experts.ROUTINGS, with commas."""

    output: Path = Path("runs/experts-evaluation")
    """The folder of tables, figures and page."""

    top_k: tuple[int, ...] = ()
    """Evaluate ELREA with the k best experts only, too, for each of these k."""

    dimension: tuple[int, ...] = ()
    """Evaluate ELREA with so many numbers of a projected gradient, too (routing only; clusters stay)."""

    per_family: int = 25
    """With families: questions of each."""

    limit: int | None = None
    """At most so many questions, evenly over the data."""

    max_new_tokens: int = 12
    """The longest answer."""

    batch_size: int = 16
    """Questions answered at a time."""

    samples: int = 5
    """Answers that self-consistency votes over."""

    ensemble: int = 3
    """Adapters of the LoRA ensemble beside the base adapter."""

    answer: str = "text"
    """What is compared of questions that have a solution and no answer: text (whole, ignoring case and spaces), boxed
    (LaTeX \\boxed{}), number (the last), choice. The others know for themselves."""

    mesh: str = ""
    """Devices to divide questions, gradients and the training of baselines over, such as data=2,tensor=4; otherwise
    gradients over all that there are, and one for the rest."""

    list: bool = False
    """Print the names of the methods, and do nothing else."""

    resume: bool = True
    """--no-resume refuses a folder that holds this evaluation already."""


def check_training(configuration: TrainConfiguration) -> None:
    """Refuse what cannot work, in one sentence.

    Args:
        configuration: the options.

    Raises:
        ExpertsError: an option out of range.
    """
    check_fields(configuration, ExpertsError)
    counts = ("rank", "epochs", "expert_epochs", "batch_size", "dimension", "clusters", "rounds", "per_family",
              "micro_batch")  # fmt: skip
    for name in counts:
        if getattr(configuration, name) < 1:
            raise ExpertsError(f"--{name.replace('_', '-')} is {getattr(configuration, name)}; it starts at 1")
    for name in ("learning_rate", "expert_learning_rate"):
        if not 0 < getattr(configuration, name) < float("inf"):
            raise ExpertsError(f"--{name.replace('_', '-')} is {getattr(configuration, name)}; expected above 0")
    check_rows("--batch-size", configuration.batch_size, configuration.mesh)
    if configuration.max_length < 8:
        raise ExpertsError(f"--max-length is {configuration.max_length}; a row needs at least 8 tokens")
    known = {"clustering": [name for name, one in CLUSTERINGS.items() if "fit" in one.functions]}
    for name, names in (known | {"projection": list(PROJECTIONS)}).items():
        if getattr(configuration, name) not in names:
            raise ExpertsError(f"--{name} is {getattr(configuration, name)!r}; expected {', '.join(names)}")


def lora_of(configuration: TrainConfiguration, layers: tuple[str, ...]) -> LoraConfig:
    """The adapters of a run.

    Args:
        configuration: the options.
        layers: of the model that can have adapters, `DecoderConfig.linear_layers`.

    Returns:
        Adapters on all of them.
    """
    alpha = 4.0 * configuration.rank if configuration.alpha is None else configuration.alpha
    return LoraConfig(configuration.rank, alpha, configuration.dropout, targets=layers)


def tuning_of(configuration: TrainConfiguration, kind: str, adapters: LoraConfig | None) -> FinetuneConfig:
    """How adapters of a run are trained.

    Args:
        configuration: the options.
        kind: `base` (new ones), `expert` (from the base adapter), or `gates` (of MoLE: one pass, as slowly as experts).
        adapters: of the run's model.

    Returns:
        `FinetuneConfig`.
    """
    epochs = {"base": configuration.epochs, "expert": configuration.expert_epochs, "gates": 1}
    return FinetuneConfig(
        adapters=adapters,
        epochs=epochs[kind],
        batch_size=configuration.batch_size,
        max_length=configuration.max_length,
        learning_rate=configuration.learning_rate if kind == "base" else configuration.expert_learning_rate,
        packed=True,
    )


def run_options(configuration: TrainConfiguration | EvaluateConfiguration) -> Options:
    """Everything that decides the numbers, for `run.json`.

    Args:
        configuration: one of the dataclasses of this file.

    Returns:
        Options; those that name data, model and trainings are compared by content, and the methods of an evaluation may
        be others each time.
    """
    free = ("baselines", "routing", "top_k") if isinstance(configuration, EvaluateConfiguration) else ()
    return options_of(configuration, left_out=("list", "mesh"), names=("data", "model", "runs"), free=free)
