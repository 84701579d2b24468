"""A picture of what a search found, where nobody knows what is right."""

from collections.abc import Sequence

from PIL import Image

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.search.images import Answer, Hit
from retrieval_core.visualize.ranking_grid import GridRow, ranking_grid
from retrieval_core.visualize.tiles import on_white


def answers_grid(answers: Sequence[Answer], *, top_k: int = 10) -> Image.Image:
    """Draw the answers of a search: query images framed blue, results grey.

    Args:
        answers: top to bottom; one without hits is an empty row.
        top_k: results of a row, >= 1.

    Returns:
        RGB on white.
    """
    return on_white(ranking_grid([_grid_row(answer, top_k) for answer in answers]))


def _grid_row(answer: Answer, top_k: int) -> GridRow:
    query = ImageRow(0, answer.query, "", "test", "query")
    found = tuple((_row(hit), hit.score) for hit in answer.hits[:top_k])
    return GridRow(query, None, "query", found)


def _row(hit: Hit) -> ImageRow:
    return ImageRow(hit.image_id, hit.path, hit.label, "test", "database")
