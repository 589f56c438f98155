"""The soak: no public reader without a row, inputs made again, figures that add up, failures that are seen."""

import ast
import importlib
import json
import pathlib
import sys

import numpy as np
import pytest

import jaxuq

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "experiments" / "soak"
NAMES = ("soak", "fuzz", "readers", "mutations", "kills")


@pytest.fixture(scope="module")
def soak():
    """The scripts of the folder, imported as they import each other."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(FOLDER))
        for name in NAMES:
            sys.modules.pop(name, None)


def test_no_public_reader_is_missing(soak):
    rows = {name for one in soak["readers"].READERS.values() for name in one.covers}
    public = {*soak["readers"].public_readers()}
    assert {"load_csv", "read_columns", "load_model"} <= public
    assert sorted(public - rows - {*soak["readers"].NOT_READERS}) == []
    assert sorted(name for name in {*soak["readers"].NOT_READERS} if name in rows) == []


def test_an_input_is_made_again_by_its_number_alone(soak, tmp_path):
    fuzz, one = soak["fuzz"], soak["readers"].READERS["tags: columns"]
    (tmp_path / "valid").mkdir()
    one.write(tmp_path / "valid")
    made = []
    for number in [*range(20), *range(20)]:
        told = fuzz.damage(one, tmp_path / "valid", tmp_path / "tried", fuzz.draws("tags: columns", 3, number))
        made.append((*told, (tmp_path / "tried" / "a.conll").read_bytes()))
    assert made[:20] == made[20:] and len({content for *_, content in made}) > 15
    assert (tmp_path / "valid" / "a.conll").read_bytes() not in {made[0][2], made[1][2], made[2][2]}


@pytest.mark.parametrize(
    ("does", "state", "kind"),
    [
        (lambda folder: 1, "value", None),
        (lambda folder: _raise(jaxuq.JaxuqError("no table")), "refused", None),
        (lambda folder: _raise(jaxuq.JaxuqError("")), "failed", "none"),
        (lambda folder: {}["a"], "failed", "KeyError"),
        (lambda folder: _raise(RecursionError()), "failed", "RecursionError"),
    ],
)
def test_only_a_value_or_one_clear_error_is_right(soak, tmp_path, does, state, kind):
    reader = soak["readers"].Reader((), lambda folder: None, does)
    found = soak["fuzz"].read(reader, tmp_path)
    assert found["state"] == state and (kind is None or kind in found["kind"])


def _raise(error):
    raise error


def test_what_is_left_of_a_plan_after_a_process_died(soak):
    fuzz = soak["fuzz"]
    plan = [fuzz.Part("a", 0, 3), fuzz.Part("b", 0, 2), fuzz.Part("a", 3, 3)]
    assert fuzz._after(plan, {"reader": "a", "number": 1})[0] == ("a", 2, 1)
    assert fuzz._after(plan, {"reader": "a", "number": 2})[0] == ("b", 0, 2)
    assert fuzz._after(plan, {"reader": "a", "number": -1}) == [("b", 0, 2)]
    wanted = sum(part.count for part in fuzz.plan_of(100_000))
    assert abs(wanted - 100_000) < 1000


def test_damage_reaches_into_what_is_packed(soak):
    import gzip

    rng = np.random.default_rng(0)
    whole = gzip.compress(b"a,b\n1,2\n" * 9, mtime=0)
    changed = [soak["mutations"].change("x.csv.gz", whole, rng) for _ in range(40)]
    inside = [content for content, kind in changed if kind.startswith("inside")]
    assert len(inside) > 15
    for content in inside:
        gzip.decompress(content)  # packed as it should be


def test_figures_of_nights_add_up_and_the_page_is_that_of_what_was_found(soak):
    script = soak["soak"]
    record: dict = {}
    for _ in range(2):
        script.add(record, "files", "columns", {"inputs": 100, "refused": 40, "failed": 1}, "v1")
        script.add(record, "worlds", "spans", {"passed": 2, "failed": 0}, "v1")
    script.add(record, "files", "columns", {"inputs": 50, "refused": 9, "failed": 0}, "v2")
    text = script.page("<!-- figures -->\nold\n<!-- end -->\n", record)
    assert "| files | 1 | 50 | 0 | 250 |" in text and "| worlds | 1 | 2 | 0 | 2 |" in text and "old" not in text
    assert "| columns | 50 | 9 | 0 | v2 |" in text
    assert json.loads(script.as_json(record)) == record

    kept = json.loads(script.RECORD.read_text(encoding="utf-8")) if script.RECORD.exists() else {}
    page = script.PAGE.read_text(encoding="utf-8")
    assert script.page(page, kept) == page


def test_rows_name_tests_that_there_are(soak):
    for row in soak["soak"].tests():
        assert row["part"] in soak["soak"].PARTS and row["says"]
        for place in row["tests"]:
            file, _, name = place.partition("::")
            found = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
            assert not name or name in {one.name for one in found if isinstance(one, ast.FunctionDef)}, place


def test_every_command_that_keeps_what_it_computes_is_killed(soak):
    from jaxuq.cli.main import _COMMANDS

    killed = {name.split()[0].rstrip(",") for name in soak["kills"].commands()}
    keeps_nothing = {"generate", "plan", "models", "data", "report", "launch"}
    assert {*_COMMANDS} - killed == keeps_nothing
