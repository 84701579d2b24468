"""Exact search in blocks: against sorting all products, over block borders, with ties."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

import faiss
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retrieval_core.config import VectorConfig
from retrieval_core.index import VectorIndex, exact_search, score_floor, top_scores
from retrieval_core.index.device_search import search_on_device
from retrieval_core.index.exact_search import search_exactly
from retrieval_core.index.selection import best_first
from retrieval_core.index.threads import own_cores
from retrieval_core.index.top_scores import TopScores


def searched(queries, blocks, top_k):
    rows, ids, scores = zip(*search_exactly(queries, blocks, top_k), strict=True)
    assert [r.start for r in rows] == [0, *(r.stop for r in rows[:-1])]
    return np.concatenate(ids), np.concatenate(scores)


def by_sorting(products, top_k):
    ids = np.stack([best_first(row, top_k) for row in products])
    return ids, np.take_along_axis(products, ids, axis=1)


@settings(max_examples=400, deadline=None)
# as many keys as are ranked, the worst of them first, when they are sorted out
@example(seed=1, images=279, top_k=2, spare=2, levels=5, guessed=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 300),
    top_k=st.integers(1, 300),
    spare=st.integers(2, 40),
    levels=st.integers(1, 8),
    guessed=st.booleans(),
)
def test_the_best_of_any_scores_in_any_blocks(seed, images, top_k, spare, levels, guessed):
    rng, top_k = np.random.default_rng(seed), min(top_k, images)
    # few different values: ties everywhere, with both zeros among them
    values = np.append(rng.standard_normal(levels), [0.0, -0.0]).astype(np.float32)
    scores = rng.choice(values, (5, images))
    floor = rng.choice(values, 5) if guessed else np.full(5, -np.inf, np.float32)
    enough = (scores > floor[:, None]).sum(axis=1) >= top_k
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_scores, "SPARE_KEYS", spare)
        best = TopScores(5, images, top_k, floor.copy() if guessed else None)
        cuts = sorted({0, images, *rng.integers(0, images, 4).tolist()})
        for start, stop in pairwise(cuts):
            best.gather(np.ascontiguousarray(scores[:, start:stop]), start)
        ids, found, whole = best.best()
    expected, right = by_sorting(scores, top_k)
    np.testing.assert_array_equal(whole, enough)
    np.testing.assert_array_equal(ids[whole], expected[whole])
    np.testing.assert_array_equal(found[whole], right[whole])


@pytest.mark.parametrize("top_k", [1, 5, 40])
@pytest.mark.parametrize("likely", [True, False])
def test_a_guess_from_some_images_changes_no_ranking(draw, monkeypatch, top_k, likely):
    vectors, queries = draw(2_000), draw(30)
    if not likely:
        # the images that are guessed from are copies of the queries
        monkeypatch.setattr(score_floor, "_spread", lambda blocks, _: queries[np.arange(32) % 30])
    parts = (vectors[:700], vectors[700:1_500], vectors[1_500:])
    plain = searched(queries, parts, top_k)
    searches = []
    search_block = exact_search._search_block
    monkeypatch.setattr(
        exact_search,
        "_search_block",
        lambda *given: searches.append(given[-1] is not None) or search_block(*given),
    )
    monkeypatch.setattr(score_floor, "SAMPLE", 32)
    monkeypatch.setattr(score_floor, "CAUTION", 5 if likely else 0)
    guessed = searched(queries, parts, top_k)
    for found, expected in zip(guessed, plain, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert searches[0]
    if top_k > 1:
        assert (False in searches) != likely


def test_no_cut_of_queries_or_images_changes_a_bit(draw, monkeypatch):
    vectors, queries = draw(900), draw(200)
    products = queries @ vectors.T
    expected = by_sorting(products, 30)
    monkeypatch.setattr(exact_search, "IMAGE_BLOCK", 128)
    monkeypatch.setattr(exact_search, "QUERY_BLOCK", 70)
    whole = searched(queries, (vectors,), 30)
    np.testing.assert_array_equal(whole[0], expected[0])
    np.testing.assert_allclose(whole[1], expected[1], rtol=1e-5)
    one = [np.concatenate(a) for a in zip(*(searched(queries[i : i + 1], (vectors,), 30)
                                            for i in range(200)), strict=True)]  # fmt: skip
    blocks = searched(queries, (vectors[:128], vectors[128:640], vectors[640:]), 30)
    for found in (one, blocks):
        np.testing.assert_array_equal(found[0], whole[0])
        np.testing.assert_array_equal(found[1], whole[1])


@pytest.fixture
def many_blocks(monkeypatch):
    """Two cores, blocks of 32 queries of their own, and guesses from a few images."""
    for module, name, value in (
        (exact_search, "cores", lambda: 2),
        (exact_search, "QUERY_BLOCK", 32),
        (score_floor, "SAMPLE", 64),
    ):
        monkeypatch.setattr(module, name, value)


def test_cores_with_queries_of_their_own_leave_torch_as_it_was(draw, many_blocks):
    vectors, queries = draw(900), draw(400)
    before = torch.get_num_threads()
    ids, _ = searched(queries, (vectors,), 10)
    np.testing.assert_array_equal(ids, by_sorting(queries @ vectors.T, 10)[0])
    assert torch.get_num_threads() == before


def test_a_search_that_is_given_up_or_fails_ends_its_threads(draw, many_blocks, monkeypatch):
    vectors, queries = draw(900), draw(400)
    before, threads = torch.get_num_threads(), threading.active_count()
    with closing(search_exactly(queries, (vectors,), 10)) as found:
        next(found)
    monkeypatch.setattr(exact_search._Products, "with_", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        searched(queries, (vectors,), 10)
    assert (torch.get_num_threads(), threading.active_count()) == (before, threads)


def test_threads_of_a_pool_multiply_alone_and_others_do_not():
    before = torch.get_num_threads()
    with own_cores(3) as pool, ThreadPoolExecutor(1) as other:
        own = list(pool.map(lambda _: torch.get_num_threads(), range(9)))
        assert set(own) == {1}
        assert other.submit(torch.get_num_threads).result() == before == torch.get_num_threads()


def test_every_image_is_ranked_where_that_is_wanted(draw, monkeypatch):
    monkeypatch.setattr(exact_search, "KEY_BYTES", 8 * 500 * 3)
    vectors, queries = draw(500), draw(10)
    ids, _ = searched(queries, (vectors,), 500)
    np.testing.assert_array_equal(ids, by_sorting(queries @ vectors.T, 500)[0])


@pytest.mark.parametrize("dim", [16, 64, 384, 1024])
@pytest.mark.parametrize("extra", [1, 3, 40, 511, 513])
def test_equal_images_have_equal_scores_wherever_they_lie(dim, extra):
    generator = np.random.default_rng(dim + extra)
    vectors = generator.standard_normal((4096 + extra, dim), dtype=np.float32)
    vectors[-1] = vectors[7]
    for queries in (vectors[7:8] + 0.1, vectors[:50] + 0.1):
        ids, scores = searched(queries, (vectors,), len(vectors))
        for row, found in zip(ids, scores, strict=True):
            places = [int(np.flatnonzero(row == image)[0]) for image in (7, len(vectors) - 1)]
            assert places[1] == places[0] + 1
            assert found[places[0]] == found[places[1]]


def test_the_products_of_all_with_all_are_never_held_at_once():
    search = """
import resource
import numpy as np
from retrieval_core.index.exact_search import search_exactly
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
vectors = np.random.default_rng(0).standard_normal((20_000, 16), dtype=np.float32)
list(search_exactly(vectors[:1], (vectors,), 1))  # what is loaded on first use
before = peak()
for _ in search_exactly(vectors, (vectors,), 10):
    pass
print(peak() - before)
"""
    command = [sys.executable, "-c", search]
    taken = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert int(taken.stdout) < 20_000 * 20_000 * 4 / 5


def test_equal_images_of_far_blocks_come_by_ascending_id(draw, monkeypatch):
    monkeypatch.setattr(exact_search, "IMAGE_BLOCK", 64)
    one = draw(1)
    index = VectorIndex.create(72)
    index.add(np.arange(500)[::-1], np.repeat(one, 500, axis=0))
    assert index.search(one, 7)[0].tolist() == [[*range(7)]]
    assert index.search(one)[0].tolist() == [[*range(500)]]


def test_read_only_vectors_are_searched_without_a_warning(draw, tmp_path, recwarn):
    VectorIndex.build(np.arange(50), draw(50)).save(tmp_path)
    VectorIndex.open(tmp_path).search(draw(3), 5)
    assert not recwarn.list


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_tensors_of_a_device_are_ranked_alike(draw, device, monkeypatch):
    _need(device)
    monkeypatch.setattr("retrieval_core.index.device_search.IMAGE_BLOCK", 100)
    monkeypatch.setattr("retrieval_core.index.device_search.QUERY_BLOCK", 16)
    vectors, queries = np.concatenate([draw(150)] * 2), draw(40)
    on_device = torch.from_numpy(vectors).to(device)
    for top_k in (1, 20, 300):
        parts = list(search_on_device(queries, on_device, top_k))
        ids, scores = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        expected = searched(queries, (vectors,), top_k)
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_allclose(scores, expected[1], atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["exact", "ivf_pq"])
def test_a_gpu_finds_what_the_processor_finds(draw, kind):
    _need("cuda")
    if kind == "ivf_pq" and not faiss.get_num_gpus():
        pytest.skip("faiss without a GPU")
    index = VectorIndex.build(np.arange(3_000), draw(3_000), VectorConfig(kind=kind, code_bytes=8))
    queries = draw(20)
    here, there = (index.search(queries, 10, device=name)[0] for name in ("cpu", "cuda"))
    assert (here == there).mean() > 0.95


def _need(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
