"""`jaxuq launch`: a command in several processes that share one mesh, begun here or by a scheduler."""

import dataclasses
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from jaxuq._errors import OptionError
from jaxuq.cli.telling import say

COMMANDS = ("generate", "confidence", "tune", "experts", "extract")
"""What may run in several processes that share a mesh."""
_REASONS = {
    "serve": "its requests reach one process only; begin a server on each host",
    "plan": "it pretends its devices: run it alone",
    "muben": "its models are small: share its cells by --cluster",
    "tag": "its models are small: share its cells by --cluster",
    "molecules": "its models are small: one process takes all devices",
}
_GRACE = 3.0  # seconds that the others have to end by themselves, for the same reason as one that failed
_LAST_WORDS = 2000  # characters of a process that failed


@dataclasses.dataclass(frozen=True)
class LaunchCommand:
    """Run a command in several processes that share its mesh: jaxuq launch --processes 2 confidence --mesh data=8."""

    processes: int | None = None
    """To begin on this machine, for trials: each has its part of the mesh's devices. By default the processes that a
    scheduler has begun: srun jaxuq launch confidence --mesh data=16."""

    def check(self, command: Sequence[str]) -> None:
        """Refuse what cannot run in several processes.

        Args:
            command: with its options.

        Raises:
            OptionError: no such command, no mesh, fewer than one process.
        """
        name = " ".join(command[:1]) or "nothing"
        if name not in COMMANDS:
            reason = _REASONS.get(name, "there is nothing to divide over devices")
            raise OptionError(
                f"jaxuq launch runs {', '.join(COMMANDS)} in several processes, not {name}"
                + (f": {reason}" if command else "; such as jaxuq launch --processes 2 confidence --mesh data=8")
            )
        mesh = next((text for text in map(_mesh_in, command, [*command[1:], ""]) if text is not None), None)
        if mesh is None:
            raise OptionError("the processes share a mesh; add --mesh, such as --mesh data=8")
        if any(part == "--cluster" or part.startswith("--cluster=") for part in command):
            raise OptionError("the processes share a mesh, and workers of --cluster share cells; leave one of them out")
        if self.processes is not None and self.processes < 1:
            raise OptionError(f"--processes is {self.processes}; it starts at 1")
        from jaxuq.parallel.meshes import mesh_axes

        devices = math.prod(mesh_axes(mesh).values())
        if self.processes is not None and devices % self.processes:
            raise OptionError(f"{self.processes} processes cannot share the {devices} devices of --mesh {mesh} evenly")

    def start(self, command: Sequence[str], processes: int) -> int:
        """Begin processes and wait for them.

        Args:
            command: with its options.
            processes: how many.

        Returns:
            The exit code: of the first process, or of one that failed.
        """
        with tempfile.TemporaryDirectory() as folder:
            return _ran(list(command), processes, folder)


def _mesh_in(part: str, after: str) -> str | None:
    """What `--mesh` says, if this part of a command is it."""
    return after if part == "--mesh" else part.removeprefix("--mesh=") if part.startswith("--mesh=") else None


def _ran(command: list[str], count: int, folder: str) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    begun, said = [], []
    try:
        for rank in range(count):
            said.append(None if rank == 0 else open(os.path.join(folder, str(rank)), "w+"))  # noqa: SIM115
            environment = os.environ | {"JAXUQ_LAUNCHED": f"{rank}/{count}/{address}"}
            call = [sys.executable, "-m", "jaxuq", *command]
            quiet = None if rank == 0 else subprocess.DEVNULL
            begun.append(subprocess.Popen(call, env=environment, stdout=quiet, stderr=said[-1]))
        last = time.monotonic() + _GRACE
        while True:
            codes = [one.poll() for one in begun]
            failed = [rank for rank, code in enumerate(codes) if code]
            if all(code is not None for code in codes) or (failed and time.monotonic() > last):
                break
            if not failed:
                last = time.monotonic() + _GRACE
            time.sleep(0.1)
    finally:
        for one in begun:
            if one.poll() is None:
                one.terminate()
        for one in begun:
            try:
                one.wait(timeout=10)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
    if not failed:
        return 0
    if 0 in failed and codes[0] == 2:  # it has said what is wrong, and so would the others
        return 2
    rank, code = failed[0], codes[failed[0]]
    file = said[rank]
    if file is not None:
        file.seek(0)
        print(file.read()[-_LAST_WORDS:].strip(), file=sys.stderr)
    how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
    say(f"process {rank} of {count} {how}, and the others were ended; what is complete is kept, and the same command "
        "continues")  # fmt: skip
    return code if 0 < code < 128 else 1
