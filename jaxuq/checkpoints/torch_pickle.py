"""The content of a PyTorch file without unpickling it: the instructions are read as data, and nothing is ever called.

PyTorch's own `weights_only=True` calls a list of permitted constructors. Here there are none: a class that a file names
(such as `argparse.Namespace` in GROVER's checkpoint) becomes an inert `Record` of its name and its attributes.
"""

import pickletools
from typing import Any, NamedTuple

from jaxuq.checkpoints.errors import CheckpointError


class Name(NamedTuple):
    """A class or function that a file refers to; only its name."""

    module: str
    name: str


class Storage(NamedTuple):
    """Where numbers of one type lie in a file."""

    kind: str
    key: str


class TensorRecord(NamedTuple):
    """A tensor: a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Record:
    """An object of another class, as its name, its constructor's arguments and its state."""

    def __init__(self, name: Name, arguments: Any):
        self.name, self.arguments, self.state = name, arguments, {}


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TEXTS = ("GLOBAL", "INST")
_LITERALS = (
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "FLOAT", "BINFLOAT",
)  # fmt: skip
_IGNORED = ("PROTO", "FRAME")
_DEPTH = 64  # of things in things; checkpoints have less than ten
_THINGS = 2**20  # counting shared ones as often as they occur; a tensor is one
_LARGEST_TEXT = 2**24  # bytes of one text in a pickle: names, not weights
_INSTRUCTIONS = 2**20  # of a pickle; a checkpoint has some thirty a tensor, and they take 5 to 20 microseconds each
_AXES = 32  # of a tensor


def read_pickle(file: Any) -> Any:
    """The next pickled object of a file, with `TensorRecord` for tensors and `Record` for objects of other classes.

    Args:
        file: open for reading bytes; read up to the end of the object.

    Returns:
        Numbers, texts, lists, tuples, dictionaries, `Name`, `Storage`, `TensorRecord`, `Record`.

    Raises:
        CheckpointError: the file ends early or is no pickle, or an instruction that weights do not need.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    marks: list[int] = []  # where groups of values begin on the stack
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number >= _INSTRUCTIONS:
                raise CheckpointError(f"it has more than {_INSTRUCTIONS} instructions, which no weights need")
            if opcode.name == "STOP":
                content = stack.pop()
                _check_size(content)
                return content
            _step(opcode.name, argument, stack, memo, marks)
    except CheckpointError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(f"it is damaged or cut short ({str(error)[:200]})") from error
    raise CheckpointError("it is cut short")


def parts_of(value: Any) -> list[Any]:
    """What lies directly in a container or record; nothing for all else."""
    if isinstance(value, Record):
        return [value.arguments, value.state]
    if isinstance(value, dict):
        return [*value, *value.values()]
    return list(value) if type(value) in (list, tuple, set) else []


def _check_size(content: Any) -> None:
    """Refuse what is nested too deeply, in itself, or many times over; a thing is looked into once, however shared."""
    depths: dict[int, int] = {}  # 0 while a thing is being looked into
    sizes: dict[int, int] = {}  # of what it would be if nothing were shared
    stack = [(content, False)]
    while stack:
        value, done = stack.pop()
        parts = parts_of(value)
        key = id(value)
        if not parts:
            continue
        if done:
            depths[key] = 1 + max(depths.get(id(part), 0) for part in parts)
            sizes[key] = 1 + sum(sizes.get(id(part), 1) for part in parts)
            if depths[key] > _DEPTH or sizes[key] > _THINGS:
                raise CheckpointError(f"it nests things more than {_DEPTH} deep, or more than {_THINGS} of them")
        elif key not in depths:
            depths[key] = 0
            stack.append((value, True))
            for part in parts:
                if depths.get(id(part)) == 0:
                    raise CheckpointError("it holds a thing that lies in itself")
                stack.append((part, False))


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any], marks: list[int]) -> None:
    """One instruction."""
    if name in _LITERALS:
        if isinstance(argument, str | bytes) and len(argument) > _LARGEST_TEXT:
            raise CheckpointError(f"it holds a text of {len(argument)} bytes, which no name is")
        if isinstance(argument, int) and argument.bit_length() > 128:  # a random seed's, at most
            raise CheckpointError(f"it holds a number of {argument.bit_length()} bits, which counts nothing")
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name == "MARK":
        marks.append(len(stack))
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(argument)])
    elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[int(argument)] = stack[-1]
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name in ("TUPLE", "LIST", "FROZENSET"):
        items = _group(stack, marks)
        stack.append(tuple(items) if name == "TUPLE" else items)
    elif name == "DICT":
        items = _group(stack, marks)
        stack.append({})
        _update(stack[-1], items)
    elif name in ("APPEND", "APPENDS", "ADDITEMS"):
        items = [stack.pop()] if name == "APPEND" else _group(stack, marks)
        _extend(stack[-1], items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _group(stack, marks) if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
        _update(stack[-1], items)
    elif name == "GLOBAL":
        module, attribute = argument.split(" ", 1)
        stack.append(Name(module, attribute))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(Name(module, attribute))
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, function = stack.pop(), stack.pop()
        stack.append(_inert(function, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], Record):
            stack[-1].state = state
    elif name == "BINPERSID":
        stack.append(_storage(stack.pop()))
    elif name == "POP":
        stack.pop()
    elif name not in _IGNORED:
        raise CheckpointError(f"it holds the pickle instruction {name}, which weights do not need")


def _group(stack: list[Any], marks: list[int]) -> list[Any]:
    """Everything since the last mark."""
    start = marks.pop()
    items = stack[start:]
    del stack[start:]
    return items


def _extend(target: Any, items: list[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, set):
        target.update(item for item in items if isinstance(item, str | int | float))


def _update(target: Any, items: list[Any]) -> None:
    if isinstance(target, Record):
        target = target.state
    for key, value in zip(items[::2], items[1::2]):
        if not isinstance(key, str | bytes | int | float | None):  # hashing others may take for ever
            raise CheckpointError(f"it names a thing by a {type(key).__name__}")
        target[key] = value


def _inert(function: Any, arguments: Any) -> Any:
    """What a call would have made, for tensors and ordered dictionaries; a record of it for everything else."""
    if not isinstance(function, Name):
        raise CheckpointError(f"it calls {type(function).__name__}, which is no name of a function")
    if function == Name("collections", "OrderedDict"):
        return {}
    if function.module in ("torch._utils", "torch._tensor"):
        if function.name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            storage, offset, shape, strides = arguments[:4]
            if not isinstance(storage, Storage):
                raise CheckpointError("a tensor has no storage")
            return _tensor(storage, offset, shape, strides)
        if function.name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return arguments[0]
    return Record(function, arguments)


def _tensor(storage: Storage, offset: Any, shape: Any, strides: Any) -> TensorRecord:
    for numbers in ((offset,), shape, strides):
        if not isinstance(numbers, tuple | list) or len(numbers) > _AXES:
            raise CheckpointError(f"a tensor has no list of at most {_AXES} sizes")
        if not all(isinstance(one, int) and 0 <= one < 2**63 for one in numbers):
            raise CheckpointError("a tensor has a size that is no count")
    if len(shape) != len(strides):
        raise CheckpointError(f"a tensor has {len(shape)} sizes and {len(strides)} strides")
    return TensorRecord(storage, offset, tuple(map(int, shape)), tuple(map(int, strides)))


def _storage(identity: Any) -> Storage:
    if not (isinstance(identity, tuple) and len(identity) >= 5 and identity[0] == "storage"):
        raise CheckpointError("it refers to something outside that is no storage of numbers")
    kind = identity[1].name if isinstance(identity[1], Name) else identity[1]
    if not (isinstance(kind, str) and isinstance(identity[2], str | int)):
        raise CheckpointError("it has a storage of no type or name")
    return Storage(kind, str(identity[2]))
