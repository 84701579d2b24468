"""The queries that are worth looking at: most changed, best and worst."""

from collections.abc import Sequence

from retrieval_core.data.catalogue import Catalogue
from retrieval_core.visualize.average_precision import (
    changed_queries,
    extreme_queries,
    known_precisions,
)
from retrieval_core.visualize.inputs import Comparison, ScoredRanking
from retrieval_core.visualize.pictures import Album, Picture
from retrieval_core.visualize.ranking_grid import GridRow, grid_rows, ranking_grid

QUERIES = 3
"""Shown of each kind."""


def ranking_pictures(catalogue: Catalogue, comparison: Comparison, album: Album) -> list[Picture]:
    """Grids of a descriptor's most changed, best and worst queries, as far as there are any.

    Args:
        catalogue: dataset that was ranked.
        comparison: rankings of the descriptor.
        album: that keeps the pictures.
    """
    before, final = comparison.before, comparison.final
    kinds = {
        "Best": _rows(catalogue, final, extreme_queries(final.scores, QUERIES, best=True)),
        "Worst": _rows(catalogue, final, extreme_queries(final.scores, QUERIES, best=False)),
    }
    if before is not None:
        changed = {
            "Most improved": _changed(catalogue, before, final, up=True),
            "Most worsened": _changed(catalogue, before, final, up=False),
        }
        kinds = {**changed, **kinds}
    return [
        album.photographs(
            f"rankings/{comparison.descriptor}-{kind.lower().replace(' ', '-')}",
            ranking_grid(rows),
            title=f"{kind} queries",
            alt=f"{kind} queries. {_describe(rows)}",
        )
        for kind, rows in kinds.items()
        if rows
    ]


def _rows(
    catalogue: Catalogue, run: ScoredRanking, queries: Sequence[int], prefix: str = "AP"
) -> list[GridRow]:
    known = known_precisions(run.scores)
    notes = [(query, f"{prefix} {100 * known[query]:.1f}") for query in queries]
    return grid_rows(catalogue, run.ranking, notes)


def _changed(
    catalogue: Catalogue, before: ScoredRanking, final: ScoredRanking, *, up: bool
) -> list[GridRow]:
    queries = changed_queries(before.scores, final.scores, QUERIES, up=up)
    old = _rows(catalogue, before, queries, "before")
    new = _rows(catalogue, final, queries, "after")
    return [row for pair in zip(old, new, strict=True) for row in pair]


def _describe(rows: Sequence[GridRow]) -> str:
    """The grid in words."""
    lines = []
    for row in rows:
        marks = ", ".join(row.mark(image.image_id) for image, _ in row.found)
        lines.append(f"Query {row.query.image_id} ({row.note}): {marks}.")
    return " ".join(lines)
