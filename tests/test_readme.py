"""The README's Python runs, its links lead somewhere, and the commands and options that pages show are there."""

import dataclasses
import importlib
import pathlib
import re
import typing

import jax
import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *(ROOT / "docs" / "pages").rglob("*.md")]


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", README, flags=re.S))
def test_python_blocks_run(block, capsys):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        exec(compile(block, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *ROOT.glob("experiments/**/README.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_method_of_the_benchmark_is_in_the_table():
    from jaxuq.molecules.muben import METHODS

    table = (ROOT / "docs" / "pages" / "choose.md").read_text()
    missing = [name for name in METHODS if f"`{name}`" not in table]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_and_option_that_a_page_shows_exists(page, options):
    from jaxuq.cli.main import _COMMANDS

    said = page.read_text()
    for script, typed in re.findall(r"python (experiments/[\w/]+\.py)([^`\n]*)", said):
        taken = (ROOT / script).read_text()
        assert all(f'"{option}"' in taken for option in re.findall(r"--[a-z-]+", typed)), f"{script}{typed}"
        said = said.replace(typed, " ") if typed.strip() else said
    assert set(re.findall(r"(?<![\w-])(--[a-z][a-z0-9-]+)", said)) <= options
    typed = "\n".join(re.findall(r"```console\n(.*?)```", said, flags=re.S))
    assert set(re.findall(r"^jaxuq ([a-z]+)", typed, flags=re.M)) <= set(_COMMANDS)


@pytest.fixture(scope="module")
def options():
    """Of all commands."""
    from jaxuq.cli.main import _COMMANDS
    from jaxuq.cli.telling import SWITCH

    def fields(kind):
        """Of a command, and of the commands below it."""
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        below = [fields(part) for part in typing.get_args(hints.get("action"))]
        whole = typing.get_type_hints(kind, include_extras=True) if hints else {}
        extras = [extra for hint in whole.values() for extra in getattr(hint, "__metadata__", ())]
        aliases = {alias[2:] for extra in extras for alias in getattr(extra, "aliases", None) or ()}
        return set(hints).union(aliases, *below)

    return {SWITCH, "--help"} | {
        f"--{name.replace('_', '-')}"
        for module, kind, _ in _COMMANDS.values()
        for name in fields(getattr(importlib.import_module(module), kind))
    }
