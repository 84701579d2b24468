"""Query expansion and database augmentation against loops that do the same one number at a time."""

import numpy as np
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import NeighboursConfig
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import VectorIndex
from retrieval_core.search import expansion
from retrieval_core.search.database_augmentation import augment_features
from retrieval_core.search.expansion import add_neighbours, expand, nearest
from retrieval_core.search.processed import ProcessedIndex

KINDS = ("average", "rank", "alpha")


def unit(count, seed=0, dim=8):
    vectors = np.random.default_rng(seed).standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_index(vectors, first=10, step=3):
    index = VectorIndex.create(vectors.shape[1])
    index.add(np.arange(len(vectors)) * step + first, vectors)
    return index


def slow_expand(index, vector, own, config):
    """As a person would do it by hand."""
    others = [
        (-float(np.dot(vector.astype(float), v.astype(float))), i, v)
        for i, v in zip(index.image_ids, index.vectors, strict=True)
        if i != own
    ]
    total = vector.astype(float)
    best = sorted(others, key=lambda other: other[:2])[: config.neighbours]
    for rank, (negated, _, neighbour) in enumerate(best):
        similarity = min(max(-negated, 0), 1)
        weight = {
            "average": 1.0,
            "rank": (config.neighbours - rank) / (config.neighbours + 1),
            "alpha": similarity**config.alpha,
        }[config.kind]
        total = total + weight * neighbour.astype(float)
    return total / np.sqrt(sum(x * x for x in total))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("neighbours", [1, 5, 50])
def test_expansion_is_the_slow_one_s(kind, neighbours, monkeypatch):
    monkeypatch.setattr(expansion, "ROWS_AT_ONCE", 7)
    index = make_index(unit(20))
    config = NeighboursConfig(kind=kind, neighbours=neighbours, alpha=2.5)
    queries = np.concatenate([unit(12, seed=1), index.vectors[:3]])
    own = np.concatenate([np.full(12, -1), index.image_ids[:3]])
    found = expand(index, queries, own, config)
    expected = [slow_expand(index, q, o, config) for q, o in zip(queries, own, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_alpha_zero_is_the_average_while_similarities_are_positive():
    index = make_index(np.abs(unit(20)))
    queries, own = np.abs(unit(4, seed=1)), np.full(4, -1)
    zero, average = (NeighboursConfig(kind=k, alpha=0) for k in ("alpha", "average"))
    np.testing.assert_array_equal(
        expand(index, queries, own, zero), expand(index, queries, own, average)
    )


def test_no_image_is_its_own_neighbour_and_too_few_are_filled_up():
    index = make_index(unit(3))
    ids, similarities = nearest(index, index.vectors, index.image_ids, 4)
    assert ids.shape == similarities.shape == (3, 4)
    assert all(own not in row for own, row in zip(index.image_ids, ids, strict=True))
    assert (ids[:, 2:] == -1).all() and not similarities[:, 2:].any()
    assert (np.diff(similarities[:, :2], axis=1) <= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_identical_vectors_stay_as_they_are(kind):
    same = np.repeat(unit(1), 6, axis=0)
    index = make_index(same)
    config = NeighboursConfig(kind=kind, neighbours=4)
    np.testing.assert_allclose(expand(index, same, index.image_ids, config), same, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_of_one_or_no_image_expands_nothing(kind):
    config = NeighboursConfig(kind=kind)
    one = make_index(unit(1))
    np.testing.assert_allclose(expand(one, one.vectors, one.image_ids, config), one.vectors)
    queries = unit(2)
    empty = VectorIndex.create(8)
    np.testing.assert_allclose(expand(empty, queries, np.full(2, -1), config), queries)
    ids, scores = ProcessedIndex(empty, config).search(queries)
    assert ids.shape == scores.shape == (2, 0)


def test_neighbours_that_cancel_a_descriptor_out_leave_it():
    vectors = unit(2)
    found = add_neighbours(vectors, -vectors[:, None], np.ones((2, 1), np.float32))
    np.testing.assert_array_equal(found, vectors)


def test_an_expanded_search_is_the_search_with_expanded_queries():
    index, queries = make_index(unit(30)), unit(5, seed=3)
    config = NeighboursConfig(kind="alpha", neighbours=3)
    own = np.full(5, -1)
    found = ProcessedIndex(index, config).search(queries, 7)
    expected = index.search(expand(index, queries, own, config), 7)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_augmented_features_are_those_of_the_slow_one(tmp_path, monkeypatch):
    monkeypatch.setattr("retrieval_core.search.database_augmentation.ROWS_AT_ONCE", 4)
    index = make_index(unit(15))
    config = NeighboursConfig(kind="rank", neighbours=3)
    # the last ten are distractors whose own ids are lower
    offset = 25
    own = index.image_ids[5:] - offset
    steps = []
    augment_features(
        index, own, config, ArtifactDirectory(tmp_path), offset=offset,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    ids, vectors = FeatureStore(tmp_path).global_descriptors()
    np.testing.assert_array_equal(ids, own)
    rows = zip(index.vectors[5:], index.image_ids[5:], strict=True)
    np.testing.assert_allclose(
        vectors, [slow_expand(index, v, i, config) for v, i in rows], atol=1e-6
    )
    assert steps == [(4, 10), (8, 10), (10, 10)]
