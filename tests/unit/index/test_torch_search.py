"""The search in torch ranks as the compiled loops do, on the CPU and on a GPU."""

import numpy as np
import pytest
import torch

from retrieval_core.errors import IndexInputError
from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.index.device_scoring import best_first, count_ones
from retrieval_core.index.ranking import Selectivity, rank
from retrieval_core.index.torch_search import TorchSearcher

CPU = torch.device("cpu")
GPU = pytest.param("cuda", marks=pytest.mark.gpu)


def built(rng, dim, counts=(80, 30, 6), **settings):
    """One segment per count; some images have no descriptor, some are gone, all of the last."""
    index = AsmkIndex.create(Codebook(sample(rng, 40, dim)), **settings)
    ids = rng.permutation(3 * sum(counts) + 6)[: sum(counts)]
    first = 0
    for count in counts:
        owners = np.sort(rng.integers(0, count, 9 * count))
        index.add(ids[first : first + count], sample(rng, len(owners), dim), owners)
        first += count
    index.remove(ids[[0, 5, 90, *range(110, 116)]] if len(counts) == 3 else ids[:0])
    return index


def sample(rng, count, dim):
    vectors = rng.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def asked(index, rng, alpha=3.0, threshold=0.0):
    """Of 12 queries; the fourth and the last have no descriptor."""
    owners = np.sort(rng.choice([*range(3), *range(4, 11)], 150))
    return index.aggregate_queries(
        sample(rng, len(owners), index.codebook.dim),
        owners,
        multiple_assignment=5,
        selectivity=Selectivity(alpha, threshold),
        queries=12,
    )


def assert_same(found, expected, binary):
    np.testing.assert_array_equal(found[0], expected[0])
    assert [array.dtype for array in found] == [np.int64, np.float32]
    if binary:
        np.testing.assert_array_equal(found[1], expected[1])
    else:
        np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("use_idf", [True, False])
@pytest.mark.parametrize(("alpha", "threshold"), [(3.0, 0.0), (1.0, 0.2), (2.5, -0.4), (0.5, -1.0)])
def test_rankings_are_those_of_the_compiled_loops(device, binary, use_idf, alpha, threshold):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    rng = np.random.default_rng(2)
    index = built(rng, 128, binary=binary, use_idf=use_idf)
    queries = asked(index, rng, alpha, threshold)
    assert len(index.snapshot.segments) == 3
    searcher = TorchSearcher(index.snapshot, torch.device(device))
    for top_k in (None, 1, 17, 1000):
        expected = rank(index.snapshot, queries, top_k)
        assert_same(searcher.rank(queries, top_k), expected, binary)


@pytest.mark.parametrize("dim", [8, 72, 128, 200, 300])
def test_codes_of_any_length(dim):
    rng = np.random.default_rng(3)
    for binary in (True, False):
        index = built(rng, dim, binary=binary, use_idf=True)
        queries = asked(index, rng)
        found = TorchSearcher(index.snapshot, CPU).rank(queries)
        assert_same(found, rank(index.snapshot, queries), binary)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("memory", [1, 10_000, 100_000])
def test_little_memory_changes_no_bit(binary, memory):
    rng = np.random.default_rng(4)
    index = built(rng, 128, binary=binary)
    queries = asked(index, rng)
    whole = TorchSearcher(index.snapshot, CPU).rank(queries)
    found = TorchSearcher(index.snapshot, CPU, memory=memory).rank(queries)
    assert_same(found, whole, True)


def test_images_that_tie_are_ranked_by_id():
    rng = np.random.default_rng(5)
    index = AsmkIndex.create(Codebook(sample(rng, 5, 64)))
    index.add(
        rng.permutation(60), np.tile(sample(rng, 4, 64), (60, 1)), np.repeat(np.arange(60), 4)
    )
    queries = asked(index, rng)
    for top_k in (None, 7):
        expected = rank(index.snapshot, queries, top_k)
        assert_same(TorchSearcher(index.snapshot, CPU).rank(queries, top_k), expected, True)


def test_no_images_and_no_queries():
    rng = np.random.default_rng(6)
    empty = AsmkIndex.create(Codebook(sample(rng, 5, 64)))
    ids, scores = TorchSearcher(empty.snapshot, CPU).rank(asked(empty, rng))
    assert (ids.shape, scores.shape) == ((12, 0), (12, 0))
    index = built(rng, 64)
    none = asked(index, rng).block(0, 0)
    assert TorchSearcher(index.snapshot, CPU).rank(none, 3)[0].shape == (0, 3)


def test_ones_are_counted():
    rng = np.random.default_rng(7)
    edges = np.array([0, 1, 2**63, 2**64 - 1, 2**63 - 1, 0x5555555555555555], np.uint64)
    numbers = np.concatenate([edges, rng.integers(0, 2**64, 994, np.uint64)]).reshape(-1, 4)
    counted = count_ones(torch.tensor(numbers.view(np.int64)))
    np.testing.assert_array_equal(counted, np.bitwise_count(numbers).sum(1))


def test_the_order_of_scores_of_any_sign():
    rng = np.random.default_rng(8)
    scores = rng.choice(
        np.array([-2.5, -1.0, -1e-30, -0.0, 0.0, 1e-30, 1.0, 2.5], np.float32), (3, 50)
    )
    alive = rng.random(50) < 0.8
    positions, found = best_first(torch.tensor(scores), torch.tensor(alive), 30)
    for row, own, best in zip(scores, positions, found, strict=True):
        living = np.flatnonzero(alive)
        expected = living[np.argsort(-row[living], kind="stable")][:30]
        np.testing.assert_array_equal(own, expected)
        np.testing.assert_array_equal(best, row[expected])


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_a_missing_gpu_is_refused():
    index = built(np.random.default_rng(9), 64)
    with pytest.raises(IndexInputError, match="torch sees 0 GPUs"):
        index.search(np.zeros((1, 64), np.float32), [0], device="cuda")


@pytest.mark.parametrize("device", ["gpu", "meta", "cudaa", ""])
def test_an_unknown_device_is_refused(device):
    index = built(np.random.default_rng(9), 64)
    with pytest.raises(IndexInputError, match=f"found '{device}'"):
        index.search(np.zeros((1, 64), np.float32), [0], device=device)


@pytest.mark.parametrize("device", ["cpu:0", GPU])
def test_a_changed_index_is_searched_as_it_is(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    rng = np.random.default_rng(10)
    index = built(rng, 64, (20,))
    query, owners = sample(rng, 30, 64), np.repeat(np.arange(3), 10)
    for _ in range(2):
        for _ in range(2):
            expected = index.search(query, owners)
            assert_same(index.search(query, owners, device=device), expected, True)
        index.remove(index.image_ids[:4])
