"""The geometry of a demo view: where the camera stands and what hides the landmark.

A landmark is a flat poster, seen by a pinhole camera in front of a background, partly hidden by
patches of other photographs. No pixel is touched here, so that ground truth is cheap to redo.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval_core.data.catalogue import Box
from retrieval_core.data.demo_landmarks import Tile, photograph

Matrix = NDArray[np.float64]

ASPECTS = ((4, 3), (3, 4), (1, 1), (3, 2))
CAMERA_DISTANCE = 2.5
"""Of the camera from the poster, in half diagonals; smaller is stronger perspective."""

TILT = (8.0, 52.0)
"""Largest turn about the poster's horizontal or vertical axis, degrees: mildest, strongest."""

ROLL = (5.0, 35.0)
"""Largest turn in the image plane, degrees: mildest, strongest."""

SHIFT = (0.02, 0.18)
"""Largest offset from the middle, as a share of the frame's side: mildest, strongest."""

MOST_OCCLUDERS = 3
CLUTTER_SIDE = (0.2, 0.6)
"""Sides of a clutter patch as a share of its photograph's sides: smallest, largest."""

SAMPLES = 24
"""Points per side of a tile at which its visibility is sampled."""


@dataclass(frozen=True)
class Occluder:
    """A patch of another photograph pasted over the view; pixels and radians of the frame."""

    tile: Tile
    centre: tuple[float, float]
    half_size: tuple[float, float]
    angle: float

    def corners(self) -> list[tuple[float, float]]:
        """The patch's four corners in the frame."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        (a, b), (x, y) = self.half_size, self.centre
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return [
            (float(x + cos * i * a - sin * j * b), float(y + sin * i * a + cos * j * b))
            for i, j in signs
        ]

    def covers(self, points: Matrix) -> NDArray[np.bool_]:
        """Which of (n, 2) frame points it hides."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        local = (points - self.centre) @ np.array([[cos, -sin], [sin, cos]])
        return np.asarray((np.abs(local) <= self.half_size).all(axis=1))


@dataclass(frozen=True)
class View:
    """A camera in front of a scene.

    Attributes:
        size: width and height of the frame, pixels.
        tile: what the poster shows.
        homography: (3, 3), pixels of the tile to pixels of the frame.
        scale: pixels of the frame per pixel of the tile, on average.
        background: what is behind the poster.
        occluders: what is before it, nearest last.
        strength: of every change, 0 (nearly frontal, clean) to 1.
        visible: share of the tile's area that the frame shows.
        box: bounding box of the poster in the frame, pixels.
    """

    size: tuple[int, int]
    tile: Tile
    homography: Matrix
    scale: float
    background: Tile
    occluders: tuple[Occluder, ...]
    strength: float
    visible: float
    box: Box


def draw_view(
    tile: Tile,
    clutter: Sequence[str],
    *,
    image_size: int,
    strength: float,
    coverage: float,
    generator: np.random.Generator,
) -> View:
    """A random camera and surroundings.

    Args:
        tile: what the poster shows.
        clutter: photographs of backgrounds and occluders.
        image_size: longest side of the frame, pixels.
        strength: of every change, in [0, 1].
        coverage: side of the projected poster, as a share of the frame's side; above 1 the
            frame shows a part of the poster.
        generator: source of all choices.
    """
    size = _frame(image_size, generator)
    homography = _pose(tile, size, strength, coverage, generator)
    background = clutter_tile(clutter, generator)
    count = int(generator.binomial(MOST_OCCLUDERS, 0.75 * strength))
    occluders = tuple(_occluder(size, clutter, generator) for _ in range(count))
    points = _project(homography, _samples(tile))
    return View(
        size=size,
        tile=tile,
        homography=homography,
        scale=coverage * math.sqrt(size[0] * size[1] / (tile.width * tile.height)),
        background=background,
        occluders=occluders,
        strength=strength,
        visible=_visible_share(points, size, occluders),
        box=_bounding_box(points, size),
    )


def clutter_tile(names: Sequence[str], generator: np.random.Generator) -> Tile:
    """A random part of one of these photographs."""
    name = names[int(generator.integers(len(names)))]
    width, height = photograph(name).size
    share_x, share_y = generator.uniform(*CLUTTER_SIDE, 2)
    w, h = max(16, int(share_x * width)), max(16, int(share_y * height))
    left, top = int(generator.integers(width - w + 1)), int(generator.integers(height - h + 1))
    return Tile(name, (left, top, left + w, top + h))


def _frame(image_size: int, generator: np.random.Generator) -> tuple[int, int]:
    width, height = ASPECTS[int(generator.integers(len(ASPECTS)))]
    factor = image_size / max(width, height)
    return round(width * factor), round(height * factor)


def _pose(
    tile: Tile,
    size: tuple[int, int],
    strength: float,
    coverage: float,
    generator: np.random.Generator,
) -> Matrix:
    width, height = tile.width, tile.height
    tilt, pan = np.radians(_range(TILT, strength)) * generator.uniform(-1, 1, 2)
    roll = np.radians(_range(ROLL, strength)) * generator.uniform(-1, 1)
    rotation = _turn(roll, 2) @ _turn(tilt, 0) @ _turn(pan, 1)
    half_diagonal = np.hypot(width, height) / 2
    to_plane = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, half_diagonal]])
    depth = np.column_stack([rotation[:, 0], rotation[:, 1], [0, 0, CAMERA_DISTANCE]])
    projection = depth @ to_plane
    corners = _project(projection, np.array([[0, 0], [width, 0], [width, height], [0, height]]))
    focal = coverage * np.sqrt(size[0] * size[1] / _area(corners))
    middle = 0.5 + _range(SHIFT, strength) * generator.uniform(-1, 1, 2)
    centre = np.array(size) * middle - focal * corners.mean(axis=0)
    camera: Matrix = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
    return np.asarray(camera @ projection)


def _occluder(
    size: tuple[int, int], clutter: Sequence[str], generator: np.random.Generator
) -> Occluder:
    tile = clutter_tile(clutter, generator)
    x, y = generator.uniform(0, 1, 2) * size
    a, b = generator.uniform(0.08, 0.24, 2) * max(size)
    return Occluder(tile, (float(x), float(y)), (float(a), float(b)), generator.uniform(-0.6, 0.6))


def _visible_share(points: Matrix, size: tuple[int, int], occluders: Sequence[Occluder]) -> float:
    seen = ((points >= 0) & (points < size)).all(axis=1)
    for occluder in occluders:
        seen &= ~occluder.covers(points)
    return float(seen.mean())


def _bounding_box(points: Matrix, size: tuple[int, int]) -> Box:
    low = np.clip(points.min(axis=0), 0, size)
    high = np.clip(points.max(axis=0), 0, size)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _samples(tile: Tile) -> Matrix:
    xs, ys = np.linspace(0, tile.width, SAMPLES), np.linspace(0, tile.height, SAMPLES)
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def _project(homography: Matrix, points: Matrix) -> Matrix:
    projected = np.column_stack([points, np.ones(len(points))]) @ homography.T
    return np.asarray(projected[:, :2] / projected[:, 2:])


def _area(corners: Matrix) -> float:
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _turn(angle: float, axis: int) -> Matrix:
    matrix = np.eye(3)
    first, second = (i for i in range(3) if i != axis)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def _range(limits: tuple[float, float], strength: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * strength
