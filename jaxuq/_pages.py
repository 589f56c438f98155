"""Large memory pages for the arrays of this process, where Linux grants them on request only."""

import os
import sys
from pathlib import Path

_SETTING = "glibc.malloc.hugetlb"
_KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> bool:
    """Have the C library ask for 2 MiB pages; call it first thing in a program, before JAX is imported.

    XLA on a CPU takes fresh memory for every call of a compiled function, and where pages have 4 KiB unless a program
    asks, as many distributions set Linux, two gigabytes are half a million page faults. On two cores set like that a
    training step of GIN took 0.7 of the time with large pages, gradients of a language model 0.8, and decoding eight
    rows 0.8 to 0.9. Where Linux gives large pages anyway, or never, nothing changes.

    The C library reads its setting as a process starts, so this one is started again, with the same arguments and
    `GLIBC_TUNABLES=glibc.malloc.hugetlb=1`, which processes that it starts inherit; lines before the call run twice.
    The command `jaxuq` does this by itself. To forbid it set `GLIBC_TUNABLES=glibc.malloc.hugetlb=0`. In an interpreter
    without a program, such as a notebook's, it does nothing: set the variable before that starts.

        import jaxuq

        jaxuq.use_huge_pages()
        import jax

    Returns:
        Whether the setting is in force; a process that is started again does not return.
    """
    given = os.environ.get("GLIBC_TUNABLES", "")
    if _SETTING in given:
        return f"{_SETTING}=1" in given
    interactive = sys.argv[:1] in ([], [""], ["-"]) or hasattr(sys, "ps1") or "ipykernel" in sys.modules
    if sys.executable and not interactive and _on_request():
        os.environ["GLIBC_TUNABLES"] = f"{given}:{_SETTING}=1".lstrip(":")
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    return False


def _on_request() -> bool:
    """Whether Linux gives large pages to programs that ask, and the C library knows how to."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        known = name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= (2, 35)
        return known and "[madvise]" in _KERNEL.read_text()
    except (AttributeError, OSError, ValueError):
        return False
