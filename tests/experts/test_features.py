"""Features equal Eqs 5.5 to 5.7 written out, and survive interruptions, bad examples and full disks."""

import errno
import functools
import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq._errors import OptionError
from jaxuq.experts import example_gradients, gradient_features, project
from jaxuq.language import CheckpointError, Instruction, PromptError, TokenBatch
from jaxuq.study import working_alone
from tests.experts.tiny import CONFIG, DECODER, checkpoint, lora, model, params, questions

KEY = jax.random.key(11)
DIMENSION = 64
STATES = (checkpoint(1), checkpoint(2))
LONGEST = max(questions(), key=lambda example: (~example.response).sum())
compute = functools.partial(gradient_features, rng_key=KEY, dimension=DIMENSION, batch_size=4)


@pytest.fixture(scope="module")
def whole():
    return compute(model(), STATES, questions())


@pytest.fixture(scope="module")
def gradients_of():
    """Plain gradients of one question at every checkpoint, as flat rows."""

    @jax.jit
    def both(batch):
        return [example_gradients(DECODER, params(), state.lora, batch) for state in STATES]

    def rows(example):
        length, instruction = 12, ~example.response
        padded = np.zeros((3, length), np.int32)
        padded[0, : len(example.tokens)] = example.tokens
        padded[1] = np.where(np.arange(length) < len(example.tokens), np.arange(length), -1)
        where = np.zeros((1, length), bool)
        where[0, : len(example.tokens)] = instruction
        batch = TokenBatch(padded[:1], padded[1:2], padded[2:], where)
        return [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in both(batch)]

    return rows


def _flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]).astype(np.float64)


def test_the_literal_formulas(whole, gradients_of):
    size = _flat(lora()).size
    matrix = np.asarray(project(KEY, jnp.eye(size), dimension=DIMENSION, scaled=False), np.float64).T
    assert np.array_equal(np.unique(matrix), [-1, 1])
    for row in (0, 7):
        total = np.zeros(DIMENSION)
        for state, gradient in zip(STATES, gradients_of(questions()[row])):
            step, gradient = int(state.count) + 1, gradient.astype(np.float64)
            first = (0.9 * _flat(state.first_moment) + 0.1 * gradient) / (1 - 0.9**step)
            second = (0.999 * _flat(state.second_moment) + 0.001 * gradient**2) / (1 - 0.999**step)
            total += matrix @ (state.learning_rate * first / (np.sqrt(second) + 1e-8)) / 2
        np.testing.assert_allclose(whole.features[row], total / np.linalg.norm(total), rtol=2e-4, atol=1e-5)
    assert whole.kept.tolist() == list(range(11)) and not whole.dropped and not whole.zero.any()


def test_plain_gradients_for_validation(gradients_of):
    found = compute(model(), STATES[:1], questions(), preconditioned=False)
    projected = project(KEY, jnp.asarray(gradients_of(questions()[2])[0])[None], dimension=DIMENSION)[0]
    np.testing.assert_allclose(found.features[2], projected / jnp.linalg.norm(projected), rtol=1e-4, atol=1e-5)
    bare = STATES[0]._replace(first_moment=None, second_moment=None)
    with pytest.raises(ValueError, match="no optimiser state"):
        compute(model(), [bare], questions())


def test_responses_do_not_matter(whole):
    changed = [Instruction(np.where(example.response, 3, example.tokens), example.response) for example in questions()]
    np.testing.assert_array_equal(compute(model(), STATES, changed).features, whole.features)


def test_an_interrupted_run_goes_on_to_the_same_numbers(whole, tmp_path):
    class Killed(Exception):
        pass

    seen = []

    def stop(done, total):
        seen.append((done, total))
        if len(seen) == 2:
            raise Killed

    with pytest.raises(Killed):
        compute(model(), STATES, questions(), folder=tmp_path, on_progress=stop)
    assert json.loads((tmp_path / "features.json").read_text())["done"] == 2
    resumed = compute(model(), STATES, questions(), folder=tmp_path, on_progress=lambda *at: seen.append(at))
    assert len(seen) == 3 and seen[2] == (11, 11) and seen[1][0] < 11
    assert isinstance(resumed.features, np.memmap) and resumed.features.dtype == np.float32
    np.testing.assert_array_equal(resumed.features, whole.features)
    again = compute(model(), STATES, questions(), folder=tmp_path, on_progress=lambda *at: seen.append(at))
    assert len(seen) == 3
    np.testing.assert_array_equal(again.features, whole.features)
    for other in ({"rng_key": jax.random.key(1)}, {"tokens": "all"}, {"kind": "sparse"}):
        with pytest.raises(CheckpointError, match=r"holds features with other .*(key|tokens|kind)"):
            compute(model(), STATES, questions(), folder=tmp_path, **other)
    with pytest.raises(CheckpointError, match="holds features with other data"):
        compute(model(), STATES, questions(seed=5), folder=tmp_path)
    with pytest.raises(CheckpointError, match="holds features with other arrays"):
        compute(model(), STATES[:1], questions(), folder=tmp_path)


@pytest.mark.parametrize("when", ["making", "writing"])
def test_a_full_disk_is_one_clear_error_and_can_be_gone_on_from(when, whole, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate" if when == "making" else "fsync", full)
        with pytest.raises(OSError, match=r"need 0\.0 MiB in .* \(No space left on device\): make room") as caught:
            compute(model(), STATES, questions(), folder=tmp_path)
        assert caught.value.errno == errno.ENOSPC
    found = compute(model(), STATES, questions(), folder=tmp_path)
    np.testing.assert_array_equal(found.features, whole.features)


def test_bad_examples_cost_themselves(whole):
    class Data(list):
        def __getitem__(self, row):
            if row == 2:
                raise PromptError("line 3 is no JSON")
            return super().__getitem__(row)

    none_left = Instruction(np.array([1, 2, 3]), np.array([False, True, True]))
    data = Data([LONGEST, none_left, questions()[1], questions()[3]])
    found = compute(model(), STATES, data)
    assert found.kept.tolist() == [0, 3]
    assert [(bad.row, bad.reason) for bad in found.dropped] == [
        (1, "example 1 has no token left whose loss could be computed"),
        (2, "line 3 is no JSON"),
    ]
    np.testing.assert_allclose(found.features[1], whole.features[3], rtol=1e-4, atol=1e-5)
    with pytest.raises(PromptError, match="none of the 1 examples can be used; first: example 0 has no token left"):
        compute(model(), STATES, [none_left])


def test_a_zero_gradient_has_no_direction_and_is_counted():
    """Adapters whose factors are all zero have no gradient, whatever Adam's moments are."""
    still = [state._replace(lora=jax.tree.map(jnp.zeros_like, lora())) for state in STATES]
    found = compute(model(), still, questions())
    assert found.zero.all() and not found.features.any() and found.kept.tolist() == list(range(11))


def test_eight_devices_equal_one(whole, mesh):
    eight = compute(model(), STATES, questions(), mesh=mesh, batch_size=3)
    np.testing.assert_allclose(eight.features, whole.features, rtol=2e-4, atol=2e-5)


def test_what_does_not_fit_is_refused(mesh):
    other = DECODER.clone(lora=DECODER.lora.__class__(rank=3, targets=DECODER.lora.targets))
    with pytest.raises(ValueError, match="checkpoint 0 has adapters of the shapes"):
        compute(model()._replace(decoder=other), STATES, questions())
    with pytest.raises(ValueError, match="there are no checkpoints"):
        compute(model(), [], questions())
    with pytest.raises(ValueError, match="no projection 'dct'"):
        compute(model(), STATES, questions(), kind="dct")
    with pytest.raises(ValueError, match="axes named 'data' or 'fsdp'"):
        compute(model(), STATES, questions(), mesh=jax.sharding.Mesh(np.array(jax.devices()), ("rows",)))


def test_long_examples_are_cut(whole):
    """An instruction that begins like another and goes on beyond the model's context."""
    instruction = LONGEST.tokens[~LONGEST.response]
    longer = Instruction(np.pad(instruction, (0, CONFIG.max_positions)), np.zeros(len(instruction) + 64, bool))
    found = compute(model(), STATES, [longer, LONGEST], max_length=len(instruction))
    np.testing.assert_allclose(found.features[0], found.features[1], rtol=1e-5)


def test_parts_are_taken_by_whoever_comes_and_joined_to_the_same_numbers(whole, tmp_path):
    """While somebody else holds the first it goes on with the second, where it is interrupted."""
    seen, part = [], tmp_path / "shard-00000-of-00003"

    def stop(done, total):
        seen.append((done, total))
        raise InterruptedError

    with pytest.raises(InterruptedError), working_alone(part):
        compute(model(), STATES, questions(), folder=tmp_path, shards=3, on_progress=stop)
    assert len(seen) == 1 and 0 < seen[0][0] < seen[0][1] == 11 and not (part / "features.json").exists()
    found = compute(model(), STATES, questions(), folder=tmp_path, shards=3)
    np.testing.assert_array_equal(found.features, whole.features)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    again = compute(model(), STATES, questions(), folder=tmp_path, shards=2, on_progress=stop)  # nothing is left to do
    np.testing.assert_array_equal(again.features, whole.features)
    with pytest.raises(CheckpointError, match="holds features with other data"):
        compute(model(), STATES, questions(seed=5), folder=tmp_path, shards=3)
    with pytest.raises(OptionError, match="3 shards need a folder"):
        compute(model(), STATES, questions(), shards=3)


KILLED = """
import os, signal, sys
from tests.experts.test_features import STATES, compute, model, questions

def told(done, total):
    open(os.path.join(sys.argv[2], "begun"), "w").close()
    if sys.argv[1] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)

compute(
    model(), STATES, questions(), folder=os.path.join(sys.argv[2], "features"), shards=2, batch_size=2, on_progress=told
)
"""


@pytest.mark.long
def test_of_two_processes_one_is_killed_and_the_other_ends_with_the_whole(tmp_path):
    """It dies within its part, of which it leaves one batch of three."""
    dies, lives = (
        subprocess.Popen([sys.executable, "-c", KILLED, name, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for name in ("dies", "lives")
    )
    assert dies.wait(timeout=500) == -signal.SIGKILL, dies.stderr.read()
    assert lives.wait(timeout=500) == 0, lives.stderr.read()
    expected = compute(model(), STATES, questions(), batch_size=2).features
    np.testing.assert_array_equal(np.load(tmp_path / "features" / "features.npy"), expected)
