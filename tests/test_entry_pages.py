"""Every entry of an open table has a page on the site, made from what its function says and from pages of results."""

import importlib.util
import pathlib
import re

import pytest

import jaxuq

ROOT = pathlib.Path(__file__).parent.parent
_SPEC = importlib.util.spec_from_file_location("site_entries", ROOT / "docs" / "entries.py")
assert _SPEC is not None and _SPEC.loader is not None
site = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(site)


@pytest.mark.parametrize("table", site.TABLES, ids=lambda table: table[2])
def test_every_entry_has_a_page_that_says_what_it_is(table):
    path, _, folder = table
    told = {f"{folder}/{name}" for name in site.found(path)}
    for name in site.found(path):
        page = site.entry_page(table, name)
        said = page.split("\n\n", 2)[2].split("Arguments, shapes")[0]
        assert len(said.split()) > 4, name
        assert "jaxuq" in page and not re.search(r"^(Args|Returns|Raises|Example):", page, re.M), name
    named = {key for key in (*site._TOLD_BY, *site._SAID) if key.startswith(f"{folder}/")}
    assert named <= told, "of entries that there are not"


def test_a_record_without_text_has_no_page(monkeypatch):
    table = next(table for table in site.TABLES if table[2] == "acquisitions")
    monkeypatch.setitem(site.found(table[0]), "mine", jaxuq.Entry("mine", "Mine", {"score": lambda pool: pool}))
    with pytest.raises(LookupError, match=r"'mine'.*has no page"):
        site.entry_page(table, "mine")


def test_a_page_has_equation_sources_citation_and_place_in_the_tables():
    table = next(table for table in site.TABLES if table[2] == "muben")
    page = site.entry_page(table, "swag")
    for part in ("$", "## Where it stands", "### esol", "| swag | ", "<svg", "## Sources", "@inproceedings", "Maddox"):
        assert part in page, part
    cost = re.search(r"\| method \| mean rank.*?\n.*?\n\| (\w+) \|", page)
    assert cost is not None and cost[1] == "swag"
