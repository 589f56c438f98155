"""What the two other kinds of runs of `jaxuq tune` take, labelling in rounds and teaching how sure to be."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxuq.tuning.choices import Choices
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.posteriors.drawing import num_samples

if TYPE_CHECKING:
    from jaxuq.tuning.configuration import TuneConfiguration


def check_kind(
    configuration: "TuneConfiguration", names: Mapping[str, tuple[str, ...]], choices: Choices
) -> dict[str, tuple[str, ...]]:
    """What `--acquire` and `--teach` leave of other options; refuses what does not go together.

    Args:
        configuration: as typed.
        names: its options that name several things, taken apart.
        choices: what there is to choose from.

    Returns:
        `loss` and `posterior`, of one name each.

    Raises:
        TuningError: options that do not go together.
    """
    acquire, teach = names["acquire"], names["teach"]
    kind = "--acquire" if acquire else "--teach"
    if acquire and teach:
        raise TuningError("--acquire and --teach are two runs: give one of them")
    for option, used in (
        ("merge", configuration.merge),
        ("keep-ratio", configuration.keep_ratio),
        ("cross", configuration.cross),
    ):
        if used:
            raise TuningError(f"{kind} does not go with --{option}")
    rest = {"posterior": "ensemble" if acquire else "none", "loss": "plain"}
    fields = type(configuration).__dataclass_fields__
    chosen = {
        option: (usual,) if names[option] == fields[option].default else names[option] for option, usual in rest.items()
    }
    for option, usual in rest.items():
        if len(chosen[option]) != 1 or (teach and chosen[option] != (usual,)):
            raise TuningError(
                f"{kind} takes one --{option}{'' if acquire else f', {usual}'}; got {', '.join(names[option])}"
            )
    if acquire:
        _check_acquisitions(configuration, acquire, chosen["posterior"][0], chosen["loss"][0], choices)
    return chosen


def _check_acquisitions(
    configuration: "TuneConfiguration", acquire: tuple[str, ...], posterior: str, loss: str, choices: Choices
) -> None:
    if "uncertainty" in choices.loss[loss].needs:
        raise TuningError(
            f"--acquire does not go with --loss {loss}: what is not labelled has no uncertainty of its sample"
        )
    laid = choices.posterior[posterior]
    for name in acquire:
        needs = choices.acquire[name].needs
        if "samples" in needs and num_samples(laid, configuration.samples, configuration.members) < 2:
            raise TuningError(f"--acquire {name} needs a posterior of two samples or more, such as ensemble")
        if "shared samples" in needs and not laid.about.get("shared", True):
            raise TuningError(
                f"--acquire {name} does not go with --posterior {posterior}: its masks differ from question to "
                "question, so that samples are not the same for all; use ensemble, laplace or tfb"
            )
