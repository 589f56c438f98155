"""Who else works in a folder: worker processes of a cluster, each with a share of the cells."""

import contextvars
import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from tyro.constructors import PrimitiveConstructorSpec

from jaxuq._errors import OptionError
from jaxuq.study.cluster import LOCAL

_ADDRESS = PrimitiveConstructorSpec(  # an option that may stand alone
    nargs="*",
    metavar="[ADDRESS]",
    instance_from_str=lambda given: _one_address(given),
    is_instance=lambda value: value is None or isinstance(value, str),
    str_from_instance=lambda value: ["None"] if value is None else [value],
)
CREW_OPTIONS = ("cluster", "workers")
"""Options of `CrewOptions`, which change no number."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrewOptions:
    """How the work of a command is shared out; the numbers do not depend on it."""

    cluster: Annotated[str | None, _ADDRESS] = None
    """Compute several parts of the work at once, each in a process of its own that is begun again if it dies. Alone: on
    this machine; with auto, host:6379 or ray://host:10001: on that Ray cluster, whose machines all need to see the
    output folder."""

    workers: int = 2
    """How many processes of the cluster work at a time."""

    def crew(self, again: Callable[..., Any], *arguments: Any) -> "Crew | None":
        """What `open_run` is told.

        Args:
            again: the command's own function, which every worker calls; importable by its name.
            arguments: for it; those that are these options come without their cluster.

        Returns:
            `Crew`, or None without a cluster.

        Raises:
            OptionError: `workers` is below 1.
        """
        if self.workers < 1:
            raise OptionError(f"--workers is {self.workers}; it starts at 1")
        if self.cluster is None:
            return None
        plain = [dataclasses.replace(one, cluster=None) if isinstance(one, CrewOptions) else one for one in arguments]
        return Crew(self.cluster, self.workers, again, tuple(plain))


class Crew(NamedTuple):
    """Workers that may share a run.

    Attributes:
        address: of the cluster; see `run_on_cluster`.
        workers: at a time.
        again: what each of them calls.
        arguments: for it.
    """

    address: str
    workers: int
    again: Callable[..., Any]
    arguments: tuple[Any, ...]


class Share(NamedTuple):
    """What one worker computes of a run that another process leads.

    Attributes:
        name: of the share.
        plans: names of the cells in it.
    """

    name: str
    plans: frozenset[str]


class ShareDone(Exception):
    """A worker has computed its share: the rest of the command is not its business."""


SHARE: contextvars.ContextVar[Share | None] = contextvars.ContextVar("share", default=None)
"""Set in a worker, for the time of its call."""


def work_on_share(again: Callable[..., Any], arguments: tuple[Any, ...], name: str, plans: list[str]) -> None:
    """What a worker does: the command, restricted to some cells, in a folder that its leader holds.

    Args:
        again: see `Crew`.
        arguments: see `Crew`.
        name: see `Share`.
        plans: see `Share`.
    """
    token = SHARE.set(Share(name, frozenset(plans)))
    try:
        again(*arguments)
    finally:
        SHARE.reset(token)


def _one_address(given: list[str]) -> str:
    if len(given) > 1:
        raise ValueError(f"one address or none, not {' '.join(given)}")
    return given[0].strip() or LOCAL if given else LOCAL
