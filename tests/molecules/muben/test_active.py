"""Active learning: what is uncertain is chosen, chance is reproducible, and no label is given twice or lost."""

import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.molecules import DataError, LabelScaler
from jaxuq.molecules.muben import MubenConfiguration, acquisition_scores, run_active
from jaxuq.posterior import BernoulliForecast, GaussianForecast, dense, laplace, predict_forecast
from jaxuq.reporting import learning_curve_figure, write_report
from jaxuq.reporting.active_page import active_tables, read_rounds
from jaxuq.reporting.method_style import styles_of
from jaxuq.reporting.result_folder import read_record
from jaxuq.study import choose_rows, promised_stop, random_order, read_arrays

from .conftest import TINY

ONE = LabelScaler(jnp.zeros(1), jnp.ones(1))


def test_of_a_bayesian_line_the_points_far_from_the_labels_are_chosen():
    """The posterior of a line is known: its variance at x grows with the distance from the labelled inputs."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-1, 1, 40), [6.0, -5.0, 7.0]]).astype(np.float32)[:, None]
    labelled = np.arange(20)
    method = laplace("gaussian", "full")

    @jax.jit
    def forecast_of(rng_key, x, y):
        params = {"kernel": jnp.array([[2.0, 0.0]]), "bias": jnp.zeros(2)}
        apply_fn = lambda layer, inputs, *, rng_key=None: dense(layer, inputs)[:, None, :]  # noqa: E731
        state = method.update(rng_key, method.init(rng_key, params), apply_fn, x[labelled], y[labelled])
        samples = method.sample(rng_key, state, 200)
        return predict_forecast(apply_fn, samples, inputs=x, likelihood="gaussian")

    scores = np.asarray(acquisition_scores(forecast_of(jax.random.key(0), x, 2 * x), "epistemic", ONE))
    assert choose_rows(scores, labelled, 3).tolist() == [42, 40, 41]  # 7, 6, -5


def test_scores_are_the_published_ones_over_the_labels_to_be_had():
    rng = np.random.default_rng(1)
    logits, where = rng.normal(size=(6, 3)).astype(np.float32), rng.random((6, 3)) < 0.6
    where[0], where[:, 1] = False, [False, *[True] * 5]
    classes = BernoulliForecast(*map(jnp.asarray, (logits, *np.abs(rng.normal(size=(2, 6, 3)).astype(np.float32)))))
    values = GaussianForecast(*map(jnp.asarray, (logits, *np.abs(rng.normal(size=(2, 6, 3)).astype(np.float32)))))
    scaler = LabelScaler(jnp.zeros(3), jnp.array([1.0, 2.0, 0.5]))
    for name, forecast, per_task in (
        ("uncertainty", classes, -np.abs(1 / (1 + np.exp(-logits)) - 0.5)),
        ("epistemic", classes, np.asarray(classes.epistemic)),
        ("uncertainty", values, np.asarray(values.aleatoric + values.epistemic) / np.array([1.0, 4.0, 0.25])),
        ("epistemic", values, np.asarray(values.epistemic) / np.array([1.0, 4.0, 0.25])),
    ):
        scores = np.asarray(acquisition_scores(forecast, name, scaler, where=jnp.asarray(where)))
        assert scores[0] == -np.inf
        np.testing.assert_allclose(scores[1:], [row[mask].mean() for row, mask in zip(per_task[1:], where[1:])], 1e-5)
    with pytest.raises(ValueError, match="those with a score are uncertainty and epistemic"):
        acquisition_scores(values, "random", scaler)


@pytest.fixture(scope="module")
def active_run(regression_csv, tmp_path_factory):
    configuration = MubenConfiguration(
        dataset=str(regression_csv),
        output=tmp_path_factory.mktemp("runs") / "active",
        task_columns="energy",
        methods="mc-dropout",
        **{**TINY, "epochs": 2, "seeds": 1},
        active=2,
        start=20,
        acquire=10,
    )
    return run_active(configuration), configuration


def _rows(folder):
    with (folder.path / "active.csv").open() as file:
        return list(csv.DictReader(file))


def _labelled(folder, acquisition, number):
    return read_arrays(folder.path / "rounds" / f"mc-dropout-{acquisition}-round{number}-seed0.npz")


def test_every_round_of_every_acquisition_has_a_row(active_run):
    folder, _ = active_run
    found = [(row["method"], row["acquisition"], int(row["round"]), int(row["labels"])) for row in _rows(folder)]
    sizes = ((0, 20), (1, 30), (2, 40))
    assert found == [("mc-dropout", acquisition, *size) for acquisition in ("uncertainty", "random") for size in sizes]
    first = [row for row in _rows(folder) if row["round"] == "0"]
    assert first[0]["rmse"] == first[1]["rmse"]  # both begin with the same labels
    assert not folder.checkpoints.exists()


def test_labels_and_pool_share_out_the_training_part_and_the_most_uncertain_change_sides(active_run):
    folder, _ = active_run
    order = random_order(0, 64)
    assert sorted(order.tolist()) == list(range(64))
    before = _labelled(folder, "start", 0)
    np.testing.assert_array_equal(before["rows"], order[:20])
    for number in (1, 2):
        after = _labelled(folder, "uncertainty", number)["rows"]
        assert len(set(after.tolist())) == len(after) and set(after) <= set(range(64))
        new, pool = set(after) - set(before["rows"]), set(range(64)) - set(before["rows"])
        scores = before["uncertainty"]
        assert len(new) == 10 and min(scores[list(new)]) >= max(scores[list(pool - new)])
        before = _labelled(folder, "uncertainty", number)
        np.testing.assert_array_equal(_labelled(folder, "random", number)["rows"], order[: 20 + 10 * number])


def test_rounds_name_their_molecules(active_run):
    folder, _ = active_run
    arrays = _labelled(folder, "uncertainty", 1)
    with (folder.path / "rounds" / "mc-dropout-uncertainty-round1-seed0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["smiles"] for row in rows if row["given"]] == arrays["labelled_smiles"].tolist()
    assert [row["given"] for row in rows[:31]] == [*(str(n) for n in range(1, 31)), ""]
    wanted = [float(row["uncertainty"]) for row in rows[30:]]
    assert len(rows) == 64 and wanted == sorted(wanted, reverse=True)


def test_labels_are_counted_and_molecules_without_any_are_never_drawn(tmp_path, regression_csv):
    with open(regression_csv) as file:
        header, *rows = list(csv.reader(file))
    at = header.index("smiles")
    lines = [[row[at], f"{n / 7}" if n % 3 else "", f"{n / 5}" if n % 2 else ""] for n, row in enumerate(rows)]
    path = tmp_path / "blanks.csv"
    path.write_text("\n".join(",".join(line) for line in [["smiles", "a", "b"], *lines]) + "\n")
    configuration = MubenConfiguration(
        dataset=str(path), task_columns="a,b", output=tmp_path / "run", methods="mc-dropout",
        **{**TINY, "epochs": 1, "seeds": 1}, active=2, start=20, acquire=10,
    )  # fmt: skip
    folder = run_active(configuration)
    known = {line[0]: sum(text != "" for text in line[1:]) for line in lines}
    for acquisition in ("uncertainty", "random"):
        found = [row for row in _rows(folder) if row["acquisition"] == acquisition]
        assert [int(row["labels"]) for row in found] == [20, 30, 40]
        for row, number in zip(found[1:], (1, 2)):
            drawn = _labelled(folder, acquisition, number)["labelled_smiles"].tolist()
            assert len(drawn) == len(set(drawn)) == int(row["molecules"])
            assert all(known[smiles] for smiles in drawn)
            assert sum(known[smiles] for smiles in drawn) == int(row["labels"])
    with pytest.raises(DataError, match=r"need 220 labels of training molecules; .* has \d\d$"):
        run_active(dataclasses.replace(configuration, active=20, output=tmp_path / "other"))


def test_what_has_no_score_is_never_chosen():
    scores, labels = np.array([1.0, np.nan, -np.inf, 3.0, 2.0]), np.array([1, 1, 1, 0, 2])
    assert choose_rows(scores, np.array([], int), 9, labels=labels).tolist() == [4, 0]
    assert choose_rows(scores, np.array([], int), 9).tolist() == [3, 4, 0]
    assert choose_rows(np.array([2.0, 1.0]), np.array([], int), 3, labels=np.array([5, 1])).tolist() == [0]


def test_an_interrupted_run_ends_with_the_same_numbers(active_run):
    folder, configuration = active_run
    before = [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in _rows(folder)]
    for name in ("mc-dropout-uncertainty-round1", "mc-dropout-uncertainty-round2"):
        (folder.predictions / f"{name}-seed0.npz").unlink()
    again = [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in _rows(run_active(configuration))]
    assert again == before


def test_what_cannot_be_done_is_said(active_run):
    _, configuration = active_run
    with pytest.raises(DataError, match=r"need 70 labels of training molecules; .* has 64"):
        run_active(dataclasses.replace(configuration, active=5, output=configuration.output / "other"))
    with pytest.raises(DataError, match="unknown acquisition 'epistemics'; did you mean epistemic"):
        dataclasses.replace(configuration, acquisition="epistemics").check()
    single = dataclasses.replace(
        configuration, methods="deterministic", acquisition="epistemic", output=configuration.output / "single"
    )
    with pytest.raises(DataError, match="the forecasts of deterministic have no epistemic part"):
        run_active(single)
    plain = MubenConfiguration()
    assert not {"active", "start", "acquire", "acquisition"} & set(plain.record())  # folders of benchmark runs go on


def test_the_page_has_the_curves_and_the_scores_of_the_last_round(active_run):
    folder, _ = active_run
    text = write_report(folder.path).read_text()
    assert "MC dropout, uncertainty" in text and text.count("data:image/svg") == 3
    rounds = read_rounds(folder.path)
    with styles_of(read_record(folder.path)):
        last = dict(active_tables(rounds)[0].rows)["MC dropout, random"][0]
    row = next(r for r in _rows(folder) if (r["method"], r["acquisition"], r["round"]) == ("mc-dropout", "random", "2"))
    assert last.mean == pytest.approx(float(row["rmse"]))
    line = learning_curve_figure(rounds, "rmse").axes[0].lines[0]
    assert line.get_xdata().tolist() == [20, 30, 40]


def test_a_promised_stop_is_that_of_the_audited_molecules(regression_csv, tmp_path):
    """The risk of each round on molecules that never had a label for training, and where it is first low enough."""
    configuration = MubenConfiguration(
        dataset=str(regression_csv), output=tmp_path / "run", task_columns="energy", methods="deterministic",
        **{**TINY, "epochs": 2, "seeds": 1}, active=2, start=10, acquire=5, acquisition="random",
        audit=30, stop=0.7, tolerance=0.5,
    )  # fmt: skip
    folder = run_active(configuration)
    order, rows = random_order(0, 64), _rows(folder)
    for row in rows:
        name = "start" if row["round"] == "0" else "random"
        kept = read_arrays(folder.path / "rounds" / f"deterministic-{name}-round{row['round']}-seed0.npz")
        assert set(kept["audit"]) == set(order[-30:]) and not set(kept["audit"]) & set(kept["rows"])
        assert float(row["audit_risk"]) == pytest.approx(float(kept["audit_risk"])) and row["audit_labels"] == "30"
    at = promised_stop(np.array([float(row["audit_risk"]) for row in rows]), 30, level=0.7)
    assert [row["stop"] for row in rows] == [str(at is not None and number >= at) for number in range(3)]
    page = write_report(folder.path).read_text()
    assert "Where labelling may stop" in page and "of 1 seeds" in page
    with pytest.raises(DataError, match=r"need 64 labels of training molecules; .* has 34 besides the 30 of --audit"):
        run_active(dataclasses.replace(configuration, start=60, active=4, acquire=1, output=tmp_path / "other"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stop": 1.0, "audit": 9}, "--stop is 1.0; it must lie between 0 and 1"),
        ({"stop": 0.2}, "--audit and --stop belong together"),
        ({"audit": 20}, "--audit and --stop belong together"),
        ({"stop": 0.2, "audit": 9, "active": 0}, "--stop is of active learning; add --active"),
        ({"stop": 0.2, "audit": 9, "tolerance": -1.0}, r"--tolerance is -1.0; it must be positive"),
        ({"stop": 0.2, "audit": 9}, "--stop needs --tolerance: by how much a prediction may be off"),
    ],
)
def test_a_stop_that_cannot_be_meant_is_refused(changes, message, regression_csv, tmp_path):
    options = (
        TINY | {"active": 1, "start": 5, "acquire": 5, "task_columns": "energy", "output": tmp_path / "run"} | changes
    )
    with pytest.raises(DataError, match=message):
        MubenConfiguration(dataset=str(regression_csv), methods="deterministic", **options).check()
        run_active(MubenConfiguration(dataset=str(regression_csv), methods="deterministic", **options))
