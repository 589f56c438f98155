"""Imports stay light: optional and heavy packages are loaded by the functions that need them."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

import jaxuq

HEAVY = (
    "IPython",
    "descriptastorus",
    "jinja2",
    "matplotlib",
    "numpyro",
    "orbax",
    "pandas",
    "pooch",
    "ray",
    "rdkit",
    "scipy.stats",
    "sklearn",
    "torch",
    "transformers",
)
# Rooms that import JAX's own family only, in the order in which a lighter room cannot hide behind a heavier one.
LEAVES = ("metrics", "losses")
# Floors of the house: a room imports from floors below, and on the third and fourth from its own.
FLOORS = (
    {"losses"},
    {"metrics"},
    {"posterior", "calibration", "networks", "training", "parallel"},
    {"checkpoints", "study"},
    {"molecules", "tagging", "language", "questions"},
    {"confidence", "extraction", "experts", "tuning"},
    {"serving", "planning"},
    {"reporting"},
    {"cli"},
)
FAMILY = {"absl", "chex", "jax", "jaxlib", "jaxtyping", "numpy", "optax", "toolz", "typing_extensions", "wadler_lindig"}
SCRIPT = """
import importlib, json, sys
loaded = {}
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
    loaded[name] = sorted(set(sys.modules) - before)
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded():
    """Modules in a fresh process after `import jax`, then jaxuq, then each room in turn, leaves first."""
    rooms = [*LEAVES, *(room for room in jaxuq._ROOMS if room not in LEAVES)]
    names = ["jax", "jaxuq", *(f"jaxuq.{room}" for room in rooms)]
    result = subprocess.run([sys.executable, "-c", SCRIPT, *names], capture_output=True, text=True, check=True)
    return {name: set(modules) for name, modules in json.loads(result.stdout).items()}


def test_importing_jaxuq_imports_no_room(loaded):
    added = loaded["jaxuq"] - loaded["jax"]
    assert not {name for name in added if name.startswith(tuple(f"jaxuq.{room}" for room in jaxuq._ROOMS))}
    families = {name.split(".")[0] for name in added}
    assert not families & {"flax", "optax", "chex", "rich", "tyro"}, families


def test_importing_jaxuq_does_not_import_jax():
    script = "import sys, jaxuq; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_help_and_a_wrong_command_import_neither_jax_nor_a_room():
    script = (
        "import sys\nfrom jaxuq.cli.main import main\n"
        "code = 0\ntry:\n    main(sys.argv[1:])\nexcept SystemExit as ended:\n    code = ended.code or 0\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('jaxuq.')}\n"
        "print(code, 'jax' in sys.modules, *sorted(rooms & set(sys.modules['jaxuq']._ROOMS)))"
    )
    for arguments, code in ((["--help"], 0), (["mubem"], 2), ([], 2)):
        said = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert said.stdout.splitlines()[-1] == f"{code} False", (arguments, said.stdout[-200:])


def test_the_help_has_every_commands_own_words():
    import importlib

    from jaxuq.cli.main import _COMMANDS, description

    for module, name, _ in _COMMANDS.values():
        kind = getattr(importlib.import_module(module), name)
        assert description(module, name).split() == kind.__doc__.split()


def test_no_room_imports_a_heavy_package(loaded):
    for step, modules in loaded.items():
        heavy = {package for package in HEAVY if package in modules}
        assert not heavy - {package for package in HEAVY if package in loaded["jax"]}, step


@pytest.mark.parametrize("room", LEAVES)
def test_leaves_import_the_family_of_jax_only(loaded, room):
    added = loaded[f"jaxuq.{room}"] - loaded["jax"]
    outside = {name.split(".")[0] for name in added} - set(sys.stdlib_module_names) - {"jaxuq"}
    assert outside <= FAMILY
    rooms = {name.split(".")[1] for name in added if name.startswith("jaxuq.")} & set(jaxuq._ROOMS)
    assert rooms <= set(LEAVES)


def test_rooms_and_names_are_found_by_attribute():
    assert set(jaxuq._ROOMS) < set(dir(jaxuq))
    assert jaxuq.metrics is sys.modules["jaxuq.metrics"]
    with pytest.raises(AttributeError, match="no attribute 'metric'"):
        _ = jaxuq.metric


def imported_rooms(room: str) -> set[str]:
    """Rooms that the files of a room import, within functions too."""
    found = set()
    for file in (pathlib.Path(jaxuq.__file__).parent / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxuq."):
                found.add((node.module or "").split(".")[1])
            elif isinstance(node, ast.ImportFrom) and node.module == "jaxuq":
                found |= {alias.name for alias in node.names}
    return {name for name in found if not name.startswith("_")} - {room, "citation", "named_key", "use_huge_pages"}


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_rooms_import_from_floors_below(floor):
    below = set().union(*FLOORS[:floor])
    for room in FLOORS[floor]:
        assert imported_rooms(room) <= (below | FLOORS[floor] if floor in (2, 3) else below), room


def test_every_room_has_a_floor():
    assert set().union(*FLOORS) == {*jaxuq._ROOMS, "cli"}
