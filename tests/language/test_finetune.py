"""Fine-tuning learns, resumes to identical numbers after a kill, and gives the same on eight devices."""

import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.experts import load_adapter_checkpoints
from jaxuq.language import (
    FinetuneConfig,
    FinetuneState,
    Instruction,
    cross_entropy,
    finetune,
    finetune_bar,
    learning_rate_schedule,
)
from jaxuq.language.errors import CheckpointError, PromptError
from jaxuq.networks import LoraConfig, quantize_params
from jaxuq.training import load_checkpoint, save_checkpoint
from tests.language.finetune_run import TUNING, examples, tiny_model

ROOT = pathlib.Path(__file__).parent.parent.parent
KEY = jax.random.key(1)
MESH = jax.sharding.Mesh(np.array(jax.devices()[:8]), ("data",))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run with its checkpoints."""
    folder = tmp_path_factory.mktemp("whole")
    return finetune(KEY, tiny_model(), examples(), TUNING, checkpoint=folder), folder


def _assert_close(one, other, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, other)


def test_it_learns_and_leaves_the_base_alone(whole):
    tuned, _ = whole
    assert tuned.history.loss.shape == (21,) and tuned.skipped == 0 and tuned.rejected == ()
    assert tuned.history.tokens.sum() == 3 * 100
    assert tuned.history.loss[-1] < 0.7 * tuned.history.loss[0]
    assert tuned.model.decoder.lora == TUNING.adapters
    _assert_close(tuned.model.params, tiny_model().params, rtol=0)


def test_each_epoch_is_kept_with_its_optimiser(whole):
    tuned, folder = whole
    states = [load_checkpoint(folder / f"epoch-{epoch}", like=tuned.state) for epoch in (1, 2, 3)]
    assert [int(state.step) for state in states] == [7, 14, 21]
    _assert_close(states[-1], tuned.state, rtol=0)
    assert isinstance(states[0], FinetuneState)
    moments = [leaf for state in states for leaf in jax.tree.leaves(state.optimizer_state) if leaf.ndim]
    assert all(np.abs(leaf).max() > 0 for leaf in moments)


def test_each_epoch_can_be_read_for_gradient_features(whole, tmp_path):
    tuned, folder = whole
    checkpoints = load_adapter_checkpoints(folder)
    assert [int(checkpoint.count) for checkpoint in checkpoints] == [7, 14, 21]
    _assert_close(checkpoints[-1].lora, tuned.state.trained, rtol=0)
    adam = tuned.state.optimizer_state[1][0]
    _assert_close(checkpoints[-1].first_moment, adam.mu, rtol=0)
    _assert_close(checkpoints[-1].second_moment, adam.nu, rtol=0)
    rates = [learning_rate_schedule(TUNING, 21)(np.arange(start, start + 7)).mean() for start in (0, 7, 14)]
    np.testing.assert_allclose([checkpoint.learning_rate for checkpoint in checkpoints], rates, rtol=1e-6)
    assert checkpoints[0][5:] == (TUNING.beta1, TUNING.beta2, TUNING.epsilon)
    for name in ("run.json", "schedule.json"):
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(CheckpointError, match="no complete epoch yet"):
        load_adapter_checkpoints(tmp_path)
    save_checkpoint(tmp_path / "epoch-1", {"trained": tuned.state.trained, "optimizer_state": None})
    with pytest.raises(CheckpointError, match="epoch-1 has no optimiser state"):
        load_adapter_checkpoints(tmp_path)


def test_a_finished_run_is_not_run_again(whole):
    tuned, folder = whole
    calls = []
    again = finetune(KEY, tiny_model(), examples(), TUNING, checkpoint=folder, on_progress=calls.append)
    assert calls == []
    _assert_close(again.model.lora, tuned.model.lora, rtol=0)
    np.testing.assert_array_equal(again.history.loss, tuned.history.loss)


def _other_answers(data):
    """Of the same lengths."""
    return [one._replace(tokens=np.where(one.response, 6, one.tokens)) for one in data]


def _other_lesson(data):
    """The same tokens, of which others are to be learnt."""
    return [one._replace(response=np.arange(len(one.tokens)) > 0) for one in data]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"config": FinetuneConfig(max_length=16, epochs=2)}, "config"),
        ({"key": jax.random.key(2)}, "key"),
        ({"data": examples(49)}, "data"),
        ({"data": _other_answers(examples())}, "data"),
        ({"data": _other_lesson(examples())}, "data"),
        ({"data": examples()[::-1]}, "data"),
        ({"model": tiny_model()._replace(params=jax.tree.map(lambda leaf: leaf * 1.5, tiny_model().params))}, "model"),
        ({"loss": lambda *given: 2 * cross_entropy(*given)}, "loss"),
    ],
)
def test_the_folder_of_another_run_is_refused(whole, changed, name):
    with pytest.raises(CheckpointError, match=f"another .*{name}"):
        finetune(
            changed.get("key", KEY), changed.get("model", tiny_model()), changed.get("data", examples()),
            changed.get("config", TUNING), token_loss=changed.get("loss", cross_entropy), checkpoint=whole[1],
        )  # fmt: skip


@pytest.mark.long
def test_a_killed_run_ends_with_the_numbers_of_an_uninterrupted_one(tmp_path):
    """`kill -9` in the middle of an epoch, between two checkpoints; then the same command again."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),  # the second and third process compile nothing
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }

    def command(name, delay):
        (tmp_path / name).mkdir(exist_ok=True)
        arguments = [str(tmp_path / name), str(tmp_path / name / "checkpoints"), str(delay)]
        return [sys.executable, "-m", "tests.language.finetune_run", *arguments]

    with subprocess.Popen(command("killed", 0.3), env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT) as run:
        for line in run.stdout:
            if line.strip() == "10":
                run.send_signal(signal.SIGKILL)
                break
    assert run.returncode == -signal.SIGKILL and not (tmp_path / "killed" / "result.npz").exists()
    resumed = subprocess.run(
        command("killed", 0), env=environment, check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout.split()
    assert resumed[0] != "1" and resumed[-1] == "21" and len(resumed) < 15
    subprocess.run(command("whole", 0), env=environment, check=True, capture_output=True, cwd=ROOT)
    with np.load(tmp_path / "killed/result.npz") as one, np.load(tmp_path / "whole/result.npz") as other:
        assert sorted(one) == sorted(other) and len(one) > 4
        for name in other:
            np.testing.assert_array_equal(one[name], other[name])


def test_eight_devices_give_what_one_gives(whole):
    config = FinetuneConfig(TUNING.adapters, batch_size=8, max_length=16, learning_rate=0.03, max_steps=4)
    one = finetune(KEY, tiny_model(), examples(200), config)
    eight = finetune(KEY, tiny_model(), examples(200), config, mesh=MESH)
    assert len(jax.tree.leaves(eight.model.lora)[0].sharding.device_set) == 8
    np.testing.assert_allclose(eight.history.loss, one.history.loss, rtol=1e-5)
    _assert_close(eight.model.lora, one.model.lora, rtol=2e-3, atol=2e-4)


def test_all_parameters_can_be_trained_in_bfloat16():
    config = FinetuneConfig(
        None, epochs=4, batch_size=2, max_length=40, learning_rate=0.01, dtype="bfloat16", remat=True
    )
    model = tiny_model()
    tuned = finetune(KEY, model, examples(), config)
    assert tuned.model.lora is None and tuned.history.loss[-1] < 0.8 * tuned.history.loss[0]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(tuned.model.params))
    assert not np.allclose(tuned.model.params["embedding"], model.params["embedding"])


def test_adapters_go_on_from_those_of_the_model(whole):
    config = FinetuneConfig(TUNING.adapters, batch_size=8, max_length=16, learning_rate=0.0, max_steps=1)
    again = finetune(KEY, whole[0].model, examples(), config)
    _assert_close(again.model.lora, whole[0].model.lora, rtol=0)
    assert again.history.loss[0] < 0.8 * whole[0].history.loss[0]


def test_bad_examples_cost_themselves_and_progress_is_shown(capsys):
    class Data(list):
        def __getitem__(self, row):
            if row == 3:
                raise PromptError("line 4 is bad")
            return super().__getitem__(row)

    config = FinetuneConfig(LoraConfig(rank=1), batch_size=8, max_length=16, packed=False)
    seen = []
    with finetune_bar() as bar:

        def on_progress(progress):
            seen.append(progress)
            bar(progress)

        data = Data([*examples(20), Instruction(np.arange(30), np.ones(30, bool))])
        tuned = finetune(KEY, tiny_model(), data, config, on_progress=on_progress)
    assert [item.row for item in tuned.rejected] == [3, 20] and tuned.history.tokens.sum() == 2 * 19
    assert [progress.step for progress in seen] == [1, 2, 3] and seen[-1].num_steps == 3
    assert seen[-1].loss == tuned.history.loss[-1] and seen[-1].tokens_per_second > 0
    assert "loss" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_with_the_examples_named():
    def nothing(logits, tokens, examples):
        return jnp.full(tokens.shape, jnp.nan)

    config = FinetuneConfig(LoraConfig(rank=1), batch_size=1, max_length=16, packed=False)
    with pytest.raises(FloatingPointError, match=r"3 steps in a row, lastly in step 3 with the examples \[\d+\]"):
        finetune(KEY, tiny_model(), examples(6), config, token_loss=nothing)
    with pytest.raises(FloatingPointError, match="in any of the 2 steps"):
        finetune(KEY, tiny_model(), examples(2), dataclasses.replace(config, epochs=1), token_loss=nothing)


def test_what_does_not_fit_is_refused():
    model = tiny_model()
    adapters = LoraConfig(rank=1)
    for config, other, mesh, message in (
        (FinetuneConfig(max_length=100), model, None, "model's context is 64"),
        (
            FinetuneConfig(adapters, batch_size=6, max_length=16),
            model,
            MESH,
            "6 rows at a time cannot be divided over 8",
        ),
        (FinetuneConfig(adapters, max_length=16), model, jax.sharding.Mesh(MESH.devices, ("x",)), "axes named 'data'"),
        (FinetuneConfig(None, max_length=16), model._replace(params=quantize_params(model.params)), None, "quantised"),
        (FinetuneConfig(None, max_length=16), model._replace(lora={}), None, "merge them"),
        (FinetuneConfig(adapters, max_length=16), model._replace(lora={}), None, "the model has the adapters None"),
    ):
        with pytest.raises(ValueError, match=message):
            finetune(KEY, other, examples(), config, mesh=mesh)
