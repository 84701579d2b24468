"""Adding, removing, saving and refusing."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_asmk import slow_scores

from retrieval_core.errors import ArtifactError, ArtifactMismatchError, IndexInputError
from retrieval_core.index import AsmkIndex, Codebook, asmk

RNG = np.random.default_rng(1)
CODEBOOK = Codebook(RNG.standard_normal((12, 10)).astype(np.float32))
# few directions, so that images collide, tie and repeat
POOL = RNG.standard_normal((8, 10)).astype(np.float32)
QUERIES = RNG.standard_normal((30, 10)).astype(np.float32)
QUERY_INDEX = np.repeat(np.arange(5), 6)

IDS = st.sampled_from([0, 3, 7, 8, -5, 10**9, 2**63 - 1, -(2**63)])
IMAGE = st.lists(st.integers(0, len(POOL) - 1), max_size=6)
STEP = st.one_of(
    st.tuples(st.just("add"), st.dictionaries(IDS, IMAGE, max_size=5)),
    st.tuples(st.just("remove"), st.sets(IDS, max_size=4)),
    st.tuples(st.just("compact"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
    st.tuples(st.just("search"), st.none()),
)


def add(index, images):
    rows = [row for members in images.values() for row in members]
    counts = [len(members) for members in images.values()]
    index.add(list(images), POOL[rows], np.repeat(np.arange(len(images)), counts))


def built(images, **settings):
    index = AsmkIndex.create(CODEBOOK, **settings)
    add(index, images)
    return index


def assert_same(actual, expected):
    for top_k in (None, 2):
        found, wanted = (
            index.search(QUERIES, QUERY_INDEX, top_k=top_k) for index in (actual, expected)
        )
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(actual.image_ids, expected.image_ids)
    assert len(actual) == len(expected)


def assert_scored_as_published(index, images):
    ids = sorted(images)
    ranked, scores = index.search(QUERIES, QUERY_INDEX)
    for query, row_ids, row in zip(range(5), ranked, scores, strict=True):
        expected = slow_scores(
            CODEBOOK, [POOL[images[i]] for i in ids], QUERIES[query == QUERY_INDEX],
            binary=index.binary, use_idf=index.use_idf, multiple=5, alpha=3.0, threshold=0.0,
        )  # fmt: skip
        by_id = dict(zip(ids, expected, strict=True))
        tolerance = 1e-6 if index.binary else 1e-4
        np.testing.assert_allclose(row, [by_id[i] for i in row_ids.tolist()], atol=tolerance)
        assert sorted(row_ids.tolist()) == ids


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=24), st.booleans(), st.booleans())
def test_any_history_equals_an_index_built_at_once(tmp_path_factory, steps, binary, use_idf):
    options = {"binary": binary, "use_idf": use_idf}
    home = tmp_path_factory.mktemp("index")
    index, images = AsmkIndex.create(CODEBOOK, **options), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asmk, "FAN_IN", 3)  # a few additions are merged already
        for name, argument in steps:
            if name == "add":
                if set(argument) & set(images):
                    with pytest.raises(IndexInputError, match="already in the index"):
                        add(index, argument)
                new = {i: rows for i, rows in argument.items() if i not in images}
                add(index, new)
                images |= new
            elif name == "remove":
                if set(argument) - set(images):
                    with pytest.raises(IndexInputError, match="not in the index"):
                        index.remove(list(argument))
                gone = [i for i in argument if i in images]
                index.remove(gone)
                images = {i: rows for i, rows in images.items() if i not in gone}
            elif name == "compact":
                index.compact()
            elif name == "reopen":
                index.save(home)
                index = AsmkIndex.open(home)
            else:
                assert_same(index, built(images, **options))
    assert_same(index, built(images, **options))
    assert_scored_as_published(index, images)


def test_many_small_additions_equal_a_large_one():
    images = {i * 7 % 101: [i % 8, (i + 3) % 8] for i in range(100)}
    index = AsmkIndex.create(CODEBOOK, use_idf=True)
    for image, rows in images.items():
        add(index, {image: rows})
    assert_same(index, built(images, use_idf=True))


def test_idf_is_never_stale():
    images = {i: [i % 8] for i in range(20)}
    index = built({i: images[i] for i in range(10)}, use_idf=True)
    index.search(QUERIES, QUERY_INDEX)
    add(index, {i: images[i] for i in range(10, 20)})
    assert_same(index, built(images, use_idf=True))
    index.remove([4, 11])
    assert_same(index, built({i: r for i, r in images.items() if i not in (4, 11)}, use_idf=True))


def test_the_callers_arrays_stay_as_they_are():
    ids, rows, index_of = np.array([9, 2]), POOL[[1, 2, 3]], np.array([1, 0, 1])
    copies = ids.copy(), rows.copy(), index_of.copy()
    index = AsmkIndex.create(CODEBOOK)
    index.add(ids, rows, index_of)
    index.remove([9])
    for array, copy in zip((ids, rows, index_of), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_images_without_a_common_word_come_last_by_id():
    index = built({50: [], 3: [], 20: [0, 1], 4: []})
    ids, scores = index.search(POOL[[0, 1]], [0, 0], multiple_assignment=1)
    assert ids.tolist() == [[20, 3, 4, 50]]
    assert scores[0, 0] == pytest.approx(1)
    assert scores[0, 1:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("options", [{}, {"use_idf": True}, {"binary": False}])
def test_an_empty_index_and_no_query_give_empty_rankings(options, tmp_path):
    index = AsmkIndex.create(CODEBOOK, **options)
    ids, scores = index.search(QUERIES, QUERY_INDEX)
    assert ids.shape == scores.shape == (5, 0)
    index.save(tmp_path)
    assert len(AsmkIndex.open(tmp_path)) == 0
    add(index, {1: [2], 5: []})
    assert index.search(POOL[:0], [])[0].shape == (0, 2)
    ids, scores = index.search(POOL[:0], [], queries=3)
    assert ids.tolist() == [[1, 5]] * 3
    assert not scores.any()
    assert (ids.dtype, scores.dtype) == (np.int64, np.float32)


def test_top_k_is_the_head_of_the_whole_ranking():
    index = built({i: [i % 8, (i * i) % 8] for i in range(40)})
    whole = index.search(QUERIES, QUERY_INDEX)
    for k in (1, 7, 40, 99):
        head = index.search(QUERIES, QUERY_INDEX, top_k=k)
        np.testing.assert_array_equal(head[0], whole[0][:, :k])
        np.testing.assert_array_equal(head[1], whole[1][:, :k])


def test_descriptors_may_come_in_any_order():
    order = np.random.default_rng(0).permutation(len(QUERIES))
    index = built({i: [i % 8] for i in range(20)}, binary=True)
    shuffled = index.search(QUERIES[order], QUERY_INDEX[order])
    np.testing.assert_array_equal(shuffled[0], index.search(QUERIES, QUERY_INDEX)[0])


VECTORS = POOL[:2]


@pytest.mark.parametrize(
    ("ids", "descriptors", "image_index", "message"),
    [
        ([5, 6, 5], VECTORS, [0, 1], "5 given more than once"),
        ([1], VECTORS, [0, 0], "1 already in the index"),
        ([-1], VECTORS, [0, 0], "-1"),
        ([5.5], VECTORS, [0, 0], "float64"),
        ([2**63], VECTORS, [0, 0], str(2**63)),
        ([[5]], VECTORS, [0, 0], r"\(1, 1\)"),
        ([5], VECTORS.astype(np.float64), [0, 0], "float64"),
        ([5], VECTORS[:, :9], [0, 0], r"\(n, 10\).*\(2, 9\)"),
        ([5], VECTORS[0], [0], r"\(10,\)"),
        ([5], np.where(np.arange(2)[:, None], np.float32(np.inf), VECTORS), [0, 0], "row 1.*inf"),
        ([5], np.full((1, 10), np.nan, np.float32), [0], "row 0 holds nan"),
        ([5], VECTORS * np.float32(1e20), [0, 0], "row 0 has norm .*e.20, expected"),
        ([5], [[1, 2], [3]], [0, 0], "descriptors: "),
        ([[5], []], VECTORS, [0, 0], "image_ids: "),
        ([5], VECTORS, [0, 1], "row 1 holds 1, expected 0 to 0"),
        ([5], VECTORS, [-1, 0], "row 0 holds -1"),
        ([5], VECTORS, [0], "1 entries for 2 descriptors"),
        ([5], VECTORS, [0.0, 0.0], "image_index: expected whole numbers"),
    ],
)
def test_refused_additions_change_nothing(ids, descriptors, image_index, message):
    index = built({1: [0], 2: [3]})
    with pytest.raises(IndexInputError, match=message):
        index.add(ids, descriptors, image_index)
    assert_same(index, built({1: [0], 2: [3]}))


def test_removing_an_absent_image_changes_nothing():
    index = built({1: [0], 2: [3]})
    for ids, message in (([1, 9], "9 not in the index"), ([1, 1], "1 given more than once")):
        with pytest.raises(IndexInputError, match=message):
            index.remove(ids)
    index.remove([1])
    with pytest.raises(IndexInputError, match="1 not in the index"):
        index.remove([1])
    assert_same(index, built({2: [3]}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": 1.5}, "top_k: expected 1 or more, found 1.5"),
        ({"top_k": True}, "top_k: expected 1 or more, found True"),
        ({"multiple_assignment": 0}, "multiple_assignment"),
        ({"multiple_assignment": "5"}, "multiple_assignment"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": np.inf}, "alpha"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": np.nan}, "threshold"),
        ({"queries": -1}, "queries: expected 0 to"),
        ({"queries": 1.0}, "queries: expected 0 to"),
        ({"queries": 4}, "row 24 holds 4, expected 0 to 3"),
    ],
)
def test_search_refuses_impossible_settings(options, message):
    with pytest.raises(IndexInputError, match=message):
        built({1: [0]}).search(QUERIES, QUERY_INDEX, **options)


@pytest.mark.parametrize(
    ("descriptors", "message"),
    [
        (np.full((30, 10), np.nan, np.float32), "row 0 holds nan"),
        (QUERIES[:, :9], r"expected float32 of shape \(n, 10\)"),
        (QUERIES.astype(np.float64), "found float64"),
    ],
)
def test_search_refuses_unusable_queries(descriptors, message):
    with pytest.raises(IndexInputError, match=message):
        built({1: [0]}).search(descriptors, QUERY_INDEX)


def test_a_query_of_an_impossible_number_is_refused():
    with pytest.raises(IndexInputError, match="row 0 holds 4611686018427387904"):
        built({1: [0]}).search(POOL[:1], [2**62])


@pytest.mark.parametrize("word", [-1, len(CODEBOOK.centroids)])
def test_what_is_no_visual_word_is_refused(monkeypatch, word):
    index = built({1: [0]})
    words = np.array([[3], [word]])
    monkeypatch.setattr(Codebook, "assign", lambda *_: words)
    with pytest.raises(IndexInputError, match=rf"row 1 has the visual words \[{word}\]"):
        index.add([2], POOL[:2], [0, 0])
    assert list(index.image_ids) == [1]


def test_threads_change_and_search_one_index():
    index, errors = built({0: [1, 2]}, use_idf=True), []
    added, going, gone = [], [], []

    def change(first):
        for image in range(first, first + 40):
            index.add([image], POOL[image % 4 :], np.zeros(len(POOL) - image % 4, int))
            added.append(image)
            if image % 5 == 0:
                going.append(image)
                index.remove([image])
                gone.append(image)
            if image % 7 == 0:
                index.compact()

    def search():
        for _ in range(40):
            before, already = set(added), set(gone)
            ids = index.search(QUERIES, QUERY_INDEX)[0]
            # what was there throughout is found once, and in every query the same images
            found = [sorted(row) for row in ids.tolist()]
            lost, back = before - set(going) - set(found[0]), already & set(found[0])
            twice = len(set(found[0])) < len(found[0])
            if lost or back or twice or any(row != found[0] for row in found):
                errors.append((lost, back, ids))

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(change, 1000 * n) for n in (1, 2, 3)] + [pool.submit(search)]
        for each in running:
            each.result()
    expected = [1000 * n + i for n in (1, 2, 3) for i in range(40) if (1000 * n + i) % 5]
    assert list(index.image_ids) == [0, *expected]
    assert not errors


def test_a_saved_index_is_plain_files_mapped_into_memory(tmp_path):
    index = built({4: [1, 2], 2: [3]}, use_idf=True, binary=False)
    index.save(tmp_path)
    description = json.loads((tmp_path / "index.json").read_text())
    assert description["codebook"] == CODEBOOK.digest
    assert description["images"] == 2
    assert {p.suffix for p in tmp_path.iterdir()} == {".npy", ".json"}
    for segment in description["segments"]:
        for name in segment["files"].values():
            np.load(tmp_path / name, allow_pickle=False)
    opened = AsmkIndex.open(tmp_path)
    assert (opened.binary, opened.use_idf) == (False, True)
    assert_same(opened, index)


def test_saving_again_replaces_the_index_and_leaves_nothing_behind(tmp_path):
    built({4: [1, 2], 2: [3]}).save(tmp_path)
    before = {p.name for p in tmp_path.iterdir()}
    index = AsmkIndex.open(tmp_path)
    add(index, {9: [5]})
    index.remove([4])
    assert_same(AsmkIndex.open(tmp_path), built({4: [1, 2], 2: [3]}))
    index.compact()
    index.save(tmp_path)
    assert_same(AsmkIndex.open(tmp_path), built({2: [3], 9: [5]}))
    assert len({p.name for p in tmp_path.iterdir()}) == len(before)


def test_an_index_lives_on_any_file_system():
    uri = f"memory://index-{uuid.uuid4().hex}"
    built({4: [1, 2], 2: [3]}).save(uri)
    assert_same(AsmkIndex.open(uri), built({4: [1, 2], 2: [3]}))
    built({7: [0]}).save(uri)
    assert_same(AsmkIndex.open(uri), built({7: [0]}))


def test_another_codebook_is_refused_by_both_digests(tmp_path):
    built({4: [1]}).save(tmp_path)
    other = Codebook(CODEBOOK.centroids + np.float32(0.5))
    with pytest.raises(ArtifactMismatchError, match=CODEBOOK.digest) as caught:
        AsmkIndex.open(tmp_path, other)
    assert other.digest in str(caught.value)
    assert_same(AsmkIndex.open(tmp_path, CODEBOOK), built({4: [1]}))


def test_an_index_saved_without_its_codebook_is_opened_with_it(tmp_path):
    built({4: [1]}).save(tmp_path, with_codebook=False)
    with pytest.raises(ArtifactError, match=f"without its codebook, {CODEBOOK.digest}"):
        AsmkIndex.open(tmp_path)
    assert_same(AsmkIndex.open(tmp_path, CODEBOOK), built({4: [1]}))


def test_a_codebook_of_another_size_is_refused_whatever_the_description_says(tmp_path):
    built({4: [1]}).save(tmp_path, with_codebook=False)
    other = Codebook(CODEBOOK.centroids[:5])
    description = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(description.replace(CODEBOOK.digest, other.digest))
    with pytest.raises(ArtifactError, match="posting lists of 12 visual words, its codebook 5"):
        AsmkIndex.open(tmp_path, other)


def test_opening_names_what_is_missing(tmp_path):
    with pytest.raises(ArtifactError, match=r"index\.json"):
        AsmkIndex.open(tmp_path)
    (tmp_path / "index.json").write_text("[]")
    with pytest.raises(ArtifactError, match="kind None"):
        AsmkIndex.open(tmp_path)
    (tmp_path / "index.json").unlink()
    built({4: [1]}).save(tmp_path)
    name = json.loads((tmp_path / "index.json").read_text())["segments"][0]["files"]["codes"]
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ArtifactError, match=name):
        AsmkIndex.open(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        AsmkIndex.open(tmp_path)
