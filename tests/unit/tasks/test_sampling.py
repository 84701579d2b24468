import pytest

from retrieval_core.data.catalogue import ImageRow
from tasks.sampling import sample

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
