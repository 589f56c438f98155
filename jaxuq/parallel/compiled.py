"""What a compiled program holds and sends, read from the program: to be asserted in tests, without running anything.

    lowered = jax.jit(step).lower(*shapes)  # jax.ShapeDtypeStructs with shardings: no weights are needed
    program = read_compiled(lowered.compile())
    assert program.temporaries < 2**30
    assert not program.find((batch, vocabulary))
    assert program.bytes_sent < 1.2 * expected

Eight or sixty-four devices may be pretended on one CPU (`jax_num_cpu_devices`). Two things to know about such programs:
`Compiled.cost_analysis` counts the body of a loop once (here it counts as often as it runs); and XLA multiplies
bfloat16 on a CPU as float32, whose copies an accelerator does not make: compile float16 in its place, which has as many
bytes.
"""

import collections
import functools
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxuq._arguments import typed
from jaxuq._errors import OptionError

_BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "bf16": 2, "c64": 8, "c128": 16, "token": 0, "opaque": 0}
_COLLECTIVES = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-permute")
_NO_ARRAY = frozenset(("tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "optimization-barrier"))

_ARRAY = re.compile(r"\b(pred|token|opaque|c64|c128|bf16|[suf]\d+(?:e\d\w*)?)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([^\s(]+) \(.*\{\s*$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?(\S+) = (\(.*?\)|\S+) ([a-z][\w-]*)\((.*)$")
_CALLED = re.compile(r"(body|condition|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)")
_CHOSEN = ("true_computation", "false_computation")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


class ProgramArray(NamedTuple):
    """An array that a program makes on each device.

    Attributes:
        kind: of its numbers, as XLA writes it: `f32`, `bf16`, `s32`, `pred`, ...
        shape: on one device.
        count: instructions that make one like it; a loop's body counts once.
        bytes: of one.
    """

    kind: str
    shape: tuple[int, ...]
    count: int
    bytes: int


class Collective(NamedTuple):
    """An exchange between devices.

    Attributes:
        kind: `all-gather`, `all-reduce`, `reduce-scatter`, `all-to-all`, `collective-permute`.
        shapes: of the results on one device, such as `("f16", (4096, 1024))`.
        devices: that take part in one exchange.
        times: that it runs, loops multiplied out.
        bytes: that a device sends in one run, in rings: (n - 1) / n of what is gathered or turned, twice that of what
            is added up, n - 1 times what is left of a scattered sum.
    """

    kind: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    devices: int
    times: int
    bytes: int


class CompiledProgram(NamedTuple):
    """What a compiled program holds and sends; every number is of one device.

    Attributes:
        arguments: bytes.
        outputs: bytes, those that reuse an argument included.
        aliased: bytes of outputs that reuse arguments.
        temporaries: bytes beside arguments and outputs, at the peak.
        arrays: what instructions make, the largest first; what is fused away is not among them.
        collectives: exchanges between devices.
        unknown_loops: loops that may end at any time, whose body is counted once.
    """

    arguments: int
    outputs: int
    aliased: int
    temporaries: int
    arrays: tuple[ProgramArray, ...]
    collectives: tuple[Collective, ...]
    unknown_loops: int

    @property
    def bytes(self) -> int:
        """All that the program holds at its peak: arguments, outputs, temporaries."""
        return self.arguments + self.outputs - self.aliased + self.temporaries

    @property
    def bytes_sent(self) -> int:
        """By a device in all exchanges, loops multiplied out."""
        return sum(one.bytes * one.times for one in self.collectives)

    def find(self, shape: Sequence[int | None], *, at_least: bool = False) -> tuple[ProgramArray, ...]:
        """Arrays of a shape, whatever their order of axes and axes of length one.

        Args:
            shape: lengths of axes; None stands for any.
            at_least: arrays whose axes are among others count too: `(batch, vocabulary)` finds
                `[batch, time, vocabulary]`.

        Returns:
            The arrays, the largest first.
        """
        return tuple(one for one in self.arrays if _fits(one.shape, shape, at_least))


def _fits(axes: Sequence[int], wanted: Sequence[int | None], at_least: bool) -> bool:
    left = collections.Counter(axis for axis in axes if axis != 1)
    fixed = collections.Counter(axis for axis in wanted if axis is not None and axis != 1)
    if fixed - left:
        return False
    rest, free = (left - fixed).total(), sum(axis is None for axis in wanted)
    return rest >= free if at_least else rest == free


@typed()
def read_compiled(compiled: Any) -> CompiledProgram:
    r"""Read what a compiled program holds and sends.

    Loops are multiplied out: a collective in a scan of 32 layers runs 32 times, one in a scan within it as often as
    both say. Of the branches of a condition the one that sends the most runs, and the arrays of all are counted; of a
    loop that ends when it likes (`unknown_loops`) one turn is. Not a measurement: what overlaps with computing, and
    what the network makes of it, only a run shows.

    Args:
        compiled: `jax.jit(f).lower(...).compile()`; of `jax.ShapeDtypeStruct`s, nothing is allocated.

    Returns:
        `CompiledProgram`.

    Raises:
        OptionError: it is no compiled program, or its text cannot be had.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def total(x):
        ...     return jax.lax.fori_loop(0, 10, lambda _, y: jnp.sin(y @ y), x)
        >>> program = read_compiled(jax.jit(total).lower(jax.ShapeDtypeStruct((64, 64), jnp.float32)).compile())
        >>> program.arguments, program.outputs, program.collectives
        (16384, 16384, ())
        >>> bool(program.find((64, 64))), program.find((10, 64, 64))
        (True, ())
    """
    try:
        memory, text = compiled.memory_analysis(), compiled.as_text()
    except AttributeError:
        raise OptionError(
            f"expected a compiled program, jax.jit(f).lower(...).compile(), got {type(compiled).__name__}"
        ) from None
    if memory is None or not text:
        raise OptionError("this program does not say what it holds; compile it for a CPU")
    parts = re.search(r"num_partitions=(\d+)", text)
    copies = re.search(r"replica_count=(\d+)", text)
    devices = (int(parts[1]) if parts else 1) * (int(copies[1]) if copies else 1)
    arrays, collectives, unknown = _read_text(text, devices)
    return CompiledProgram(
        int(memory.argument_size_in_bytes),
        int(memory.output_size_in_bytes),
        int(memory.alias_size_in_bytes),
        int(memory.temp_size_in_bytes),
        arrays,
        collectives,
        unknown,
    )


class _Instruction(NamedTuple):
    result: str
    kind: str
    rest: str


def _computations(text: str) -> tuple[dict[str, list[_Instruction]], str]:
    """The instructions of each computation, and the name of the first to run."""
    found: dict[str, list[_Instruction]] = {}
    entry, inside = "", None
    for line in text.splitlines():
        if inside is None:
            if start := _COMPUTATION.match(line):
                inside = found.setdefault(start[2], [])
                entry = start[2] if start[1] else entry
        elif line.startswith("}"):
            inside = None
        elif instruction := _INSTRUCTION.match(line):
            inside.append(_Instruction(instruction[2], instruction[3], instruction[4]))
    return found, entry


def _read_text(text: str, devices: int) -> tuple[tuple[ProgramArray, ...], tuple[Collective, ...], int]:
    computations, entry = _computations(text)
    runs: dict[str, int] = collections.defaultdict(int)
    unknown = 0

    def turns_of(one: _Instruction) -> int | None:
        trips = _TRIPS.search(one.rest)
        return 1 if one.kind != "while" else int(trips[1]) if trips else None

    @functools.cache
    def sent(name: str) -> int:
        """Bytes in one run of a computation."""
        total = 0
        for one in computations.get(name, ()):
            if one.kind == "fusion":
                continue
            if (kind := one.kind.removesuffix("-start")) in _COLLECTIVES:
                total += _collective(kind, one, 1, devices).bytes
            always, branches = _called(one)
            total += (turns_of(one) or 1) * sum(map(sent, always)) + max(map(sent, branches), default=0)
        return total

    def visit(name: str, times: int) -> None:
        nonlocal unknown
        runs[name] += times
        for one in computations.get(name, ()):
            if one.kind == "fusion":
                continue
            turns = turns_of(one)
            unknown += turns is None
            always, branches = _called(one)
            for other in always:
                visit(other, times * (turns or 1))
            most = max(branches, key=sent, default=None)
            for other in branches:
                visit(other, times if other == most else 0)

    visit(entry, 1)
    arrays: collections.Counter[tuple[str, tuple[int, ...]]] = collections.Counter()
    collectives = []
    for name, times in runs.items():
        for one in computations.get(name, ()):
            kind = one.kind.removesuffix("-start")
            if kind in _COLLECTIVES and times:
                collectives.append(_collective(kind, one, times, devices))
            if one.kind not in _NO_ARRAY and not one.kind.endswith("-done"):
                arrays.update(_arrays(one.result))
    made = [ProgramArray(kind, shape, count, _size(kind, shape)) for (kind, shape), count in arrays.items()]
    return tuple(sorted(made, key=lambda one: -one.bytes)), tuple(collectives), unknown


def _called(one: _Instruction) -> tuple[list[str], list[str]]:
    """Computations that an instruction runs, and those of which it runs one."""
    branches = [branch.strip().lstrip("%") for group in _BRANCHES.findall(one.rest) for branch in group.split(",")]
    called = [(role, other) for role, other in _CALLED.findall(one.rest)]
    return (
        [other for role, other in called if role not in _CHOSEN],
        [*branches, *(other for role, other in called if role in _CHOSEN)],
    )


def _arrays(text: str) -> list[tuple[str, tuple[int, ...]]]:
    return [(kind, tuple(int(axis) for axis in axes.split(",") if axis)) for kind, axes in _ARRAY.findall(text)]


def _size(kind: str, shape: tuple[int, ...]) -> int:
    bits = re.match(r"[suf](\d+)", kind)
    return math.ceil((_BYTES[kind] if kind in _BYTES else int(bits[1]) / 8 if bits else 4) * math.prod(shape))


def _collective(kind: str, one: _Instruction, times: int, devices: int) -> Collective:
    shapes = _arrays(one.result)
    if one.kind.endswith("-start") and kind in ("all-gather", "collective-permute") and len(shapes) > 1:
        shapes = shapes[len(shapes) // 2 :]  # operands come first
    taking = _group_size(one.rest, devices)
    size = sum(_size(*shape) for shape in shapes)
    share = (taking - 1) / taking
    factors = {"all-reduce": 2 * share, "reduce-scatter": taking - 1.0, "collective-permute": 1.0}
    return Collective(kind, tuple(shapes), taking, times, math.ceil(size * factors.get(kind, share)))


def _group_size(rest: str, devices: int) -> int:
    if listed := re.search(r"replica_groups=\{\{([\d,]*)\}", rest):
        return listed[1].count(",") + 1
    if tiled := re.search(r"replica_groups=\[(\d+),(\d+)\]<=", rest):
        return int(tiled[2])
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}", rest):
        sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", named[1])}
        taking = 1
        for name, part in re.findall(r"'(\w+)'(?::\(\d+\)(\d+))?", named[2]):
            taking *= int(part) if part else sizes.get(name, 1)
        return max(taking, 1)
    if pairs := re.search(r"source_target_pairs=\{(.*?)\}\}", rest):
        return max(2, pairs[1].count("{"))
    return devices
