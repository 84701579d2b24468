import numpy as np
import pytest

from retrieval_core.errors import RankingError
from retrieval_core.evaluation import bootstrap as module
from retrieval_core.evaluation import bootstrap_difference, bootstrap_interval


def test_the_interval_covers_what_the_normal_approximation_does():
    values = np.random.default_rng(0).random(400)
    low, high = bootstrap_interval(values, resamplings=4_000, confidence=0.95)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.003)
    assert high == pytest.approx(values.mean() + half, abs=0.003)


def test_a_seed_determines_it():
    values = np.random.default_rng(0).random(30)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_unscored_queries_are_left_out():
    values = [0.5, float("nan"), 0.7]
    assert bootstrap_interval(values) == bootstrap_interval([0.5, 0.7])
    assert np.isnan(bootstrap_interval([float("nan")])).all()


def test_pairing_sees_a_small_steady_gain():
    hard = np.random.default_rng(0).random(60)
    change = bootstrap_difference(hard, hard + 0.01)
    assert change.mean == pytest.approx(0.01)
    assert change.low == pytest.approx(0.01)
    assert change.high == pytest.approx(0.01)


def test_a_query_unscored_on_one_side_is_left_out_of_both():
    change = bootstrap_difference([0.0, 0.5, float("nan")], [float("nan"), 0.75, 0.9])
    assert (change.mean, change.low, change.high) == (0.25, 0.25, 0.25)


def test_unpaired_scores_are_refused():
    with pytest.raises(RankingError, match=r"\(2,\) and \(3,\)"):
        bootstrap_difference([0, 1], [0, 1, 2])


def test_large_samples_are_drawn_block_by_block(monkeypatch):
    values = np.random.default_rng(0).random(50)
    whole = bootstrap_interval(values)
    monkeypatch.setattr(module, "BLOCK", 120)
    assert bootstrap_interval(values) == pytest.approx(whole)
