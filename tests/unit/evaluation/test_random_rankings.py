"""Ten thousand random rankings against the rules of the benchmarks, written out query by query."""

import math

import numpy as np
import pytest

from retrieval_core.evaluation import mean_average_precision, revisited_scores

RANKINGS = 10_000
BATCH = 100
KAPPAS = (1, 5, 10)
RULES = {
    "easy": (("easy",), ("hard", "junk")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("easy", "junk")),
}


def random_case(rng):
    """A ranking, -1 where it is cut off, and its easy, hard and junk images, any of them none."""
    images = int(rng.integers(1, 60))
    shares = rng.dirichlet([0.3, 0.3, 0.3, 1.0])
    kinds = rng.choice(["easy", "hard", "junk", "wrong"], images, p=shares)
    for kind in ("easy", "hard", "junk"):
        if rng.random() < 0.1:
            kinds[kinds == kind] = "wrong"
    ranking = rng.permutation(images)
    style = rng.integers(4)
    if style == 1:  # all junk on top
        ranking = np.array(sorted(ranking, key=lambda i: kinds[i] != "junk"))
    if style == 2:  # cut off anywhere
        ranking = ranking[: rng.integers(images + 1)]
    if style == 3:  # not one right answer found
        ranking = np.array([i for i in ranking if kinds[i] in ("junk", "wrong")], np.int64)
    truth = {k: np.flatnonzero(kinds == k).tolist() for k in ("easy", "hard", "junk")}
    return ranking.tolist(), truth


def judged(ranking, right, ignored):
    """Average precision and precision@k of one query; None without right answers."""
    if not right:
        return None
    counted = [image for image in ranking if image not in ignored]
    ranks = [rank for rank, image in enumerate(counted, start=1) if image in right]
    area = 0.0
    for found, rank in enumerate(ranks):
        before = found / (rank - 1) if rank > 1 else 1.0
        after = (found + 1) / rank
        area += (before + after) / 2 / len(right)
    ranks += [math.inf] * (len(right) - len(ranks))
    precisions = []
    for kappa in KAPPAS:
        divisor = min(kappa, max(ranks))
        precisions.append(sum(rank <= divisor for rank in ranks) / divisor)
    return area, precisions


def expected(cases, setup):
    """Scores of every query of a setup; a row of NaN without right answers."""
    names, junk_names = RULES[setup]
    rows = []
    for ranking, truth in cases:
        right = {image for name in names for image in truth[name]}
        ignored = {image for name in junk_names for image in truth[name]}
        found = judged(ranking, right, ignored)
        rows.append([math.nan] * 4 if found is None else [found[0], *found[1]])
    return np.array(rows)


def padded(cases):
    ranks = np.full((len(cases), max(len(ranking) for ranking, _ in cases) + 1), -1)
    for row, (ranking, _) in zip(ranks, cases, strict=True):
        row[: len(ranking)] = ranking
    return ranks


def compare(scores, rows):
    np.testing.assert_allclose(scores.average_precisions, rows[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.precisions, rows[:, 1:], rtol=0, atol=1e-12)
    empty = np.isnan(rows[:, 0])
    assert scores.excluded.tolist() == np.flatnonzero(empty).tolist()
    means = rows[~empty].mean(axis=0)
    assert scores.map == pytest.approx(means[0], abs=1e-12)
    np.testing.assert_allclose(scores.precision_at, means[1:], rtol=0, atol=1e-12)


def test_ten_thousand_random_rankings():
    rng = np.random.default_rng(0)
    seen = {"no answer": 0, "nothing found": 0, "perfect": 0}
    for _ in range(RANKINGS // BATCH):
        cases = [random_case(rng) for _ in range(BATCH)]
        ranks, truths = padded(cases), [truth for _, truth in cases]
        revisited = revisited_scores(ranks, truths, KAPPAS)
        rows = {setup: expected(cases, setup) for setup in RULES}
        for setup, scores in revisited.items():
            compare(scores, rows[setup])
        old = [{"ok": t["easy"] + t["hard"], "junk": t["junk"]} for t in truths]
        compare(mean_average_precision(ranks, old, KAPPAS), rows["medium"])
        for name, value in (("nothing found", 0.0), ("perfect", 1.0)):
            seen[name] += int((rows["medium"][:, 0] == value).sum())
        seen["no answer"] += int(np.isnan(rows["medium"][:, 0]).sum())
    assert min(seen.values()) > 100, seen


def official_precisions(ranking, right, ignored):
    """Precision@k as the script of the revisited benchmarks has it: no answer found, no value."""
    counted = [image for image in ranking if image not in ignored]
    ranks = np.array([rank for rank, image in enumerate(counted, start=1) if image in right])
    divisors = [min(ranks.max(), kappa) for kappa in KAPPAS]
    return [(ranks <= divisor).sum() / divisor for divisor in divisors]


def test_precision_is_the_official_one_unless_a_ranking_misses_answers():
    rng, seen = np.random.default_rng(2), {"complete": 0, "cut": 0, "nothing found": 0}
    for _ in range(RANKINGS):
        ranking, truth = random_case(rng)
        right, ignored = {*truth["easy"], *truth["hard"]}, set(truth["junk"])
        if not right:
            continue
        old = {"ok": sorted(right), "junk": sorted(ignored)}
        (ours,) = mean_average_precision([[*ranking, -1]], [old], KAPPAS).precisions
        if not right & set(ranking):
            seen["nothing found"] += 1
            assert not ours.any()
        elif right <= set(ranking):
            seen["complete"] += 1
            assert ours.tolist() == official_precisions(ranking, right, ignored)
        else:
            # the official divisor is the rank of the last answer that was found: the more is
            # missing, the better the value
            seen["cut"] += 1
            assert (ours <= official_precisions(ranking, right, ignored)).all()
    assert min(seen.values()) > 100, seen


def test_cutting_rankings_behind_rank_k_does_not_change_their_precision():
    rng, kappa = np.random.default_rng(1), 5
    for _ in range(500):
        images = int(rng.integers(10, 60))
        ranking = rng.permutation(images)
        ok, junk, _ = np.split(rng.permutation(images), np.sort(rng.integers(0, images, 2)))
        truth = [{"ok": ok, "junk": junk}]
        clean = np.flatnonzero(~np.isin(ranking, junk))
        if len(ok) and len(clean) >= kappa:
            cut = ranking[: clean[kappa - 1] + 1]
            whole = mean_average_precision([ranking], truth, [kappa])
            part = mean_average_precision([cut], truth, [kappa])
            assert part.precision_at == whole.precision_at
            assert part.map <= whole.map


def test_means_of_no_query_at_all_are_undefined():
    scores = revisited_scores([[3, 1]], [{"easy": [1], "hard": [], "junk": []}])
    assert scores["easy"].map == 0.25
    assert math.isnan(scores["hard"].map)
    assert np.isnan(scores["hard"].precision_at).all()
