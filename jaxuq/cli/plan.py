"""`jaxuq plan`: what a job on many devices will hold, send and take at least; without weights or an accelerator."""

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from jaxuq._errors import OptionError
from jaxuq.cli.telling import progress_console

if TYPE_CHECKING:
    from jaxuq.planning import Plan

_QUICKLY = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"  # the programs are never run
_MOST_DEVICES = 512  # each takes memory and threads here


@dataclasses.dataclass(frozen=True)
class PlanCommand:
    """What a job will hold, send and take at least: jaxuq plan --model llama3-8b --mesh data=2,tensor=4."""

    model: str = ""
    """A shape by name (llama3-1b, -8b, -70b, qwen2.5-7b, -32b, mixtral-8x7b), a folder with config.json, or a name of
    jaxuq models list; no weights are read. By default llama3-8b. Of molecules dnn or morgan, of tagging hmm-9 or hmm-37
    (states)."""

    mesh: str = "data=8"
    """Devices, by axes: data, fsdp, tensor, expert."""

    do: Literal["confidence", "features", "experts", "tune", "ensemble", "molecules", "tagging"] = "confidence"
    """Answers with all that measures read; gradient features; answers by experts; tuning; texts scored by members; an
    epoch of an ensemble on so many molecules; an iteration of EM over so many sentences."""

    tokens: int = 2048
    """Of a row, prompt and answer together."""

    rows: int = 64
    """Of a batch, over all devices."""

    new_tokens: int = 256
    """Of an answer."""

    members: int = 8
    """Experts of a question, or members of an ensemble."""

    rank: int = 16
    """Of adapters."""

    dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Type of the parameters."""

    device: Literal["h200", "h100", "a100", "v5p", "v6e"] = "h200"
    """The accelerator, by whose data sheet times and limits are reckoned."""

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Compile for pretended devices, and print what the programs say."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before JAX is imported
        from jaxuq.parallel import mesh_axes

        count = 1
        for size in mesh_axes(self.mesh).values():
            count *= size
        if count > _MOST_DEVICES:
            raise OptionError(
                f"--mesh {self.mesh} has {count} devices, and a CPU can pretend {_MOST_DEVICES}; plan fewer: with "
                "twice the devices on data or fsdp each holds the same for twice the rows"
            )
        _pretend(count)
        from jaxuq.planning import SMALL_MODELS, plan_job

        small = self.do in SMALL_MODELS
        model = self.model or (SMALL_MODELS[self.do][0] if small else "llama3-8b")
        dtype = "float32" if small else self.dtype

        with progress_console().status(f"compiling for {count} pretended devices"):
            plan = plan_job(
                model, self.do, self.mesh, rows=self.rows, tokens=self.tokens, new_tokens=self.new_tokens,
                members=self.members, rank=self.rank, dtype=dtype, device=self.device,
            )  # fmt: skip
        if self.json:
            print(json.dumps(record(plan) | {"model": model, "dtype": dtype}))
        else:
            _show(model, plan)


def _pretend(count: int) -> None:
    """Let JAX see so many devices on this CPU, unless it has been used already."""
    os.environ.setdefault("XLA_FLAGS", _QUICKLY)
    import jax

    from jaxuq.parallel import use_cpu_cores

    if use_cpu_cores(count):
        jax.config.update("jax_platforms", "cpu")


def record(plan: "Plan") -> dict[str, Any]:
    """A plan as JSON has it.

    Args:
        plan: from `jaxuq.planning.plan_job`.

    Returns:
        Numbers by name; bytes are of one device.
    """
    stages = []
    for stage in plan.stages:
        sent: dict[str, int] = {}
        for one in stage.program.collectives:
            sent[one.kind] = sent.get(one.kind, 0) + one.bytes * one.times
        stages.append(
            {
                "name": stage.name,
                "times": stage.times,
                "unit": stage.unit,
                "bytes": stage.held,
                "sent": sent,
                "flops": stage.flops,
                "seconds_at_least": stage.seconds,
                "bound": stage.bound,
            }
        )
    return {
        "job": plan.job,
        "mesh": plan.mesh,
        "device": plan.device.title,
        "rows": plan.rows,
        "tokens": plan.tokens,
        "stages": stages,
        "bytes": plan.bytes,
        "device_bytes": plan.device.memory,
        "fits": plan.fits,
        "largest_rows": plan.largest_rows,
        "seconds_at_least": plan.seconds,
        "advice": list(plan.advice),
    }


def _show(model: str, plan: "Plan") -> None:
    from rich.console import Console
    from rich.table import Table

    mesh = ", ".join(f"{name} {size}" for name, size in plan.mesh.items())
    rows = f"{plan.rows} molecules" if plan.job == "molecules" else f"{plan.rows} rows of {plan.tokens} tokens"
    title = f"{model}: {plan.job}, {rows} on {plan.device.title}, {mesh}"
    table = Table(title=title, title_justify="left")
    table.add_column("on each device")
    for stage in plan.stages:
        name = stage.name if stage.times == 1 else f"{stage.name}, {stage.times} times"
        table.add_column(name, justify="right")
    unit, size_of = ("GiB", 2**30) if plan.bytes >= 2**30 else ("MiB", 2**20)
    kinds = dict.fromkeys(kind for stage in plan.stages for kind, size in stage.held.items() if size)
    for kind in kinds:
        table.add_row(f"{kind}, {unit}", *(f"{stage.held.get(kind, 0) / size_of:.2f}" for stage in plan.stages))
    table.add_row(f"in all, {unit}", *(f"{stage.bytes / size_of:.2f}" for stage in plan.stages), style="bold")
    table.add_row(f"sent, {unit}", *(f"{stage.program.bytes_sent / size_of:.3g}" for stage in plan.stages))
    table.add_row("in exchanges", *(_exchanges(stage) for stage in plan.stages))
    table.add_row("products of all, TFLOP", *(f"{stage.flops / 1e12:.3g}" for stage in plan.stages))
    table.add_row("at least, ms", *(f"{1000 * stage.seconds:.3g} ({stage.bound})" for stage in plan.stages))
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    memory = plan.device.memory / 2**30
    fits = "fits" if plan.fits else "does not fit"
    console.print(f"{plan.bytes / size_of:.1f} {unit} of {memory:.1f} GiB: {fits} (8 % is left to the runtime).")
    console.print(
        f"Largest batch: {plan.largest_rows} rows (the line through {plan.rows} and {2 * plan.rows}, both compiled)."
    )
    console.print(
        f"A batch takes {plan.seconds:.3g} s at least, 1,000 rows {1000 * plan.seconds / plan.rows:.3g} s; "
        "programs take two to three times that."
    )
    for advice in plan.advice:
        console.print(f"- {advice}")
    if plan.job in ("molecules", "tagging"):
        console.print("Nothing has been measured.")
        return
    console.print("bfloat16 is compiled as float16, which a CPU does not widen; nothing has been measured.")


def _exchanges(stage: Any) -> str:
    counts: dict[str, int] = {}
    for one in stage.program.collectives:
        counts[one.kind] = counts.get(one.kind, 0) + one.times
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "none"
