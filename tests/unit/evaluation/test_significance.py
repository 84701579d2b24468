import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval_core.errors import RankingError
from retrieval_core.evaluation.significance import sign_flip_test


def _enumerated(before, after):
    """The definition, swap by swap."""
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if not np.isnan(a + b)]
    observed = abs(np.mean([b - a for a, b in pairs]))
    means = [
        abs(np.mean([a - b if swap else b - a for swap, (a, b) in zip(swaps, pairs, strict=True)]))
        for swaps in itertools.product((False, True), repeat=len(pairs))
    ]
    return np.mean([mean >= observed - 1e-9 for mean in means])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0.1, 0.5, 0.3, 0.9], [0.4, 0.4, 0.8, 0.95]),
        ([0.2, 0.2, 0.2], [0.3, 0.3, 0.3]),
        ([0.5, 0.5, 0.1, 0.7], [0.5, 0.5, 0.3, 0.6]),
        ([0.1, np.nan, 0.3, 0.2, 0.4], [0.2, 0.9, np.nan, 0.5, 0.1]),
        ([0.1], [0.9]),
    ],
    ids=["plain", "equal changes", "ties", "unscored", "one query"],
)
def test_small_sets_are_exact(before, after):
    assert sign_flip_test(before, after) == pytest.approx(_enumerated(before, after))


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=8))
def test_every_small_set_is_exact(changes):
    before, after = np.zeros(len(changes)), np.array(changes) / 10
    assert sign_flip_test(before, after) == pytest.approx(_enumerated(before, after))


def test_draws_come_close_to_the_exact_value():
    generator = np.random.default_rng(3)
    before = generator.random(12)
    after = before + generator.normal(0.06, 0.1, 12)
    exact = sign_flip_test(before, after, resamplings=2**12)
    drawn = sign_flip_test(before, after, resamplings=4000)
    assert exact == pytest.approx(_enumerated(before, after))
    assert drawn == pytest.approx(exact, abs=0.02)
    assert drawn == sign_flip_test(before, after, resamplings=4000), "the draws are seeded"


def test_it_is_two_sided_and_knows_no_direction():
    first, second = [0.1, 0.4, 0.6, 0.2], [0.3, 0.5, 0.7, 0.6]
    assert sign_flip_test(first, second) == sign_flip_test(second, first) == 2 / 16


def test_many_equal_gains_are_never_impossible():
    p_value = sign_flip_test(np.zeros(500), np.full(500, 0.1), resamplings=999)
    assert p_value == 1 / 1000


def test_equal_methods_are_rarely_told_apart():
    generator = np.random.default_rng(0)
    values = [
        sign_flip_test(generator.random(30), generator.random(30), resamplings=400)
        for _ in range(200)
    ]
    assert 0.01 < np.mean(np.array(values) <= 0.05) < 0.1


def test_no_change_is_no_evidence():
    assert sign_flip_test([0.2, 0.4], [0.2, 0.4]) == 1
    assert np.isnan(sign_flip_test([], []))
    assert np.isnan(sign_flip_test([np.nan], [0.5]))


def test_other_numbers_of_queries_are_refused():
    with pytest.raises(RankingError, match=r"\(2,\).*\(3,\)"):
        sign_flip_test([0.1, 0.2], [0.1, 0.2, 0.3])
