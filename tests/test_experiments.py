"""Scripts and notebooks import what there is: a name that was moved is noticed here, not by who runs the script."""

import ast
import importlib
import importlib.util
import json
import pathlib
import re
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SCRIPTS = sorted(ROOT.glob("experiments/**/*.py"))
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def _sources(path):
    if path.suffix == ".py":
        return [path.read_text()]
    cells = json.loads(path.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return ["\n".join(line for line in one.splitlines() if not line.startswith(("%", "!"))) for one in code]


@pytest.mark.parametrize("path", [*SCRIPTS, *NOTEBOOKS], ids=lambda path: path.name)
def test_every_imported_name_exists(path):
    for source in _sources(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "jaxuq":
                module = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")


def test_there_are_scripts_and_notebooks():
    assert len(SCRIPTS) > 20 and len(NOTEBOOKS) > 5


def _race():
    spec = importlib.util.spec_from_file_location("race", ROOT / "experiments/benchmarks/race.py")
    race = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(race)
    return race, tomllib.loads(race.ROWS.read_text())["row"]


def test_rows_of_the_race_name_scripts_and_one_number_each():
    _, rows = _race()
    assert len({(row["job"], row["peer"]) for row in rows}) == len(rows) > 10
    for row in rows:
        interpreter, script, *options = row["command"].split()
        source = (ROOT / script).read_text()
        assert interpreter in ("{here}", "{peers}") and re.compile(row["ratio"]).groups == 1 and row["reach"] > 1
        for option in (one for one in options if one.startswith("--")):
            assert f'"{option}"' in source, f"{script} has no {option}"


def test_the_page_of_the_race_is_that_of_what_was_measured():
    race, rows = _race()
    kept = json.loads(race.KEPT.read_text()) if race.KEPT.exists() else {}
    assert {*kept} <= {f"{row['job']}: {row['peer']}" for row in rows}
    assert race.PAGE.read_text() == race.page(rows, kept)


def test_a_ratio_is_read_off_what_a_script_prints(capfd):
    race, _ = _race()
    program = 'import sys; print("| a | 1.0 | 2.50 (2 to 3) |"); print("b 7.25")'
    found = race.measure(f"{race.sys.executable} -c '{program}'", [r"\| ([\d.]+) \(", r"^b ([\d.]+)$", "c ([0-9])"])
    assert found == [2.5, 7.25, None]
    assert race.measure(f"{race.sys.executable} -c 'raise SystemExit(\"no torch\")'", ["(x)"]) == [None]
    assert "no torch" in capfd.readouterr().err
