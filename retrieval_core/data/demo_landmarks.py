"""The demo's photographs, and the tiles of them that play the landmarks.

The photographs lie inside the installed packages scikit-image and scikit-learn. Each belongs to
one side only: to train, val or test landmarks, or to the clutter (distractors, backgrounds,
occluders) of one of the two.
"""

import importlib.resources
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from retrieval_core.data.catalogue import Split
from retrieval_core.errors import DatasetError

FINE_GRID_VIEWS = 5_000
"""From this many views on, photographs are cut one tile finer in each direction."""

MIN_TEXTURE = 0.3
"""Share of a tile that is textured, below which it shows too little to recognise."""

TEXTURE_BLOCKS, TEXTURE_CONTRAST = 6, 2.0
"""Blocks per side of a tile; a block's mean difference of neighbouring grey values, if textured."""

LONGEST_PHOTOGRAPH = 900
"""Pixels; larger photographs are shrunk, so that tiles of all have similar detail."""

Grid = tuple[int, int]

GRIDS: dict[Split, dict[str, Grid]] = {
    "train": {
        "astronaut.png": (2, 2),
        "coffee.png": (3, 2),
        "china.jpg": (3, 2),
        "coins.png": (2, 2),
        "hubble_deep_field.jpg": (3, 3),
        "gravel.png": (2, 2),
    },
    "val": {"camera.png": (3, 2), "text.png": (2, 1)},
    "test": {
        "motorcycle_left.png": (3, 2),
        "chelsea.png": (3, 2),
        "flower.jpg": (3, 2),
        "ihc.png": (2, 2),
        "brick.png": (2, 2),
    },
}
"""Photographs of the landmarks, and their columns and rows of tiles."""

CLUTTER: dict[Split, tuple[str, ...]] = {
    "train": ("grass.png", "moon.png", "logo.png"),
    "val": ("grass.png", "moon.png", "logo.png"),
    "test": ("rocket.jpg", "page.png", "retina.jpg", "cell.png"),
}
"""Photographs that are in no landmark."""

SECOND_EYE = {"motorcycle_left.png": ("motorcycle_right.png", -30)}
"""Right halves of stereo pairs, and the typical shift in pixels of what both halves show."""

SCIKIT_LEARN = ("china.jpg", "flower.jpg")


@dataclass(frozen=True)
class Tile:
    """A rectangle (left, top, right, bottom) of a photograph, in pixels."""

    photograph: str
    box: tuple[int, int, int, int]

    @property
    def width(self) -> int:
        """Pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        """Pixels."""
        return self.box[3] - self.box[1]


@dataclass(frozen=True)
class Landmark:
    """A thing to recognise: the same tile as one or two cameras saw it."""

    label: str
    tiles: tuple[Tile, ...]


@cache
def photograph(name: str) -> Image.Image:
    """A photograph from the installed packages, in RGB.

    Raises:
        DatasetError: the installed package does not hold it.
    """
    package, folder = (
        ("sklearn", "datasets/images") if name in SCIKIT_LEARN else ("skimage", "data")
    )
    with importlib.resources.as_file(importlib.resources.files(package) / folder / name) as path:
        if not Path(path).is_file():
            raise DatasetError(f"the installed package {package} has no {folder}/{name}")
        image = Image.open(path).convert("RGB")
    image.thumbnail((LONGEST_PHOTOGRAPH, LONGEST_PHOTOGRAPH), Image.Resampling.LANCZOS)
    return image


@cache
def landmarks(split: Split, views: int) -> tuple[Landmark, ...]:
    """Textured, non-overlapping tiles of a split's photographs.

    Args:
        split: whose photographs to cut.
        views: size of the dataset; many views call for more landmarks.
    """
    extra = 1 if views >= FINE_GRID_VIEWS else 0
    found = []
    for name, (columns, rows) in GRIDS[split].items():
        for number, box in enumerate(_grid(photograph(name).size, columns + extra, rows + extra)):
            if _texture(photograph(name).crop(box)) >= MIN_TEXTURE:
                label = f"{Path(name).stem}_{number:02d}"
                found.append(Landmark(label, _both_eyes(Tile(name, box))))
    return tuple(found)


def _grid(size: tuple[int, int], columns: int, rows: int) -> list[tuple[int, int, int, int]]:
    xs = np.linspace(0, size[0], columns + 1).astype(int).tolist()
    ys = np.linspace(0, size[1], rows + 1).astype(int).tolist()
    return [
        (xs[column], ys[row], xs[column + 1], ys[row + 1])
        for row in range(rows)
        for column in range(columns)
    ]


def _texture(tile: Image.Image) -> float:
    grey = np.asarray(tile.convert("L"), dtype=np.float32)
    steps = np.abs(np.diff(grey, axis=0))[:, 1:] + np.abs(np.diff(grey, axis=1))[1:]
    height, width = (side // TEXTURE_BLOCKS for side in steps.shape)
    blocks = steps[: height * TEXTURE_BLOCKS, : width * TEXTURE_BLOCKS]
    blocks = blocks.reshape(TEXTURE_BLOCKS, height, TEXTURE_BLOCKS, width)
    return float((blocks.mean(axis=(1, 3)) / 2 > TEXTURE_CONTRAST).mean())


def _both_eyes(tile: Tile) -> tuple[Tile, ...]:
    if tile.photograph not in SECOND_EYE:
        return (tile,)
    name, shift = SECOND_EYE[tile.photograph]
    left, top, _, bottom = tile.box
    start = min(max(left + shift, 0), photograph(name).width - tile.width)
    return tile, Tile(name, (start, top, start + tile.width, bottom))
