"""Nearest neighbours in blocks against a sort of everything."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from retrieval_core.training.neighbours import hardest_negatives, nearest_of_other_classes


def slow_negatives(query, own, pool, labels, count):
    """The published rule: walk the full ranking, one image per label; then fill up."""
    ranked = np.argsort(-(pool @ query), kind="stable")
    chosen, seen = [], {own}
    for i in ranked:
        if labels[i] not in seen and len(chosen) < count:
            chosen.append(i)
            seen.add(labels[i])
    rest = [i for i in ranked if labels[i] != own and i not in chosen]
    return chosen + rest[: count - len(chosen)]


@pytest.mark.parametrize("count", [1, 4, 5, 9, 200])
def test_equals_the_walk_down_the_ranking(count):
    rng = np.random.default_rng(0)
    pool = rng.standard_normal((60, 8)).astype(np.float32)
    labels = rng.integers(0, 6, 60) * 10
    queries = rng.standard_normal((20, 8)).astype(np.float32)
    own = rng.integers(0, 8, 20) * 10  # some labels are not in the pool
    given = map(torch.from_numpy, (queries, own, pool, labels))
    found = list(hardest_negatives(*given, count, block=7))
    for query, label, actual in zip(queries, own, found, strict=True):
        assert actual.tolist() == slow_negatives(query, label, pool, labels, count)


def test_a_pool_of_the_query_label_alone_gives_no_negative():
    pool = torch.eye(3)
    (found,) = hardest_negatives(pool[:1], torch.tensor([4]), pool, torch.tensor([4, 4, 4]), 2)
    assert len(found) == 0


@pytest.mark.parametrize("block", [(7, 9), (100, 9), (7, 100)])
@pytest.mark.parametrize("count", [1, 5, 60])
def test_nearest_equal_a_full_sort(count, block):
    generator = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(40, 6, generator=generator), dim=1)
    labels = torch.randint(0, 5, (40,), generator=generator)
    found = nearest_of_other_classes(vectors, labels, count, block=block)
    similarity = vectors @ vectors.T
    similarity[labels[:, None] == labels] = -torch.inf
    scores, expected = similarity.sort(descending=True)
    expected[scores.isinf()] = -1
    assert torch.equal(found, expected[:, :count])


def test_one_class_has_no_neighbours():
    found = nearest_of_other_classes(torch.eye(3), torch.zeros(3, dtype=torch.int64), 2)
    assert found.tolist() == [[-1, -1]] * 3
