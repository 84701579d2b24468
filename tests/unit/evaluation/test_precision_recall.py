import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth
from retrieval_core.errors import RankingError
from retrieval_core.evaluation import interpolated_precision, precision_recall
from retrieval_core.search.ranking import Ranking


def slow_curve(ranks, right, junk, levels):
    """The definition in loops."""
    kept = [i for i in ranks if i != -1 and i not in junk]
    points, hits = [], 0
    for rank, image in enumerate(kept, start=1):
        hits += image in right
        points.append((hits * (levels - 1), hits / rank))
    reach = [level * len(right) for level in range(levels)]
    return [max((p for r, p in points if r >= need), default=0.0) for need in reach]


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_definition(seed):
    rng = np.random.default_rng(seed)
    ids = rng.permutation(30)
    right, junk = set(ids[:6].tolist()), set(ids[6:10].tolist())
    ranks = rng.permutation(30)[: rng.integers(1, 31)]
    ranks[rng.random(len(ranks)) < 0.1] = -1
    truth = [{"ok": list(right), "junk": list(junk)}]
    (curve,) = interpolated_precision(ranks[None], truth, 21)
    np.testing.assert_allclose(curve, slow_curve(ranks.tolist(), right, junk, 21))


@pytest.mark.parametrize("seed", range(10))
def test_equals_scikit_learn_on_whole_rankings(seed):
    rng = np.random.default_rng(seed)
    right = rng.permutation(50)[: rng.integers(1, 20)]
    ranks = rng.permutation(50)
    precision, recall, _ = precision_recall_curve(
        np.isin(ranks, right), np.linspace(1, 0, 50), drop_intermediate=False
    )
    # scikit-learn adds a last point of recall 0 and precision 1 that no ranking reached
    precision, recall = precision[:-1], recall[:-1]
    levels = np.linspace(0, 1, 11)
    expected = [precision[recall >= level - 1e-12].max() for level in levels]
    (curve,) = interpolated_precision(ranks[None], [{"ok": right}], 11)
    np.testing.assert_allclose(curve, expected)


def test_no_right_answer_is_no_number_and_none_found_is_zero():
    curves = interpolated_precision([[1, 2], [1, 2]], [{"ok": []}, {"ok": [7]}], 5)
    assert np.isnan(curves[0]).all()
    assert (curves[1] == 0).all()


@pytest.fixture
def catalogue():
    rows = [ImageRow(i, f"{i}.jpg", "", "test", "query" if i < 2 else "database") for i in range(6)]
    truth = (QueryTruth(0, (2,), (3,), (4,)), QueryTruth(1, (), (5,), ()))
    return Catalogue("tiny", tuple(rows), truth, revisited=True)


def test_setups_of_the_revisited_protocol(catalogue):
    ranking = Ranking(np.array([1, 0]), np.array([[5, 2], [4, 3]]), np.ones((2, 2), np.float32))
    curves = precision_recall(ranking, catalogue, levels=3)
    # query 0 finds its hard answer behind junk and misses its easy one
    np.testing.assert_allclose(curves["easy"], [0, 0, 0])
    np.testing.assert_allclose(curves["hard"], [1, 1, 1])
    np.testing.assert_allclose(curves["medium"], [1, 1, 0.5])


def test_a_foreign_query_is_refused(catalogue):
    with pytest.raises(RankingError, match="5"):
        precision_recall(Ranking(np.array([5]), np.array([[2]]), np.ones((1, 1))), catalogue)
