"""Scripts and notebooks import what there is: a name that was moved is noticed here, not by who runs the script."""

import ast
import importlib
import json
import pathlib

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
