"""What a job on a mesh will hold, send and take at least, from compiled programs; no weights, no accelerator."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_choice, check_count
from jaxuq.networks import DecoderConfig
from jaxuq.parallel import CompiledProgram, count_flops, mesh_of, read_compiled
from jaxuq.planning.devices import DEVICES, Device
from jaxuq.planning.jobs import Request, Stage, confidence, ensemble, experts, features, tune
from jaxuq.planning.shapes import model_shape
from jaxuq.planning.small_jobs import INPUTS, STATES, molecules, tagging

JOBS: dict[str, Callable[[Request], list[Stage]]] = {
    "confidence": confidence,
    "features": features,
    "experts": experts,
    "tune": tune,
    "ensemble": ensemble,
    "molecules": molecules,
    "tagging": tagging,
}
"""What can be planned, by name: functions from a `Request` to the programs of one batch."""
SMALL_MODELS: dict[str, tuple[str, ...]] = {"molecules": tuple(INPUTS), "tagging": tuple(STATES)}
"""Models of the jobs that run no language model; they are planned in single precision."""
_USABLE = 0.92  # of a device's memory: the rest is the runtime's
_KINDS = {"bfloat16": jnp.float16, "float16": jnp.float16, "float32": jnp.float32}


class StagePlan(NamedTuple):
    """What one program of a job holds, sends and takes; bytes are of one device.

    Attributes:
        name: what it does.
        times: that it runs for a batch.
        unit: what `times` counts.
        held: bytes of `weights`, `adapters`, `cache`, `captured`, `data`, `other` (inputs and results), `temporaries`.
        program: as compiled.
        flops: operations of one run, of all devices together.
        seconds: that one run takes at least.
        bound: what that follows from: `products`, `memory` or `network`.
    """

    name: str
    times: int
    unit: str
    held: dict[str, int]
    program: CompiledProgram
    flops: int
    seconds: float
    bound: str

    @property
    def bytes(self) -> int:
        """All that is held."""
        return sum(self.held.values())


class Plan(NamedTuple):
    """What a job will hold, send and take at least.

    Attributes:
        job: its name.
        mesh: lengths of axes by name.
        rows: of a batch.
        tokens: of a row.
        device: the accelerator.
        stages: its programs.
        largest_rows: of a batch that fits, extrapolated from two compilations; 0: not one row does.
        advice: what to change if it does not fit, or what would be wasted.
    """

    job: str
    mesh: dict[str, int]
    rows: int
    tokens: int
    device: Device
    stages: tuple[StagePlan, ...]
    largest_rows: int
    advice: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """The most that a device holds."""
        return max(stage.bytes for stage in self.stages)

    @property
    def fits(self) -> bool:
        """Whether that is within what the device has for programs, 92 % of its memory."""
        return self.bytes <= _USABLE * self.device.memory

    @property
    def seconds(self) -> float:
        """That a batch takes at least."""
        return sum(stage.seconds * stage.times for stage in self.stages)


@typed()
def plan_job(
    model: str | DecoderConfig,
    job: str,
    mesh: str,
    *,
    rows: int,
    tokens: int,
    new_tokens: int = 256,
    members: int = 8,
    rank: int = 16,
    dtype: str = "bfloat16",
    device: str | Device = "h200",
) -> Plan:
    r"""Compile what a job runs for pretended devices, and read what it holds, sends and computes.

    The floor of the time is a roofline: of products, memory and network the slowest, each at the data sheet's rate,

    $$t \ge \max\Big(\frac{F}{n f}, \frac{M}{b}, \frac{S}{s}\Big)$$

    with $F$ operations on $n$ devices, $M$ bytes of weights, cache and results that a device touches once, and $S$
    bytes that it sends. Real programs take two to three times as long. bfloat16 is planned as float16, which has as
    many bytes: a CPU widens whole arrays of bfloat16 to float32, 3.4 GiB of temporaries at 8B that an accelerator does
    not have. What remains of that is one kernel's copy.

    Args:
        model: a name of `MODEL_SHAPES`, a folder with `config.json`, a checkpoint; or a shape; of small jobs a name of
            `SMALL_MODELS`.
        job: of `JOBS`: `confidence`, `features`, `experts`, `tune`, `ensemble`; `molecules` (an epoch of an ensemble on
            `rows` molecules), `tagging` (an iteration of EM over `rows` sentences).
        mesh: such as `data=2,tensor=4`; JAX must see as many devices (`jaxuq.parallel.use_cpu_cores`, before it is
            used).
        rows: of a batch, over all devices.
        tokens: of a row, prompt and answer together.
        new_tokens: of an answer, where answers are made.
        members: experts of a question, or members of an ensemble, which `molecules` divides over the devices.
        rank: of adapters.
        dtype: of parameters: `bfloat16`, `float16` or `float32`.
        device: of `DEVICES`, or one of yours.

    Returns:
        `Plan`.

    Raises:
        OptionError: an unknown job, device or type, numbers out of range, fewer devices than the mesh has.
        CheckpointError: the model is not known.

    Example:
        >>> from jaxuq.networks import DecoderConfig
        >>> tiny = DecoderConfig(64, 32, 64, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=16)
        >>> plan = plan_job(tiny, "ensemble", "data=1", rows=2, tokens=32, members=2, dtype="float32")
        >>> plan.fits, plan.stages[0].name, plan.largest_rows > 1000
        (True, 'score the texts', True)
    """
    check_choice("job", job, tuple(JOBS))
    check_choice("dtype", dtype, tuple(_KINDS))
    for name, value in (("rows", rows), ("new_tokens", new_tokens), ("members", members), ("rank", rank)):
        check_count(name, value)
    if check_count("tokens", tokens, 2) <= new_tokens and job in ("confidence", "experts"):
        raise OptionError(f"a row of {tokens} tokens has no room for a prompt and {new_tokens} new tokens")
    if not isinstance(device, Device):
        check_choice("device", device, tuple(DEVICES))
        device = DEVICES[device]
    if job in SMALL_MODELS:
        check_choice("model", model, SMALL_MODELS[job])
    config = model if isinstance(model, DecoderConfig) or job in SMALL_MODELS else model_shape(model)
    where = mesh_of(mesh)
    request = Request(config, where, rows, tokens, new_tokens, members, rank, _KINDS[dtype])
    stages, places = _stages(request, job, device, None)
    worst = max(range(len(stages)), key=lambda number: stages[number].bytes)
    twice, _ = _stages(request._replace(rows=2 * rows), job, device, places, only=worst)
    most = _largest(rows, stages[worst].bytes, twice[0].bytes, device, where)
    sizes = dict(where.shape)
    return Plan(job, sizes, rows, tokens, device, stages, most, _advice(request, job, stages, worst, most, device))


def _stages(
    request: Request, job: str, device: Device, places: list[Any] | None, only: int | None = None
) -> tuple[tuple[StagePlan, ...], list[Any]]:
    """The programs, and how their results are split; with `places` from before, of one program alone."""
    found, results, split = [], [], []
    for number, stage in enumerate(JOBS[job](request)):
        arguments = tuple(results[-1] if callable(part) else part for part in stage.arguments)
        shapes = jax.eval_shape(stage.function, *arguments)
        wanted = only is None or only == number
        compiled = stage.function.lower(*arguments).compile() if wanted else None
        if compiled is not None:
            shardings = jax.tree.leaves(compiled.output_shardings)
        else:
            assert places is not None
            shardings = places[number]
        split.append(shardings)
        leaves, tree = jax.tree.flatten(shapes)
        placed = [
            jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where) for leaf, where in zip(leaves, shardings)
        ]
        results.append(jax.tree.unflatten(tree, placed))
        if compiled is not None:
            found.append(_read(request, stage, arguments, results[-1], read_compiled(compiled), device))
    return tuple(found), split


def _read(
    request: Request, stage: Stage, arguments: Any, result: Any, program: CompiledProgram, device: Device
) -> StagePlan:
    held = {name: _bytes(pick(arguments, result)) for name, pick in stage.classes.items()}
    rest = program.bytes - program.temporaries - sum(held.values())
    flops = count_flops(stage.function, *arguments)
    often = stage.times > 1  # then what is captured is only added to
    touched = sum(size for name, size in held.items() if not (often and name == "captured"))
    bounds = {
        "products": flops / math.prod(request.mesh.shape.values()) / device.flops,
        "memory": touched / device.bandwidth,
        "network": program.bytes_sent / device.network,
    }
    bound = max(bounds, key=lambda name: bounds[name])
    held |= {"other": max(rest, 0), "temporaries": program.temporaries}
    return StagePlan(stage.name, stage.times, stage.unit, held, program, flops, bounds[bound], bound)


def _bytes(tree: PyTree) -> int:
    """Of arrays on one device."""
    total = 0
    for leaf in jax.tree.leaves(tree):
        if not hasattr(leaf, "sharding"):  # a number of the host's
            continue
        shape = leaf.shape if leaf.sharding is None else leaf.sharding.shard_shape(leaf.shape)
        total += math.prod(shape) * leaf.dtype.itemsize
    return total


def _parts(mesh: Any) -> int:
    return math.prod(mesh.shape[name] for name in ("data", "fsdp") if name in mesh.shape)


def _largest(rows: int, once: int, twice: int, device: Device, mesh: Any) -> int:
    """Rows that fit, by the line through two batches; a multiple of the devices that rows are divided over."""
    slope = max(twice - once, 1) / rows
    most = int((_USABLE * device.memory - (once - slope * rows)) // slope)
    return max(most // _parts(mesh) * _parts(mesh), 0)


def _axes_in_use(request: Request, job: str) -> set[str]:
    """Axes of the mesh over which an argument of the job lies divided."""
    used: set[str] = set()
    for stage in JOBS[job](request):
        for leaf in jax.tree.leaves([part for part in stage.arguments if not callable(part)]):
            if isinstance(sharding := getattr(leaf, "sharding", None), NamedSharding):
                used.update(*(axes if isinstance(axes, tuple) else (axes,) for axes in sharding.spec if axes))
    return used


def _advice(
    request: Request, job: str, stages: tuple[StagePlan, ...], worst: int, most: int, device: Device
) -> tuple[str, ...]:
    said, held = [], stages[worst].held
    usable, parts = _USABLE * device.memory, _parts(request.mesh)
    if request.rows % parts:
        said.append(
            f"{request.rows} rows cannot be divided over {parts} devices: take a multiple of {parts}, or each device "
            "computes what another does"
        )
    used = _axes_in_use(request, job)
    said += [
        f"nothing of this job is divided over {axis}={size}: these devices compute what the others do"
        for axis, size in request.mesh.shape.items()
        if size > 1 and axis not in used
    ]
    if stages[worst].bytes <= usable:
        return tuple(said)
    if held["weights"] > usable / 2:
        count = math.ceil(held["weights"] / (usable / 2))
        said.append(f"weights alone take half of a device: lengthen the mesh's tensor or fsdp axis {count} times")
    if most:
        said.append(f"{most} rows at a time fit")
    elif held["weights"] <= usable / 2:
        said.append("not one row a device fits: shorten the texts, or lengthen the tensor axis")
    if held.get("captured", 0) > usable / 4:
        said.append(
            "queries and hidden states that the measures read take much: shorter texts, or more devices on data"
        )
    if job == "tune" and held["temporaries"] > usable / 2:
        said.append("of activations: a smaller micro-batch (FinetuneConfig.micro_batch_size) gives the same step")
    return tuple(said)
