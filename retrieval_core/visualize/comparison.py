"""One self-contained HTML page about several runs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.evaluation.comparison import PairedScores
from retrieval_core.evaluation.review import Pairing, Review
from retrieval_core.visualize.comparison_chart import Names, changes_chart
from retrieval_core.visualize.inputs import DESCRIPTORS
from retrieval_core.visualize.pages import render
from retrieval_core.visualize.pictures import Album, Picture
from retrieval_core.visualize.ranking_grid import BLUE, MARKS, GridRow, grid_rows, ranking_grid
from retrieval_core.visualize.scoreboard import metric_title

PAGE = "compare.html"
NUMBERS = "compare.json"


@dataclass(frozen=True)
class PairView:
    """What the page shows of a run against the first one by one descriptor.

    Without a chart where no query changed.
    """

    pairing: Pairing
    title: str
    chart: Picture | None
    grids: list[Picture]


def build_comparison(
    review: Review, catalogue: Catalogue, directory: ArtifactDirectory, *, queries: int = 3
) -> list[str]:
    """Write `compare.html`, which needs no other file, `compare.json`, and pictures as PNG.

    Args:
        review: the runs.
        catalogue: the dataset they were scored on.
        directory: that gets the files.
        queries: most gains, and most losses, that are shown as photographs, >= 0.

    Returns:
        Names of the files, the page first.
    """
    album = Album(directory)
    views = [_view(review, pairing, catalogue, album, queries) for pairing in review.pairings]
    page = render(
        PAGE,
        review=review,
        catalogue=catalogue,
        views=views,
        by_descriptor=_by_descriptor(views),
        titles=DESCRIPTORS,
        tables=_tables(review),
        metrics=all_metrics(review),
        metric_title=metric_title,
        percent=f"{100 * review.confidence:g} %",
        left_out=left_out(review),
        query_color=BLUE,
        marks=MARKS,
    )
    directory.write_bytes(PAGE, page.encode())
    directory.write_json(NUMBERS, to_json(review))
    return [PAGE, NUMBERS, *album.names]


def all_metrics(review: Review) -> list[tuple[str, str, list[float | None]]]:
    """Descriptor, metric, and its value per run, in [0, 1], as each run reported it."""
    rows = []
    for descriptor in dict.fromkeys(d for run in review.runs for d in run.descriptors):
        scored = [run.descriptors.get(descriptor) for run in review.runs]
        known = [{} if found is None else found.scores.metrics for found in scored]
        names = dict.fromkeys(name for metrics in known for name in metrics)
        if "map_medium" in names:
            names.pop("map", None)
        rows += [(descriptor, name, [m.get(name) for m in known]) for name in names]
    return rows


def to_json(review: Review) -> dict[str, Any]:
    """All numbers of a review as plain values; scores in [0, 1]."""
    return {
        "confidence": review.confidence,
        "dataset_digest": review.runs[0].digest,
        "runs": [
            {
                "letter": review.letter(number),
                "name": run.name,
                "source": run.source,
                "metrics": {d: found.scores.metrics for d, found in run.descriptors.items()},
            }
            for number, run in enumerate(review.runs)
        ],
        "settings": review.differences,
        "pairings": [
            {"descriptor": p.descriptor, "runs": ["A", review.letter(p.number)], **_numbers(pair)}
            for p in review.pairings
            for pair in p.setups
        ],
    }


def _numbers(pair: PairedScores) -> dict[str, Any]:
    before, after = pair.means
    return {
        "metric": pair.metric,
        "queries": len(pair.query_ids),
        "queries_left_out": pair.left_out,
        "before": {"value": before, "interval": pair.intervals[0]},
        "after": {"value": after, "interval": pair.intervals[1]},
        "difference": asdict(pair.difference),
        "p_value": pair.p_value,
        "verdict": pair.verdict,
        **pair.counts,
        **(_precisions(pair) if pair.of_precisions else {}),
    }


def _precisions(pair: PairedScores) -> dict[str, Any]:
    return {
        "average_precisions": [
            {"query": int(query), "before": float(old), "after": float(new)}
            for query, old, new in zip(pair.query_ids, pair.before, pair.after, strict=True)
        ],
    }


def _view(
    review: Review, pairing: Pairing, catalogue: Catalogue, album: Album, queries: int
) -> PairView:
    letter = review.letter(pairing.number)
    kinds = {
        "gains": pairing.main.extremes(queries, wins=True),
        "losses": pairing.main.extremes(queries, wins=False),
    }
    grids = [
        album.photographs(
            f"rankings-{pairing.descriptor}-{letter}-{kind}",
            ranking_grid(rows),
            title=f"Largest {kind} of {letter} against A",
            alt=f"Queries with the largest {kind}: {_describe(rows)}.",
        )
        for kind, ids in kinds.items()
        if (rows := _rows(review, pairing, catalogue, ids))
    ]
    title = f"{letter} against A, query by query"
    return PairView(pairing, title, _chart(review, pairing, title, album), grids)


def _chart(review: Review, pairing: Pairing, title: str, album: Album) -> Picture | None:
    if not pairing.main.changes.any():
        return None
    before, after = (
        f"{review.letter(number)}  {_short(review.runs[number].name)}"
        for number in (0, pairing.number)
    )
    counts = ", ".join(f"{count} {name}" for name, count in pairing.main.counts.items())
    return album.chart(
        f"queries-{pairing.descriptor}-{review.letter(pairing.number)}",
        partial(changes_chart, pairing.main, Names(before, after)),
        title=title,
        alt=f"Average precision of each query: {counts}.",
    )


def _rows(
    review: Review, pairing: Pairing, catalogue: Catalogue, queries: Sequence[int]
) -> list[GridRow]:
    """Per query its ranking under A, then under the other run."""
    pair = pairing.main
    rows = []
    for number, values in ((0, pair.before), (pairing.number, pair.after)):
        known = dict(zip(pair.query_ids.tolist(), values.tolist(), strict=True))
        ranking = review.runs[number].descriptors[pairing.descriptor].ranking
        letter = review.letter(number)
        notes = [(query, f"{letter}   AP {100 * known[query]:.1f}") for query in queries]
        rows.append(grid_rows(catalogue, ranking, notes))
    return [row for both in zip(*rows, strict=True) for row in both]


def _describe(rows: Sequence[GridRow]) -> str:
    return "; ".join(f"query {row.query.image_id}, {row.note}" for row in rows)


def _by_descriptor(views: Sequence[PairView]) -> dict[str, list[PairView]]:
    found: dict[str, list[PairView]] = {}
    for view in views:
        found.setdefault(view.pairing.descriptor, []).append(view)
    return found


def _tables(review: Review) -> dict[str, dict[str, list[tuple[int, PairedScores]]]]:
    """Rows of the tables of scores: per descriptor and metric, all runs that have it."""
    tables: dict[str, dict[str, list[tuple[int, PairedScores]]]] = {}
    for pairing in review.pairings:
        table = tables.setdefault(pairing.descriptor, {})
        for pair in pairing.setups:
            table.setdefault(pair.metric, []).append((pairing.number, pair))
    return tables


def left_out(review: Review) -> list[str]:
    """In words, how many queries could not be paired."""
    return [
        f"{DESCRIPTORS[p.descriptor]}, {metric_title(pair.metric)}: {pair.left_out:,} of "
        f"{pair.left_out + len(pair.query_ids):,} queries were scored in only one of A and "
        f"{review.letter(p.number)}; the values are means over the others."
        for p in review.pairings
        for pair in p.setups
        if pair.left_out
    ]


def _short(name: str, length: int = 30) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
