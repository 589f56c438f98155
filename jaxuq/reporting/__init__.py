"""Tables, figures and one self-contained page from a folder of results.

`write_report` turns the folder of one run into `report.html` and `figures/`; `compare_runs` puts several runs side by
side, with ranks over data sets. Everything here runs on the host and only reads what a run has written; the numbers
behind the figures come from `jaxuq.metrics`. The pieces (`score_table`, the figures) work in a notebook as well.
"""

from jaxuq.reporting.benchmark_page import load_predictions
from jaxuq.reporting.calibration_figure import calibration_figure
from jaxuq.reporting.changes import relative_changes
from jaxuq.reporting.compare import compare_runs
from jaxuq.reporting.cost_figure import cost_figure
from jaxuq.reporting.error_figure import error_figure
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.forest_figure import forest_figure
from jaxuq.reporting.learning_curve_figure import learning_curve_figure
from jaxuq.reporting.published import compare_published, is_published, published_changes, published_scores
from jaxuq.reporting.rank_figure import mean_rank_figure, reciprocal_rank_figure
from jaxuq.reporting.ranks import RankTable, rank_table
from jaxuq.reporting.reliability_figure import reliability_figure
from jaxuq.reporting.report import print_report, write_report
from jaxuq.reporting.result_folder import Predictions, ResultFolder, read_folder, read_predictions
from jaxuq.reporting.risk_coverage_figure import risk_coverage_figure
from jaxuq.reporting.tables import Cell, Column, ScoreTable, markdown_table, score_table, terminal_table

__all__ = [
    "Cell",
    "Column",
    "Predictions",
    "RankTable",
    "ReportError",
    "ResultFolder",
    "ScoreTable",
    "calibration_figure",
    "compare_published",
    "compare_runs",
    "cost_figure",
    "error_figure",
    "forest_figure",
    "is_published",
    "learning_curve_figure",
    "load_predictions",
    "markdown_table",
    "mean_rank_figure",
    "print_report",
    "published_changes",
    "published_scores",
    "rank_table",
    "read_folder",
    "read_predictions",
    "reciprocal_rank_figure",
    "relative_changes",
    "reliability_figure",
    "risk_coverage_figure",
    "score_table",
    "terminal_table",
    "write_report",
]
