import numpy as np

from retrieval_core.evaluation import (
    label_ground_truth,
    mean_average_precision_at_k,
    mean_average_precision_at_r,
    r_precision,
    recall_at_k,
)

IDS = [10, 11, 12, 13, 14]
LABELS = ["a", "a", "b", "a", "c"]
RANKS = [
    [10, 12, 11, 13, 14],
    [11, 13, 10, 12, 14],
    [12, 10, 11, 13, 14],
    [13, 14, 12, 10, 11],
    [14, 10, 11, 12, 13],
]


def test_recall_leaves_the_query_out_and_skips_queries_alone_in_their_label():
    truth = label_ground_truth(IDS, LABELS, IDS, LABELS)
    recall = recall_at_k(RANKS, truth, (1, 2, 3))
    np.testing.assert_array_equal(
        recall.hits, [[0, 1, 1], [1, 1, 1], [np.nan] * 3, [0, 0, 1], [np.nan] * 3]
    )
    np.testing.assert_allclose(recall.recall_at, [1 / 3, 2 / 3, 1])


def test_map_at_r_by_hand():
    truth = label_ground_truth(IDS, LABELS, IDS, LABELS)
    scores = mean_average_precision_at_r(RANKS, truth)
    # R = 2: without the query, the first finds its label at 2, the second at 1 and 2
    np.testing.assert_allclose(scores.average_precisions, [0.25, 1, np.nan, 0, np.nan])
    assert scores.map == np.mean([0.25, 1, 0])


def test_map_at_r_of_random_rankings():
    rng = np.random.default_rng(0)
    ids, labels = np.arange(60), rng.integers(0, 6, 60)
    ranks = np.stack([rng.permutation(60) for _ in ids])
    truth = label_ground_truth(ids.tolist(), labels.tolist(), ids.tolist(), labels.tolist())
    found = mean_average_precision_at_r(ranks, truth).average_precisions
    for query in ids:
        others = [i for i in ranks[query] if i != query]
        right = labels[others] == labels[query]
        count = right.sum()
        expected = sum(right[: i + 1].mean() for i in range(count) if right[i]) / count
        assert abs(found[query] - expected) < 1e-12


def test_r_precision_by_hand():
    truth = label_ground_truth(IDS, LABELS, IDS, LABELS)
    scores = r_precision(RANKS, truth)
    # R = 2: without the query, the first finds one of its label, the second both, the fourth none
    np.testing.assert_allclose(scores.precisions, [0.5, 1, np.nan, 0, np.nan])
    assert scores.mean == 0.5


def test_r_precision_of_random_and_of_truncated_rankings():
    rng = np.random.default_rng(2)
    ids, labels = np.arange(60), rng.integers(0, 6, 60)
    ranks = np.stack([rng.permutation(60) for _ in ids])
    truth = label_ground_truth(ids.tolist(), labels.tolist(), ids.tolist(), labels.tolist())
    found = r_precision(ranks, truth).precisions
    longest = 0
    for query in ids:
        others = [i for i in ranks[query] if i != query]
        count = (labels == labels[query]).sum() - 1
        assert found[query] == (labels[others[:count]] == labels[query]).mean()
        longest = max(longest, count)
    np.testing.assert_array_equal(r_precision(ranks[:, : longest + 1], truth).precisions, found)


def test_nothing_right_is_nan():
    truth = [{"ok": [], "junk": [0]}]
    assert np.isnan(r_precision([[0, 1]], truth).mean)
    assert np.isnan(mean_average_precision_at_r([[0, 1]], truth).map)


def test_map_at_k_of_random_rankings():
    rng = np.random.default_rng(1)
    ranks = np.stack([rng.permutation(60) for _ in range(20)])
    truth = [{"ok": rng.permutation(60)[:count]} for count in range(1, 21)]
    for k in (1, 10, 100):
        found = mean_average_precision_at_k(ranks, truth, k).average_precisions
        for query, (order, t) in enumerate(zip(ranks, truth, strict=True)):
            right = np.isin(order, t["ok"])
            hits = [right[: i + 1].mean() for i in range(min(k, 60)) if right[i]]
            assert abs(found[query] - sum(hits) / min(len(t["ok"]), k)) < 1e-12


def test_map_at_k_by_hand():
    # right at 1 and 4: (1/1 + 2/4) / 2, of which the first three ranks have the first half
    truth = [{"ok": [5, 8], "junk": [9]}]
    assert mean_average_precision_at_k([[5, 9, 6, 7, 8]], truth, 100).map == 0.75
    assert mean_average_precision_at_k([[5, 9, 6, 7, 8]], truth, 3).map == 0.5
    assert mean_average_precision_at_k([[5, 9, 6, 7, 8]], truth, 1).map == 1


def test_truncated_and_empty_rankings_score_zero():
    truth = [{"ok": [1, 2]}, {"ok": [3]}]
    ranks = np.full((2, 4), -1)
    assert recall_at_k(ranks, truth).recall_at.tolist() == [0, 0, 0, 0]
    assert mean_average_precision_at_r(ranks, truth).map == 0
    assert recall_at_k(ranks[:, :0], truth).recall_at.tolist() == [0, 0, 0, 0]


def test_without_any_right_answer_there_is_no_score():
    assert np.isnan(recall_at_k([[1]], [{"ok": []}]).recall_at).all()
    assert np.isnan(mean_average_precision_at_r([[1]], [{"ok": []}]).map)
