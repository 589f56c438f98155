"""The site's Python runs as it is written, in one namespace a page, and prints what stands below it."""

import json
import pathlib
import re
import tomllib

import jax
import pytest

PAGES = pathlib.Path(__file__).parent.parent / "docs" / "pages"
_BLOCKS = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.S)
_PAGES = sorted(page.relative_to(PAGES).as_posix() for page in PAGES.rglob("*.md") if "```python" in page.read_text())
_EVERY = sorted([*PAGES.rglob("*.md"), *(PAGES.parent.parent / "experiments").rglob("*.md")])


@pytest.mark.parametrize("page", _PAGES)
def test_python_of_a_page_runs_and_prints_what_is_said(page, capsys):
    names = {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for code, said in _BLOCKS.findall((PAGES / page).read_text()):
            exec(compile(code, page, "exec"), names)
            assert capsys.readouterr().out == said


def test_there_are_pages_with_code():
    assert {"start/model.md", "recipes.md", "extend.md"} <= set(_PAGES)


_KINDS = {
    "python": "runs above",
    "py": "needs the weights of a real model: its imports run below, the notebooks run its like",
    "text": "what Python prints, compared above",
    "console": "its commands and options are compared with those that there are (tests/test_readme.py)",
    "json": "is read below, a line each",
    "toml": "is read below",
    "": "a drawing, or a command",
}
"""Every kind of block on the site, and what is done with it; doctests of the reference run where they are written."""


@pytest.mark.parametrize("page", _EVERY, ids=lambda page: page.relative_to(PAGES.parent.parent).as_posix())
def test_no_block_of_a_page_is_of_a_kind_that_nothing_looks_at(page):
    for kind, code in re.findall(r"(?ms)^```(\w*)\n(.*?)^```", page.read_text()):
        assert kind in _KINDS, f"{page.name}: ```{kind}"
        if kind == "toml":
            tomllib.loads(code)
        if kind == "json":
            assert all(map(json.loads, code.splitlines()))
        if kind == "py":
            compile(code, page.name, "exec")
            exec("\n".join(line for line in code.splitlines() if line.startswith(("import ", "from "))), {})
