"""Which figures the report of one run has, and how to read each."""

from functools import partial

from jaxuq.reporting.calibration_figure import calibration_figure
from jaxuq.reporting.cost_figure import cost_figure
from jaxuq.reporting.drawings import Drawing
from jaxuq.reporting.error_figure import error_figure
from jaxuq.reporting.forest_figure import forest_figure
from jaxuq.reporting.metric_names import primary_metric
from jaxuq.reporting.rank_figure import mean_rank_figure
from jaxuq.reporting.ranks import rank_table
from jaxuq.reporting.reliability_figure import reliability_figure
from jaxuq.reporting.result_folder import Predictions, ResultFolder
from jaxuq.reporting.risk_coverage_figure import risk_coverage_figure
from jaxuq.reporting.tables import score_table

_PARTS = ["dataset", "split", "backbone"]


def report_drawings(folder: ResultFolder, predictions: dict[str, list[Predictions]]) -> list[Drawing]:
    """List the figures for what a folder holds: those of results, then those of predictions.

    Args:
        folder: what `read_folder` gave.
        predictions: predictions by method and seed; empty if there are none.

    Returns:
        `Drawing`s in the order of the page.
    """
    drawings = []
    if len(folder.results.drop_duplicates(_PARTS)) == 1:
        drawings += _of_scores(folder)
    if predictions:
        drawings += _of_predictions(folder, predictions)
    drawings += _of_ranks_and_cost(folder)
    return drawings


def _of_scores(folder: ResultFolder) -> list[Drawing]:
    first = primary_metric(str(folder.results["dataset"].iloc[0]), folder.metrics)
    wanted = [first, "nll", "rce" if folder.task_type == "regression" else "ece"]
    metrics = [key for key in wanted if key is not None and key in folder.metrics]
    if not metrics:
        return []
    table = score_table(folder.results, folder.summary, metrics=metrics, methods=folder.methods, unit=folder.unit)
    reading = (
        "A point is a method's mean over seeds, a thick bar its 95 % bootstrap interval over test molecules; without "
        "such an interval, a thin line is the standard deviation over seeds. The dashed line is the best mean: whether "
        "a method differs from the best by chance is said by the paired marks of the tables, not by bars."
    )
    return [Drawing("scores", "Scores and how sure they are", reading, partial(forest_figure, table))]


def _of_predictions(folder: ResultFolder, predictions: dict[str, list[Predictions]]) -> list[Drawing]:
    seeds = max(len(found) for found in predictions.values())
    several = any(found[0].labels.shape[1] > 1 for found in predictions.values())
    over = [word for word, said in (("tasks", several), (f"{seeds} seeds", seeds > 1)) if said]
    pooled = f" Pooled over {' and '.join(over)}." if over else ""
    risk = Drawing(
        "risk-coverage",
        "Does it know when it fails?",
        "Keep only the most certain predictions (left) and the error should fall; the lower the line the better, and a "
        "flat line means that the uncertainty does not tell good predictions from bad ones. The right end is the error "
        "on all. Lines are means over seeds.",
        partial(risk_coverage_figure, predictions, regression=folder.task_type == "regression", unit=folder.unit),
    )
    if folder.task_type == "classification":
        reading = (
            "Points on the diagonal mean that a stated confidence of 80 % is right 80 % of the time; below it the "
            "method is overconfident, above it underconfident. Grey bars are the share of predictions in each bin: "
            f"a point over a short bar rests on few molecules.{pooled}"
        )
        return [Drawing("reliability", "Reliability diagrams", reading, partial(reliability_figure, predictions)), risk]
    errors = (
        "Each point is a prediction. Errors should grow with the predicted standard deviation: for a calibrated "
        "Gaussian 68, 95 and 99.7 % of the points lie below the rays error = 1, 2 and 3 standard deviations. Fewer "
        f"means overconfident.{pooled}"
    )
    curves = (
        "The share of labels below each predicted quantile, which should be the quantile itself (dashed). An S that is "
        "above the diagonal on the left and below on the right is overconfident, the mirror image underconfident; a "
        f"curve wholly on one side is biased. The other methods are in grey.{pooled}"
    )
    return [
        Drawing(
            "error-against-std",
            "Error against predicted standard deviation",
            errors,
            partial(error_figure, predictions, unit=folder.unit),
        ),
        Drawing("calibration", "Calibration curves", curves, partial(calibration_figure, predictions)),
        risk,
    ]


def _of_ranks_and_cost(folder: ResultFolder) -> list[Drawing]:
    drawings = []
    if len(folder.methods) > 1:
        ranks = rank_table(
            folder.results,
            competitor="method",
            contest=[*_PARTS, "seed"],
            metrics=folder.metrics,
            nominal_coverage=folder.nominal_coverage,
        )
        reading = (
            "Rank 1 (dark) is the best method by that metric; ranks are averaged over the seeds of this run. Ranks say "
            "who leads, not by how much: see the intervals above."
        )
        if ranks.metrics:
            drawings.append(Drawing("ranks", "Ranks", reading, partial(mean_rank_figure, ranks)))
    if {"train_seconds", "predict_seconds"} & set(folder.metrics):
        reading = (
            "Wall-clock seconds, mean over seeds, on the device named above. Mind the scale, which is logarithmic "
            "where the methods differ much."
        )
        draw = partial(cost_figure, folder.results, folder.methods)
        drawings.append(Drawing("cost", "What each method costs", reading, draw))
    return drawings
