"""The part of the report that looks into the network: attention, matches, words, map."""

from dataclasses import dataclass
from functools import partial

from retrieval_core.index.word_use import word_use
from retrieval_core.models.fire import FireNetwork
from retrieval_core.visualize.embedding import embedding_chart, embedding_map, thumbnails
from retrieval_core.visualize.examples import example_pictures
from retrieval_core.visualize.inputs import Comparison, Learned, ReportInputs
from retrieval_core.visualize.pictures import Album, Picture
from retrieval_core.visualize.words import word_use_chart, words_title

SUPER_FEATURES = (
    "Each super-feature is a template that gathers local features; its heat shows from where. "
    "Circles, the brighter the stronger, and lines are at the peak of its attention. Lines "
    "join super-features of one template that are each other's clear nearest neighbour."
)
LOCAL_FEATURES = (
    "The stronger a local feature, the brighter; a circle is half as wide as a cell of the feature "
    "map at its scale. Lines join features that share a visual word and lie on the same side of "
    "it, which is what the inverted file counts."
)


@dataclass(frozen=True)
class Part:
    """Pictures under one heading."""

    title: str
    note: str
    pictures: list[Picture]


def network_pictures(
    inputs: ReportInputs, comparison: Comparison, album: Album, *, seed: int
) -> list[Part]:
    """Pictures of the final network; none where the report does not know it.

    Args:
        inputs: of the report.
        comparison: whose best and worst queries are the examples.
        album: that keeps the pictures.
        seed: of the map.
    """
    learned = inputs.learned
    if learned is None:
        return []
    is_fire = isinstance(learned.model, FireNetwork)
    seen = example_pictures(inputs.catalogue, comparison, learned, album)
    parts = [
        Part("What it sees", SUPER_FEATURES if is_fire else LOCAL_FEATURES, seen),
        _words(learned, album),
        _map(inputs, learned, album, seed),
    ]
    return [part for part in parts if part.pictures]


def _words(learned: Learned, album: Album) -> Part:
    if learned.images_per_word is None:
        return Part("Visual words", "", [])
    use = word_use(learned.images_per_word)
    picture = album.chart(
        "network/words",
        partial(word_use_chart, use, unit="images per word"),
        title="Use of visual words",
        alt=f"Images per visual word, most used first. {words_title(use)}.",
    )
    return Part("Visual words", f"{words_title(use)}.", [picture])


def _map(inputs: ReportInputs, learned: Learned, album: Album, seed: int) -> Part:
    rows = {row.image_id: row for row in inputs.catalogue.rows}
    known = [place for place, i in enumerate(learned.image_ids) if int(i) in rows]
    if len(known) < 2:
        return Part("Map", "", [])
    found = embedding_map(
        [rows[int(learned.image_ids[place])] for place in known], learned.vectors[known], seed=seed
    )
    picture = album.chart(
        "network/map",
        partial(embedding_chart, found, thumbnails(found)),
        title="Map of global descriptors",
        alt=f"{len(known):,} images as dots on a plane by {found.method}, coloured by label.",
        lossless=False,
    )
    note = "Images whose global descriptors are alike lie together; distances far apart say little."
    return Part("Map of global descriptors", note, [picture])
