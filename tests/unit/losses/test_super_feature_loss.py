"""Matching and the loss on matches against loops, the official numbers, and degenerate input."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from retrieval_core.errors import LossInputError
from retrieval_core.losses import SuperFeatureLoss, match_super_features


def slow_matches(query, positive, ratio, ratio_test):
    matches = []
    distances = [[float(np.linalg.norm(q - p)) for p in positive] for q in query]
    templates = range(len(query))
    for t in templates:
        to_positive = distances[t]
        to_query = [distances[q][t] for q in templates]
        others = [q for q in templates if q != t]
        second = min(others, key=to_query.__getitem__)
        divisor = to_query[second] if ratio_test == "paper" else second
        nearest = to_query[t] == min(to_query) and to_positive[t] == min(to_positive)
        if nearest and divisor > 0 and to_query[t] / divisor <= ratio:
            matches.append(t)
    return matches


def slow_loss(images, margin, ratio, ratio_test):
    images = [image / np.linalg.norm(image, axis=1, keepdims=True) for image in images]
    total = 0.0
    for t in slow_matches(images[0], images[1], ratio, ratio_test):
        total += 0.5 * np.linalg.norm(images[0][t] - images[1][t]) ** 2
        for negative in images[2:]:
            total += 0.5 * max(0.0, margin - np.linalg.norm(images[0][t] - negative[t])) ** 2
    return total


@pytest.fixture
def tuple_features():
    generator = torch.Generator().manual_seed(5)
    templates = torch.randn(12, 8, generator=generator, dtype=torch.float64)
    return templates + 0.5 * torch.randn(4, 12, 8, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("ratio_test", ["paper", "released"])
@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_equals_loops(tuple_features, ratio, ratio_test):
    features = normalize(tuple_features, dim=2)
    expected = slow_matches(*features[:2].numpy(), ratio, ratio_test)
    actual = match_super_features(*features[:2], ratio=ratio, ratio_test=ratio_test)
    assert 0 < len(expected) < 12
    assert actual.tolist() == expected
    loss = SuperFeatureLoss(1.1, ratio=ratio, ratio_test=ratio_test)
    value = float(loss(tuple_features, torch.tensor([-1, 1, 0, 0])))
    assert value == pytest.approx(
        slow_loss(tuple_features.numpy(), 1.1, ratio, ratio_test), rel=1e-5
    )


@pytest.mark.parametrize("ratio_test", ["paper", "released"])
def test_matches_are_the_official_ones(shared_parity: Path, ratio_test):
    expected = np.load(shared_parity / "numerics.npz")
    features = normalize(torch.from_numpy(expected["superfeatures"]), dim=2)
    actual = match_super_features(features[0], features[1], ratio_test=ratio_test)
    assert actual.tolist() == expected[f"match_{ratio_test}"].tolist()


def test_loss_is_the_official_one(shared_parity: Path):
    expected = np.load(shared_parity / "numerics.npz")
    loss = SuperFeatureLoss(1.1, weight=0.02, ratio_test="released")
    actual = loss(torch.from_numpy(expected["superfeatures"]), torch.tensor([-1, 1] + [0] * 5))
    assert float(actual) == pytest.approx(float(expected["superfeature_released"]), rel=1e-4)


def test_tuples_are_summed(tuple_features):
    roles = torch.tensor([-1, 1, 0, 0])
    single = SuperFeatureLoss()(tuple_features, roles)
    double = SuperFeatureLoss()(tuple_features.repeat(2, 1, 1), roles.repeat(2))
    assert float(double) == pytest.approx(2 * float(single))


@pytest.mark.parametrize("ratio_test", ["paper", "released"])
@pytest.mark.parametrize(
    "features",
    [
        torch.ones(4, 6, 8),  # every distance is zero: all matches are ambiguous
        torch.zeros(4, 6, 8),
        torch.ones(4, 1, 8),  # a single template has no second nearest neighbour
        torch.eye(6).expand(4, 6, 6),  # perfect matches
        torch.stack([torch.eye(6), torch.eye(6).flip(0), torch.eye(6), torch.eye(6)]),  # no match
    ],
)
def test_degenerate_features_give_finite_gradients(features, ratio_test):
    features = features.clone().requires_grad_()
    value = SuperFeatureLoss(ratio_test=ratio_test)(features, torch.tensor([-1, 1, 0, 0]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(features.grad).all()


def test_ambiguous_features_do_not_match():
    same = normalize(torch.ones(6, 8), dim=1)
    assert len(match_super_features(same, same)) == 0


def test_no_match_costs_nothing():
    features = torch.stack([torch.eye(6), torch.eye(6).flip(0), torch.eye(6)])
    assert float(SuperFeatureLoss()(features, torch.tensor([-1, 1, 0]))) == 0


def test_a_tuple_without_negatives_costs_its_positives(tuple_features):
    pair = tuple_features[:2]
    value = float(SuperFeatureLoss(1.1)(pair, torch.tensor([-1, 1])))
    assert value == pytest.approx(slow_loss(pair.numpy(), 1.1, 0.9, "paper"), rel=1e-5)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(LossInputError, match="super-features"):
        SuperFeatureLoss()(torch.zeros(3, 4), torch.tensor([-1, 1, 0]))
    with pytest.raises(LossInputError, match="match"):
        match_super_features(torch.zeros(3, 4), torch.zeros(2, 4))
