"""A map of global descriptors: images that the network finds alike lie together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.data.images import load_image
from retrieval_core.errors import ImageError, PictureError
from retrieval_core.visualize.theme import Theme, new_figure, set_title

Float32 = npt.NDArray[np.float32]

LARGEST_TSNE = 2_000
FEWEST_TSNE = 12
"""Images; fewer have no neighbourhoods to keep."""
PERPLEXITY = 30.0
COMPONENTS = 50
ITERATIONS = 500
LABELS = 10
"""Told apart by colour."""
THUMBNAILS = 16
THUMBNAIL = 72
"""Pixels, longest side."""


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Images on a plane.

    Attributes:
        rows: the images.
        points: (N, 2) float32, each axis from 0 to 1.
        method: of the projection, in words.
    """

    rows: tuple[ImageRow, ...]
    points: Float32
    method: str


def embedding_map(rows: Sequence[ImageRow], vectors: npt.ArrayLike, *, seed: int) -> EmbeddingMap:
    """Project descriptors to the plane: PCA, then t-SNE (JMLR 9, 2008) of up to 2,000 images.

    Args:
        rows: N images, N >= 1.
        vectors: (N, D) float32, their descriptors.
        seed: of the projection.

    Raises:
        PictureError: there is no image.
    """
    found = np.asarray(vectors, np.float32)
    if not len(found):
        raise PictureError("a map needs at least one image that has a descriptor")
    few = len(found) < FEWEST_TSNE
    components = 2 if few or len(found) > LARGEST_TSNE else COMPONENTS
    points, method = _pca(found, components, seed), "PCA"
    if FEWEST_TSNE <= len(found) <= LARGEST_TSNE:
        points, method = _tsne(points, seed), "t-SNE"
    low, high = points.min(0), points.max(0)
    spread = np.where(high > low, high - low, 1)
    return EmbeddingMap(tuple(rows), ((points - low) / spread).astype(np.float32), method)


def thumbnails(found: EmbeddingMap, count: int = THUMBNAILS) -> list[tuple[int, Image.Image]]:
    """Small pictures of images that lie far from each other: row and picture.

    An image that cannot be read has none.
    """
    pictures = []
    for row in _spread(found.points, count):
        try:
            image = load_image(found.rows[row].path, image_size=2 * THUMBNAIL)
        except ImageError:
            continue
        image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        pictures.append((row, image))
    return pictures


def embedding_chart(
    found: EmbeddingMap, pictures: Sequence[tuple[int, Image.Image]], theme: Theme
) -> Figure:
    """Dots coloured by label, rings for queries, and a few thumbnails.

    Args:
        found: the map.
        pictures: from `thumbnails`.
        theme: colours.
    """
    figure, (axis,) = new_figure(theme, 6.6)
    colours = _colours(found.rows, theme)
    queries = np.array([row.role != "database" for row in found.rows])
    axis.scatter(
        found.points[:, 0],
        found.points[:, 1],
        s=np.where(queries, 46, 30),
        c=colours,
        linewidths=[1.4 if query else 0.6 for query in queries],
        edgecolors=[theme.ink if query else theme.paper for query in queries],
        zorder=2,
    )
    _place(axis, found.points, pictures, colours)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.margins(0.06)
    title = f"{len(found.rows):,} global descriptors on a plane, by {found.method}"
    set_title(axis, theme, title)
    _legend(figure, found.rows, theme)
    return figure


def _pca(vectors: Float32, components: int, seed: int) -> Float32:
    """(N, components) or, of fewer images or dimensions, as many as there are, at least 2."""
    if (vectors == vectors[0]).all():
        return np.zeros((len(vectors), 2), np.float32)
    most = min(components, *vectors.shape)
    reduced = PCA(most, random_state=seed).fit_transform(vectors - vectors.mean(0))
    missing = max(2 - reduced.shape[1], 0)
    return np.pad(reduced, ((0, 0), (0, missing))).astype(np.float32)


def _tsne(components: Float32, seed: int) -> Float32:
    """(N, 2) from a start near the first two components.

    Points start a little apart: scikit-learn's own start divides by their spread, and crashes the
    process where a collapsed network gives every image one descriptor.
    """
    start = components[:, :2] / max(float(components[:, 0].std()), 1e-6)
    jitter = np.random.default_rng(seed).standard_normal(start.shape)
    tsne = TSNE(
        perplexity=min(PERPLEXITY, (len(components) - 1) / 3),
        init=(1e-4 * start + 1e-6 * jitter).astype(np.float32),
        max_iter=ITERATIONS,
        random_state=seed,
    )
    projected: Float32 = tsne.fit_transform(components)
    return projected


def _spread(points: Float32, count: int) -> list[int]:
    """Points by farthest-first traversal from the one nearest to the middle."""
    chosen = [int(np.square(points - 0.5).sum(1).argmin())]
    nearest = np.square(points - points[chosen[0]]).sum(1)
    while len(chosen) < min(count, len(points)) and nearest.max() > 0.01:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(points - points[chosen[-1]]).sum(1))
    return chosen


def _frequent(rows: Sequence[ImageRow]) -> list[str]:
    """The most frequent labels, ties by name."""
    counts = Counter(row.label for row in rows if row.label)
    return sorted(counts, key=lambda label: (-counts[label], label))[:LABELS]


def _colours(rows: Sequence[ImageRow], theme: Theme) -> list[str]:
    named = dict(zip(_frequent(rows), _palette(), strict=False))
    return [named.get(row.label, theme.before) for row in rows]


def _palette() -> list[str]:
    # its grey is left to images whose label is not told apart
    colours = [to_hex(colormaps["tab10"](number)) for number in range(LABELS)]
    return [*colours[:7], *colours[8:], "#d4b106"]


def _place(
    axis: Axes, points: Float32, pictures: Sequence[tuple[int, Image.Image]], colours: Sequence[str]
) -> None:
    """Thumbnails, framed in the colour of the dot that they stand for."""
    for row, image in pictures:
        box = OffsetImage(np.asarray(image), zoom=0.62)
        x, y = (float(value) for value in points[row])
        frame = {"edgecolor": colours[row], "facecolor": colours[row], "linewidth": 2.5}
        axis.add_artist(AnnotationBbox(box, (x, y), pad=0.0, bboxprops=frame, zorder=3))


def _legend(figure: Figure, rows: Sequence[ImageRow], theme: Theme) -> None:
    named = dict(zip(_frequent(rows), _palette(), strict=False))
    entries = [(label, colour, colour) for label, colour in named.items()]
    if any(row.label not in named for row in rows):
        entries.append(("other images" if named else "images", theme.before, theme.before))
    if any(row.role != "database" for row in rows):
        entries.append(("ring: query", "none", theme.ink))
    handles = [
        Line2D([], [], marker="o", linestyle="", color=fill, markeredgecolor=edge, label=label)
        for label, fill, edge in entries
    ]
    figure.legend(
        handles=handles, loc="outside lower left", ncols=6, frameon=False, labelcolor=theme.ink,
        fontsize=9.5, handletextpad=0.2,
    )  # fmt: skip
