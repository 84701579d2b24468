"""Pairs and pools for training tuples."""

from collections import Counter

import numpy as np
import pytest

from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.data.tuples import TrainingTuple, draw_pairs, draw_pool
from retrieval_core.errors import DatasetError


def make_rows(labels, split="train"):
    return [ImageRow(i, f"{i}.jpg", label, split, "both") for i, label in enumerate(labels)]


def dataset(rows, pairs=()):
    return Catalogue("tiny", tuple(rows), (), revisited=False, pairs=pairs)


ROWS = [
    *make_rows(["a", "a", "a", "b", "b", "single", "", ""]),
    ImageRow(100, "100.jpg", "a", "test", "both"),
    ImageRow(101, "101.jpg", "b", "val", "both"),
]


def test_pairs_share_a_label_and_are_different_training_images():
    for query, positive in draw_pairs(dataset(ROWS), 50, np.random.default_rng(0)):
        assert query.label == positive.label != ""
        assert query.image_id != positive.image_id
        assert {query.split, positive.split} == {"train"}


def test_every_query_comes_once_before_one_comes_twice():
    pairs = draw_pairs(dataset(ROWS), 12, np.random.default_rng(0))
    for first in (0, 5):
        chunk = [query.image_id for query, _ in pairs[first : first + 5]]
        assert sorted(chunk) == [0, 1, 2, 3, 4]
    assert max(Counter(query.image_id for query, _ in pairs).values()) == 3


def test_fewer_pairs_than_queries_are_distinct():
    pairs = draw_pairs(dataset(ROWS), 3, np.random.default_rng(1))
    assert len({query.image_id for query, _ in pairs}) == 3


def test_draws_depend_on_the_seed_alone():
    first, same, other = (draw_pairs(dataset(ROWS), 5, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first == same
    assert first != other


def test_pool_holds_distinct_labelled_training_images():
    pool = draw_pool(dataset(ROWS), 100, np.random.default_rng(0))
    assert sorted(row.image_id for row in pool) == [0, 1, 2, 3, 4, 5]
    assert len(draw_pool(dataset(ROWS), 5, np.random.default_rng(0))) == 5


@pytest.mark.parametrize("labels", [[], ["a", "b", "c"], ["", "", ""]])
def test_labels_without_two_images_are_refused(labels):
    counts = f"{len([x for x in labels if x])} labelled images of {len(set(labels) - {''})} labels"
    with pytest.raises(DatasetError, match=counts):
        draw_pairs(dataset(make_rows(labels)), 4, np.random.default_rng(0))


def test_a_pool_of_one_label_is_refused():
    with pytest.raises(DatasetError, match=r"pool of 3 out of 3 .* has 1"):
        draw_pool(dataset(make_rows(["a", "a", "a"])), 10, np.random.default_rng(0))


def test_the_datasets_own_pairs_come_before_labels():
    pairs = ((0, 3), (2, 0), (0, 7))
    drawn = draw_pairs(dataset(ROWS, pairs), 7, np.random.default_rng(0))
    found = [(query.image_id, positive.image_id) for query, positive in drawn]
    assert sorted(found[:3]) == sorted(found[3:6]) == sorted(pairs)
    assert found[6] in pairs


def test_images_of_a_tuple_come_in_the_order_of_the_losses():
    query, positive, *negatives = ROWS[:5]
    member = TrainingTuple(query, positive, tuple(negatives))
    assert [row.image_id for row in member.images] == [0, 1, 2, 3, 4]
