"""A snapshot searched part by part, each opened from its files."""

import dataclasses

import numpy as np
import pytest

from retrieval_core.errors import ArtifactError, ConcurrentWriteError, IndexInputError
from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.index.parts import SavedPart, balanced
from retrieval_core.index.ranking import Queries, Selectivity, join, rank

SETTINGS = [
    {"binary": binary, "use_idf": use_idf} for binary in (True, False) for use_idf in (True, False)
]


def built(draw, **settings):
    """Three segments, of 40, 12 and 3 images; some are gone, all of the last; one is empty."""
    index = AsmkIndex.create(Codebook(draw(24)), **settings)
    ids = np.random.default_rng(3).permutation(100)
    for first, count in ((0, 40), (40, 12), (52, 3)):
        owners = np.repeat(np.arange(count), 8)[: 8 * count - 8]
        index.add(ids[first : first + count], draw(len(owners)), owners)
    index.remove(ids[[2, 30, 41, 52, 53, 54]])
    return index


def asked(index, draw, queries=5) -> Queries:
    owners = np.repeat(np.arange(queries - 1), 9)
    return index.aggregate_queries(
        draw(len(owners)),
        owners,
        multiple_assignment=3,
        selectivity=Selectivity(3.0, 0.0),
        queries=queries,
    )


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("top_k", [None, 4])
def test_parts_joined_are_the_whole_to_the_last_bit(draw, tmp_path, settings, top_k):
    index = built(draw, **settings)
    index.save(tmp_path)
    queries = asked(index, draw)
    ids, scores = rank(index.snapshot, queries, top_k)
    assert len(index.snapshot.segments) == 3
    for count in (1, 2, 3, 9):
        cut = balanced(index.snapshot, count)
        assert sorted(number for part in cut for number in part) == [0, 1, 2]
        assert len(cut) == min(count, 3)
        parts = [SavedPart.of(index.snapshot.part(numbers)).open() for numbers in cut]
        found = [rank(part, queries, top_k) for part in parts]
        for query in range(queries.count):
            own = join([(i[query], s[query]) for i, s in found], ids.shape[1])
            np.testing.assert_array_equal(own[0], ids[query])
            np.testing.assert_array_equal(own[1], scores[query])


def test_postings_are_spread_over_the_parts(draw):
    snapshot = built(draw).snapshot
    assert balanced(snapshot, 2) == [[0], [1, 2]]


def test_blocks_of_queries_rank_as_all_of_them(draw):
    index = built(draw)
    queries = asked(index, draw)
    ids, scores = rank(index.snapshot, queries)
    for start, stop in ((0, 2), (2, 5), (4, 5), (3, 3)):
        found = rank(index.snapshot, queries.block(start, stop))
        np.testing.assert_array_equal(found[0], ids[start:stop])
        np.testing.assert_array_equal(found[1], scores[start:stop])


def test_a_part_of_a_union_keeps_its_offset(draw, tmp_path):
    index = built(draw)
    index.save(tmp_path)
    both = AsmkIndex.union([index, AsmkIndex.open(tmp_path)], [0, 1000])
    part = SavedPart.of(both.snapshot.part([3, 4, 5])).open()
    np.testing.assert_array_equal(part.image_ids, index.image_ids + 1000)


def test_a_union_is_saved_with_its_own_ids(draw, tmp_path):
    index = built(draw)
    index.save(tmp_path)
    both = AsmkIndex.union([index, index], [0, 1000])
    both.save(tmp_path)
    np.testing.assert_array_equal(AsmkIndex.open(tmp_path).image_ids, both.image_ids)


def test_an_opened_state_stays_open_and_a_lost_one_says_so(draw, tmp_path):
    index = built(draw)
    index.save(tmp_path)
    opened = AsmkIndex.open(tmp_path)
    part = SavedPart.of(opened.snapshot.part([0, 1]))
    mapped = part.open()
    index.remove(index.image_ids[:1])
    index.save(tmp_path)
    np.testing.assert_array_equal(part.open().image_ids, mapped.image_ids)
    index.compact()
    index.save(tmp_path)
    queries = asked(index, draw)
    np.testing.assert_array_equal(
        rank(mapped, queries)[0], rank(opened.snapshot.part([0, 1]), queries)[0]
    )
    with pytest.raises(ConcurrentWriteError, match="open it again"):
        part.open()


def test_files_that_do_not_fit_are_refused(draw, tmp_path):
    index = built(draw)
    index.save(tmp_path)
    part = SavedPart.of(index.snapshot.part([0]))
    (saved,) = part.segments
    files = saved.files | {"words": index.snapshot.segments[1].saved.files["words"]}
    mixed = dataclasses.replace(part, segments=(dataclasses.replace(saved, files=files),))
    with pytest.raises(ArtifactError, match="do not belong together"):
        mixed.open()
    (tmp_path / saved.files["images"]).write_bytes(b"short")
    with pytest.raises(ArtifactError, match="cannot be read"):
        part.open()


def test_images_in_memory_only_cannot_be_opened_elsewhere(draw):
    with pytest.raises(IndexInputError, match="save it"):
        SavedPart.of(built(draw).snapshot)
