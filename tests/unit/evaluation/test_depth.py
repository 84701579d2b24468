from dataclasses import replace

import numpy as np
import pytest

from retrieval_core.config import EvaluationConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth, label_truth
from retrieval_core.errors import ConfigError
from retrieval_core.evaluation import depth
from retrieval_core.evaluation.depth import kappas, ranking_length
from retrieval_core.evaluation.report import evaluate_ranking
from retrieval_core.search import Ranking

SIZES = (1, 2, 3, 7)


def catalogue(name="stanford-online-products"):
    """Products of 1, 2, 3 and 7 photographs."""
    labels = [f"p{size}" for size in SIZES for _ in range(size)]
    rows = [ImageRow(i, f"/{i}.jpg", label, "test", "both") for i, label in enumerate(labels)]
    return Catalogue(name, tuple(rows), label_truth(rows), revisited=False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cars196", (1, 2, 4, 8)), ("cub200-2011", (1, 2, 4, 8)), ("in-shop", (1, 10, 20, 30)),
     ("stanford-online-products", (1, 10, 100, 1000)), ("demo", (1, 5, 10))],
)  # fmt: skip
def test_ranks_are_those_that_people_report(name, expected):
    assert kappas(catalogue(name), EvaluationConfig()) == expected
    assert kappas(catalogue(name), EvaluationConfig(kappas=(3,))) == (3,)


def test_usual_ranks_beyond_the_rankings_are_left_out():
    assert kappas(catalogue("cars196"), EvaluationConfig(top_k=4)) == (1, 2, 4)


def test_small_datasets_are_ranked_completely():
    assert ranking_length(catalogue(), EvaluationConfig(), 60_502) is None


def test_junk_lengthens_rankings():
    # every query is junk in its own ranking
    assert ranking_length(catalogue(), EvaluationConfig(top_k=5), 10**9) == 5 + 1
    told_apart = Catalogue("roxford5k", (), (QueryTruth(0, (1, 2), (3,), (4,)),), revisited=True)
    assert ranking_length(told_apart, EvaluationConfig(top_k=5), 10**9) == 5 + 1 + 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"kappas": (1, 2)}, 7), ({"kappas": (1, 10)}, 11), ({"kappas": (1,), "map_at": 8}, 9)],
)
def test_large_ones_are_ranked_as_far_as_scores_need(monkeypatch, changes, expected):
    monkeypatch.setattr(depth, "LARGEST_RANKING", 150)
    assert ranking_length(catalogue(), EvaluationConfig(**changes), 13) == expected


def test_an_approximate_search_ranks_no_more_than_scores_need():
    config = EvaluationConfig(kappas=(1, 2))
    assert ranking_length(catalogue(), config, 13, exact=False) == 7
    told_apart = replace(catalogue("roxford5k"), revisited=True)
    assert ranking_length(told_apart, config, 13, exact=False) is None


@pytest.mark.parametrize("top_k", [None, 6])
def test_a_cut_ranking_changes_no_score_but_average_precision(monkeypatch, top_k):
    monkeypatch.setattr(depth, "LARGEST_RANKING", 150)
    config = EvaluationConfig(kappas=(1, 4, 6), map_at=5, bootstrap=0, top_k=top_k)
    rng, images = np.random.default_rng(0), np.arange(13)
    ids = np.stack([rng.permutation(images) for _ in images])
    length = ranking_length(catalogue(), config, 13)
    whole, cut = (
        evaluate_ranking(
            Ranking(images, found, np.zeros(found.shape, np.float32)), catalogue(), config
        ).metrics
        for found in (ids, ids[:, :length])
    )
    assert length == 7
    assert {name for name in whole if whole[name] != cut[name]} == {"map", "map_over_labels"}
    assert cut["map"] <= whole["map"]


def test_what_is_still_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(depth, "LARGEST_RANKING", 100)
    with pytest.raises(ConfigError, match=r"evaluation\.top_k: 13 queries against 900 images"):
        ranking_length(catalogue(), EvaluationConfig(), 900)
    told_apart = replace(catalogue(), revisited=True)
    with pytest.raises(ConfigError, match="900 of them ranked"):
        ranking_length(told_apart, EvaluationConfig(kappas=(1,)), 900)
