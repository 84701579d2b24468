"""Every kind of vector index against a dictionary of vectors."""

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import VectorConfig
from retrieval_core.errors import ArtifactError, ArtifactMismatchError, IndexInputError
from retrieval_core.index import VectorIndex
from retrieval_core.index.quality import ExactSample, recall_against_exact
from retrieval_core.index.vector_kinds import resolve

DIM = 72
KINDS = ("exact", "hnsw", "ivf_pq", "scalar")
# so large that nothing is left out
EXHAUSTIVE = {"search_effort": 10**6, "probes": 10**6}
LOWEST, HIGHEST = -(2**63), 2**63 - 1


def config(kind, **changed):
    return VectorConfig(kind=kind, **{"code_bytes": 36, "links": 8, "cells": 4, **changed})


def filled(kind, ids, vectors, **changed):
    index = VectorIndex.create(vectors.shape[1], config(kind, **changed))
    index.add(ids, vectors)
    return index


def stood_for(index, vectors):
    """What the index compares queries with."""
    if index.kind in ("exact", "hnsw"):
        return vectors
    codes = index.rows._codes.index
    quantiser = faiss.downcast_index(codes.index) if index.kind == "scalar" else codes
    return quantiser.sa_decode(quantiser.sa_encode(vectors))


class Model:
    """Ids and vectors, searched by sorting."""

    def __init__(self, vectors_of):
        self.vectors_of = vectors_of

    def check(self, index, queries):
        ids = np.array(sorted(self.vectors_of), np.int64)
        np.testing.assert_array_equal(index.image_ids, ids)
        assert len(index) == len(ids)
        if not len(ids):
            return
        vectors = stood_for(index, np.stack([self.vectors_of[int(i)] for i in ids]))
        right = queries @ vectors.T
        order = np.argsort(-right, axis=1, kind="stable")
        for top_k in (1, 3, None):
            found, scores = index.search(queries, top_k, **EXHAUSTIVE)
            assert found.shape == (len(queries), min(top_k or len(ids), len(ids)))
            best = np.take_along_axis(right, order, axis=1)[:, : found.shape[1]]
            np.testing.assert_allclose(scores, best, atol=2e-6)
            assert (np.diff(scores) <= 0).all()
            assert all(len(set(row)) == len(row) for row in found.tolist())
            own = np.take_along_axis(right, np.searchsorted(ids, found), axis=1)
            np.testing.assert_allclose(scores, own, atol=2e-6)


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "reopen"]), st.integers(1, 40), st.booleans()),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions=ACTIONS, seed=st.integers(0, 2**32 - 1))
def test_any_history_gives_what_a_dictionary_gives(kind, actions, seed, tmp_path):
    rng = np.random.default_rng(seed)

    def draw(count):
        vectors = rng.standard_normal((count, 8)).astype(np.float32)
        vectors[count // 2 :] = vectors[0]  # of equal vectors, too
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def new(count):
        drawn = rng.integers(LOWEST, HIGHEST, 2 * count, endpoint=True)
        return np.array([i for i in dict.fromkeys(drawn.tolist()) if i != -1][:count], np.int64)

    first, gone = new(260), []
    vectors = draw(260)
    index = filled(kind, first, vectors, code_bytes=4)
    model = Model(dict(zip(first.tolist(), vectors, strict=True)))
    for action, count, many in actions:
        if action == "add":
            # ids that were removed come back
            ids = np.array(gone[:count] or new(count), np.int64)
            added = draw(len(ids))
            index.add(ids, added)
            model.vectors_of.update(zip(ids.tolist(), added, strict=True))
            gone = gone[count:]
        elif action == "remove":
            there = list(model.vectors_of)
            ids = rng.permutation(there)[: len(there) * 2 // 3 if many else count]
            index.remove(ids)
            gone += [int(i) for i in ids]
            for i in ids:
                del model.vectors_of[int(i)]
        else:
            index.save(tmp_path / kind)
            index = VectorIndex.open(tmp_path / kind)
        model.check(index, draw(3))


@pytest.mark.parametrize("kind", KINDS)
def test_default_settings_find_most_of_what_is_near(draw, kind):
    vectors = draw(3_000)
    index = VectorIndex.build(np.arange(3_000), vectors, VectorConfig(kind=kind))
    found = recall_against_exact(index, ExactSample.draw(index.image_ids, vectors), VectorConfig())
    least = {"exact": 1, "hnsw": 0.97, "ivf_pq": 0.6, "scalar": 0.9}
    assert list(found) == ["recall_against_exact@10"]
    assert all(least[kind] <= recall <= 1 for recall in found.values())


@pytest.mark.parametrize("images", [1, 2, 5])
def test_a_few_images_are_all_found(draw, tmp_path, images):
    index = filled("hnsw", np.arange(images), vectors := draw(images))
    ExactSample.draw(index.image_ids, vectors).save(ArtifactDirectory(tmp_path))
    found = recall_against_exact(index, ExactSample.load(tmp_path), VectorConfig())
    assert found == ({f"recall_against_exact@{images - 1}": 1} if images > 1 else {})


def test_a_graph_that_compares_all_orders_equal_images_by_id(draw):
    index = filled("hnsw", np.arange(6, 0, -1), np.repeat(vectors := draw(1), 6, axis=0))
    for top_k in (2, 6):
        assert index.search(vectors, top_k, **EXHAUSTIVE)[0].tolist() == [
            [1, 2, 3, 4, 5, 6][:top_k]
        ]
    index.remove([2, 5])
    assert index.search(vectors)[0].tolist() == [[1, 3, 4, 6]]


def test_less_effort_finds_less(draw):
    vectors = draw(2_000)
    settings_of = {"hnsw": ("search_effort", 2), "ivf_pq": ("probes", 1)}
    for kind, (name, little) in settings_of.items():
        index = filled(kind, np.arange(2_000), vectors, cells=40)
        sample = ExactSample.draw(index.image_ids, vectors)
        recalls = [
            recall_against_exact(index, sample, VectorConfig(**{name: effort}))
            for effort in (little, 500)
        ]
        least, most = (next(iter(recall.values())) for recall in recalls)
        assert least < most


@pytest.mark.parametrize("kind", KINDS)
def test_building_at_once_gives_the_index_of_adding(draw, kind):
    ids = np.random.default_rng(0).permutation(400) - 200
    ids[ids == -1] = 900
    vectors, queries = draw(400), draw(5)
    added = filled(kind, ids, vectors).search(queries, 7)
    built = VectorIndex.build(ids, vectors, config(kind), model="net")
    assert (built.kind, built.model, len(built)) == (kind, "net", 400)
    for found, expected in zip(built.search(queries, 7), added, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_an_opened_index_is_mapped_and_its_files_stay(draw, kind, tmp_path):
    index = filled(kind, np.arange(300), draw(300))
    index.save(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    opened, queries = VectorIndex.open(tmp_path), draw(4)
    for found, expected in zip(opened.search(queries, 9), index.search(queries, 9), strict=True):
        np.testing.assert_array_equal(found, expected)
    opened.remove([5])
    opened.add([1_000], draw(1))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    again = VectorIndex.open(tmp_path)
    assert 5 in again.image_ids
    again.save(tmp_path / "copy")
    # an index that nobody changed is written as it was read
    names = [p.name for p in tmp_path.iterdir() if p.suffix == ".npy"]
    assert sorted(names) == [n for n in ArtifactDirectory(tmp_path / "copy").names() if "npy" in n]


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_of_another_dimension_or_network_are_refused(draw, kind, tmp_path):
    index = VectorIndex.build(np.arange(300), draw(300), config(kind), model="net-a")
    index.save(tmp_path)
    assert VectorIndex.open(tmp_path, dim=DIM, model="net-a").model == "net-a"
    with pytest.raises(ArtifactMismatchError, match=r"72 dimensions .* 64 dimensions"):
        VectorIndex.open(tmp_path, dim=64)
    with pytest.raises(ArtifactMismatchError, match=r"model net-a .* model net-b"):
        VectorIndex.open(tmp_path, model="net-b")
    with pytest.raises(ArtifactMismatchError, match=r"model net-a .* model net-b"):
        VectorIndex.union([index, VectorIndex.create(DIM, model="net-b")])
    with pytest.raises(IndexInputError, match=r"\(n, 72\), found float32 \(2, 64\)"):
        index.search(np.ones((2, 64), np.float32))


@pytest.mark.parametrize("kind", KINDS)
def test_a_union_finds_what_its_parts_hold(draw, kind):
    vectors, queries = draw(600), draw(5)
    whole = filled("exact", np.arange(600), stood_for(filled(kind, [*range(300)], vectors[:300]),
                                                      vectors))  # fmt: skip
    first = filled(kind, np.arange(300), vectors[:300])
    second = filled("exact", np.arange(300), whole.vectors[300:])
    united = VectorIndex.union([first, second], [0, 300])
    for top_k in (4, None):
        found = united.search(queries, top_k, **EXHAUSTIVE)
        expected = whole.search(queries, top_k)
        np.testing.assert_allclose(found[1], expected[1], atol=2e-6)
        assert (found[0] == expected[0]).mean() > 0.99
    assert len(united) == 600
    if kind != "exact":
        with pytest.raises(IndexInputError, match="for searching"):
            united.remove([1])


def test_rankings_end_where_nothing_more_is_found(draw):
    index = filled("ivf_pq", np.arange(300), draw(300), cells=60)
    ids, scores = index.search(draw(3), 200, probes=1)
    assert (ids[:, -1] == -1).all() and (scores[ids == -1] == 0).all()
    assert ((ids == -1) == (np.cumsum(ids == -1, axis=1) > 0)).all()


@pytest.mark.parametrize("kind", ["ivf_pq", "scalar"])
def test_too_few_images_to_learn_codes_from_are_refused(draw, kind):
    index = VectorIndex.create(DIM, config(kind))
    with pytest.raises(IndexInputError, match="at least 256, found 255"):
        index.add(np.arange(255), draw(255))
    with pytest.raises(IndexInputError, match="at least 256, found 3"):
        VectorIndex.build(np.arange(3), draw(3), config(kind))
    assert len(index) == 0 and index.search(draw(1))[0].shape == (1, 0)
    index.add(np.arange(256), draw(256))
    with pytest.raises(IndexInputError, match="codes in place of vectors"):
        _ = index.vectors


def test_refused_settings(draw):
    index = filled("hnsw", [4], draw(1))
    for setting in ({"search_effort": 0}, {"probes": 0}, {"device": "gpu"}):
        with pytest.raises(IndexInputError, match=next(iter(setting))):
            index.search(draw(1), **setting)


def test_auto_chooses_by_size_and_memory():
    def chosen(images, **changed):
        return resolve(VectorConfig(kind="auto", **changed), images, 1024).kind

    assert chosen(200_000) == "exact"
    assert chosen(200_001) == "hnsw"
    # 4,104 bytes an image exactly, 4,360 with a graph, 1,032 by bytes
    assert chosen(200_000, memory=0.82) == "scalar"
    assert chosen(200_000, memory=0.83) == "exact"
    assert chosen(2_000_000) == "scalar"
    assert chosen(10_000_000) == "ivf_pq"
    assert VectorIndex.create(8, VectorConfig(kind="auto")).kind == "exact"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changed",
    [lambda ids: ids[:-1], lambda ids: ids.astype(np.float64), lambda ids: ids[:, None]],
    ids=["short", "float", "of two dimensions"],
)
def test_ids_of_another_index_are_refused(draw, kind, changed, tmp_path):
    filled(kind, np.arange(300), draw(300)).save(tmp_path)
    (file,) = tmp_path.glob("ids-*.npy")
    np.save(file, changed(np.load(file)))
    with pytest.raises(ArtifactError):
        VectorIndex.open(tmp_path)


def test_ids_that_do_not_ascend_and_another_size_are_refused(draw, tmp_path):
    filled("exact", np.arange(300), draw(300)).save(tmp_path)
    directory, (file,) = ArtifactDirectory(tmp_path), tmp_path.glob("ids-*.npy")
    ids = np.load(file)
    np.save(file, ids[::-1])
    with pytest.raises(ArtifactError, match="do not ascend"):
        VectorIndex.open(tmp_path)
    np.save(file, ids)
    description = directory.read_json("index.json")
    directory.write_json("index.json", {**description, "images": 299})
    with pytest.raises(ArtifactError, match=r"'images': 300.*index\.json says.*299"):
        VectorIndex.open(tmp_path)


def test_a_gpu_that_is_asked_for_and_cannot_be_had_is_told(draw, monkeypatch):
    index = filled("ivf_pq", np.arange(300), draw(300))
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    monkeypatch.setattr("retrieval_core.index.vector.torch_device", lambda name: None)
    with pytest.raises(IndexInputError, match="faiss cannot have this index on a GPU"):
        index.search(draw(1), 1, device="cuda")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_index_is_refused(draw, kind, tmp_path):
    filled(kind, np.arange(300), draw(300)).save(tmp_path)
    directory = ArtifactDirectory(tmp_path)
    file = max(tmp_path.glob("*.npy"), key=lambda path: path.stat().st_size)
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    with pytest.raises(ArtifactError, match=file.name):
        VectorIndex.open(tmp_path)
    if kind != "exact":
        np.save(file, np.zeros(99, np.uint8))
        with pytest.raises(ArtifactError, match="no index of faiss"):
            VectorIndex.open(tmp_path)
    description = directory.read_json("index.json")
    directory.write_json("index.json", {**description, "files": {}})
    with pytest.raises(ArtifactError, match=f"kind '{kind}' lacks"):
        VectorIndex.open(tmp_path)
