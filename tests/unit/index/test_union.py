"""Several indexes searched as one, and one index merged from parts."""

import numpy as np
import pytest

from retrieval_core.errors import ArtifactMismatchError, IndexInputError
from retrieval_core.index import AsmkIndex, Codebook, VectorIndex

DIM = 72


@pytest.fixture
def codebook(draw):
    return Codebook(draw(24))


def images(draw, ids, codebook, **settings):
    index = AsmkIndex.create(codebook, **settings)
    index.add(ids, draw(5 * len(ids)), np.repeat(np.arange(len(ids)), 5))
    return index


def vectors(draw, ids):
    index = VectorIndex.create(DIM)
    index.add(ids, draw(len(ids)))
    return index


def assert_equal(actual, expected):
    for found, wanted in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("settings", [{}, {"use_idf": True}, {"binary": False}])
def test_the_union_searches_and_weighs_as_one_index_of_all_images(
    draw, codebook, settings, tmp_path, monkeypatch
):
    descriptors, owners = draw(150), np.repeat(np.arange(30), 5)
    whole, first, second = (AsmkIndex.create(codebook, **settings) for _ in range(3))
    whole.add(np.arange(30), descriptors, owners)
    first.add(np.arange(18), descriptors[:90], owners[:90])
    # the offset lifts them above those of the first; one image is gone, and not seen again
    second.add(np.arange(13), np.vstack([descriptors[90:], draw(5)]), np.repeat(np.arange(13), 5))
    second.remove([12])
    before = second.search(draw(9), [0] * 9)
    queries, query_index = draw(40), np.repeat(np.arange(4), 10)
    expected = whole.search(queries, query_index)
    united = AsmkIndex.union([first, second], [0, 18])
    assert_equal(united.search(queries, query_index), expected)
    monkeypatch.setattr("retrieval_core.index.segment.POSTINGS_AT_ONCE", 20)
    united.compact(tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(united.snapshot.segments) == 1
    assert_equal(united.search(queries, query_index), expected)
    assert (len(first), len(second)) == (18, 12)
    assert second.image_ids.tolist() == list(range(12))
    assert before[0].shape == (1, 12)


def test_interleaved_ids_are_merged_in_order(draw, codebook, tmp_path):
    descriptors, owners = draw(150), np.repeat(np.arange(30), 5)
    whole = AsmkIndex.create(codebook)
    whole.add(np.arange(30), descriptors, owners)
    parts = []
    for start in range(3):
        part, ids = AsmkIndex.create(codebook), np.arange(start, 30, 3)
        rows = np.isin(owners, ids)
        part.add(ids, descriptors[rows], np.searchsorted(ids, owners[rows]))
        parts.append(part)
    whole.save(tmp_path / "whole")
    merged = AsmkIndex.union(parts)
    merged.compact()
    merged.save(tmp_path / "merged")
    # the names of the files hold digests of their content
    names = [sorted(p.name for p in (tmp_path / d).iterdir()) for d in ("whole", "merged")]
    assert names[0] == names[1]


def test_what_does_not_belong_together_is_refused_by_both_names(draw, codebook):
    index, other = images(draw, [1, 2], codebook), Codebook(codebook.centroids[:20])
    with pytest.raises(ArtifactMismatchError, match=codebook.digest) as caught:
        AsmkIndex.union([index, images(draw, [1], other)], [0, 10])
    assert other.digest in str(caught.value)
    with pytest.raises(ArtifactMismatchError, match=r"binary False .* binary True"):
        AsmkIndex.union([index, images(draw, [1], codebook, binary=False)], [0, 10])
    with pytest.raises(ArtifactMismatchError, match=r"use_idf True .* use_idf False"):
        AsmkIndex.union([index, images(draw, [1], codebook, use_idf=True)], [0, 10])
    with pytest.raises(IndexInputError, match="2 in more than one"):
        AsmkIndex.union([index, images(draw, [2, 3], codebook)])


@pytest.mark.parametrize(
    ("ids", "offset", "message"),
    [
        ([5, 2**63 - 1], 1, "9223372036854775807 . 1 is no 64-bit number"),
        ([-(2**63), 5], -1, "-9223372036854775808 . -1 is no"),
        ([1], 2**64, "no 64-bit number"),
        ([-5, 7], 4, "-5 . 4 is -1"),
    ],
)
def test_shifted_ids_stay_ids(draw, codebook, ids, offset, message):
    with pytest.raises(IndexInputError, match=message):
        AsmkIndex.union([images(draw, [1, 2], codebook), images(draw, ids, codebook)], [0, offset])


def test_the_union_of_nothing_is_refused(draw, codebook):
    with pytest.raises(IndexInputError, match="0 indexes"):
        AsmkIndex.union([])
    with pytest.raises(IndexInputError, match="1 indexes with 2 offsets"):
        AsmkIndex.union([images(draw, [1], codebook)], [0, 1])


def test_a_part_without_its_codebook_needs_one_to_open(draw, codebook, tmp_path):
    index = images(draw, [1, 2], codebook)
    index.save(tmp_path, with_codebook=False)
    assert not (tmp_path / "centroids.npy").exists()
    assert len(AsmkIndex.open(tmp_path, codebook)) == 2


def test_the_union_of_vector_indexes(draw, tmp_path):
    first, second = vectors(draw, [4, 2, 9]), vectors(draw, [0, 7])
    whole = VectorIndex.create(DIM)
    whole.add(first.image_ids, first.vectors)
    whole.add(second.image_ids + 10, second.vectors)
    united, queries = VectorIndex.union([first, second], [0, 10]), draw(5)
    for top_k in (None, 2):
        (ids, scores), expected = united.search(queries, top_k), whole.search(queries, top_k)
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_allclose(scores, expected[1], atol=1e-6)
    united.remove([17])
    united.save(tmp_path)
    assert VectorIndex.open(tmp_path).image_ids.tolist() == [2, 4, 9, 10]
    assert second.image_ids.tolist() == [0, 7]


def test_vector_indexes_that_do_not_go_together(draw):
    index = vectors(draw, [4, 2])
    with pytest.raises(IndexInputError, match="3 not above"):
        VectorIndex.union([index, vectors(draw, [3])])
    with pytest.raises(ArtifactMismatchError, match=r"72 dimensions .* 8 dimensions"):
        VectorIndex.union([index, VectorIndex.create(8)])


def test_how_queries_are_cut_changes_no_bit(draw):
    index, queries = vectors(draw, np.arange(700)), draw(70)
    whole = index.search(queries)
    for size in (1, 7, 33):
        parts = [index.search(queries[i : i + size]) for i in range(0, 70, size)]
        assert_equal([np.concatenate(part) for part in zip(*parts, strict=True)], whole)
