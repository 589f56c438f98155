"""A program asks for large pages by starting again with the C library's setting, once."""

import os
import subprocess
import sys

import pytest

import jaxuq
from jaxuq import _pages

SCRIPT = """
import os, sys
from pathlib import Path
import jaxuq
from jaxuq import _pages
_pages._KERNEL = Path(sys.argv[1])
print("begin", flush=True)
print(jaxuq.use_huge_pages(), os.environ.get("GLIBC_TUNABLES"), sys.argv[2:], os.getpid())
"""


@pytest.fixture
def run(tmp_path):
    """Lines that the script prints, and its process id, under a kernel's setting and an environment."""

    def run(kernel: str, tunables: str | None = None, **how):
        (tmp_path / "enabled").write_text(kernel)
        (tmp_path / "script.py").write_text(SCRIPT)
        environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
        environment |= {} if tunables is None else {"GLIBC_TUNABLES": tunables}
        command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "enabled"), "two words", "--x"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = process.stdout.read().splitlines()
        assert process.returncode == 0
        assert lines[-1].endswith(str(process.pid))  # the same process, whatever happened
        return lines.count("begin"), lines[-1].rpartition(" ")[0]

    return run


glibc = pytest.mark.skipif(not hasattr(os, "confstr"), reason="needs a C library with tunables")


@glibc
def test_a_program_starts_again_once_with_its_arguments(run):
    assert run("always [madvise] never") == (2, "True glibc.malloc.hugetlb=1 ['two words', '--x']")
    other = "glibc.malloc.arena_max=2"
    assert run("always [madvise] never", other) == (2, f"True {other}:glibc.malloc.hugetlb=1 ['two words', '--x']")


@pytest.mark.parametrize("kernel", ["[always] madvise never", "always madvise [never]", ""])
def test_nothing_happens_where_it_would_change_nothing(run, kernel):
    assert run(kernel) == (1, "False None ['two words', '--x']")


def test_what_the_user_says_counts(run):
    assert run("[madvise]", "glibc.malloc.hugetlb=0") == (1, "False glibc.malloc.hugetlb=0 ['two words', '--x']")
    assert run("[madvise]", "glibc.malloc.hugetlb=1") == (1, "True glibc.malloc.hugetlb=1 ['two words', '--x']")


def test_an_interpreter_without_a_program_is_left_alone(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("it was started again"))
    monkeypatch.setattr(_pages, "_on_request", lambda: True)
    monkeypatch.setattr(sys, "argv", [""])
    assert jaxuq.use_huge_pages() is False
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py"])
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert jaxuq.use_huge_pages() is False
