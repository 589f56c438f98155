"""A study of one's own tables and methods: numbers against NumPy, nothing computed twice, differences and pages."""

import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from scipy import stats

from jaxuq import metrics
from jaxuq._errors import OptionError
from jaxuq.study import Study, make_study, make_table

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(120, 3)).astype(np.float32)
TARGETS = (INPUTS @ [1.0, -2.0, 0.5] + 0.3 * RNG.normal(size=120)).astype(np.float32)
PARTS = ["train"] * 60 + ["test"] * 60
CALLS: list[str] = []


def _table(name="linear", targets=TARGETS):
    return make_table(name, [f"row {n}" for n in range(120)], INPUTS, targets, PARTS)


def mean(table, rng_key):
    CALLS.append("mean")
    return np.full(60, table.part("train").targets.mean())


def line(table, rng_key):
    CALLS.append("line")
    train, test = table.part("train"), table.part("test")
    fitted = np.linalg.lstsq(train.inputs, train.targets, rcond=None)[0]
    return test.inputs @ fitted + 0.01 * np.asarray(rng_key_noise(rng_key))


def near_line(table, rng_key):
    return line(table, rng_key) + 0.02 * np.asarray(rng_key_noise(rng_key))


def rng_key_noise(rng_key):
    import jax

    return jax.random.normal(rng_key, (60,))


def rmse(predictions, targets, *, where):
    return metrics.root_mean_squared_error(predictions, targets, where=where)


def bias(predictions, targets, *, where):
    return jnp.mean(predictions - targets, where=where)


def _study(output, datasets=None, methods=None, **further):
    methods = {"mean": mean, "line": line, "near": near_line} if methods is None else methods
    options = {"seeds": 2, "num_resamples": 200} | further
    return make_study(datasets or [_table()], methods, {"rmse": rmse, "bias": bias}, output=output, **options)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return _study(tmp_path_factory.mktemp("study") / "out").run()


def test_the_frame_has_a_row_a_cell_with_intervals(done):
    frame = done.frame()
    assert frame[["dataset", "method", "seed"]].to_numpy().tolist() == [
        ["linear", method, seed] for method in ("mean", "line", "near") for seed in (0, 1)
    ]
    error = TARGETS[60:] - TARGETS[:60].mean()
    assert frame["rmse"][0] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert (frame["rmse_lower"] <= frame["rmse"]).all() and (frame["rmse"] <= frame["rmse_upper"]).all()
    draws = [np.sqrt(np.mean(RNG.choice(error, 60) ** 2)) for _ in range(2000)]
    half = (frame["rmse_upper"][0] - frame["rmse_lower"][0]) / 2
    assert half == pytest.approx(1.96 * np.std(draws), rel=0.25)


def test_nothing_is_computed_twice_and_another_table_is(done, tmp_path):
    before = len(CALLS)
    again = _study(done.folders[0])
    pandas.testing.assert_frame_equal(again.frame(), done.frame())
    assert len(CALLS) == before
    changed = TARGETS.copy()
    changed[3] += 1
    with pytest.warns(UserWarning, match="data changed"):
        _study(done.folders[0], [_table(targets=changed)], methods={"mean": mean}).run()
    assert len(CALLS) == before + 2
    with pytest.warns(UserWarning, match="are back"):
        pandas.testing.assert_frame_equal(_study(done.folders[0]).frame(), done.frame())
    assert len(CALLS) == before + 2


def test_differences_are_paired_and_corrected(done):
    table = done.compare("line", scores=["rmse"])
    assert table["second"].tolist() == ["mean", "near"]
    assert ((table["lower"] <= table["difference"]) & (table["difference"] <= table["upper"])).all()
    assert table["difference"][0] < 0 and table["probability"][0] < 1e-4
    frame = done.frame().set_index(["method", "seed"])["rmse"]
    assert table["difference"][0] == pytest.approx(frame["line"].mean() - frame["mean"].mean(), rel=1e-5)
    assert (table["corrected"] >= table["probability"]).all()
    both = done.compare("line", "near", correction="none")
    assert both["score"].tolist() == ["rmse", "bias"]
    # Paired, the two lines differ by little noise: their difference is known far better than either score.
    scores = done.frame().set_index("method")
    alone = (scores["rmse_upper"] - scores["rmse_lower"])["line"].mean()
    one_seed = _study(done.folders[0].parent / "one", seeds=1).compare("line", "near", scores=["rmse"])
    assert (one_seed["upper"] - one_seed["lower"])[0] < 0.3 * alone
    with pytest.raises(OptionError, match="methods are line, mean, near"):
        done.compare("lines")
    with pytest.raises(OptionError, match="there are no resamples of the score 'mae'"):
        done.compare("line", "near", scores=["mae"])


def test_several_folders_are_one_study(done, tmp_path):
    other = _study(tmp_path / "other", [_table("other")]).run()
    whole = Study.read(done.folders[0], other.folders[0])
    assert whole.frame()["run"].nunique() == 2
    assert whole.compare("line", "mean", scores=["rmse"])["dataset"].tolist() == ["linear", "other"]


def test_predictions_can_be_opened_and_name_their_rows(done):
    opened = pandas.read_csv(done.folders[0] / "predictions/linear/line-seed1.csv")
    assert opened["id"].tolist() == [f"row {n}" for n in range(60, 120)]
    np.testing.assert_allclose(opened["targets"], TARGETS[60:], rtol=1e-6)
    score = done.frame().set_index(["method", "seed"])["rmse"]["line", 1]
    assert np.sqrt(np.mean((opened["predictions"] - opened["targets"]) ** 2)) == pytest.approx(score, rel=1e-5)


def test_the_page_shows_methods_and_scores(done):
    page = done.page().read_text()
    assert "near" in page and "bias" in page and "could not be drawn" not in page


def test_a_missing_target_counts_for_nothing(tmp_path):
    targets = TARGETS.copy()
    targets[60:100] = np.nan
    frame = _study(tmp_path / "out", [_table(targets=targets)], methods={"mean": mean}, seeds=1).frame()
    error = TARGETS[100:] - TARGETS[:60].mean()
    assert frame["rmse"][0] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(OptionError, match=r"ids 2, .*inputs 120"):
        make_table("bad", ["a", "b"], INPUTS, TARGETS, PARTS)
    with pytest.raises(OptionError, match="a part 'dev'; there are train, valid"):
        make_table("bad", ["a"], INPUTS[:1], TARGETS[:1], ["dev"])
    with pytest.raises(OptionError, match="two data sets are called the same"):
        _study(tmp_path / "out", [_table(), _table()])
    with pytest.raises(OptionError, match=r"\(3,\) predictions for 60 rows"):
        _study(tmp_path / "out", methods={"short": lambda table, rng_key: np.zeros(3)}).run()


def test_a_table_belongs_to_its_content_not_to_its_name():
    table = _table()
    assert table.digest == _table("another name").digest
    for changed in (table._replace(parts=PARTS[::-1]), table._replace(ids=table.ids[::-1]), table.take(range(119))):
        assert changed.digest != table.digest
    hidden = np.where(np.arange(120) < 5, np.nan, TARGETS)
    assert make_table("a", table.ids, INPUTS, hidden, PARTS).digest != table.digest
    assert stats.pearsonr(table.part("train").targets, TARGETS[:60])[0] == pytest.approx(1)
