from collections import Counter

import pytest

from retrieval_core.data.catalogue import Catalogue, ImageRow
from tasks.sampling import sample, sample_matching

ROWS = [ImageRow(i, f"{i}.jpg", "a", "train", "both") for i in range(50)]


@pytest.mark.parametrize("limit", [None, 50, 80])
def test_everything_where_the_limit_allows(limit):
    assert sample(ROWS, limit, seed=0) == ROWS


def test_a_sample_is_sorted_distinct_and_decided_by_the_seed():
    drawn = sample(ROWS, 10, seed=1)
    ids = [row.image_id for row in drawn]
    assert ids == sorted(set(ids))
    assert len(ids) == 10
    assert sample(ROWS, 10, seed=1) == drawn
    assert sample(ROWS, 10, seed=2) != drawn


def matched(catalogue, drawn):
    ids = {row.image_id for row in drawn}
    return sum(set(pair) <= ids for pair in catalogue.pairs)


def test_images_are_drawn_with_their_pairs():
    rows = tuple(ImageRow(i, f"{i}.jpg", str(i // 20), "train", "both") for i in range(3_000))
    pairs = tuple((i, i + 1_500) for i in range(1_500))
    catalogue = Catalogue("photos", rows, (), False, pairs=pairs)
    drawn = sample_matching(catalogue, 600, seed=1)
    assert len(drawn) == 600
    assert [row.image_id for row in drawn] == sorted({row.image_id for row in drawn})
    assert matched(catalogue, drawn) == 300 > 4 * matched(catalogue, sample(rows, 600, seed=1))
    assert sample_matching(catalogue, 600, seed=1) == drawn != sample_matching(catalogue, 600, 2)
    assert sample_matching(catalogue, 3_000, seed=1) == list(rows)


def test_images_without_pairs_are_drawn_with_their_label():
    rows = tuple(ImageRow(i, f"{i}.jpg", str(i // 3), "train", "both") for i in range(300))
    lone = tuple(ImageRow(300 + i, f"{i}.png", f"lone {i}", "train", "both") for i in range(300))
    catalogue = Catalogue("photos", (*rows, *lone), (), False)
    drawn = sample_matching(catalogue, 31, seed=1)
    sizes = sorted(Counter(row.label for row in drawn).values())
    assert sizes == [1, *[3] * 10]
