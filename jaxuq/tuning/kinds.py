"""What the two other kinds of runs of `jaxuq tune` take, labelling in rounds and teaching how sure to be."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jaxuq.tuning.errors import TuningError

if TYPE_CHECKING:
    from jaxuq.tuning.configuration import TuneConfiguration

ACQUISITIONS = ("random", "entropy", "margin", "bald", "batch-bald", "gap")
WAYS = ("sure", "refuse", "true", "known", "stated", "head")


def check_kind(configuration: "TuneConfiguration", names: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """What `--acquire` and `--teach` leave of other options; refuses what does not go together.

    Args:
        configuration: as typed.
        names: `loss` and `posterior`, taken apart.

    Returns:
        `acquire`, `teach`, `loss` and `posterior`, taken apart.

    Raises:
        TuningError: an unknown name, or options that do not go together.
    """
    acquire, teach = (
        tuple(dict.fromkeys(name for one in given for name in one.split(",") if name))
        for given in (configuration.acquire, configuration.teach)
    )
    for option, given, known in (("acquire", acquire, ACQUISITIONS), ("teach", teach, WAYS)):
        unknown = [one for one in given if one not in known]
        if unknown:
            raise TuningError(f"--{option} {' '.join(unknown)}: choose among {', '.join(known)}")
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
        _check_acquisitions(configuration, acquire, chosen["posterior"][0], chosen["loss"][0])
    return chosen | {"acquire": acquire, "teach": teach}


def _check_acquisitions(
    configuration: "TuneConfiguration", acquire: tuple[str, ...], posterior: str, loss: str
) -> None:
    if loss == "ual":
        raise TuningError(
            "--acquire does not go with --loss ual: what is not labelled has no uncertainty of its sample"
        )
    disagreeing = [one for one in acquire if one in ("bald", "batch-bald")]
    count = configuration.members if posterior == "ensemble" else configuration.samples
    if disagreeing and (posterior == "none" or count < 2):
        raise TuningError(f"--acquire {disagreeing[0]} needs a posterior of two samples or more, such as ensemble")
    if "batch-bald" in acquire and posterior == "dropout":
        raise TuningError(
            "--acquire batch-bald does not go with --posterior dropout: its masks differ from question to question, so "
            "that samples are not the same for all; use ensemble, laplace or tfb"
        )
