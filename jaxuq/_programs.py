"""Compiled programs of long runs."""

import pathlib

import jax

_MOST_MAPS = 25_000  # one cell of a run may add as many again


def forget_programs_if_many(most_maps: int = _MOST_MAPS) -> bool:
    """Let go of all compiled programs if this process has come near the memory maps that Linux allows it (65,530).

    Every compiled program takes dozens of maps, and a run of many models on many shapes compiles thousands; past the
    limit LLVM cannot allocate and the process dies. Programs that are needed again are compiled again, or read from
    JAX's cache on disk. To be called between the cells of a run.

    Args:
        most_maps: memory maps that are not too many.

    Returns:
        Whether it did.

    Example:
        >>> forget_programs_if_many(most_maps=10**9)
        False
    """
    try:
        with pathlib.Path("/proc/self/maps").open("rb") as lines:
            many = sum(1 for _ in lines) > most_maps
    except OSError:  # no Linux, no such limit
        return False
    if many:
        jax.clear_caches()
    return many
