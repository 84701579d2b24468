"""A study's table as an HTML page, as charts, and as JSON."""

from collections.abc import Collection
from functools import partial

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.evaluation.study import StudyTable
from retrieval_core.visualize.curves import ScorePoint, scores_chart
from retrieval_core.visualize.inputs import DESCRIPTORS
from retrieval_core.visualize.pages import render
from retrieval_core.visualize.pictures import Album, Picture
from retrieval_core.visualize.scoreboard import headline_metrics, metric_title

PAGE = "study.html"
NUMBERS = "study.json"
CHARTED = ("map_medium", "map", "recall@1")


def build_study(table: StudyTable, directory: ArtifactDirectory) -> list[str]:
    """Write `study.html`, which needs no other file, `study.json`, and charts as PNG.

    Args:
        table: of the study.
        directory: that gets the files.

    Returns:
        Names of the files, the page first.
    """
    album = Album(directory)
    metrics = study_metrics({metric for line in table.lines for metric in line.cells})
    page = render(
        PAGE,
        table=table,
        metrics=metrics,
        metric_title=metric_title,
        titles=DESCRIPTORS,
        charts=[_chart(table, metric, album) for metric in metrics if metric in CHARTED],
        percent=f"{100 * table.confidence:g} %",
    )
    directory.write_bytes(PAGE, page.encode())
    directory.write_json(NUMBERS, table.to_dict())
    return [PAGE, NUMBERS, *album.names]


def study_metrics(known: Collection[str]) -> list[str]:
    """The columns of a study's table."""
    return [name for name in headline_metrics(known) if name != "map_over_labels"]


def _chart(table: StudyTable, metric: str, album: Album) -> Picture:
    several = len({line.descriptor for line in table.lines}) > 1
    points = [
        ScorePoint(
            label=f"{line.row}\n{DESCRIPTORS[line.descriptor]}" if several else line.row,
            value=line.cells[metric].value,
            interval=line.cells[metric].interval,
            before=False,
        )
        for line in table.lines
        if metric in line.cells
    ]
    values = "; ".join(f"{point.label}: {100 * point.value:.1f}" for point in points)
    return album.chart(
        f"study-{metric.replace('@', '-at-')}",
        partial(scores_chart, points),
        title=f"{metric_title(metric)} with {100 * table.confidence:g} % intervals",
        alt=f"Scores in percent. {values}.".replace("\n", ", "),
    )
