import numpy as np
import pytest

from retrieval_core.errors import ArtifactError, ConcurrentWriteError, IndexInputError
from retrieval_core.index import AsmkIndex, Codebook, VectorIndex


def filled(draw, ids):
    index, vectors = VectorIndex.create(72), draw(len(ids))
    index.add(ids, vectors)
    return index, vectors


def test_search_is_the_sorted_inner_products(draw):
    ids = np.random.default_rng(0).permutation(1_000)[:400] * 10**12
    index, vectors = filled(draw, ids)
    queries = draw(300)
    products = queries @ vectors.T
    order = np.argsort(-products, axis=1)
    for top_k in (None, 1, 17, 400, 999):
        found, scores = index.search(queries, top_k)
        np.testing.assert_array_equal(found, ids[order][:, :top_k])
        np.testing.assert_allclose(scores, np.take_along_axis(products, order, 1)[:, :top_k], 1e-5)
    assert (found.dtype, scores.dtype) == (np.int64, np.float32)


def test_equal_scores_go_by_ascending_id(draw):
    index, one = VectorIndex.create(72), draw(1)
    index.add([8, 3, 99, 5], np.repeat(one, 4, axis=0))
    index.add([1], -one)
    assert index.search(one)[0].tolist() == [[3, 5, 8, 99, 1]]
    assert index.search(one, 2)[0].tolist() == [[3, 5]]


def test_removed_images_are_gone_and_may_come_back(draw):
    index, vectors = filled(draw, [4, 2, 9])
    index.remove([2])
    assert sorted(index.search(draw(1))[0][0]) == [4, 9]
    index.add([2], vectors[1:2])
    assert index.search(vectors[1:2], 1)[0].tolist() == [[2]]
    assert len(index) == 3


@pytest.mark.parametrize(
    ("ids", "shape", "message"),
    [
        ([4], (1, 72), "4 already in the index"),
        ([5, 5], (2, 72), "5 given more than once"),
        ([5, 6], (1, 72), "2 ids for 1 vectors"),
        ([5], (1, 71), r"\(n, 72\)"),
    ],
)
def test_refused_additions_change_nothing(draw, ids, shape, message):
    index, _ = filled(draw, [4])
    with pytest.raises(IndexInputError, match=message):
        index.add(ids, np.ones(shape, np.float32))
    assert index.image_ids.tolist() == [4]


def test_refusals(draw):
    index, vectors = filled(draw, [4])
    with pytest.raises(IndexInputError, match="7 not in the index"):
        index.remove([4, 7])
    with pytest.raises(IndexInputError, match="row 0 holds nan"):
        index.search(vectors * np.float32(np.nan))
    with pytest.raises(IndexInputError, match="dim"):
        VectorIndex.create(0)
    assert len(index) == 1


@pytest.mark.parametrize("setting", ["search_effort", "probes"])
@pytest.mark.parametrize("value", [0, 1.5, "a", True])
def test_settings_of_a_search_are_whole_numbers(draw, setting, value):
    index, vectors = filled(draw, [4])
    with pytest.raises(IndexInputError, match=f"{setting}: expected 1 or more"):
        index.search(vectors, **{setting: value})


def test_what_is_no_array_of_vectors_or_ids_is_refused(draw):
    index, _ = filled(draw, [4])
    for wrong in ([[1.0, 2.0]], [[1.0], [2.0, 3.0]], 3.0, np.ones(72, np.float32)):
        with pytest.raises(IndexInputError, match="vectors: "):
            VectorIndex.build([1], wrong)
    for wrong in ([4.0], ["4"], [[4]]):
        with pytest.raises(IndexInputError, match="image_ids: expected whole numbers"):
            index.reconstruct(wrong)
    with pytest.raises(IndexInputError, match="at least one"):
        VectorIndex.union([])


def test_images_come_behind_the_others_or_between_them(draw):
    vectors, queries = draw(700), draw(20)
    whole = VectorIndex.build(np.arange(700), vectors)
    for order in (np.arange(700), np.random.default_rng(0).permutation(700)):
        index = VectorIndex.create(72)
        for part in np.array_split(order, [1, 2, 5, 300, 301, 420, 640]):
            index.add(part, vectors[part])
        np.testing.assert_array_equal(index.image_ids, np.arange(700))
        np.testing.assert_array_equal(index.vectors, vectors)
        for found, expected in zip(index.search(queries), whole.search(queries), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_images_behind_the_others_leave_these_where_they_are(draw):
    vectors = draw(700)
    index = VectorIndex.build(np.arange(600), vectors[:600])
    for number in range(600, 700):
        index.add([number], vectors[number : number + 1])
    assert np.shares_memory(index.rows.blocks[0], vectors)
    assert len(index.rows.blocks) < 9
    before = vectors[650].copy()
    vectors[650] = 0  # what was added is the index's own
    np.testing.assert_array_equal(index.reconstruct([650])[0], before)


@pytest.mark.parametrize("size", [0, 2.5, True, "72"])
def test_dimensions_are_a_whole_number(size):
    with pytest.raises(IndexInputError, match="dim: expected 1 or more"):
        VectorIndex.create(size)


def test_an_index_that_has_changed_since_it_was_opened_is_not_overwritten(draw, tmp_path):
    filled(draw, [4, 2])[0].save(tmp_path)
    first, second = VectorIndex.open(tmp_path), VectorIndex.open(tmp_path)
    second.save(tmp_path / "copy")
    first.add([7], draw(1))
    first.save(tmp_path)
    second.add([8], draw(1))
    with pytest.raises(ConcurrentWriteError, match="open it again"):
        second.save(tmp_path)
    # one's own changes go on, and elsewhere, too
    first.remove([2])
    first.save(tmp_path)
    second.save(tmp_path / "copy")
    assert VectorIndex.open(tmp_path).image_ids.tolist() == [4, 7]
    assert VectorIndex.open(tmp_path / "copy").image_ids.tolist() == [2, 4, 8]


def test_saving_opening_and_saving_again(draw, tmp_path):
    index, _ = filled(draw, [4, 2, 9])
    index.save(tmp_path)
    opened, queries = VectorIndex.open(tmp_path), draw(5)
    for actual, expected in zip(opened.search(queries), index.search(queries), strict=True):
        np.testing.assert_array_equal(actual, expected)
    opened.remove([9])
    opened.save(tmp_path)
    assert VectorIndex.open(tmp_path).image_ids.tolist() == [2, 4]
    assert len(list(tmp_path.iterdir())) == 3


def test_an_empty_index(draw, tmp_path):
    VectorIndex.create(72).save(tmp_path)
    assert VectorIndex.open(tmp_path).search(draw(2))[0].shape == (2, 0)


def test_an_index_of_another_kind_is_refused(draw, tmp_path):
    AsmkIndex.create(Codebook(draw(3))).save(tmp_path)
    with pytest.raises(ArtifactError, match="'asmk', not 'vector'"):
        VectorIndex.open(tmp_path)
