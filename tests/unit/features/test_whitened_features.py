"""Whitenings fitted to extracted images of the split train, and descriptors that they whitened."""

import numpy as np
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import WhiteningConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, ConfigError, DatasetError
from retrieval_core.features.rewriting import whiten, whiten_features, write_vectors
from retrieval_core.features.store import FeatureStore
from retrieval_core.features.whitening import fit_whitening, matching_rows
from retrieval_core.models.whitening import Whitening, fit_pca_whitening


def catalogue(labels, pairs=()):
    rows = [ImageRow(3 * i, f"{i}.jpg", name, "train", "both") for i, name in enumerate(labels)]
    return Catalogue("cars", tuple(rows), (), revisited=False, pairs=tuple(pairs))


def store(path, vectors):
    ids = 3 * np.arange(len(vectors))
    for shard, rows in enumerate(np.array_split(np.arange(len(vectors)), 3)):
        write_vectors(ArtifactDirectory(path), shard, ids[rows], vectors[rows])
    return FeatureStore(path)


def normal(count, dim=6, seed=0):
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def test_parity_with_fewer_dimensions(shared_parity, tmp_path):
    reference = dict(np.load(shared_parity / "numerics.npz"))
    x = reference["whiten_X"]
    vectors = store(tmp_path, x.astype(np.float32))
    pairs = [(3 * i, 3 * (i + 200)) for i in range(200)]
    images = catalogue([""] * len(x), pairs)
    for kind, name in (("learned", "lw_applied"), ("pca", "pca_applied")):
        config = WhiteningConfig(kind=kind, dimensions=12)
        fitted = fit_whitening(config, vectors, images, seed=0)
        assert fitted.projection.shape[0] == 12
        found = whiten(fitted, x.astype(np.float32))
        expected = reference[name] / np.linalg.norm(reference[name], axis=1, keepdims=True)
        np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=2e-5)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_written_features_are_whitened_and_of_unit_norm(tmp_path):
    vectors = normal(20)
    store(tmp_path / "own", vectors)
    whitening = fit_pca_whitening(vectors)
    images = whiten_features(whitening, str(tmp_path / "own"), ArtifactDirectory(tmp_path / "new"))
    ids, found = FeatureStore(tmp_path / "new").global_descriptors()
    assert images == 20 and ids.tolist() == (3 * np.arange(20)).tolist()
    np.testing.assert_array_equal(found, whiten(whitening, vectors))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_the_mean_itself_becomes_zero_not_nan():
    whitening = Whitening(np.full(4, 0.5), np.eye(4))
    assert not whiten(whitening, np.full((1, 4), 0.5, np.float32)).any()


def test_vectors_of_another_dimension_are_refused():
    with pytest.raises(ArtifactMismatchError, match="of 4 dimensions, not of 6"):
        whiten(Whitening(np.zeros(4), np.eye(4)), normal(3))


def test_images_of_a_label_are_paired_in_a_ring():
    images = catalogue(["a", "b", "a", "", "a", "b", "c", ""])
    # the second image of label b was not extracted
    ids = np.array([0, 3, 6, 9, 12, 18, 21])
    queries, positives = matching_rows(images, ids, seed=0)
    assert sorted(queries) == sorted(positives) == [0, 2, 4]
    assert (queries != positives).all()
    again = matching_rows(images, ids, seed=0)
    np.testing.assert_array_equal(queries, again[0])


def test_the_dataset_s_own_pairs_come_first():
    images = catalogue(["a", "a", "a", "a"], [(0, 9), (3, 6), (0, 99)])
    queries, positives = matching_rows(images, np.array([0, 3, 9]), seed=0)
    assert (queries.tolist(), positives.tolist()) == ([0], [2])


@pytest.mark.parametrize(
    ("labels", "pairs"), [(["a", "b", "c", "", ""], []), (["a"] * 5, [(30, 33)])]
)
def test_without_pairs_nothing_is_learned(tmp_path, labels, pairs):
    images, vectors = catalogue(labels, pairs), store(tmp_path, normal(5))
    with pytest.raises(DatasetError, match=r"cars: learned whitening needs pairs.* 5 training"):
        fit_whitening(WhiteningConfig(), vectors, images, seed=0)
    fit_whitening(WhiteningConfig(kind="pca"), vectors, images, seed=0)


@pytest.mark.parametrize("kind", ["pca", "learned"])
@pytest.mark.parametrize("vectors", [np.ones((6, 4), np.float32), normal(1)])
def test_descriptors_that_do_not_differ_are_refused(tmp_path, kind, vectors):
    images = catalogue(["a"] * len(vectors))
    with pytest.raises(DatasetError, match=f"cars: .* {len(vectors)} descriptors are the same"):
        fit_whitening(WhiteningConfig(kind=kind), store(tmp_path, vectors), images, seed=0)


def test_more_dimensions_than_there_are_is_a_mistake(tmp_path):
    vectors = store(tmp_path, normal(9))
    with pytest.raises(ConfigError, match=r"whitening\.dimensions: 7 is more than the 6"):
        fit_whitening(WhiteningConfig(dimensions=7), vectors, catalogue(["a"] * 9), seed=0)


@pytest.mark.parametrize("kind", ["pca", "learned"])
def test_fewer_images_than_dimensions_and_equal_pairs(tmp_path, kind):
    vectors = np.repeat(normal(2, dim=8), 2, axis=0)
    images = catalogue(["a", "a", "b", "b"])
    fitted = fit_whitening(WhiteningConfig(kind=kind), store(tmp_path, vectors), images, seed=0)
    found = whiten(fitted, vectors)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_whitening_is_saved_and_read(tmp_path):
    fitted = fit_pca_whitening(normal(9))
    fitted.save(ArtifactDirectory(tmp_path))
    again = Whitening.load(tmp_path)
    np.testing.assert_array_equal(again.mean, fitted.mean)
    np.testing.assert_array_equal(again.projection, fitted.projection)
    (tmp_path / "mean.npy").write_bytes(b"no array")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Whitening.load(tmp_path)
    with pytest.raises(ArtifactError, match=r"has no file .mean\.npy."):
        Whitening.load(tmp_path / "nowhere")
