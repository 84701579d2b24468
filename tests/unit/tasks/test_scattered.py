"""Ray actors find what one process finds."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import ray
from ray.exceptions import RayActorError

from retrieval_core.config import RayConfig
from retrieval_core.errors import ConcurrentWriteError, IndexInputError
from retrieval_core.index import AsmkIndex, Codebook
from tasks import scattered
from tasks.cluster import disconnect
from tasks.scattered import ScatteredIndex

pytestmark = pytest.mark.slow  # Ray takes seconds

DIM = 72
RNG = np.random.default_rng(11)
CODEBOOK = Codebook(RNG.standard_normal((16, DIM)).astype(np.float32))
OWNERS = np.repeat(np.arange(150), 6)
QUERIES = RNG.standard_normal((len(OWNERS), DIM)).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def _cluster():
    yield
    disconnect()


def built(uri, counts=(60, 20, 5), removed=(1, 40, 61, 80, 81, 82, 83, 84), **settings):
    """One segment per count, saved and opened; all images of the last are gone."""
    index = AsmkIndex.create(CODEBOOK, **settings)
    first = 0
    for count in counts:
        owners = np.repeat(np.arange(count), 7)[: 7 * count - 7]
        vectors = RNG.standard_normal((len(owners), DIM)).astype(np.float32)
        index.add(np.arange(first, first + count), vectors, owners)
        first += count
    index.remove([i for i in removed if i < first])
    index.save(uri)
    return AsmkIndex.open(uri)


def assert_same(found, expected):
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
        assert actual.dtype == wanted.dtype


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("use_idf", [True, False])
def test_actors_find_what_one_process_finds(tmp_path, binary, use_idf):
    index = built(tmp_path, binary=binary, use_idf=use_idf)
    assert len(index.snapshot.segments) == 3
    for actors in (2, 7):
        with ScatteredIndex(index, RayConfig(), actors=actors) as spread:
            assert len(spread) == len(index)
            for settings in ({}, {"top_k": 3, "alpha": 2.0, "threshold": 0.1, "queries": 152}):
                expected = index.search(QUERIES, OWNERS, **settings)
                assert_same(spread.search(QUERIES, OWNERS, **settings), expected)


def test_one_segment_no_images_and_no_queries(tmp_path):
    index = built(tmp_path / "one", (9,))
    with ScatteredIndex(index, RayConfig(), actors=3) as spread:
        assert_same(spread.search(QUERIES, OWNERS), index.search(QUERIES, OWNERS))
        nothing = QUERIES[:0], OWNERS[:0]
        assert_same(spread.search(*nothing), index.search(*nothing))
        with pytest.raises(IndexInputError, match="top_k"):
            spread.search(QUERIES, OWNERS, top_k=0)
    empty = built(tmp_path / "none", ())
    with ScatteredIndex(empty, RayConfig(), cores=2) as spread:
        assert_same(spread.search(QUERIES, OWNERS), empty.search(QUERIES, OWNERS))


def test_long_rankings_come_in_small_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(scattered, "CANDIDATES_AT_ONCE", 300)
    index = built(tmp_path)
    with ScatteredIndex(index, RayConfig(), actors=2) as spread:
        assert_same(spread.search(QUERIES, OWNERS), index.search(QUERIES, OWNERS))


def test_a_union_with_distractors(tmp_path):
    database, distractors = built(tmp_path / "a", use_idf=True), built(tmp_path / "b", use_idf=True)
    union = AsmkIndex.union([database, distractors], [0, 1000])
    with ScatteredIndex(union, RayConfig(), actors=2) as spread:
        assert_same(spread.search(QUERIES, OWNERS), union.search(QUERIES, OWNERS))


def test_an_actor_that_dies_is_started_again(tmp_path):
    index = built(tmp_path)
    with ScatteredIndex(index, RayConfig(), actors=2) as spread:
        expected = index.search(QUERIES, OWNERS)
        assert_same(spread.search(QUERIES, OWNERS), expected)
        kill(spread)
        assert_same(spread.search(QUERIES, OWNERS), expected)


def test_an_actor_that_dies_during_a_search(tmp_path, monkeypatch):
    monkeypatch.setattr(scattered, "CANDIDATES_AT_ONCE", 1)
    index = built(tmp_path)
    with ScatteredIndex(index, RayConfig(), actors=2) as spread:
        pid = pid_of(spread)
        death = threading.Timer(0.05, os.kill, (pid, signal.SIGKILL))
        death.start()
        assert_same(spread.search(QUERIES, OWNERS), index.search(QUERIES, OWNERS))
        death.join()
        assert pid_of(spread) != pid


def test_a_state_that_others_have_replaced(tmp_path):
    index = built(tmp_path)
    with ScatteredIndex(index, RayConfig(), actors=2) as spread:
        expected = index.search(QUERIES, OWNERS)
        changed = AsmkIndex.open(tmp_path)
        changed.compact()
        changed.save(tmp_path)
        # what is open stays open
        assert_same(spread.search(QUERIES, OWNERS), expected)
        kill(spread)
        with pytest.raises(ConcurrentWriteError, match="open it again"):
            spread.search(QUERIES, OWNERS)
        with pytest.raises(ConcurrentWriteError, match="open it again"):
            ScatteredIndex(index, RayConfig())


def test_what_cannot_be_scattered_is_refused():
    index = AsmkIndex.create(CODEBOOK)
    with pytest.raises(IndexInputError, match="save it"):
        ScatteredIndex(index, RayConfig())
    for settings in ({"actors": -1}, {"cores": 0}):
        with pytest.raises(IndexInputError, match="found"):
            ScatteredIndex(index, RayConfig(), **settings)


def test_the_actors_end_with_the_block(tmp_path):
    with ScatteredIndex(built(tmp_path), RayConfig(), actors=2) as spread:
        actors = list(spread._actors)
    assert len(actors) == 2
    for actor in actors:
        # Ray ends them a moment later
        deadline = time.monotonic() + 60
        with pytest.raises(RayActorError):
            while time.monotonic() < deadline:
                ray.get(actor.open.remote())


def pid_of(spread):
    return ray.get(spread._actors[0].__ray_call__.remote(lambda _: os.getpid()))


def kill(spread):
    os.kill(pid_of(spread), signal.SIGKILL)
