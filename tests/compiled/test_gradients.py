"""Gradient features and steps of tuning of a model of 8 billion numbers on 8 devices: what the programs say."""

import pytest

from jaxuq.parallel import mesh_of, read_compiled
from jaxuq.planning import JOBS, MODEL_SHAPES, Request
from tests.compiled.programs import layer_numbers

ROWS, CONFIG = 8, MODEL_SHAPES["llama3-8b"]


def compiled(job, tokens, mesh="data=8"):
    request = Request(CONFIG, mesh_of(mesh), ROWS, tokens, 1, 1, 8, "float16")
    (stage,) = JOBS[job](request)
    return read_compiled(stage.function.lower(*stage.arguments).compile())


@pytest.mark.long
@pytest.mark.parametrize("job", ["features", "tune"])
def test_split_parameters_are_gathered_layer_by_layer(job):
    program = compiled(job, 3072)
    adapters = 8 * CONFIG.num_layers * (9 * CONFIG.hidden_size + 2 * 1024 + 3 * CONFIG.intermediate_size)
    assert not program.find((ROWS, 3072, CONFIG.hidden_size))
    assert not program.find((ROWS, CONFIG.vocab_size), at_least=True)
    assert not program.find((3072, 3072), at_least=True)
    assert not program.find((ROWS, adapters))
    assert program.temporaries < 5 * 2**30
    kernels = 2 * layer_numbers(CONFIG) * 7 / 8
    assert 2 * kernels < program.bytes_sent < 1.2 * 2 * kernels  # forward; and once for forward again and backward
