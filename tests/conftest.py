"""Every test runs with eight CPU devices, strict rank and dtype promotion, and a persistent compilation cache.

The tests compile thousands of tiny programs and run each a few times, so XLA is told to compile quickly: no fusion
emitters and no optimisation in LLVM, which halves the processor time. `XLA_FLAGS= pytest` compiles them as users do.
Two habits save a quarter of what is left: programs are lowered in one context of MLIR, which JAX makes anew for each
(16 ms), and Python looks less often for cycles among the millions of objects that traces leave.
"""

import functools
import gc
import itertools
import os
import pathlib

import jax
import numpy as np
import pytest
from jax._src.interpreters import mlir

os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1",
)  # read when the first array is made; inherited by every process that a test starts
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_threefry_partitionable", True)
_CACHE = pathlib.Path(__file__).parent.parent / ".cache" / "jax"
jax.config.update("jax_compilation_cache_dir", os.environ.get("JAX_COMPILATION_CACHE_DIR", str(_CACHE)))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)

gc.set_threshold(200_000, 20, 100)

_PROGRAMS_IN_A_CONTEXT = 200  # types and places in source are kept as long as their context is
_make_ir_context = getattr(mlir, "make_ir_context", None)
_programs = itertools.count()


@functools.lru_cache(maxsize=1)
def _ir_context(number):
    return _make_ir_context()


if _make_ir_context is not None:  # a private function of JAX: without it the tests run as well, and longer
    mlir.make_ir_context = lambda: _ir_context(next(_programs) // _PROGRAMS_IN_A_CONTEXT)

collect_ignore_glob = ["*/golden/*.py"]  # makers of golden files: scripts that need other libraries
_MAPS = pathlib.Path("/proc/self/maps")
_MOST_MAPS = 45_000  # Linux allows a process 65,530 (vm.max_map_count); XLA crashes when it gets no more
_tests_done = itertools.count(1)


_LONG = [
    line
    for line in (pathlib.Path(__file__).parent / "long.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


def pytest_collection_modifyitems(items):
    """Mark what `long.txt` names; where everything is collected, a line that names nothing is an error."""
    everything = len({item.nodeid.partition("::")[0] for item in items}) > 300
    for line in _LONG:
        found = [item for item in items if item.nodeid.startswith(line)]
        for item in found:
            item.add_marker(pytest.mark.long)
        if everything and not found:
            raise pytest.UsageError(f"tests/long.txt names {line}, which is not there")


@pytest.fixture(autouse=True)
def few_memory_maps():
    """Drop compiled programs before they use up the memory maps of a test process: each holds three or more."""
    yield
    if next(_tests_done) % 10 == 0 and _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()


@pytest.fixture
def rng_key():
    """A fixed key for tests that need one."""
    return jax.random.key(20240607)


@pytest.fixture
def rng():
    """A fixed NumPy generator for making test data."""
    return np.random.default_rng(20240607)


@pytest.fixture(scope="session")
def smollm2_weights():
    """The file with SmolLM2's weights, fetched once; tests that want it are marked `weights`."""
    from jaxuq.language import CheckpointError, fetch_model

    try:
        return fetch_model("smollm2")
    except CheckpointError as error:
        pytest.skip(f"the weights cannot be had: {error}")


@pytest.fixture
def mesh():
    """Eight CPU devices in a row."""
    return jax.sharding.Mesh(np.array(jax.devices()[:8]), ("data",))


@pytest.fixture
def unchecked():
    """Without jaxtyping's checks, which users do not have, and whose error comes first where there are both."""
    import jaxtyping

    checks, jaxtyping.config.jaxtyping_disable = jaxtyping.config.jaxtyping_disable, True
    yield
    jaxtyping.config.jaxtyping_disable = checks
