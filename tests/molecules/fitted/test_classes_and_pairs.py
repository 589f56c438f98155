"""Several classes a task, and several molecules a row: from the table to the folder and the file of forecasts."""

import csv
import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxuq._errors import OptionError
from jaxuq.cli.main import main
from jaxuq.molecules import DataError, DataWarning, load_csv, load_molecules, molecular_graphs
from jaxuq.molecules.fitted import (
    MoleculeRecipe,
    choose_molecules,
    divide_molecules,
    fit_molecules,
    load_molecules_model,
    predict_molecules,
    promise_for,
    represent_molecules,
    save_molecules,
    score_forecast,
    search_recipe,
)
from jaxuq.molecules.fitted.model import MoleculeNetwork, backbone_of, model_function
from jaxuq.molecules.muben.heads import likelihood_head
from jaxuq.molecules.muben.problem import make_problem
from jaxuq.molecules.muben.selection import validation_score
from jaxuq.molecules.records import Split

RECIPE = MoleculeRecipe("morgan", members=2, epochs=6, level=0.8, width=16, depth=1, learning_rate=3e-3)
SMALL = ["--backbone", "morgan", "--members", "2", "--width", "16", "--depth", "1", "--epochs", "3", "--level", "0.6"]
GRADES = ["insoluble", "low", "high"]
SOLVENTS = ["O", "CCO", "CC(C)=O"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """ESOL, every sixth molecule: a grade by name, two classes, the number, a solvent."""
    data = load_molecules("esol").take(range(0, 1128, 6))
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["solute", "grade", "soluble", "logS", "solvent"])
        for row, (smiles, (value,)) in enumerate(zip(data.smiles, data.labels.tolist())):
            grade = GRADES[int(value > -4) + int(value > -2)]
            blank = row % 9 == 4
            writer.writerow([smiles, "" if blank else grade, int(value > -3), value + row % 3, SOLVENTS[row % 3]])
    return path


@pytest.fixture(scope="module")
def graded(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        data = load_csv(table, "solute", ["grade", "soluble"])
    rows = divide_molecules(data.smiles, "random", fractions=(0.5, 0.1, 0.3, 0.1))
    return data, rows, fit_molecules(jax.random.key(0), data, rows, RECIPE)


@pytest.fixture(scope="module")
def paired(table):
    data = load_csv(table, ["solute", "solvent"], ["logS"])
    rows = divide_molecules(data.smiles, "random", fractions=(0.5, 0.1, 0.3, 0.1))
    return data, rows, fit_molecules(jax.random.key(0), data, rows, RECIPE)


def _same(one, two):
    for a, b in zip(one, two):
        np.testing.assert_array_equal(a, b) if isinstance(a, np.ndarray) else _equal(a, b)


def _equal(a, b):
    assert a == b


def test_the_loss_of_several_classes_is_their_weighted_cross_entropy_over_the_classes_of_each_task():
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(5, 2, 3)), np.array([[0, 1], [2, 0], [1, 1], [2, 0], [0, 0]])
    where, weights = rng.random((5, 2)) < 0.7, np.array([1, 2, 0, 0.5, 1])
    total = mass = 0.0
    for row, task in zip(*np.nonzero(where)):
        logits = outputs[row, task, : (3, 2)[task]]
        total -= weights[row] * (logits[labels[row, task]] - np.log(np.exp(logits).sum()))
        mass += weights[row]
    head = likelihood_head("multiclass", (3, 2))
    arrays = (jnp.asarray(part, jnp.float32) for part in (outputs, labels))
    loss = head.loss(*arrays, jnp.asarray(where), jnp.asarray(weights, jnp.float32))
    assert head.outputs_per_task == 3 and float(loss) == pytest.approx(total / mass, rel=1e-5)
    slope = jax.grad(lambda out: head.loss(out, jnp.asarray(labels, jnp.float32), jnp.asarray(where)))
    found = slope(jnp.asarray(outputs, jnp.float32))
    assert np.isfinite(found).all() and not found[:, 1, 2].any()  # the third class of a task with two


def test_epochs_are_compared_by_the_cross_entropy_of_the_validation_part(graded):
    data, rows, _ = graded
    split = Split(data.take(rows.train), data.take(rows.valid), data.take(rows.calibrate))
    problem = make_problem(split, backbone_of(RECIPE.network))
    assert (problem.metric, problem.likelihood, problem.classes) == ("cross-entropy", "categorical", (3, 2))
    logits = np.log(np.full((len(rows.valid), 2, 3), [[0.5, 0.2, 0.3], [0.25, 0.75, 0.0]]) + 1e-30)
    found = validation_score(problem, jnp.asarray(logits, jnp.float32), problem.valid)
    own = np.take_along_axis(logits, data.labels[rows.valid].astype(int)[..., None], -1)[..., 0]
    assert float(found) == pytest.approx(-own[data.mask[rows.valid]].mean(), rel=1e-5)


def test_forecasts_of_classes(graded, tmp_path):
    data, rows, model = graded
    assert data.classes == (("high", "insoluble", "low"), ("0", "1")) and data.task_type == "multiclass"
    test = data.take(rows.test)
    forecast = predict_molecules(model, [*test.smiles, "nonsense"])
    shares = forecast.probabilities
    np.testing.assert_allclose(shares[:-1].sum(-1), 1, rtol=1e-5)
    assert np.isnan(shares[-1]).all() and not forecast.classes[-1].any()
    assert not shares[:-1, 1, 2].any() and not forecast.classes[:, 1, 2].any()
    np.testing.assert_array_equal(forecast.mean[:-1], shares[:-1].max(-1))
    scores = score_forecast(predict_molecules(model, test.smiles), test)["grade"]
    known = test.mask[:, 0]
    labels = test.labels[known, 0].astype(int)
    own = shares[:-1][known, 0]
    assert scores["accuracy"] == pytest.approx((own.argmax(-1) == labels).mean())
    assert scores["nll"] == pytest.approx(-np.log(own[np.arange(len(labels)), labels]).mean(), rel=1e-5)
    held = forecast.classes[:-1][known, 0]
    assert scores["coverage"] == pytest.approx(held[np.arange(len(labels)), labels].mean())
    assert scores["size"] == pytest.approx(held.sum(-1).mean())
    save_molecules(tmp_path / "model", model)
    again = load_molecules_model(tmp_path / "model")
    assert again.classes == data.classes
    _same(predict_molecules(again, test.smiles), predict_molecules(model, test.smiles))


def test_sets_of_classes_need_numpy_alone_after_the_network(graded, tmp_path):
    data, rows, model = graded
    save_molecules(tmp_path, model)
    record = json.loads((tmp_path / "fitted.json").read_text())
    states = load_file(tmp_path / record["files"]["states"]["name"])
    plain = model._replace(forecaster=model.forecaster._replace(calibrator=None, conformal=None))
    raw, found = (predict_molecules(one, data.take(rows.test).smiles) for one in (plain, model))
    with np.errstate(divide="ignore"):
        logits = np.log(raw.probabilities) / states["calibrator/temperature"][:, None]
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    np.testing.assert_allclose(found.probabilities, shares, atol=1e-5)
    held = (1 - shares <= states["conformal/thresholds"][0][:, None]) & (shares > 0)
    edge = np.abs(1 - shares - states["conformal/thresholds"][0][:, None]) < 1e-5
    assert ((held == found.classes) | edge).all() and found.classes.any()


def test_other_calibrators_and_scores_of_classes(graded):
    data, rows, _ = graded
    recipe = RECIPE._replace(calibrator="vector", conformal="aps", members=1, epochs=2)
    model = fit_molecules(jax.random.key(1), data, rows, recipe)
    forecast = predict_molecules(model, data.take(rows.test).smiles)
    np.testing.assert_allclose(forecast.probabilities.sum(-1), 1, rtol=1e-5)
    ranked = np.sort(forecast.probabilities, -1)[..., ::-1]
    threshold = np.asarray(model.forecaster.conformal_state.thresholds)[0]
    expected = ((np.cumsum(ranked, -1) <= threshold[:, None]) & (ranked > 0)).sum(-1)
    edge = np.abs(np.cumsum(ranked, -1) - threshold[:, None]) < 1e-5
    assert ((forecast.classes.sum(-1) == expected) | edge.any(-1)).all()
    for wrong in ({"calibrator": "platt"}, {"calibrator": "variance-scaling"}, {"conformal": "normalised"}):
        with pytest.raises(OptionError, match="is not for labels of several classes; for these there are"):
            fit_molecules(jax.random.key(1), data, rows, RECIPE._replace(**wrong))


def test_a_promise_for_other_molecules_holds_in_sets_of_classes_too(graded):
    data, rows, model = graded
    calibrate = data.take(rows.calibrate)
    shifted = promise_for(model, calibrate, calibrate.smiles[:30])
    told, found = (predict_molecules(one, calibrate.smiles) for one in (model, shifted))
    own = np.take_along_axis(told.probabilities, calibrate.labels.astype(int)[..., None], -1)[..., 0]
    theirs = np.arange(len(own)) % 2 == 1  # the others fitted the temperature
    expected = np.where(calibrate.mask, 1 - own, 0)[theirs]
    np.testing.assert_allclose(shifted.shift.scores, expected, rtol=1e-5)
    inside = np.where(found.classes, told.probabilities, np.inf).min(-1)
    outside = np.where(found.classes, -np.inf, told.probabilities).max(-1)
    assert (inside >= outside)[:, 0].all() and found.classes[:, 0].any() and not found.classes[:, 1, 2].any()


def test_choosing_among_classes(graded):
    data, rows, model = graded
    pool = data.take(rows.test).smiles
    told = predict_molecules(model, pool)
    first = choose_molecules(model, pool, 1, goal="high", of_class="high", optimism=0.0).rows[0]
    assert told.probabilities[first, 0, 0] == told.probabilities[:, 0, 0].max()
    learnt = choose_molecules(model, pool, 3)
    assert learnt.gain[0] == pytest.approx(told.epistemic[:, 0].max(), rel=1e-3)  # mutual information, in nats
    for options, said in (({"goal": "high"}, "needs a class of 'grade'"), ({"of_class": "x"}, "no class 'x'")):
        with pytest.raises(DataError, match=said):
            choose_molecules(model, pool, 1, **options)


@pytest.mark.long
def test_sets_of_classes_hold_on_new_molecules(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        data = load_csv(table, "solute", ["grade"])
    hits = count = 0
    for seed in range(20):
        rows = divide_molecules(data.smiles, "random", fractions=(0.3, 0.1, 0.4, 0.2), seed=seed)
        model = fit_molecules(jax.random.key(seed), data, rows, RECIPE._replace(epochs=4))
        test = data.take(rows.test)
        known = test.mask[:, 0]
        held = predict_molecules(model, test.smiles).classes[known, 0]
        hits += held[np.arange(known.sum()), test.labels[known, 0].astype(int)].sum()
        count += known.sum()
    size = int(0.4 * len(data.smiles) * 8 / 9 / 2)
    spread = np.sqrt(0.8 * 0.2 * (1 / count + 1 / (20 * size)))
    assert -4 * spread < hits / count - 0.8 < 4 * spread + 1 / size


def test_pairs_are_read_in_their_order_and_by_one_network(paired, tmp_path):
    data, rows, model = paired
    assert data.molecule_columns == ("solute", "solvent") and data.rows[1] == (data.smiles[1], SOLVENTS[1])
    assert data.take([1]).rows == [data.rows[1]]
    asked = [("CCO", "O"), ("O", "CCO"), ("CCO", "CC(C)=O"), ("CCO", "nonsense"), ("", "O")]
    save_molecules(tmp_path, model)
    found = predict_molecules(load_molecules_model(tmp_path), asked)
    _same(found, predict_molecules(model, asked))
    assert len(set(found.mean[:3, 0].tolist())) == 3
    assert found.errors == ["", "", "", "RDKit cannot read solvent", "no SMILES in solute"]
    train = data.take(rows.train)
    np.testing.assert_array_equal(predict_molecules(model, train.rows[:5]).similarity, 1)
    assert represent_molecules(model, asked).features.shape == (5, 16)
    with pytest.raises(DataError, match="row 0 has 1 molecules, 'CCO'; the model reads 2 a row: solute, solvent"):
        predict_molecules(model, ["CCO"])
    with pytest.raises(DataError, match="row 0 has 2 molecules"):
        predict_molecules(model._replace(molecule_columns=("smiles",)), [("CCO", "O")])


def test_a_graph_network_reads_each_molecule_with_the_same_parameters():
    backbone = backbone_of(MoleculeNetwork("gin", width=8, depth=1, molecules=2))
    pairs = [("CCO", "O"), ("O", "CCO"), ("c1ccccc1", "O")]
    inputs = jax.tree.map(jnp.asarray, backbone.featurise(pairs, None))
    network = backbone.network(2)
    params = jax.jit(network.init)(jax.random.key(0), inputs)["params"]
    assert set(params) == {"body", "hidden", "output"}
    body = backbone_of(MoleculeNetwork("gin", width=8, depth=1)).network(2)

    def read(texts):
        whole = {"params": {**params["body"], "output": params["output"]}}
        graphs = jax.tree.map(jnp.asarray, molecular_graphs(texts, cache=False))
        return body.apply(whole, graphs, method="features")

    both = jnp.concatenate([read([first for first, _ in pairs]), read([second for _, second in pairs])], axis=1)
    hidden = jax.nn.relu(both @ params["hidden"]["kernel"] + params["hidden"]["bias"][None])
    expected = hidden @ params["output"]["kernel"] + params["output"]["bias"][None]
    found = model_function(backbone, "regression", 1)(params, inputs)[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_hidden_layer_over_pairs_is_as_wide_as_a_dmpnn_is():
    network = backbone_of(MoleculeNetwork("dmpnn", width=8, depth=2, dropout=0.2, molecules=2)).network(2)
    assert (network.width, network.dropout_rate, network.body.config.depth) == (8, 0.2, 2)


def test_repetitions_are_of_whole_rows(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("a,b,y\nCCO,O,1.5\nOCC,O,2.5\nCCO,CCO,3.5\nCCO,,4.5\nCCC,bad(,4.5\n")
    with pytest.warns(DataWarning, match=r"1 molecules are in .*'CCO \| O' and 'OCC \| O'.*have labels that differ"):
        data = load_csv(path, ["a", "b"], ["y"])
    assert [(one.text, one.reason) for one in data.rejected] == [
        ("CCO | ", "no SMILES in b"),
        ("CCC | bad(", "RDKit cannot read b"),
    ]
    assert "SMILES from a and b, regression of y" in data.taken


def test_a_search_of_pairs_with_classes_keeps_its_scores(table, tmp_path):
    data = load_csv(table, ["solute", "solvent"], ["grade"])
    rows = divide_molecules(data.smiles, "random", fractions=(0.5, 0.1, 0.3, 0.1))
    recipe, space = RECIPE._replace(epochs=2), {"width": (8, 16)}
    found = [search_recipe(jax.random.key(0), data, rows, recipe, trials=2, space=space, folder=tmp_path)] * 2
    kept = (tmp_path / "scores.jsonl").read_text()
    search_recipe(jax.random.key(0), data, rows, recipe, trials=2, space=space, folder=tmp_path)
    assert (tmp_path / "scores.jsonl").read_text() == kept and all(one.trials[0].scores[0] > 0 for one in found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        alone = load_csv(table, "solute", ["grade"])
    search_recipe(jax.random.key(0), alone, rows, recipe, trials=2, space=space, folder=tmp_path)
    assert len((tmp_path / "scores.jsonl").read_text()) > len(kept)  # other data, other trainings


def test_the_command_with_pairs_and_classes(table, tmp_path, capsys):
    model, output = tmp_path / "model", tmp_path / "out.csv"
    asked = ["fit", str(table), "--smiles-columns", "solute,solvent", "--targets", "grade", "--conformal", "aps"]
    main(["molecules", *asked, "--output", str(model), "--split", "random", *SMALL])
    told = capsys.readouterr()
    said = "188 rows, SMILES from solute and solvent, multi-class classification of grade (3 classes: high, insoluble,"
    assert said in " ".join(told.err.split()) and "accuracy" in told.out
    new = tmp_path / "new.csv"
    new.write_text("id,solvent,solute\n1,O,CCO\n2,bad(,CCO\n")
    main(["molecules", "predict", str(model), str(new), "--output", str(output)])
    with output.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["solute"], row["solvent"], row["id"]) for row in rows] == [("CCO", "O", "1"), ("CCO", "bad(", "2")]
    shares = {name: float(rows[0][f"grade_probability_{name}"]) for name in GRADES}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5) and rows[0]["grade"] == max(shares, key=shares.get)
    assert set(rows[0]["grade_set"].split(" | ")) <= set(GRADES) and rows[1]["grade"] == rows[1]["grade_set"] == ""
    assert "('CCO', 'bad('), RDKit cannot read solvent" in capsys.readouterr().err
    new.write_text("solute,other\nCCO,O\n")
    for wrong, said in (
        (["predict", str(model), str(new)], "has no column 'solvent'"),
        (["predict", str(model), str(new), "--smiles-columns", "solute"], "reads 2 molecules a row (solute, solvent)"),
        ([*asked, "--backbone", "unimol"], "unimol starts from pretrained weights"),
        ([*asked, "--calibrator", "platt"], "the calibrator platt is not for labels of several classes"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["molecules", *wrong])
        assert ended.value.code == 2 and said in capsys.readouterr().err
    main(["molecules", "predict", str(model), str(new), "--smiles-columns", "solute,other", "--output", str(output)])
    assert output.read_text().startswith("solute,solvent,grade,")


def test_the_benchmark_refuses_classes_by_name(table, tmp_path, capsys):
    options = ["--smiles-column", "solute", "--task-columns", "grade", "--output", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as ended:
        main(["muben", "--dataset", str(table), *options])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and "classes by name (grade: high, insoluble, low)" in told and "molecules fit" in told
