"""The site's Python runs as it is written, in one namespace a page, and prints what stands below it."""

import pathlib
import re

import jax
import pytest

PAGES = pathlib.Path(__file__).parent.parent / "docs" / "pages"
_BLOCKS = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.S)
_PAGES = sorted(page.relative_to(PAGES).as_posix() for page in PAGES.rglob("*.md") if "```python" in page.read_text())


@pytest.mark.parametrize("page", _PAGES)
def test_python_of_a_page_runs_and_prints_what_is_said(page, capsys):
    names = {}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for code, said in _BLOCKS.findall((PAGES / page).read_text()):
            exec(compile(code, page, "exec"), names)
            assert capsys.readouterr().out == said


def test_there_are_pages_with_code():
    assert {"start/model.md", "recipes.md", "extend.md"} <= set(_PAGES)
