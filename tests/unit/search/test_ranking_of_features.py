"""Searching an index with what an extraction wrote."""

from dataclasses import asdict

import numpy as np
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import AsmkConfig, VectorConfig
from retrieval_core.features.shards import ShardReport, report_name
from retrieval_core.features.store import FeatureStore
from retrieval_core.features.tables import LocalRows, open_shard
from retrieval_core.index import AsmkIndex, Codebook, VectorIndex
from retrieval_core.search import rank_global, rank_local

DIM = 16
# the second image has no local descriptor
COUNTS = {3: 5, 8: 0, 12: 9, 20: 4, 21: 7, 40: 6}


def unit(count, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    directory = ArtifactDirectory(tmp_path)
    images = np.array(list(COUNTS))
    for shard, ids in enumerate(np.split(images, 2)):
        counts = [COUNTS[i] for i in ids]
        n = sum(counts)
        local = LocalRows(
            image_ids=np.repeat(ids, counts),
            descriptors=unit(n, seed=shard),
            strengths=np.ones(n, np.float32),
            locations=np.zeros((n, 2), np.float32),
            scales=np.ones(n, np.float32),
        )
        with open_shard(directory, shard, global_dim=DIM, local_dim=DIM) as writer:
            writer.write(ids, unit(len(ids), seed=50 + shard), local)
        report = ShardReport(shard, len(ids), n, [], {})
        directory.write_json(report_name(shard), asdict(report))
    return FeatureStore(tmp_path)


@pytest.fixture
def asmk(store):
    index = AsmkIndex.create(Codebook(unit(8, seed=9)))
    for shard in store.local_shards():
        index.add(shard.image_ids, shard.descriptors, shard.image_index)
    return index


@pytest.fixture
def vectors(store):
    index = VectorIndex.create(DIM)
    index.add(*store.global_descriptors())
    return index


def test_local_rankings_come_in_the_order_of_the_queries(store, asmk):
    queries = [40, 3, 21, 8]
    config = AsmkConfig(multiple_assignment=1)
    ranking = rank_local(asmk, store, queries, config, None)
    assert ranking.query_ids.tolist() == queries
    assert ranking.ids.shape == ranking.scores.shape == (4, 6)
    assert ranking.ids[:3, 0].tolist() == queries[:3]
    np.testing.assert_allclose(ranking.scores[:3, 0], 1, atol=1e-6)
    # without descriptors every image scores 0, and the ids come in order
    assert ranking.ids[3].tolist() == sorted(COUNTS)
    assert not ranking.scores[3].any()


def test_the_settings_of_the_search_arrive(store, asmk):
    config = AsmkConfig(multiple_assignment=3, alpha=1.5, threshold=0.3)
    shard = next(store.local_shards([12]))
    expected = asmk.search(
        shard.descriptors, shard.image_index, multiple_assignment=3, alpha=1.5, threshold=0.3
    )
    ranking = rank_local(asmk, store, [12], config, 4)
    np.testing.assert_array_equal(ranking.ids, expected[0][:, :4])
    np.testing.assert_array_equal(ranking.scores, expected[1][:, :4])


def test_global_rankings_come_in_the_order_of_the_queries(store, vectors):
    ranking = rank_global(vectors, store, [21, 3, 40], VectorConfig(), 2)
    assert ranking.ids[:, 0].tolist() == [21, 3, 40]
    assert ranking.ids.shape == (3, 2)
    np.testing.assert_allclose(ranking.scores[:, 0], 1, atol=1e-6)


def test_a_query_that_was_not_extracted_gets_an_empty_row(store, asmk, vectors):
    for ranking in (
        rank_local(asmk, store, [99, 3], AsmkConfig(multiple_assignment=1), 50),
        rank_global(vectors, store, [99, 3], VectorConfig(), 50),
    ):
        assert ranking.ids.shape == (2, 6)
        assert ranking.ids[0].tolist() == [-1] * 6
        assert not ranking.scores[0].any()
        assert ranking.ids[1, 0] == 3
