"""Tuples through the network, whatever their images' sizes, and the watch on collapse."""

import warnings

import pytest
import torch
from torch import nn

from retrieval_core.config import LossConfig
from retrieval_core.errors import ConfigError
from retrieval_core.losses import (
    AttentionDecorrelationLoss,
    ContrastiveLoss,
    SuperFeatureLoss,
    TupleTripletLoss,
)
from retrieval_core.training.collapse import CollapseWarning, EpochStatistics, warn_of_collapse
from retrieval_core.training.objective import Outcome, build_objective

ROLES = torch.tensor([-1, 1, 0, 0])


@pytest.fixture
def images(rows, reader):
    return list(reader.stream([rows[i] for i in (0, 1, 5, 10)]))


@pytest.mark.parametrize(
    ("kind", "loss"), [("contrastive", ContrastiveLoss), ("triplet", TupleTripletLoss)]
)
def test_global_losses_see_the_embeddings_in_order(model, images, kind, loss):
    model.eval()
    outcome = build_objective(model, LossConfig(kind=kind, margin=0.7))(images, ROLES)
    with torch.no_grad():
        embeddings = torch.cat([model(image[None]) for image in images])
    assert len({image.shape for image in images}) > 1
    assert outcome.loss.item() == pytest.approx(loss(0.7)(embeddings, ROLES).item(), rel=1e-4)
    distances = nn.functional.pdist(embeddings)
    assert outcome.spread == pytest.approx(float(distances.mean()), rel=1e-4)
    assert (outcome.images, outcome.compared) == (4, 2)


def test_super_feature_loss_sums_both_terms(model, images):
    model.eval()
    config = LossConfig(kind="super_feature", margin=1.1, ratio=1.0)
    outcome = build_objective(model, config)(images, ROLES)
    outputs = [model.super_features(image[None]) for image in images]
    features = torch.cat([features for features, _, _ in outputs])
    loss = SuperFeatureLoss(1.1, weight=0.02, ratio=1.0)
    decorrelation = sum(AttentionDecorrelationLoss(0.1)(maps) for _, maps, _ in outputs)
    expected = (loss(features, ROLES) + decorrelation).item()
    assert outcome.loss.item() == pytest.approx(expected, rel=1e-4)
    assert outcome.compared == 2 * len(loss.matched_tuples(features, ROLES)[0]) // 4
    outcome.loss.backward()
    assert model.features[0].weight.grad.abs().sum() > 0


def test_super_features_without_a_match_still_train(model, images):
    config = LossConfig(kind="super_feature", ratio=1e-6)
    outcome = build_objective(model, config)(images, ROLES)
    outcome.loss.backward()
    assert outcome.compared == 0
    assert torch.isfinite(model.features[0].weight.grad).all()


def test_a_network_without_super_features_is_refused():
    with pytest.raises(ConfigError, match="super_feature"):
        build_objective(nn.Identity(), LossConfig(kind="super_feature"))


def outcome(*, active, spread):
    return Outcome(torch.tensor(1.5), images=4, active=active, compared=2, spread=spread)


@pytest.mark.parametrize("of", ["anchors", "negatives"])
def test_an_epoch_that_compares_nothing_is_told(of):
    statistics = EpochStatistics(of)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_collapse(statistics, epoch=0)  # before training there is nothing to compare
    statistics.add(Outcome(torch.tensor(0.0), images=8, active=0, compared=0, spread=1.2))
    with pytest.warns(CollapseWarning, match=f"epoch 3: there are no {of} among 8 images"):
        warn_of_collapse(statistics, epoch=3)


def test_averages_of_an_epoch():
    statistics = EpochStatistics()
    assert (statistics.loss, statistics.spread, statistics.active_share) == (None, None, None)
    statistics.add(outcome(active=2, spread=1.0))
    statistics.add(outcome(active=0, spread=0.5))
    assert (statistics.loss, statistics.spread, statistics.active_share) == (1.5, 0.75, 0.5)
    assert statistics.images == 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_collapse(statistics, epoch=1)


@pytest.mark.parametrize(
    ("active", "spread", "message"), [(0, 1.0, "inside|costs"), (2, 1e-3, "collapsed")]
)
def test_collapse_is_told(active, spread, message):
    statistics = EpochStatistics()
    statistics.add(outcome(active=active, spread=spread))
    with pytest.warns(CollapseWarning, match=message):
        warn_of_collapse(statistics, epoch=7)
