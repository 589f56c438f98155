"""Kept models: the same forecasts from their folder, the promise on new molecules, and the command."""

import csv
import json
import shlex
import subprocess
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro
from safetensors.numpy import load_file
from scipy import stats

from jaxuq.calibration import FittedError, conformal_threshold
from jaxuq.cli.main import main
from jaxuq.cli.molecules import FitMolecules, SearchMolecules, _endless
from jaxuq.molecules import DataError, load_molecules, morgan_fingerprints
from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.fitted import (
    MoleculeRecipe,
    choose_molecules,
    divide_molecules,
    export_molecules,
    fit_molecules,
    load_molecules_model,
    named_parts,
    predict_molecules,
    save_molecules,
    score_forecast,
    write_forecast,
)
from jaxuq.molecules.muben.heads import likelihood_head

RECIPE = MoleculeRecipe("morgan", members=2, epochs=8, level=0.8, width=64, depth=1)
SMALL = ["--members", "2", "--width", "16", "--depth", "1"]
NEW = ["CCO", "not a molecule", "", "c1ccccc1C(=O)O", "CCCCCCCC", " CCO "]


@pytest.fixture(scope="module")
def some():
    return load_molecules("esol").take(range(0, 1128, 5))


@pytest.fixture(scope="module")
def fitted(some):
    rows = divide_molecules(some.smiles, "random", fractions=(0.5, 0.1, 0.3, 0.1))
    return rows, fit_molecules(jax.random.key(0), some, rows, RECIPE)


@pytest.mark.parametrize("split", ["scaffold", "random"])
def test_parts_share_no_molecule_and_training_no_scaffold_with_calibration(some, split):
    rows = divide_molecules(some.smiles, split, seed=3)
    together = np.concatenate(rows)
    assert sorted(together) == list(range(len(some.smiles)))
    if split == "scaffold":
        scaffolds = run_rdkit("scaffolds", some.smiles, {"include_chirality": True}).values
        seen = {scaffolds[row] for row in (*rows.train, *rows.valid)}
        assert not seen & {scaffolds[row] for row in (*rows.calibrate, *rows.test)}
    again = divide_molecules(some.smiles, split, seed=3)
    assert all((a == b).all() for a, b in zip(rows, again))
    assert (divide_molecules(some.smiles, split, seed=4).calibrate[:5] != rows.calibrate[:5]).any()


def test_fractions_are_checked(some):
    for wrong in ((0.5, 0.5, 0.0, 0.0), (0.5, 0.1, 0.1, 0.1), (0.9, 0.1, 0.1, -0.1)):
        with pytest.raises(DataError, match="four that sum to 1"):
            divide_molecules(some.smiles, fractions=wrong)
    with pytest.raises(DataError, match="too few for a valid part"):
        divide_molecules(some.smiles[:4], "random")
    assert not len(divide_molecules(some.smiles, fractions=(0.7, 0.1, 0.2, 0.0)).test)


def test_the_folder_gives_the_same_forecasts_whatever_the_company(fitted, tmp_path):
    _, model = fitted
    save_molecules(tmp_path / "model", model)
    again = load_molecules_model(tmp_path / "model")
    expected, found = predict_molecules(model, NEW), predict_molecules(again, NEW)
    for name, part in expected._asdict().items():
        np.testing.assert_array_equal(getattr(found, name), part)
    assert found.errors == ["", "RDKit cannot read it", "no SMILES", "", "", ""]
    assert np.isnan(found.mean[1:3]).all() and not np.isnan(found.mean[[0, 3, 4, 5]]).any()
    for row in (0, 3, 4):
        alone = predict_molecules(again, [NEW[row]])
        np.testing.assert_allclose(alone.upper[0], found.upper[row], rtol=1e-5)
    np.testing.assert_array_equal(found.mean[0], found.mean[5])  # blanks around a SMILES say nothing
    empty = predict_molecules(again, [])
    assert empty.mean.shape == (0, 1) and empty.lower.shape == (0, 1)


def test_the_arithmetic_after_the_network_needs_numpy_alone(fitted, tmp_path):
    _, model = fitted
    save_molecules(tmp_path, model)
    record = json.loads((tmp_path / "fitted.json").read_text())
    states = load_file(tmp_path / record["files"]["states"]["name"])
    found = predict_molecules(model, ["CCO", "c1ccccc1C(=O)O"])
    half = states["conformal/thresholds"][0] * np.sqrt(found.aleatoric + found.epistemic)
    np.testing.assert_allclose(found.upper, found.mean + half, rtol=1e-5)
    np.testing.assert_allclose(found.lower, found.mean - half, rtol=1e-5)


def test_similarity_and_familiarity(fitted, some):
    rows, model = fitted
    seen = [some.smiles[row] for row in rows.train[:5]]
    found = predict_molecules(model, [*seen, *(some.smiles[row] for row in rows.calibrate)])
    np.testing.assert_array_equal(found.similarity[:5], 1)
    usual = found.familiarity[5:, 0]  # of the calibration molecules themselves: ranks 1 to n
    np.testing.assert_allclose(np.sort(usual), (np.arange(len(usual)) + 2) / (len(usual) + 1), atol=1.5 / len(usual))


@pytest.mark.long
def test_sets_of_classes():
    data = load_molecules("bace").take(range(0, 1513, 6))
    rows = divide_molecules(data.smiles, "random", fractions=(0.5, 0.1, 0.2, 0.2))
    model = fit_molecules(jax.random.key(1), data, rows, RECIPE._replace(calibrator="venn-abers"))
    test = data.take(rows.test)
    forecast = predict_molecules(model, test.smiles)
    assert forecast.lower is None and forecast.classes.shape == (len(rows.test), 1, 2)
    assert ((forecast.mean > 0) & (forecast.mean < 1)).all()  # Venn-Abers is never certain
    scores = score_forecast(forecast, test)["Class"]
    held = forecast.classes[np.arange(len(rows.test)), 0, test.labels[:, 0].astype(int)]
    assert scores["coverage"] == pytest.approx(held.mean())
    assert scores["size"] == pytest.approx(forecast.classes.sum(-1).mean())


@pytest.mark.long
@pytest.mark.parametrize("split", ["random", "scaffold"])
def test_intervals_hold_on_new_molecules(split):
    """Over 20 divisions of ESOL; by scaffold too, since calibration sees scaffolds that training has not."""
    data = load_molecules("esol")
    hits, count, mean = 0, 0, 0.0
    for seed in range(20):
        rows = divide_molecules(data.smiles, split, fractions=(0.5, 0.1, 0.3, 0.1), seed=seed)
        model = fit_molecules(jax.random.key(seed), data, rows, RECIPE)
        test = data.take(rows.test)
        forecast = predict_molecules(model, test.smiles)
        held = (forecast.lower <= test.labels) & (test.labels <= forecast.upper)
        hits, count, mean = hits + held.sum(), count + held.size, mean + held.mean() / 20
    # Thresholds of one division are shared by its test molecules: the spread of Beta coverages comes on top.
    size = int(0.3 * 1128 / 2)
    spread = np.sqrt(0.8 * 0.2 * (1 / count + 1 / (20 * size)))
    assert abs(hits / count - 0.8) < 4 * spread + 1 / size


def test_the_command_fits_and_forecasts(tmp_path, some, capsys):
    path = tmp_path / "mine.csv"
    lines = [f"{text},{label[0]},x" for text, label in zip(some.smiles, some.labels)]
    path.write_text("\n".join(["SMILES,logS,comment", *lines, "nonsense,1.0,x"]) + "\n")
    options = ["--output", str(tmp_path / "model"), "--backbone", "morgan", "--epochs", "4", *SMALL]
    main(["molecules", "fit", str(path), *options, "--level", "0.8", "--fractions", "0.5", "0.1", "0.2", "0.2"])
    told = capsys.readouterr()
    said = (
        "226 molecules, SMILES from SMILES, regression of logS; by scaffold: train 113, valid 23, calibrate 45, test 45"
    )
    assert said in told.err and "1 rows left out" in told.err
    assert "coverage" in told.out and (tmp_path / "model" / "test.csv").is_file()

    new = tmp_path / "new.csv"
    new.write_text("id;smiles;logS\n1;C\u200bCO;-0.1\n2;nonsense\n3;c1ccccc1;\n")
    output = tmp_path / "forecasts.csv"
    main(["molecules", "predict", str(tmp_path / "model"), str(new), "--output", str(output)])
    with output.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["smiles"] for row in rows] == ["CCO", "nonsense", "c1ccccc1"]
    assert [(row["id"], row["logS_given"]) for row in rows] == [("1", "-0.1"), ("2", ""), ("3", "")]
    assert float(rows[0]["logS_lower"]) < float(rows[0]["logS"]) < float(rows[0]["logS_upper"])
    assert rows[1]["logS"] == "" and rows[1]["error"] == "RDKit cannot read it"
    assert "1 of 3 molecules have no forecast; the first: 'nonsense', RDKit cannot read it" in capsys.readouterr().err
    listed = tmp_path / "list.txt"
    listed.write_text("CCO\nCCC\n")
    main(["molecules", "predict", str(tmp_path / "model"), str(listed)])
    assert len((tmp_path / "model" / "forecasts.csv").read_text().splitlines()) == 3

    for wrong, said in ((["predict", str(tmp_path), str(new)], "holds no model"), (["fit", "esoll"], "esoll")):
        with pytest.raises(SystemExit) as ended:
            main(["molecules", *wrong])
        assert ended.value.code == 2 and said in capsys.readouterr().err


def test_forecasts_end_where_labels_do(fitted, some, tmp_path):
    rows, model = fitted
    test = some.take(rows.test)
    plain = predict_molecules(model, test.smiles)
    low, high = float(plain.lower.mean()), float(plain.upper.mean())
    save_molecules(tmp_path, model._replace(label_range=(low, high)))
    ended = predict_molecules(load_molecules_model(tmp_path), test.smiles)
    for name in ("mean", "lower", "upper"):
        np.testing.assert_array_equal(getattr(ended, name), np.clip(getattr(plain, name), low, high))
    assert (ended.lower > plain.lower).any() and (ended.upper < plain.upper).any()
    labels = np.random.default_rng(0).uniform(low, high, plain.mean.shape)
    held = [(one.lower <= labels) & (labels <= one.upper) for one in (plain, ended)]
    np.testing.assert_array_equal(*held)
    for wrong, said in (((0.0, 1.0), "labels are out of the range 0 to 1, the first"), ((1.0, 0.0), "lower end first")):
        with pytest.raises(ValueError, match=said):
            fit_molecules(jax.random.key(0), some, rows, RECIPE, label_range=wrong)


_LONG = [pytest.param(1e30, 0.0, marks=pytest.mark.long), pytest.param(1.0, 1e7, marks=pytest.mark.long)]


@pytest.mark.parametrize(("size", "shift"), [(1e-30, 0.0), *_LONG])
def test_labels_of_any_size_give_the_same_model_in_other_units(some, size, shift, tmp_path):
    rows = divide_molecules(some.smiles[:60], "random", fractions=(0.4, 0.2, 0.2, 0.2))
    data = some.take(range(60))
    recipe = RECIPE._replace(epochs=3, level=0.6)
    plain = fit_molecules(jax.random.key(0), data, rows, recipe)
    other = data._replace(labels=data.labels * size + shift)
    save_molecules(tmp_path, fit_molecules(jax.random.key(0), other, rows, recipe))
    one, two = (predict_molecules(model, NEW) for model in (plain, load_molecules_model(tmp_path)))
    for name, power in (("mean", 1), ("upper", 1), ("lower", 1), ("aleatoric", 2), ("epistemic", 2)):
        expected = getattr(one, name) * size**power + (shift if power == 1 else 0)
        np.testing.assert_allclose(getattr(two, name), expected, rtol=1e-3 if shift == 0 or power == 2 else 1e-10)
    scores = [
        score_forecast(predict_molecules(model, held.smiles), held)[data.task_names[0]]
        for model, held in ((plain, data.take(rows.test)), (load_molecules_model(tmp_path), other.take(rows.test)))
    ]
    assert scores[1]["rmse"] == pytest.approx(size * scores[0]["rmse"], rel=1e-3)
    assert scores[1]["nll"] == pytest.approx(scores[0]["nll"] + np.log(size), rel=1e-3)
    assert scores[1]["coverage"] == scores[0]["coverage"]
    chosen = [choose_molecules(model, NEW, 3).rows.tolist() for model in (plain, load_molecules_model(tmp_path))]
    assert chosen[0] == chosen[1]
    write_forecast(tmp_path / "out.csv", two)
    with (tmp_path / "out.csv").open() as file:
        written = [float(row[data.task_names[0]] or "nan") for row in csv.DictReader(file)]
    np.testing.assert_allclose(written - np.float64(shift), two.mean[:, 0] - shift, rtol=1e-4)


def test_a_weight_of_two_is_the_molecule_twice():
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(4, 2, 2)).astype(np.float32), rng.normal(size=(4, 2)).astype(np.float32)
    where, weights = rng.random((4, 2)) < 0.7, np.array([2, 1, 0, 3], np.float32)
    head, twice = likelihood_head("regression"), np.repeat(np.arange(4), [2, 1, 0, 3])
    expected = head.loss(*(jnp.asarray(part[twice]) for part in (outputs, labels, where)))
    assert float(head.loss(*map(jnp.asarray, (outputs, labels, where, weights)))) == pytest.approx(
        float(expected), rel=1e-6
    )


def test_weights_reach_training(some):
    rows = divide_molecules(some.smiles[:60], "random", fractions=(0.4, 0.2, 0.2, 0.2))
    recipe = RECIPE._replace(members=1, epochs=2, calibrator=None, conformal=None)
    data = some.take(range(60))
    found = [
        predict_molecules(fit_molecules(jax.random.key(0), data._replace(weights=weights), rows, recipe), NEW).mean
        for weights in (np.full(60, 3.0), np.arange(60.0))
    ]
    assert (np.abs(found[0] - found[1])[[0, 3]] > 1e-3).all()


def test_bounds_are_learnt_from_and_neither_calibrate_nor_score(some):
    rows = divide_molecules(some.smiles, "random", fractions=(0.5, 0.1, 0.3, 0.1))
    recipe = RECIPE._replace(epochs=3, members=1, learning_rate=3e-3)
    bounds = np.zeros(some.labels.shape, np.int8)
    bounds[rows.train[:20]], bounds[rows.calibrate[:5]], bounds[rows.test[:3]] = 1, -1, 1
    known = some._replace(bounds=bounds)
    one = fit_molecules(jax.random.key(0), known, rows, recipe)

    def with_labels(of, value):
        labels = some.labels.copy()
        labels[of] = value
        return known._replace(labels=labels)

    held = np.concatenate([rows.calibrate[:5], rows.test[:3]])
    other = fit_molecules(jax.random.key(0), with_labels(held, 1e6), rows, recipe)
    jax.tree.map(np.testing.assert_array_equal, one.forecaster, other.forecaster)
    test = known.take(rows.test)
    scores = score_forecast(predict_molecules(one, test.smiles), test)
    exact = known.take(rows.test[3:]).exact()
    (expected,), (found,) = score_forecast(predict_molecules(one, exact.smiles), exact).values(), scores.values()
    assert found == pytest.approx(expected)
    other = [some, with_labels(rows.train[:20], 8.0)]  # no bounds, and others
    models = [one, *(fit_molecules(jax.random.key(0), data, rows, recipe) for data in other)]
    assert len({predict_molecules(model, NEW).mean[0, 0] for model in models}) == 3


@pytest.mark.parametrize("bounds", [None, np.array([[0, 1], [-1, 0]], np.int8)])
def test_the_loss_of_regression_is_that_of_bounds_where_there_are_some(bounds):
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 2)), jnp.float32)
    labels, where = jnp.array([[0.5, 1.0], [-1.0, 0.3]]), jnp.array([[True, True], [True, False]])
    given = None if bounds is None else jnp.asarray(bounds)
    found = likelihood_head("regression").loss(outputs, labels, where, None, given)
    total = 0.0
    for row, task in [(0, 0), (0, 1), (1, 0)]:
        mean, raw = outputs[row, task]
        label = stats.norm(mean, np.sqrt(np.log1p(np.exp(raw)) + 1e-6))
        side = 0 if bounds is None else int(bounds[row, task])
        total -= {0: label.logpdf, 1: label.logsf, -1: label.logcdf}[side](labels[row, task])
    assert float(found) == pytest.approx(total / 3, rel=1e-5)


def test_parts_of_a_column(some, tmp_path, capsys):
    spelled = ["train"] * 30 + ["val"] * 20 + ["test"] * 10
    data = some.take(range(60))._replace(parts=tuple({"val": "valid"}.get(one, one) for one in spelled))
    rows = named_parts(data)
    assert [len(part) for part in rows] == [30, 10, 10, 10]
    assert sorted([*rows.valid, *rows.calibrate]) == list(range(30, 50)) and rows.test.tolist() == list(range(50, 60))
    assert named_parts(data._replace(parts=("calibrate",) * 5 + data.parts[5:])).calibrate.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DataError, match="the train part that the file names is empty"):
        named_parts(data._replace(parts=("valid",) * 60))
    path = tmp_path / "mine.csv"
    lines = [f"{text},{label[0]},{part}" for text, label, part in zip(data.smiles, data.labels, spelled)]
    path.write_text("\n".join(["smiles,logS,set", *lines, f"{data.smiles[0]},0.5,test"]) + "\n")
    options = ["--backbone", "morgan", "--epochs", "2", "--targets", "logS", "--part-column", "set", *SMALL]
    main(["molecules", "fit", str(path), "--output", str(tmp_path / "model"), *options])
    told = " ".join(capsys.readouterr().err.split())
    assert "parts from set; by set: train 30, valid 10, calibrate 10, test 11" in told
    assert "1 molecules are in both train and test" in told and "1 of them have labels that differ" in told


def test_what_cannot_be_kept_is_refused_by_name(some, tmp_path):
    rows = divide_molecules(some.smiles, "random")
    with pytest.raises(DataError, match=r"chemberta starts from pretrained weights.*kept models are of dnn"):
        fit_molecules(jax.random.key(0), some, rows, MoleculeRecipe("chemberta"))
    from jaxuq.calibration import Fitted, save_fitted

    save_fitted(tmp_path, Fitted({"slope": np.ones(2, np.float32)}, "bernoulli"))
    with pytest.raises(FittedError, match="none of molecules"):
        load_molecules_model(tmp_path)


def test_binomial_band_of_the_test_above_is_that_of_conformal_coverage():
    """The spread that `test_intervals_hold_on_new_molecules` allows, by simulation of exchangeable scores."""
    rng, size, n = np.random.default_rng(0), 169, 113
    covered = []
    for _ in range(300):
        scores = rng.random((20, size + n))
        threshold = np.sort(scores[:, :size], axis=1)[:, int(np.ceil(0.8 * (size + 1))) - 1]
        covered.append((scores[:, size:] <= threshold[:, None]).mean())
    spread = np.sqrt(0.8 * 0.2 * (1 / (20 * n) + 1 / (20 * size)))
    assert abs(np.std(covered) / spread - 1) < 0.2


def test_the_networks_are_a_program_for_those_who_have_jax_alone(fitted, some, tmp_path):
    """In a process in which jaxuq cannot be imported; what comes after the networks is arithmetic of NumPy."""
    pytest.importorskip("flatbuffers")
    _, model = fitted
    plain = model._replace(forecaster=model.forecaster._replace(calibrator=None, conformal=None))
    (tmp_path / "program").write_bytes(export_molecules(model, some.smiles[:1]))
    np.save(tmp_path / "bits.npy", morgan_fingerprints(some.smiles[:7]))
    script = """
import sys, numpy, jax.export
sys.modules["jaxuq"] = None
program = jax.export.deserialize(bytearray(open("program", "rb").read()))
numpy.savez("found.npz", **program.call(numpy.load("bits.npy")))
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    found, wanted = np.load(tmp_path / "found.npz"), predict_molecules(plain, some.smiles[:7])
    scale = np.asarray(model.scaler.scale)
    np.testing.assert_allclose(found["mean"] * scale + model.scaler.mean, wanted.mean, rtol=1e-5)
    for part in ("aleatoric", "epistemic"):
        np.testing.assert_allclose(found[part] * scale**2, getattr(wanted, part), rtol=1e-4)
    with pytest.raises(DataError, match="no example molecule is given"):
        export_molecules(model, [])


def test_a_promise_for_which_labels_are_too_few_is_said():
    def said(thresholds, task_type, level):
        forecaster = SimpleNamespace(conformal_state=SimpleNamespace(thresholds=np.array(thresholds)), level=level)
        return _endless(SimpleNamespace(forecaster=forecaster, task_names=("a", "b"), task_type=task_type))

    (note,) = said([[1.0, np.inf]], "regression", 0.9)
    assert note.startswith("intervals of b hold everything: --level 0.9 takes 9 labels that nothing else has seen")
    (note,) = said([[np.inf, np.inf]], "classification", 0.8)
    assert note.startswith("sets of a, b hold everything: --level 0.8 takes 4 labels")
    assert said([[1.0, 2.0]], "regression", 0.9) == []
    for labels, endless in ((8, True), (9, False)):  # what the note says of a level of 0.9
        assert np.isinf(conformal_threshold(jnp.arange(1.0, labels + 1), level=0.9)) == endless


def test_what_a_search_proposes_is_typed_with_the_options_of_its_table():
    given = {"smiles_columns": ("a b",), "task_columns": ("log S, mol", "y"), "fractions": (0.5, 0.1, 0.2, 0.2)}
    options = SearchMolecules("my table.csv", width=8, separator=";", **given)
    words = shlex.split(" ".join([shlex.quote(options.data), *options.typed(["width"]), "--width", "4"]))
    assert tyro.cli(FitMolecules, args=words) == FitMolecules("my table.csv", width=4, separator=";", **given)
