"""Which views a demo dataset consists of, and how hard each is."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal

import numpy as np

from retrieval_core.config import DemoConfig
from retrieval_core.data.catalogue import Role, Split
from retrieval_core.data.demo_landmarks import CLUTTER, Landmark, landmarks
from retrieval_core.data.demo_views import View, clutter_tile, draw_view

TRAIN_SHARE, VAL_SHARE = 0.45, 0.10
"""Of all views; the rest is the test split."""

QUERY_SHARE, DISTRACTOR_SHARE = 0.12, 0.25
"""Of the test split's views; the rest shows landmarks to find."""

EASY_VISIBLE, EASY_STRENGTH = 0.6, 0.5
"""An easy positive shows at least this share of the landmark, changed at most this strongly."""

HARD_VISIBLE = 0.3
"""A hard positive shows at least this share of the landmark; a view that shows less is junk."""

MILD = (0.0, 0.3)
ANY = (0.1, 1.0)
"""Ranges of strength: of queries and of one sure positive per landmark; of all other views."""

BOXED_COVERAGE = (0.45, 0.65)
FRAMED_COVERAGE = (0.8, 1.0)
"""Side of a query's landmark in the frame, with and without a box around it."""

Grade = Literal["easy", "hard", "junk"]


@dataclass(frozen=True)
class PlannedView:
    """One view to make.

    Attributes:
        split: of the dataset.
        role: "both" outside the test split.
        landmark: what it shows; None for a distractor.
        mild: whether the landmark is plain to see.
        boxed: whether a box frames the landmark.
    """

    split: Split
    role: Role
    landmark: Landmark | None
    mild: bool = False
    boxed: bool = False


def plan_views(config: DemoConfig) -> list[PlannedView]:
    """Every view of the dataset; its place in the list and the seed determine its every pixel."""
    train, val = round(TRAIN_SHARE * config.views), round(VAL_SHARE * config.views)
    test = config.views - train - val
    queries, distractors = round(QUERY_SHARE * test), round(DISTRACTOR_SHARE * test)
    things = _shuffled("test", config)
    sure = len(things)
    return [
        *(
            PlannedView("train", "both", thing)
            for thing in _take(_shuffled("train", config), train)
        ),
        *(PlannedView("val", "both", thing) for thing in _take(_shuffled("val", config), val)),
        *(
            PlannedView("test", "query", thing, mild=True, boxed=number % 2 == 0)
            for number, thing in enumerate(_take(things, queries))
        ),
        *(
            PlannedView("test", "database", thing, mild=number < sure)
            for number, thing in enumerate(_take(things, test - queries - distractors))
        ),
        *(PlannedView("test", "database", None) for _ in range(distractors)),
    ]


def draw(planned: PlannedView, image_size: int, generator: np.random.Generator) -> View:
    """The geometry of a planned view.

    Args:
        planned: what the view is for.
        image_size: longest side, pixels.
        generator: of this view alone.
    """
    while True:
        view = _draw_once(planned, image_size, generator)
        if not planned.mild or view.visible >= EASY_VISIBLE:
            return view


def grade(view: View) -> Grade:
    """How a view of a query's landmark counts."""
    if view.visible < HARD_VISIBLE:
        return "junk"
    easy = view.visible >= EASY_VISIBLE and view.strength <= EASY_STRENGTH
    return "easy" if easy else "hard"


def _draw_once(planned: PlannedView, image_size: int, generator: np.random.Generator) -> View:
    strength = float(generator.uniform(*(MILD if planned.mild else ANY)))
    clutter = CLUTTER[planned.split]
    if planned.landmark is None:
        tile = clutter_tile(clutter, generator)
    else:
        tile = planned.landmark.tiles[int(generator.integers(len(planned.landmark.tiles)))]
    return draw_view(
        tile,
        clutter,
        image_size=image_size,
        strength=strength,
        coverage=_coverage(planned, strength, generator),
        generator=generator,
    )


def _coverage(planned: PlannedView, strength: float, generator: np.random.Generator) -> float:
    if planned.role == "query":
        limits = BOXED_COVERAGE if planned.boxed else FRAMED_COVERAGE
        return float(generator.uniform(*limits))
    smallest, largest = math.log(0.9 - 0.55 * strength), math.log(0.9 + 1.3 * strength)
    return math.exp(generator.uniform(smallest, largest))


def _shuffled(split: Split, config: DemoConfig) -> list[Landmark]:
    # so that few queries come from different photographs
    things = landmarks(split, config.views)
    order = np.random.default_rng([config.seed, config.views]).permutation(len(things))
    return [things[i] for i in order]


def _take(things: Sequence[Landmark], count: int) -> Iterator[Landmark]:
    return islice(cycle(things), count)
