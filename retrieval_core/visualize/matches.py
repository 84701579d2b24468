"""Places that two photographs share, by FIRe's super-features or by ASMK's visual words."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from retrieval_core.config import FeaturesConfig
from retrieval_core.errors import PictureError
from retrieval_core.index import Codebook
from retrieval_core.losses import match_super_features
from retrieval_core.models import RetrievalModel
from retrieval_core.models.fire import FireNetwork
from retrieval_core.visualize.features import LocatedFeatures, located_features
from retrieval_core.visualize.photograph import Photograph
from retrieval_core.visualize.super_features import Float32, SuperFeatures, super_features

Point = tuple[float, float]

RATIO = 0.9
ASSIGNMENTS = 5
"""Visual words of a descriptor of the first photograph, as of a query's by default."""
NEAREST = 8
"""Pairs to show where no match passes the test."""


@dataclass(frozen=True)
class Match:
    """One correspondence.

    Attributes:
        left: x and y in pixels of the first photograph.
        right: x and y in pixels of the second photograph.
        similarity: cosine, at most 1.
        name: template or visual word.
    """

    left: Point
    right: Point
    similarity: float
    name: int


@dataclass(frozen=True)
class Matches:
    """Correspondences of two photographs.

    Attributes:
        found: most similar first.
        rule: how they were found, in words.
        candidates: shown instead where nothing was found, in grey.
    """

    found: tuple[Match, ...]
    rule: str
    candidates: tuple[Match, ...] = ()

    @property
    def caption(self) -> str:
        """Their number, similarities and rule, in words."""
        count = len(self.found)
        number = f"{count} {'match' if count == 1 else 'matches'}" if count else "no match"
        if count:
            number += f" of similarity {self.found[-1].similarity:.2f}"
        if count > 1:
            number += f" to {self.found[0].similarity:.2f}"
        nearest = f" · grey: the nearest {len(self.candidates)} pairs" if self.candidates else ""
        return f"{number} · {self.rule}{nearest}"


def match_photographs(
    model: RetrievalModel,
    left: Photograph,
    right: Photograph,
    *,
    settings: FeaturesConfig,
    codebook: Codebook | None,
) -> Matches:
    """FIRe's matches by templates, or HOW's by visual words.

    Args:
        model: a FIRe or HOW network.
        left: first photograph.
        right: second photograph.
        settings: scales and number of HOW's features.
        codebook: visual words, which HOW's matches need.

    Raises:
        PictureError: the network has no local features, or the codebook is missing.
    """
    if isinstance(model, FireNetwork):
        return match_by_templates(model, left, right)
    first, second = (
        located_features(model, photograph, scales=settings.scales, count=settings.max_features)
        for photograph in (left, right)
    )
    if codebook is None:
        raise PictureError(
            f"matches of a {model.config.method} network need the visual words of an index"
        )
    return match_by_words(first, second, codebook)


def match_by_templates(
    model: RetrievalModel, left: Photograph, right: Photograph, *, ratio: float = RATIO
) -> Matches:
    """Super-features of one template that are each other's clear nearest neighbour.

    Args:
        model: a FIRe network.
        left: first photograph.
        right: second photograph.
        ratio: of the paper's ratio test, in (0, 1].

    Returns:
        The matches that the training loss would use; without any, the nearest pairs of one
        template as candidates.

    Raises:
        PictureError: the network has no super-features.
    """
    first, second = super_features(model, left), super_features(model, right)
    templates = match_super_features(first.descriptors, second.descriptors, ratio=ratio).tolist()
    pairs = _pairs(first, second, left, right)
    found = tuple(pair for pair in pairs if pair.name in templates)
    rule = f"same template, reciprocal, ratio test {ratio:g}"
    return Matches(found, rule, () if found else pairs[:NEAREST])


def match_by_words(
    first: LocatedFeatures,
    second: LocatedFeatures,
    codebook: Codebook,
    *,
    assignments: int = ASSIGNMENTS,
    threshold: float = 0.0,
) -> Matches:
    """Local descriptors of one visual word whose residuals point alike, as ASMK counts them.

    Of each word, and of each descriptor of the first photograph, the most similar pair is kept.

    Args:
        first: of the first photograph, the query.
        second: of the second photograph.
        codebook: visual words.
        assignments: words of a descriptor of the first photograph, >= 1.
        threshold: similarities up to it count nothing, -1 to 1.
    """
    asked = codebook.assign(first.descriptors, min(assignments, codebook.size))
    stored = codebook.assign(second.descriptors)[:, 0]
    best: dict[int, Match] = {}
    for word in np.intersect1d(asked, stored):
        rows, columns = np.flatnonzero((asked == word).any(1)), np.flatnonzero(stored == word)
        left, right = (
            _signs(found.descriptors[chosen] - codebook.centroids[word])
            for found, chosen in ((first, rows), (second, columns))
        )
        similar = left @ right.T / codebook.dim
        i, j = np.unravel_index(int(similar.argmax()), similar.shape)
        row, column = int(rows[i]), int(columns[j])
        match = Match(first.place(row), second.place(column), float(similar[i, j]), int(word))
        known = best[row].similarity if row in best else threshold
        if match.similarity > known:
            best[row] = match
    return Matches(_ranked(best.values()), "same visual word, alike within it")


def _pairs(
    first: SuperFeatures, second: SuperFeatures, left: Photograph, right: Photograph
) -> tuple[Match, ...]:
    """Every template's two super-features, most similar first."""
    similar = (first.descriptors * second.descriptors).sum(1).tolist()
    starts, ends = first.places(*left.image.size), second.places(*right.image.size)
    return _ranked(
        [Match(_point(starts[i]), _point(ends[i]), similar[i], i) for i in range(len(similar))]
    )


def _ranked(matches: Iterable[Match]) -> tuple[Match, ...]:
    return tuple(sorted(matches, key=lambda match: (-match.similarity, match.name)))


def _point(place: Float32) -> Point:
    return float(place[0]), float(place[1])


def _signs(residuals: Float32) -> Float32:
    """As the binary inverted file sees them."""
    return np.where(residuals > 0, np.float32(1), np.float32(-1))
