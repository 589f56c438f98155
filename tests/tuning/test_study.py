"""A run from data to tables on a tiny model: what is in the folder, and that an interruption changes no number."""

import csv
import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxuq import tuning
from jaxuq._errors import OptionError
from jaxuq.language import load_peft
from jaxuq.study import Listener, RunFolderError, read_arrays
from tests.language.finetune_run import tiny_model
from tests.language.words import tokenizer

pytestmark = pytest.mark.long
LETTERS = "abcdefg"
COLOURS = ("red", "green", "blue")
METHODS = ["base", "plain", "laplace", "dropout", "ensemble", "tfb", "blob", "ual"]


@pytest.fixture(scope="module")
def model():
    return tiny_model()._replace(tokenizer=tokenizer())


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    pairs = [(first, second) for first in LETTERS for second in LETTERS[:4]]
    rows = [
        {"question": f"what is {a} {b}", "answer": COLOURS[(LETTERS.index(a) + LETTERS.index(b)) % 3],
         "category": "sum", "uncertainty": number % 5}
        for number, (a, b) in enumerate(pairs)
    ]  # fmt: skip
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "other.jsonl").write_text("\n".join(json.dumps(row | {"category": "other"}) for row in rows[::5]))
    (folder / "texts.txt").write_text("what is a red yes no\none two three\n")
    return tuning.TuneConfiguration(
        model="tiny", data=str(folder / "sums.jsonl"), shifted=folder / "other.jsonl", texts=folder / "texts.txt",
        loss=("plain,ual",), posterior=("none,laplace,dropout,ensemble", "tfb,blob"), members=2, samples=3,
        uncertainty="column", epochs=3, learning_rate=0.03, max_length=16, rank=2, options=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(model, configuration, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs") / "whole"
    return tuning.run_tuning(dataclasses.replace(configuration, output=output), model=model)


def _rows(folder, name="results.csv"):
    with (folder.path / name).open() as file:
        return list(csv.DictReader(file))


def test_tables_have_a_row_for_each_part_and_method(whole):
    rows = _rows(whole)
    assert [(row["dataset"], row["method"]) for row in rows] == [
        (part, method) for part in ("sums", "sums-shifted") for method in METHODS
    ]
    for row in rows:
        cell = read_arrays(whole.predictions / f"{row['method']}-0.npz")
        log_probs, labels = (cell[f"{row['dataset']}/{name}"] for name in ("log_probs", "labels"))
        right = log_probs.argmax(1) == labels
        assert float(row["accuracy"]) == pytest.approx(right.mean(), abs=1e-5)
        assert float(row["nll"]) == pytest.approx(-log_probs[np.arange(len(labels)), labels].mean(), abs=1e-4)
        single = row["method"] in ("base", "plain", "ual")
        assert (abs(float(row["epistemic"])) < 1e-6) == single
    assert float(rows[0]["forgetting"]) == 0 and rows[1]["forgetting"] != "" and rows[2]["forgetting"] == ""
    for row in _rows(whole, "summary.csv"):
        assert float(row["nll_lower"]) <= float(row["nll_mean"]) <= float(row["nll_upper"])
    assert whole.record["status"] == "complete" and not whole.checkpoints.exists()


def test_tuning_learnt_something_and_its_adapters_are_peft(whole, model):
    losses = np.loadtxt(whole.path / "adapters/plain-0-0/loss.txt")
    assert losses[-3:].mean() < 0.8 * losses[:3].mean()
    config, lora = load_peft(whole.path / "adapters/plain-0-0", model.decoder.config, scan=True)
    assert config.rank == 2 and np.abs(lora["layers"]["query"]["b"]).max() > 0
    other = load_peft(whole.path / "adapters/plain-0-1", model.decoder.config, scan=True)[1]
    assert np.abs(lora["layers"]["query"]["a"] - other["layers"]["query"]["a"]).max() > 0.01


def test_an_interrupted_run_ends_with_the_same_numbers(whole, model, configuration, tmp_path):
    configuration = dataclasses.replace(configuration, posterior=("none", "ensemble"), output=tmp_path / "run")
    steps = []

    def interrupt(name, done, total, said):
        steps.append(done)
        if len(steps) in (6, 20):  # within the first adapters, and within a later one
            raise KeyboardInterrupt

    listener = Listener(progress=interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tuning.run_tuning(configuration, model=model, listener=listener)
    folder = tuning.run_tuning(configuration, model=model, listener=listener)
    seconds = ("fit_seconds", "predict_seconds")
    expected = {(row["dataset"], row["method"]): row for row in _rows(whole)}
    rows = _rows(folder)
    assert {row["method"] for row in rows} == {"base", "plain", "ensemble", "ual"}
    for row in rows:  # what another posterior does has no influence
        other = expected[row["dataset"], row["method"]]
        assert {k: v for k, v in row.items() if k not in seconds} == {
            k: v for k, v in other.items() if k not in seconds
        }
    again = len(steps)
    tuning.run_tuning(configuration, model=model, listener=listener)
    assert len(steps) == again
    with pytest.raises(RunFolderError, match="epochs: 3 there, 4 here"):
        tuning.run_tuning(dataclasses.replace(configuration, epochs=4), model=model)


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["swag", "sgld"])
def test_chains_spread_around_the_tuned_adapters(whole, model, configuration, posterior):
    from jaxuq.tuning.configuration import finetune_config, normalised

    lora = load_peft(whole.path / "adapters/plain-0-0", model.decoder.config, scan=True)[1]
    options = normalised(dataclasses.replace(configuration, learning_rate=0.01))
    tuned = model._replace(lora=lora, decoder=model.decoder.clone(lora=finetune_config(options).adapters))
    examples = tuning.training_examples(model.tokenizer, tuning.load_split(configuration.data).train)
    around = tuning.Tuned(
        tuned, [lora], examples, None, None, tuning.token_loss("plain"), finetune_config(options), options.samples
    )
    draws, numbers = tuning.POSTERIORS[posterior].functions["draw"](jax.random.key(0), around)
    spread = np.concatenate([np.asarray(leaf.std(0)).ravel() for leaf in jax.tree.leaves(draws)])
    distance = np.concatenate(
        [np.abs(np.asarray(leaf.mean(0) - start)).ravel()
         for leaf, start in zip(jax.tree.leaves(draws), jax.tree.leaves(lora))]
    )  # fmt: skip
    assert numbers["steps"] > 0 and (spread > 0).all() and spread.max() < 1
    assert np.median(distance) < 0.3


def test_the_page_and_the_terminal_show_every_method(whole, capsys):
    from jaxuq.reporting import write_report
    from jaxuq.reporting.tuning_page import print_tuning

    page = write_report(whole.path).read_text()
    print_tuning(whole.path)
    said = capsys.readouterr().out
    for title in ("Before tuning", "Plain tuning", "UAL", "TFB", "BLoB"):
        assert title in page and title in said
    assert "could not be drawn" not in page and "sums-shifted" in page
    assert (whole.path / "figures/sums-reliability.png").is_file()


@pytest.mark.parametrize("mesh", ["data=2,tensor=2", "fsdp=2"])
def test_a_run_on_a_mesh_gives_the_forecasts_of_one_device(mesh, whole, model, configuration, tmp_path):
    """Probabilities, to what Adam's steps make of the rounding of sums in another order."""
    divided = dataclasses.replace(configuration, output=tmp_path / "divided", mesh=mesh)
    folder = tuning.run_tuning(divided, model=model)
    for method in METHODS:
        found, expected = (read_arrays(run.predictions / f"{method}-0.npz") for run in (folder, whole))
        for name in ("sums/log_probs", "sums-shifted/log_probs"):
            found_of, expected_of = np.exp(found[name]), np.exp(expected[name])
            np.testing.assert_allclose(found_of, expected_of, atol=2e-3, err_msg=f"{method} {name}")


def test_rows_that_devices_cannot_share_are_refused_before_anything_is_loaded(configuration, tmp_path):
    divided = dataclasses.replace(configuration, output=tmp_path, mesh="data=4,tensor=2")
    with pytest.raises(
        OptionError, match="--batch-size is 2, and the mesh data=4,tensor=2 divides rows over 4 devices"
    ):
        tuning.run_tuning(divided)
