"""Photographs of a few queries, with what the network sees in them and matches between them."""

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.errors import ImageError
from retrieval_core.models import RetrievalModel
from retrieval_core.models.fire import FireNetwork
from retrieval_core.models.how import HowNetwork
from retrieval_core.visualize.attention import attention_grid, attention_maps
from retrieval_core.visualize.average_precision import extreme_queries, known_precisions
from retrieval_core.visualize.features import features_picture, located_features
from retrieval_core.visualize.inputs import Comparison, Learned
from retrieval_core.visualize.match_lines import match_lines
from retrieval_core.visualize.matches import match_photographs
from retrieval_core.visualize.photograph import Photograph, read_photograph
from retrieval_core.visualize.pictures import Album, Picture
from retrieval_core.visualize.ranking_grid import GridRow, grid_rows
from retrieval_core.visualize.tiles import sheet

MAPS = 5
FEATURES = 25
LINES = 20
TILE_WIDTH, TILE_HEIGHT = 210, 280
FEATURES_HEIGHT = 320


@dataclass(frozen=True)
class Example:
    """A query beside one of its results.

    Attributes:
        title: what the pair is an example of.
        query: its photograph, cropped to its box.
        answer: photograph of a result.
    """

    title: str
    query: Photograph
    answer: Photograph


def example_pictures(
    catalogue: Catalogue, comparison: Comparison, learned: Learned, album: Album
) -> list[Picture]:
    """What the network sees in a good and a bad query, and what they share with a result.

    Args:
        catalogue: dataset that was ranked.
        comparison: of the ranking that the queries are chosen by.
        learned: the network and its codebook.
        album: that keeps the pictures.

    Returns:
        Nothing of a network without local features, or where no photograph can be read.
    """
    if not isinstance(learned.model, FireNetwork | HowNetwork):
        return []
    examples = _examples(catalogue, comparison, learned)
    if not examples:
        return []
    photographs = [examples[0].query, examples[0].answer, *(e.query for e in examples[1:])]
    pictures = [
        _attention(learned, photographs, album),
        _features(learned, photographs, album),
    ]
    if isinstance(learned.model, HowNetwork) and learned.codebook is None:
        return pictures
    return [*pictures, *_matches(learned, examples, album)]


def _examples(catalogue: Catalogue, comparison: Comparison, learned: Learned) -> list[Example]:
    final = comparison.final
    known = known_precisions(final.scores)
    chosen = {"Best query": True, "Worst query": False}
    found: dict[int, Example] = {}
    for kind, best in chosen.items():
        for query in extreme_queries(final.scores, 1, best=best):
            title = f"{kind} (AP {100 * known[query]:.1f})"
            (row,) = grid_rows(catalogue, final.ranking, [(query, title)])
            example = _example(row, learned)
            if example is not None:
                found.setdefault(query, example)
    return list(found.values())


def _example(row: GridRow, learned: Learned) -> Example | None:
    """The query with its first right answer or, where none was found near, its first result."""
    right = [image for image, _ in row.found if row.mark(image.image_id) == "correct"]
    results = right or [image for image, _ in row.found if row.mark(image.image_id) != "junk"]
    if not results:
        return None
    place = "first right answer" if right else "first result, which is wrong"
    try:
        query = _read(learned.model, row.query, learned, box=True)
        answer = _read(learned.model, results[0], learned, box=False)
    except ImageError:
        return None
    return Example(f"{row.note} and its {place}", query, answer)


def _read(model: RetrievalModel, row: ImageRow, learned: Learned, *, box: bool) -> Photograph:
    return read_photograph(
        model,
        row.path,
        image_size=learned.features.image_size,
        box=row.box if box else None,
    )


def _attention(learned: Learned, photographs: Sequence[Photograph], album: Album) -> Picture:
    rows = []
    for photograph in photographs:
        scales = learned.features.scales
        maps = attention_maps(learned.model, photograph, count=MAPS, scales=scales)
        width, height = photograph.image.size
        height = min(TILE_HEIGHT, round(TILE_WIDTH * height / width))
        rows.append([attention_grid(photograph.image, maps, columns=1 + MAPS, height=height)])
    if isinstance(learned.model, FireNetwork):
        title, what = "Attention of the strongest super-features", "super-features look"
    else:
        title, what = "Strength of local features", "local features are strong"
    alt = f"A row per photograph: itself, then where its {what}, as heat over it."
    return album.photographs("network/attention", sheet(rows), title=title, alt=alt)


def _features(learned: Learned, photographs: Sequence[Photograph], album: Album) -> Picture:
    settings = learned.features
    tiles = []
    for photograph in photographs:
        count = min(FEATURES, settings.max_features)
        found = located_features(learned.model, photograph, scales=settings.scales, count=count)
        tiles.append(features_picture(photograph.image, found, height=FEATURES_HEIGHT))
    return album.photographs(
        "network/features",
        sheet([tiles]),
        title="Strongest features",
        alt="Photographs with a circle at each of their strongest local features.",
    )


def _matches(learned: Learned, examples: Sequence[Example], album: Album) -> list[Picture]:
    pictures = []
    for number, example in enumerate(examples, start=1):
        matches = match_photographs(
            learned.model,
            example.query,
            example.answer,
            settings=learned.features,
            codebook=learned.codebook,
        )
        drawn = match_lines(example.query.image, example.answer.image, matches, lines=LINES)
        title = f"Matches: {example.title[0].lower()}{example.title[1:]}"
        alt = f"{example.title}, joined by a line per match. {matches.caption}."
        pictures.append(album.photographs(f"network/matches-{number}", drawn, title=title, alt=alt))
    return pictures
