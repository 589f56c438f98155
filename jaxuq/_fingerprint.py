"""What a function of the user's computes, as one short text, so that results can be told from those of another."""

import functools
import hashlib
import types
from typing import Any


def fingerprint(function: Any) -> str:
    """SHA-256 of a function's compiled code, its constants, defaults and what it closes over.

    Equal code has an equal fingerprint in whatever file it stands; another version of Python compiles to another. What
    the code looks up by name when it runs (globals, functions that it calls) is known by that name alone, and an object
    by its class: where such a thing changes the numbers, give an `Entry` and raise its `formula`.

    Args:
        function: a function, a method, a `functools.partial`, a jitted function or any object that can be called.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 1)
        True
        >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
        False
    """
    found = hashlib.sha256()
    _feed(found, function, ())
    return found.hexdigest()


def _feed(found: Any, value: Any, above: tuple[int, ...]) -> None:
    """`above` holds what is being fed already: a function may close over itself."""
    if id(value) in above:
        return _put(found, "itself", b"")
    above = (*above, id(value))
    if isinstance(value, functools.partial):
        return _each(found, "partial", (value.func, value.args, value.keywords), above)
    if isinstance(value, types.MethodType):
        return _each(found, "method", (value.__func__, value.__self__), above)
    if isinstance(value, types.FunctionType):
        cells = tuple(cell.cell_contents for cell in value.__closure__ or () if _filled(cell))
        return _each(found, "function", (value.__code__, value.__defaults__, value.__kwdefaults__, cells), above)
    if isinstance(value, types.CodeType):
        return _each(found, "code", (value.co_code, value.co_consts, value.co_names, value.co_varnames), above)
    if isinstance(value, tuple | list):
        return _each(found, "sequence", value, above)
    if isinstance(value, dict):
        return _each(found, "mapping", sorted(value.items(), key=lambda item: repr(item[0])), above)
    if isinstance(value, frozenset | set):
        return _each(found, "set", sorted(value, key=repr), above)
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        return _put(found, f"array {value.dtype} {getattr(value, 'shape', ())}", value.tobytes())
    if hasattr(value, "__wrapped__"):  # what `jax.jit` and decorators put around a function
        return _each(found, "wrapped", (value.__wrapped__,), above)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return _put(found, type(value).__name__, repr(value).encode("utf-8", "surrogatepass"))
    kind = value if isinstance(value, type) else type(value)
    name = getattr(value, "__qualname__", kind.__qualname__)
    return _put(found, "named", f"{getattr(value, '__module__', kind.__module__)}.{name}".encode())


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _each(found: Any, kind: str, parts: Any, above: tuple[int, ...]) -> None:
    _put(found, f"{kind} {len(parts)}", b"")
    for part in parts:
        _feed(found, part, above)


def _put(found: Any, kind: str, content: bytes) -> None:
    found.update(f"{kind} {len(content)}\n".encode())
    found.update(content)
