"""Plans say what programs then hold."""

import json
import math
import os
import subprocess
import sys

import pytest

from jaxuq.cli.main import main
from jaxuq.networks import DecoderConfig
from jaxuq.planning import JOBS, MODEL_SHAPES, SMALL_MODELS, Device, model_shape, plan_job
from tests.language.tiny_checkpoints import write_folder

SMALL = DecoderConfig(512, 64, 128, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=16, max_positions=512)
NUMBERS = 2 * 512 * 64 + 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64) + 64


def small(job="confidence", mesh="data=1", **options):
    given = {"rows": 8, "tokens": 64, "new_tokens": 16, "members": 2, "rank": 4, "dtype": "float32"} | options
    return plan_job(SMALL, job, mesh, **given)


def test_what_is_held_is_what_a_count_by_hand_gives():
    read, step = small().stages
    assert read.held["weights"] == step.held["weights"] == 4 * NUMBERS
    slots = 64 - 1  # the last token is never read
    cache = 2 * 2 * 8 * 2 * slots * 16 * 4 + 8 * slots * 4 + 4
    assert read.held["cache"] == step.held["cache"] == cache
    assert step.held["captured"] == 2 * 8 * slots * 64 * 4 + 8 * 16 * 64 * 4
    assert (step.times, step.unit) == (15, "token")
    assert step.bytes == sum(step.held.values()) >= step.program.bytes


@pytest.mark.parametrize(
    "job",
    [
        job if job == "ensemble" else pytest.param(job, marks=pytest.mark.long)
        for job in JOBS
        if job not in SMALL_MODELS
    ],
)
def test_eight_devices_hold_an_eighth_of_what_is_split(job):
    """Of rows, of kernels and tables (norms are whole)."""
    one, eight = small(job), small(job, "data=4,tensor=2")
    for alone, together in zip(one.stages, eight.stages, strict=True):
        assert together.held["weights"] < 1.05 * alone.held["weights"] / 8
        for kind in {"cache", "captured"} & set(alone.held):
            assert together.held[kind] <= alone.held[kind] / 8 + 8 * 64 * 64  # hidden states are whole along tensor
        assert together.program.bytes_sent > 0 == alone.program.bytes_sent
        assert together.flops == alone.flops


def test_products_are_those_of_all_kernels_and_of_attention():
    (stage,) = plan_job(SMALL, "ensemble", "data=1", rows=8, tokens=64, members=1, rank=1, dtype="float32").stages
    kernels = NUMBERS - 512 * 64 - 5 * 64  # neither the lookup nor norms
    adapters = 2 * (7 * 64 + 3 * 64 + 2 * 32 + 2 * 128 + 0)
    attention = 2 * 2 * 64 * 64
    assert stage.flops == pytest.approx(2 * 8 * 64 * (kernels + adapters + attention), rel=0.02)


@pytest.mark.long
def test_the_largest_batch_fits_and_a_larger_one_does_not():
    device = Device("a small one", 64 * 2**20, 1e12, 1e11, 1e10)
    found = small("ensemble", "data=2", device=device)
    assert found.fits
    assert found.largest_rows % 2 == 0
    assert small("ensemble", "data=2", device=device, rows=found.largest_rows // 8 * 8).fits
    assert not small("ensemble", "data=2", device=device, rows=math.ceil(1.1 * found.largest_rows / 8) * 8).fits


def test_what_does_not_fit_is_told_what_to_change():
    tiny = Device("a tiny one", 2**20, 1e12, 1e11, 1e10)
    found = small("ensemble", device=tiny)
    assert not found.fits
    assert any("weights alone" in said for said in found.advice)


def test_an_axis_that_divides_nothing_is_named():
    said = "nothing of this job is divided over expert=2: these devices compute what the others do"
    assert said in small("features", "data=2,expert=2").advice
    assert not any("nothing" in one for one in small("ensemble", "data=2,expert=2").advice)


MEASURED = """
import sys, jax, jax.numpy as jnp, numpy as np, re
from jaxuq.networks import DecoderConfig
from jaxuq.parallel import mesh_of, read_compiled
from jaxuq.planning import JOBS, Request

def of_process(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

def made(leaf):
    if not hasattr(leaf, "dtype"):
        return leaf
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        keys = jax.random.split(jax.random.key(0), leaf.shape)
        return jax.device_put(keys, leaf.sharding)
    numbers = np.full(leaf.shape, 0.01 if jnp.issubdtype(leaf.dtype, jnp.floating) else 1, leaf.dtype)
    return jax.device_put(numbers, leaf.sharding)

def first_program(rows):
    config = DecoderConfig(4096, 512, 1024, num_layers=4, num_heads=8, num_kv_heads=8, head_dim=64)
    stage = JOBS[sys.argv[1]](Request(config, mesh_of("data=1"), rows, 512, 64, 3, 8, jnp.float32))[0]
    return stage.function.lower(*stage.arguments).compile(), stage.arguments

compiled, shapes = first_program(1)
jax.block_until_ready(compiled(*jax.tree.map(made, shapes)))  # what is loaded once is loaded
compiled, shapes = first_program(int(sys.argv[2]))
before = of_process("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
arguments = jax.tree.map(made, shapes)
jax.block_until_ready(compiled(*arguments))
print(read_compiled(compiled).bytes, of_process("VmHWM") - before)
"""


@pytest.mark.long
def test_members_on_molecules_and_a_chain_on_sentences_hold_what_a_count_by_hand_gives():
    """Members are divided over devices and exchange nothing; so are sentences, whose counts alone are added up."""
    (one,) = plan_job("dnn", "molecules", "data=1", rows=512, tokens=2, members=8, dtype="float32").stages
    (eight,) = plan_job("dnn", "molecules", "data=8", rows=512, tokens=2, members=8, dtype="float32").stages
    numbers = 157_953 + 129  # the second output of a regression
    assert 4 * 4 * numbers < one.held["weights"] / 8 < 4 * 4 * numbers + 64  # as trained, the best, Adam's two moments
    assert one.held["data"] == eight.held["data"] == 4 * 512 * 201
    assert eight.held["weights"] == one.held["weights"] / 8
    assert eight.held["temporaries"] < one.held["temporaries"] / 6
    assert eight.program.bytes_sent < 1024
    products = numbers - 9 * 128 - 2  # without biases; forward once, backward twice, but for the inputs' gradient
    assert one.flops == pytest.approx(8 * 512 * (6 * products - 2 * 200 * 128), rel=0.01)
    (chain,) = plan_job("hmm-9", "tagging", "data=8", rows=64, tokens=32, dtype="float32").stages
    (longer,) = plan_job("hmm-9", "tagging", "data=8", rows=64, tokens=64, dtype="float32").stages
    assert chain.held["data"] == 4 * (8 * 32 * 9 + 8)
    assert longer.held["temporaries"] < 2.2 * chain.held["temporaries"]
    counts = 2 * 7 / 8 * 4 * 9 * 9  # added up over devices once a token where probabilities need logarithms, else once
    assert 31 * counts < chain.program.bytes_sent < 33 * counts


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.long
@pytest.mark.parametrize(
    ("job", "rows"), [("confidence", 12), ("features", 8), ("experts", 8), ("tune", 8), ("ensemble", 8)]
)
def test_a_run_takes_what_its_program_says(job, rows):
    """... within a tenth: what the process holds at most, less what it held before, beside what `jaxuq plan` reads."""
    # A CPU's libraries for products have scratch of their own, and malloc keeps what is freed: the program has neither.
    own = " ".join(f"--xla_cpu_{name}" for name in (
        "use_xnnpack=false", "use_onednn=false", "experimental_ynn_fusion_type="))  # fmt: skip
    environment = os.environ | {"XLA_FLAGS": own, "MALLOC_MMAP_THRESHOLD_": "131072"}
    environment.pop("GLIBC_TUNABLES", None)
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, job, str(rows)], capture_output=True, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stderr
    said, measured = map(int, ran.stdout.split())
    assert said > 2**27
    assert measured == pytest.approx(said, rel=0.1)


def test_the_command_prints_a_table_or_json(capsys, tmp_path):
    folder = str(write_folder(tmp_path / "model", "llama"))
    given = [
        "plan",
        "--model",
        folder,
        "--mesh",
        "data=2,tensor=2",
        "--do",
        "ensemble",
        "--tokens",
        "16",
        "--rows",
        "4",
    ]
    main([*given, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["mesh"] == {"data": 2, "tensor": 2}
    assert said["bytes"] == sum(said["stages"][0]["bytes"].values())
    main(given)
    shown = capsys.readouterr().out
    assert "score the texts" in shown
    assert f"{said['largest_rows']} rows" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mesh", "rows=2"], "such as data=2,tensor=4"),
        (["--mesh", "data=512,tensor=8"], "a CPU can pretend 512; plan fewer"),
        (["--mesh", "data=1", "--tokens", "100"], "no room for a prompt and 256 new tokens"),
        (["--mesh", "data=1", "--model", "llama9"], "known shapes are llama3-1b"),
        (["--mesh", "data=1", "--rows", "0"], "rows"),
        (["--mesh", "data=1", "--do", "molecules", "--model", "gin"], "dnn"),
    ],
)
def test_the_command_says_what_is_wrong(options, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["plan", *options])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_shapes_by_name_have_the_numbers_that_their_makers_say():
    """In billions, as the model cards print them."""
    for name, billions in {"llama3-1b": 1.24, "llama3-8b": 8.03, "qwen2.5-7b": 7.62, "mixtral-8x7b": 46.7}.items():
        config = model_shape(name)
        assert config is MODEL_SHAPES[name]
        assert _numbers(config) / 1e9 == pytest.approx(billions, rel=0.005)


def _numbers(config):
    import jax
    import jax.numpy as jnp

    from jaxuq.networks import Decoder

    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    shapes = jax.eval_shape(Decoder(config).init, jax.random.key(0), tokens)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
