"""The benchmark's numbers against NumPy and scikit-learn, and the promises of its result folder."""

import csv
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import log_loss, roc_auc_score

from jaxuq.molecules import DataError
from jaxuq.molecules.muben import METHODS, MubenConfiguration, binned_scores, run_muben, select_methods
from jaxuq.molecules.muben.methods import task_types
from jaxuq.study import RunFolderError, read_arrays

from .conftest import TINY


def _rows(folder):
    with (folder.path / "results.csv").open() as file:
        return list(csv.DictReader(file))


def _numbers(folder):
    """What must not depend on how a run came about: all but the seconds."""
    return [{key: value for key, value in row.items() if not key.endswith("seconds")} for row in _rows(folder)]


def test_every_method_and_seed_has_a_row_and_predictions(regression_run):
    folder, _ = regression_run
    names = [name for name, method in METHODS.items() if "regression" in task_types(method)]
    assert [(row["method"], int(row["seed"])) for row in _rows(folder)] == [(n, s) for n in names for s in (0, 1)]
    assert list(_rows(folder)[0])[:8] == ["dataset", "split", "backbone", "method", "seed", "rmse", "mae", "r2"]
    assert {path.name for path in folder.predictions.iterdir()} == {
        *(f"{name}-seed{seed}.{kind}" for name in names for seed in (0, 1) for kind in ("npz", "csv")),
    }
    record = json.loads((folder.path / "run.json").read_text())
    assert record["status"] == "complete" and record["task_names"] == ["energy", "double"]
    assert not folder.checkpoints.exists()


def test_forecasts_can_be_opened_with_the_molecules_that_they_are_of(regression_run, classification_run):
    import pandas

    for folder, of in ((regression_run[0], "mean"), (classification_run[0], "logits")):
        table = pandas.read_csv(folder.predictions / "ensemble-seed1.csv")
        cell = read_arrays(folder.predictions / "ensemble-seed1.npz")
        assert table["smiles"].tolist() == np.repeat(cell["test_smiles"], 2).tolist()
        assert table["task"].tolist()[:2] == json.loads((folder.path / "run.json").read_text())["task_names"]
        np.testing.assert_allclose(table[of], cell[f"test_{of}"].ravel(), rtol=1e-5)
        assert (table["label"].isna() == ~cell["test_mask"].ravel()).all()


def test_regression_columns_equal_numpy_on_the_stored_predictions(regression_run):
    folder, _ = regression_run
    for row in _rows(folder):
        cell = read_arrays(folder.predictions / f"{row['method']}-seed{row['seed']}.npz")
        mean, labels, mask = cell["test_mean"], cell["test_labels"], cell["test_mask"]
        variance = cell["test_aleatoric"] + cell["test_epistemic"]
        tasks = range(labels.shape[1])
        expected = {
            "rmse": [np.sqrt(np.mean((mean - labels)[mask[:, t], t] ** 2)) for t in tasks],
            "mae": [np.mean(np.abs(mean - labels)[mask[:, t], t]) for t in tasks],
            "nll": [-norm.logpdf(labels, mean, np.sqrt(variance))[mask[:, t], t].mean() for t in tasks],
        }
        for name, values in expected.items():
            np.testing.assert_allclose(float(row[name]), np.mean(values), rtol=2e-4, err_msg=f"{row['method']} {name}")


def test_ensemble_is_the_mixture_of_its_members_and_its_first_member_is_the_deterministic_network(regression_run):
    folder, _ = regression_run
    ensemble = read_arrays(folder.predictions / "ensemble-seed0.npz")
    alone = read_arrays(folder.predictions / "deterministic-seed0.npz")
    assert (ensemble["test_epistemic"] > 0).all() and (alone["test_epistemic"] == 0).all()
    other = 2 * ensemble["test_mean"] - alone["test_mean"]  # two members: the mean gives the second
    np.testing.assert_allclose(ensemble["test_epistemic"], (alone["test_mean"] - other) ** 2 / 4, rtol=2e-3, atol=1e-6)


def test_post_hoc_methods_keep_or_map_the_deterministic_forecast(regression_run):
    folder, _ = regression_run
    alone = read_arrays(folder.predictions / "deterministic-seed1.npz")
    scaled = read_arrays(folder.predictions / "variance-scaling-seed1.npz")
    np.testing.assert_array_equal(scaled["test_mean"], alone["test_mean"])
    ratio = scaled["test_aleatoric"] / alone["test_aleatoric"]
    error = (alone["valid_mean"] - alone["valid_labels"]) ** 2 / alone["valid_aleatoric"]
    for task in range(2):
        expected = error[alone["valid_mask"][:, task], task].mean()
        np.testing.assert_allclose(ratio[:, task], expected, rtol=1e-3)


def test_a_method_has_the_same_numbers_alone_and_among_others(regression_run, tmp_path):
    folder, configuration = regression_run
    few = dataclasses.replace(configuration, methods="swag,deterministic", output=tmp_path / "few")
    alone = {(row["method"], row["seed"]): row for row in _numbers(run_muben(few))}
    together = {(row["method"], row["seed"]): row for row in _numbers(folder)}
    for cell, row in alone.items():
        assert row == together[cell], cell


def test_a_finished_run_is_not_computed_again(regression_run, monkeypatch):
    folder, configuration = regression_run
    before = _rows(folder)
    monkeypatch.setattr("jaxuq.molecules.muben.forecasting.fit", None)  # any training would fail
    assert _rows(run_muben(configuration)) == before


def test_a_damaged_cell_is_computed_again_to_the_same_numbers(regression_run):
    folder, configuration = regression_run
    before, cell = _numbers(folder), folder.predictions / "mc-dropout-seed1.npz"
    cell.write_bytes(cell.read_bytes()[:100])
    assert _numbers(run_muben(configuration)) == before


def test_another_configuration_is_refused(regression_run):
    _, configuration = regression_run
    with pytest.raises(RunFolderError, match=r"epochs: 4 there, 5 here"):
        run_muben(dataclasses.replace(configuration, epochs=5))


def test_summary_is_the_mean_and_deviation_over_seeds(regression_run):
    folder, _ = regression_run
    rows = _rows(folder)
    with (folder.path / "summary.csv").open() as file:
        for line in csv.DictReader(file):
            values = [float(row["rmse"]) for row in rows if row["method"] == line["method"]]
            np.testing.assert_allclose(float(line["rmse_mean"]), np.mean(values), rtol=1e-6)
            np.testing.assert_allclose(float(line["rmse_std"]), np.std(values, ddof=1), rtol=1e-5, atol=1e-9)
            assert float(line["rmse_lower"]) < float(line["rmse_mean"]) < float(line["rmse_upper"])


def test_classification_columns_equal_scikit_learn_and_leave_out_the_one_class_task(classification_run):
    folder, _ = classification_run
    for row in _rows(folder):
        cell = read_arrays(folder.predictions / f"{row['method']}-seed{row['seed']}.npz")
        logits, labels = cell["test_logits"], cell["test_labels"]
        np.testing.assert_allclose(float(row["auroc"]), roc_auc_score(labels[:, 0], logits[:, 0]), rtol=1e-5)
        probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
        losses = [log_loss(labels[:, t], probabilities[:, t], labels=[0, 1]) for t in range(2)]
        np.testing.assert_allclose(float(row["nll"]), np.mean(losses), rtol=1e-4)
    notes = json.loads((folder.path / "run.json").read_text())["notes"]
    assert any(note.startswith("constant:") and "one class only" in note for note in notes)


def test_scores_of_a_bin_are_those_of_its_molecules(regression_run):
    folder, _ = regression_run
    cell = read_arrays(folder.predictions / "swag-seed0.npz")
    bins = np.arange(len(cell["test_labels"])) % 2
    for number, scores in enumerate(binned_scores(folder, "swag", 0, bins)):
        error, mask = (cell["test_mean"] - cell["test_labels"])[bins == number], cell["test_mask"][bins == number]
        expected = np.mean([np.sqrt(np.mean(error[mask[:, task], task] ** 2)) for task in range(2)])
        assert scores["rmse"] == pytest.approx(expected, rel=1e-5)
    assert binned_scores(folder, "absent", 0, bins) is None
    with pytest.raises(ValueError, match="9 bins for 8 test molecules"):
        binned_scores(folder, "swag", 0, np.zeros(9, int))


def test_temperature_keeps_the_ranking(classification_run):
    folder, _ = classification_run
    by_method = {row["method"]: row for row in _rows(folder) if row["seed"] == "0"}
    assert by_method["temperature"]["auroc"] == by_method["deterministic"]["auroc"]


def test_muben_convention_changes_the_published_columns_only(regression_run, tmp_path):
    folder, configuration = regression_run
    published = run_muben(
        dataclasses.replace(
            configuration, methods="deterministic,ensemble", convention="muben", output=tmp_path / "published"
        )
    )
    exact = {(row["method"], row["seed"]): row for row in _rows(folder)}
    for row in _rows(published):
        other = exact[row["method"], row["seed"]]
        assert row["rmse"] == other["rmse"] and row["mae"] == other["mae"]
        if row["method"] == "deterministic":  # no epistemic part: only the constant differs
            assert float(other["nll"]) - float(row["nll"]) == pytest.approx(0.5 * np.log(2 * np.pi), abs=1e-4)
        else:
            assert float(row["sharpness"]) < float(other["sharpness"]), "the mean of variances leaves the mixture out"


def test_random_splits_differ_between_seeds(regression_csv, tmp_path):
    configuration = MubenConfiguration(
        dataset=str(regression_csv),
        output=tmp_path / "random",
        **{**TINY, "epochs": 1},
        split="random",
        methods="deterministic",
    )
    folder = run_muben(configuration)
    labels = [read_arrays(folder.predictions / f"deterministic-seed{seed}.npz")["test_labels"] for seed in (0, 1)]
    assert not np.array_equal(*labels)


def test_frozen_backbone_trains_the_output_layer_only():
    import jax
    import jax.numpy as jnp

    from jaxuq.molecules.muben import Recipe
    from jaxuq.molecules.muben.objectives import make_optimizer
    from jaxuq.molecules.muben.setting import Setting

    problem = SimpleNamespace(train=SimpleNamespace(labels=np.zeros((8, 1))))
    setting = Setting(problem, None, Recipe(1e-2, 8, 1, 1), 3, True, False, None)  # type: ignore[arg-type]
    params = {"hidden_0": {"kernel": jnp.ones((2, 2))}, "output": {"kernel": jnp.ones((2, 1))}}
    optimizer = make_optimizer(setting)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    assert not updates["hidden_0"]["kernel"].any() and updates["output"]["kernel"].all()


def test_method_names():
    assert select_methods("all", "classification")[:3] == ["deterministic", "temperature", "focal"]
    with pytest.raises(DataError, match=r"unknown method 'swagg'; did you mean swag"):
        select_methods("swagg", "regression")
    with pytest.raises(DataError, match="'focal' is for classification"):
        select_methods("deterministic,focal", "regression")
    with pytest.raises(DataError, match="no method is named"):
        select_methods(" , ", "regression")
