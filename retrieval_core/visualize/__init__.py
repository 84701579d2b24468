"""Pictures of rankings, curves, and the report of an experiment."""

from retrieval_core.visualize.average_precision import precisions_chart
from retrieval_core.visualize.curves import scores_chart, training_curves
from retrieval_core.visualize.inputs import ReportInputs, ScoredRanking, StageTiming
from retrieval_core.visualize.ranking_grid import GridRow, grid_rows, ranking_grid
from retrieval_core.visualize.report import build_report

__all__ = [
    "GridRow",
    "ReportInputs",
    "ScoredRanking",
    "StageTiming",
    "build_report",
    "grid_rows",
    "precisions_chart",
    "ranking_grid",
    "scores_chart",
    "training_curves",
]
