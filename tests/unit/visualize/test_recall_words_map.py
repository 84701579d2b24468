import numpy as np
import pytest
from PIL import Image

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import PictureError
from retrieval_core.index.word_use import word_use
from retrieval_core.visualize.embedding import embedding_chart, embedding_map, thumbnails
from retrieval_core.visualize.inputs import comparisons
from retrieval_core.visualize.recall_curves import recall_chart, recall_curves
from retrieval_core.visualize.theme import DARK, LIGHT, to_png
from retrieval_core.visualize.words import word_use_chart, words_title

pytestmark = pytest.mark.filterwarnings("error")


def test_precision_at_recall_of_every_ranking(catalogue, make_run):
    runs = [make_run("asmk", "before", 3), make_run("asmk", "after", 6)]
    runs.append(make_run("global", "only", 0))
    curves = recall_curves(catalogue, comparisons(runs))
    assert [(c.descriptor, c.before) for c in curves] == [(0, False), (0, True), (1, False)]
    assert (curves[0].precision["all"] == 1).all()
    # the right answers of the other half come behind eight wrong ones
    assert curves[1].precision["all"][-1] == pytest.approx((1 + 4 / 12) / 2)
    figure = recall_chart(curves, LIGHT)
    (axis,) = figure.axes
    assert sorted(len(line.get_xdata()) for line in axis.lines) == [101, 101, 101]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[0] == "Local descriptors, ASMK, after"
    assert labels[2] == "Global descriptor"


@pytest.mark.parametrize("counts", [[5, 3, 0, 9], [7], [0, 0, 0], [1] * 300])
def test_the_use_of_words_is_drawn_from_most_to_least(counts):
    use = word_use(counts)
    ranked, histogram = word_use_chart(use, DARK).axes
    drawn = ranked.lines[0].get_ydata()
    assert drawn.tolist() == sorted((c for c in counts if c), reverse=True)
    assert sum(bar.get_height() for bar in histogram.patches) == len(counts)
    assert to_png(ranked.figure)[:4] == b"\x89PNG"
    assert f"of {len(counts)} words" in words_title(use)


@pytest.fixture
def pictures(tmp_path):
    """Rows of three labels, one without a file, and descriptors around a centre per label."""

    def make(count, labels=3):
        rng = np.random.default_rng(0)
        centres = 5 * rng.standard_normal((labels, 8))
        rows = []
        for i in range(count):
            path = tmp_path / f"{i}.png"
            if i:
                Image.new("RGB", (40, 30), (40 * (i % 6), 90, 200)).save(path)
            role = "query" if i % 5 == 0 else "database"
            rows.append(ImageRow(i, str(path), f"label {i % labels}", "test", role))
        vectors = centres[np.arange(count) % labels] + 0.1 * rng.standard_normal((count, 8))
        return rows, vectors.astype(np.float32)

    return make


@pytest.mark.parametrize(
    ("count", "method"), [(1, "PCA"), (2, "PCA"), (5, "PCA"), (40, "t-SNE"), (2001, "PCA")]
)
def test_the_projection_depends_on_the_number_of_images(pictures, count, method):
    rows, vectors = pictures(min(count, 40))
    rows, vectors = (rows * 60)[:count], np.tile(vectors, (60, 1))[:count]
    found = embedding_map(rows, vectors, seed=0)
    assert found.method == method
    assert found.points.shape == (count, 2)
    assert found.points.min() >= 0
    assert found.points.max() <= 1


def test_images_of_one_label_lie_together(pictures):
    rows, vectors = pictures(60)
    found = embedding_map(rows, vectors, seed=0)
    again = embedding_map(rows, vectors, seed=0)
    np.testing.assert_array_equal(found.points, again.points)
    distances = np.linalg.norm(found.points[:, None] - found.points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    assert (nearest % 3 == np.arange(60) % 3).all()


@pytest.mark.parametrize(("count", "labels"), [(1, 1), (3, 1), (40, 40)])
def test_the_map_is_drawn_whatever_the_labels(pictures, count, labels):
    rows, vectors = pictures(count, labels)
    found = embedding_map(rows, vectors, seed=0)
    figure = embedding_chart(found, thumbnails(found), LIGHT)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names.count("other images") == (labels > 10)
    assert "ring: query" in names
    assert to_png(figure)[:4] == b"\x89PNG"


def test_alike_descriptors_are_one_place(pictures):
    rows, vectors = pictures(30)
    found = embedding_map(rows, np.tile(vectors[:1], (30, 1)), seed=0)
    assert np.isfinite(found.points).all()


def test_an_image_that_cannot_be_read_has_no_thumbnail(pictures):
    rows, vectors = pictures(1)
    assert thumbnails(embedding_map(rows, vectors, seed=0)) == []


def test_a_map_needs_an_image():
    with pytest.raises(PictureError, match="at least one image"):
        embedding_map([], np.empty((0, 8)), seed=0)
