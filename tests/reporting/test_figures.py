"""The figures draw what the metrics compute."""

import threading

import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest
from scipy.stats import rankdata

import jaxuq.metrics
from jaxuq.molecules.muben import METHODS
from jaxuq.reporting import (
    calibration_figure,
    cost_figure,
    error_figure,
    forest_figure,
    load_predictions,
    mean_rank_figure,
    rank_table,
    read_folder,
    reciprocal_rank_figure,
    reliability_figure,
    risk_coverage_figure,
    score_table,
)
from jaxuq.reporting.canvas import figure_bytes
from jaxuq.reporting.method_style import _STYLES, method_style, styles_of
from jaxuq.study import entry_record
from jaxuq.tagging.benchmark.methods import METHODS as TAGGING_METHODS


@pytest.fixture(scope="session")
def regression(regression_folder):
    folder = read_folder(regression_folder)
    return folder, load_predictions(folder)[0]


@pytest.fixture(scope="session")
def classification(classification_folder):
    folder = read_folder(classification_folder)
    return folder, load_predictions(folder)[0]


def _line(axes, label):
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def _arrays(path, method, seeds=(0, 1)):
    files = [np.load(path / "predictions" / f"{method}-seed{seed}.npz") for seed in seeds]
    mask = np.concatenate([file["test_mask"].ravel() for file in files])
    return {
        key: jnp.asarray(np.concatenate([file[key].ravel() for file in files])[mask], jnp.float32)
        for key in files[0].files
        if key != "test_mask"
    }


def test_reliability_points_are_the_bins_of_the_metric(classification, classification_folder):
    figure = reliability_figure(classification[1], bins=10)
    for axes, method in zip(figure.axes, classification[1], strict=True):
        arrays = _arrays(classification_folder, method)
        probability = 1 / (1 + jnp.exp(-arrays["test_logits"]))
        correct = (probability > 0.5) == (arrays["test_labels"] > 0.5)
        rows = jaxuq.metrics.reliability_bins(jnp.maximum(probability, 1 - probability), correct, bins=10)
        filled = rows.weight > 0
        x, y = _line(axes, method)
        np.testing.assert_allclose(x, rows.confidence[filled], rtol=1e-5)
        np.testing.assert_allclose(y, rows.accuracy[filled], rtol=1e-5)
        np.testing.assert_allclose([bar.get_height() for bar in axes.patches], rows.weight, rtol=1e-5)


def test_reliability_of_the_positive_class_spans_all_probabilities(classification, classification_folder):
    figure = reliability_figure(classification[1], bins=5, confidence="positive_class")
    arrays = _arrays(classification_folder, "deterministic")
    probability = 1 / (1 + jnp.exp(-arrays["test_logits"]))
    rows = jaxuq.metrics.reliability_bins(probability, arrays["test_labels"], bins=5)
    np.testing.assert_allclose(_line(figure.axes[0], "deterministic")[1], rows.accuracy, rtol=1e-5)


def test_calibration_curves_are_those_of_the_metric(regression, regression_folder):
    figure = calibration_figure(regression[1])
    for axes, method in zip(figure.axes, regression[1], strict=True):
        arrays = _arrays(regression_folder, method)
        variance = arrays["test_aleatoric"] + arrays["test_epistemic"]
        curve = jaxuq.metrics.regression_calibration_curve(arrays["test_mean"], variance, arrays["test_labels"])
        x, y = _line(axes, method)
        np.testing.assert_allclose(x, curve.expected, rtol=1e-6)
        np.testing.assert_allclose(y, curve.observed, rtol=1e-5)


def test_errors_are_drawn_against_the_root_of_the_total_variance(regression, regression_folder):
    figure = error_figure(regression[1], unit="eV")
    arrays = _arrays(regression_folder, "ensemble")
    x, y = _line(figure.axes[1], "ensemble")
    np.testing.assert_allclose(x, np.sqrt(arrays["test_aleatoric"] + arrays["test_epistemic"]), rtol=1e-5)
    np.testing.assert_allclose(y, np.abs(arrays["test_mean"] - arrays["test_labels"]), rtol=1e-4, atol=1e-6)
    share = np.mean(y <= x)
    assert any(f"std: {100 * share:.0f}," in text.get_text() for text in figure.axes[1].texts)
    assert "(eV)" in figure.get_supxlabel()


def test_several_tasks_are_drawn_in_standard_deviations_of_their_labels(regression):
    (seed, *_) = regression[1]["ensemble"]
    two = seed._replace(**{name: np.repeat(getattr(seed, name), 2, axis=1) for name in seed._fields})
    two.center[:, 1] *= 100
    two.labels[:, 1] *= 100
    two.aleatoric[:, 1] *= 100**2
    two.epistemic[:, 1] *= 100**2
    x, y = _line(error_figure({"ensemble": [two]}).axes[0], "ensemble")
    np.testing.assert_allclose(x[::2], x[1::2], rtol=1e-4)
    np.testing.assert_allclose(y[::2], y[1::2], rtol=1e-3, atol=1e-5)
    labels = seed.labels[seed.mask].astype(np.float64)
    expected = np.sqrt(seed.aleatoric + seed.epistemic)[seed.mask] / labels.std()
    np.testing.assert_allclose(x[::2], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_risk_coverage_lines_are_means_over_seeds_of_the_metric(kind, request):
    _, predictions = request.getfixturevalue(kind)
    path = request.getfixturevalue(f"{kind}_folder")
    with styles_of(request.getfixturevalue(kind)[0].run):
        figure = risk_coverage_figure(predictions, regression=kind == "regression")
    curves = []
    for seed in (0, 1):
        arrays = _arrays(path, "deterministic", (seed,))
        if kind == "regression":
            risk = jnp.abs(arrays["test_mean"] - arrays["test_labels"])
        else:
            risk = (arrays["test_logits"] > 0) != (arrays["test_labels"] > 0.5)
        uncertainty = arrays["test_aleatoric"] + arrays["test_epistemic"]
        curves.append(jaxuq.metrics.risk_coverage_curve(uncertainty, risk))
    x, y = _line(figure.axes[0], "Deterministic")
    np.testing.assert_allclose(x, curves[0].coverage, rtol=1e-6)
    np.testing.assert_allclose(y, (curves[0].selective_risk + curves[1].selective_risk) / 2, rtol=1e-4, atol=1e-6)


def test_ranks_are_those_of_scipy(rng):
    import pandas

    scores = pandas.DataFrame(
        {
            "method": np.repeat(["a", "b", "c"], 4),
            "dataset": np.tile(["w", "x", "y", "z"], 3),
            "ece": rng.integers(0, 3, 12) / 10,
            "auroc": rng.random(12),
        }
    )
    ranks = rank_table(scores, competitor="method", contest=["dataset"], metrics=["ece", "auroc", "sharpness"])
    assert ranks.metrics == ["ece", "auroc"]
    ece, auroc = (scores[key].to_numpy().reshape(3, 4) for key in ("ece", "auroc"))
    expected = np.stack([rankdata(ece, axis=0), rankdata(-auroc, axis=0)], axis=-1)
    np.testing.assert_allclose(ranks.mean_rank, expected.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(ranks.mean_reciprocal_rank, (1 / expected).mean(axis=1), rtol=1e-6)
    widths = [[bar.get_width() for bar in axes.patches] for axes in reciprocal_rank_figure(ranks).axes]
    np.testing.assert_allclose(np.transpose(widths), ranks.mean_reciprocal_rank, rtol=1e-6)
    np.testing.assert_allclose(mean_rank_figure(ranks).axes[0].images[0].get_array(), ranks.mean_rank, rtol=1e-6)


def test_a_missing_score_is_not_ranked(rng):
    import pandas

    scores = pandas.DataFrame(
        {"method": list("abcabc"), "dataset": list("xxxyyy"), "ece": [0.1, np.nan, 0.3, 0.3, 0.2, 0.1]}
    )
    ranks = rank_table(scores, competitor="method", contest=["dataset"], metrics=["ece"])
    np.testing.assert_allclose(ranks.mean_rank[:, 0], [2.0, 2.0, 1.5])
    assert ranks.gaps == ["ece"]


def test_cost_bars_are_mean_seconds(regression):
    folder, _ = regression
    figure = cost_figure(folder.results, folder.methods)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    expected = folder.results.groupby("method")["train_seconds"].mean().loc[folder.methods]
    np.testing.assert_allclose(widths, expected, rtol=1e-9)


def test_the_forest_draws_the_intervals(regression):
    folder, _ = regression
    table = score_table(folder.results, folder.summary, metrics=["rmse"])
    lines = [line.get_xdata() for line in forest_figure(table).axes[0].get_lines() if len(line.get_xdata()) == 2]
    for _, (cell,) in table.rows:
        assert any(np.allclose(line, (cell.lower, cell.upper)) for line in lines)


def test_no_two_methods_look_alike():
    assert len({(style.colour, style.marker) for style in _STYLES.values()}) == len(_STYLES)
    for system in (METHODS, TAGGING_METHODS):
        assert len({entry.style["colour"] for entry in system.values()}) == len(system) > 5
        with styles_of({"entries": {name: entry_record(entry) for name, entry in system.items()}}):
            assert [method_style(name).title for name in system] == [entry.title for entry in system.values()]
    assert method_style("brand-new").title == "brand-new"


@pytest.mark.parametrize("style", [{}, {"colour": "red;}<script>"}, {"marker": "$x$"}, {"line": 3}, "none"])
def test_a_style_of_anybodys_is_checked(style):
    with styles_of({"entries": {"mine": {"title": "Mine", "style": style}}}):
        found = method_style("mine")
    assert found.title == "Mine" and found.colour.startswith("#") and len(found.colour) == 7
    assert found.marker.isalnum() or found.marker in "^<>*"


def test_figures_are_drawn_in_threads_and_without_pyplot_figures(regression):
    import matplotlib.pyplot

    pictures = []
    threads = [
        threading.Thread(target=lambda: pictures.append(figure_bytes(calibration_figure(regression[1]), "png")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pictures[0] == pictures[1]
    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize("count", [1, 14])
def test_panels_do_not_overlap(regression, count):
    (seeds, *_) = regression[1].values()
    names = [*METHODS][:count]
    with styles_of({"entries": {name: entry_record(METHODS[name]) for name in names}}):
        figure = reliability_figure(
            {name: [seed._replace(labels=(seed.labels > 0) * 1.0) for seed in seeds] for name in names}
        )
    assert isinstance(figure, matplotlib.figure.Figure)
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert len(boxes) == count
    width, height = figure.bbox.size
    for index, box in enumerate(boxes):
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        for other in boxes[:index]:
            shared = min(box.x1, other.x1) - max(box.x0, other.x0), min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(shared) <= 1, "panels overlap"
