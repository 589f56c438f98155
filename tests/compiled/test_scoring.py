"""Scoring texts with models of 8 and 70 billion numbers on 8 and 64 devices: what the compiled program says."""

import json
import subprocess
import sys

import pytest

import jaxuq.networks.decoder
from jaxuq.planning import MODEL_SHAPES
from tests.compiled.programs import kept_bytes, layer_numbers, scored

ROWS, TIME = 8, 3072  # no width of the model, so that an array of it cannot be mistaken
CONFIG = MODEL_SHAPES["llama3-8b"]


def broken(program, config, rows, time, *, over, gathered):
    """What is wrong with a program: by name, for a batch divided `over` devices."""
    wrong = {
        "replicated batch": program.find((rows, time, config.hidden_size)),
        "batch and vocabulary": program.find((rows, config.vocab_size), at_least=True),
        "time and time": program.find((time, time), at_least=True),
        "outputs": program.outputs > 1.02 * kept_bytes(config, rows, time) / over,
    }
    if gathered is not None:
        wrong["bytes sent"] = not gathered <= program.bytes_sent <= 1.2 * gathered
    return {name for name, found in wrong.items() if found}


def gathered_bytes(config, devices):
    """Every kernel of the layers once, in two bytes."""
    return 2 * layer_numbers(config) * (devices - 1) / devices


def test_eight_billion_numbers_gathered_over_data():
    program = scored("llama3-8b", "data=8", ROWS, TIME)
    assert broken(program, CONFIG, ROWS, TIME, over=8, gathered=gathered_bytes(CONFIG, 8)) == set()
    assert program.temporaries < 1.1 * 2**30
    assert program.unknown_loops == 0


def test_the_assertions_see_a_constraint_that_is_taken_out(monkeypatch):
    monkeypatch.setattr(jaxuq.networks.decoder, "constrain", lambda array, rule: array)
    program = scored("llama3-8b", "data=8", ROWS, TIME, max_positions=8192)
    wrong = broken(program, CONFIG, ROWS, TIME, over=8, gathered=gathered_bytes(CONFIG, 8))
    assert {"replicated batch", "outputs", "bytes sent"} <= wrong


@pytest.mark.parametrize("mesh", ["data=2,tensor=4", "data=2,fsdp=2,tensor=2", "fsdp=8"])
def test_other_meshes_of_eight(mesh):
    sizes = dict(part.split("=") for part in mesh.split(","))
    tensor = int(sizes.get("tensor", 1))
    program = scored("llama3-8b", mesh, ROWS, TIME)
    assert broken(program, CONFIG, ROWS, TIME, over=8, gathered=None) <= {"outputs"}
    assert program.outputs < 1.2 * kept_bytes(CONFIG, ROWS, TIME) / 8  # hidden states are whole along tensor
    fully = int(sizes.get("fsdp", sizes.get("data", 1)))
    kernels = 2 * layer_numbers(CONFIG) / tensor * (fully - 1) / fully
    row_bytes = ROWS // (8 // tensor) * TIME * CONFIG.hidden_size * 2
    sums = 2 * (2 * CONFIG.num_layers) * row_bytes * (tensor - 1) / tensor  # of attention and MLP, there and back
    assert kernels + sums <= program.bytes_sent <= 1.2 * (kernels + sums)


def test_memory_is_linear_in_time():
    short, long = (scored("llama3-8b", "data=8", ROWS, time) for time in (TIME, 2 * TIME))
    assert long.outputs == pytest.approx(2 * short.outputs, rel=0.01)
    assert long.temporaries < 2.1 * short.temporaries


SIXTY_FOUR = """
import json, jax
jax.config.update("jax_num_cpu_devices", 64)
from tests.compiled.programs import scored
from tests.compiled.test_scoring import broken
from jaxuq.planning import MODEL_SHAPES
program = scored("llama3-70b", {mesh!r}, 64, 3072)
wrong = broken(program, MODEL_SHAPES["llama3-70b"], 64, 3072, over=64, gathered=None)
print(json.dumps([sorted(wrong), program.arguments, program.outputs, program.temporaries]))
"""


@pytest.mark.long
@pytest.mark.parametrize("mesh", ["data=8,tensor=8", "fsdp=64"])
def test_seventy_billion_numbers_on_sixty_four_devices(mesh):
    ran = subprocess.run(
        [sys.executable, "-c", SIXTY_FOUR.format(mesh=mesh)], capture_output=True, text=True, check=True
    )
    wrong, arguments, outputs, temporaries = json.loads(ran.stdout.splitlines()[-1])
    config = MODEL_SHAPES["llama3-70b"]
    assert set(wrong) <= {"outputs"}
    assert outputs < 1.25 * kept_bytes(config, 64, 3072) / 64
    assert arguments < 1.02 * 2 * 70.6e9 / 64 + 2**20
    assert temporaries < 4 * 2**30
