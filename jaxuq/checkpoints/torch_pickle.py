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


class _Mark:
    """Where a group of values begins on the stack."""


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TEXTS = ("GLOBAL", "INST")
_LITERALS = (
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES",
    "SHORT_BINBYTES", "BINBYTES8", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "FLOAT", "BINFLOAT",
)  # fmt: skip
_IGNORED = ("PROTO", "FRAME")


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
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return stack.pop()
            _step(opcode.name, argument, stack, memo)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"it is damaged or cut short ({error})") from error
    raise CheckpointError("it is cut short")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One instruction."""
    if name in _LITERALS:
        stack.append(argument)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name == "MARK":
        stack.append(_Mark)
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
        items = _group(stack)
        stack.append(tuple(items) if name == "TUPLE" else items)
    elif name == "DICT":
        items = _group(stack)
        stack.append(dict(zip(items[::2], items[1::2])))
    elif name in ("APPEND", "APPENDS", "ADDITEMS"):
        items = [stack.pop()] if name == "APPEND" else _group(stack)
        _extend(stack[-1], items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _group(stack) if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
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


def _group(stack: list[Any]) -> list[Any]:
    """Everything since the last mark."""
    start = len(stack) - 1 - stack[::-1].index(_Mark)
    items = stack[start + 1 :]
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
            return TensorRecord(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))
        if function.name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return arguments[0]
    return Record(function, arguments)


def _storage(identity: Any) -> Storage:
    if not (isinstance(identity, tuple) and len(identity) >= 5 and identity[0] == "storage"):
        raise CheckpointError("it refers to something outside that is no storage of numbers")
    kind = identity[1].name if isinstance(identity[1], Name) else str(identity[1])
    return Storage(kind, str(identity[2]))
