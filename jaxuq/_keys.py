"""Random keys folded by name, so that adding a method or a member never changes another's numbers."""

import zlib

import jax
from jaxtyping import Array, Key


def named_key(rng_key: Key[Array, ""], *names: str | int) -> Key[Array, ""]:
    """Derive a key from a path of names.

    Strings are hashed by CRC-32 (stable across processes and Python versions, unlike `hash`); each part of the path is
    folded in turn with `jax.random.fold_in`. Two different paths give independent streams, and the stream of one path
    does not depend on which other paths are in use.

    Args:
        rng_key: the parent key.
        *names: the path, outermost part first, such as `"swag", "member", 3`. Integers may be traced arrays' concrete
            values only; fold traced integers with `jax.random.fold_in`.

    Returns:
        A key of the same implementation as `rng_key`.

    Example:
        >>> import jax
        >>> key = jax.random.key(0)
        >>> a = named_key(key, "swag", "member", 3)
        >>> bool(a == named_key(named_key(key, "swag"), "member", 3))
        True
        >>> bool(a == named_key(key, "sgld", "member", 3))
        False
    """
    for name in names:
        number = zlib.crc32(name.encode()) if isinstance(name, str) else name
        rng_key = jax.random.fold_in(rng_key, number)
    return rng_key
