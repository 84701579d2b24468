"""Approximate assignment: cells of visual words, and k-means with them."""

from functools import partial

import faiss
import numpy as np
import pytest
import torch

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import IndexInputError
from retrieval_core.index import Codebook
from retrieval_core.index import codebook as codebooks
from retrieval_core.index.cell_products import LibraryProducts, TileProducts
from retrieval_core.index.cells import Cells
from retrieval_core.index.clustering import cluster, cluster_exactly
from retrieval_core.index.tiles import has_tiles

DIM = 24


@pytest.fixture(scope="module")
def descriptors():
    """Clustered as descriptors of photographs are, at several scales."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, DIM))[rng.integers(0, 40, 400)]
    centres += 0.5 * rng.standard_normal(centres.shape)
    points = centres[rng.integers(0, 400, 12_000)] + 0.4 * rng.standard_normal((12_000, DIM))
    return points.astype(np.float32)


@pytest.fixture(scope="module")
def centroids(descriptors):
    return cluster_exactly(descriptors, 1_500, seed=0, iterations=3)


@pytest.fixture(autouse=True)
def _small_codebooks_have_cells(monkeypatch):
    monkeypatch.setattr(codebooks, "CELLS_FROM", 1_000)
    monkeypatch.setattr("retrieval_core.index.cells.WORDS_PER_CELL", 32)


def _nearest(descriptors, centroids):
    return faiss.knn(descriptors, centroids, 1)[1][:, 0]


@pytest.fixture(params=["float32", "bfloat16", "tiles"])
def products(request):
    """Every way in which cells are multiplied."""
    if request.param != "tiles":
        return partial(LibraryProducts, dtype=getattr(torch, request.param))
    if not has_tiles():
        pytest.skip("this processor has no tiles of bfloat16 (Intel AMX)")
    return TileProducts


@pytest.mark.parametrize("agreement", [0.9, 0.99])
def test_the_reach_gives_the_agreement_that_was_asked_for(
    descriptors, centroids, products, agreement
):
    cells = Cells(centroids, products)
    known, new = descriptors[:4_000], descriptors[4_000:]
    reach = cells.reach(known, _nearest(known, centroids), agreement)
    found = cells.nearest(new, 5, reach)
    agreed = (found == _nearest(new, centroids)[:, None]).any(axis=1).mean()
    assert agreement - 0.02 < agreed < agreement + 0.09


def test_everything_is_found_where_every_cell_is_searched(descriptors, centroids, products):
    found = Cells(centroids, products).nearest(descriptors, 6, -100.0)
    expected = faiss.knn(descriptors, centroids, 4)[1]
    assert (found[:, :, None] == expected[:, None]).any(axis=1).mean() > 0.999
    assert (np.sort(found, axis=1) >= 0).all()


def test_words_do_not_depend_on_how_descriptors_are_cut(descriptors, centroids, monkeypatch):
    codebook = Codebook(centroids, reach=0.5)
    whole = codebook.assign(descriptors)
    monkeypatch.setattr("retrieval_core.index.cells.BLOCK", 777)
    np.testing.assert_array_equal(codebook.assign(descriptors), whole)
    alone = np.concatenate([codebook.assign(row[None]) for row in descriptors[:50]])
    np.testing.assert_array_equal(alone, whole[:50])


def test_a_descriptor_without_a_cell_nearby_gets_a_word_of_the_nearest(
    descriptors, centroids, products
):
    cells = Cells(centroids, products)
    found = cells.nearest(descriptors, 1, 1_000.0)[:, 0]
    cell_of_word = _nearest(centroids - cells.origin, cells.means)
    nearest_cell = _nearest(descriptors - cells.origin, cells.means)
    assert (cell_of_word[found] == nearest_cell).mean() > 0.999


def test_where_a_cell_holds_too_few_words_all_are_compared(descriptors, centroids, monkeypatch):
    monkeypatch.setattr("retrieval_core.index.cells.WORDS_PER_CELL", 6)
    alone = Codebook(centroids, reach=1_000.0).assign(descriptors)
    exact = Codebook(centroids, exact=True).assign(descriptors)
    assert (alone >= 0).all()
    assert (alone == exact).mean() > 0.5


def test_untuned_centroids_look_far_enough(descriptors, centroids):
    agreed = Codebook(centroids).assign(descriptors) == Codebook(centroids, exact=True).assign(
        descriptors
    )
    assert agreed.mean() > 0.99


def test_several_words_are_always_exact(descriptors, centroids):
    several = Codebook(centroids, reach=1.0).assign(descriptors[:500], 5)
    exact = Codebook(centroids, exact=True).assign(descriptors[:500], 5)
    np.testing.assert_array_equal(several, exact)


def test_training_with_cells_is_as_good_as_without(descriptors):
    fast = Codebook.train(descriptors, 1_500, seed=1, iterations=5)
    slow = Codebook.train(descriptors, 1_500, seed=1, iterations=5, exact=True)
    assert fast.reach is not None
    assert slow.reach is None
    exactly = Codebook(fast.centroids, exact=True)
    found, expected = exactly.quality(descriptors), slow.quality(descriptors)
    assert found.error == pytest.approx(expected.error, rel=0.01)
    assert found.used > 0.99
    agreed = fast.assign(descriptors) == exactly.assign(descriptors)
    assert agreed.mean() > 0.985


def test_training_with_cells_is_determined_by_its_seed(descriptors):
    trained = [Codebook.train(descriptors, 1_200, seed=s, iterations=2) for s in (3, 3, 4)]
    assert trained[0].digest == trained[1].digest != trained[2].digest
    assert trained[0].reach == trained[1].reach


def test_how_words_are_sought_is_saved_with_them(descriptors, tmp_path):
    for number, codebook in enumerate(
        [
            Codebook.train(descriptors, 1_200, iterations=1),
            Codebook(descriptors[:1_200], exact=True),
        ]
    ):
        codebook.save(ArtifactDirectory(tmp_path / str(number)))
        opened = Codebook.load(tmp_path / str(number))
        assert (opened.reach, opened.exact) == (codebook.reach, codebook.exact)
        np.testing.assert_array_equal(opened.assign(descriptors), codebook.assign(descriptors))


def test_a_reach_among_other_cells_is_not_trusted(descriptors, tmp_path):
    directory = ArtifactDirectory(tmp_path)
    Codebook.train(descriptors, 1_200, iterations=1).save(directory)
    directory.write_json(
        "codebook.json", {**directory.read_json("codebook.json"), "words_per_cell": 256}
    )
    assert Codebook.load(tmp_path).reach is None


def test_a_word_that_loses_its_descriptors_takes_half_of_another():
    points = np.repeat(np.array([[0, 0], [9, 9]], np.float32), [60, 4], axis=0)
    points += np.random.default_rng(0).normal(0, 0.1, points.shape).astype(np.float32)
    steps = []

    def assigner(centroids):
        steps.append(centroids)
        if len(steps) == 1:  # nobody takes the last word
            return lambda vectors: np.minimum(_nearest(vectors, centroids), 2)
        return lambda vectors: _nearest(vectors, centroids)

    found = cluster(points, 4, assigner, np.arange(3), seed=0, iterations=6)
    assert np.isfinite(found).all()
    assert set(_nearest(points, found)) == {0, 1, 2, 3}


def test_progress_counts_iterations(descriptors):
    seen = []
    Codebook.train(
        descriptors, 1_200, iterations=3, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_quality_refuses_no_descriptors(centroids):
    with pytest.raises(IndexInputError, match="no descriptors"):
        Codebook(centroids).quality(np.empty((0, DIM), np.float32))
