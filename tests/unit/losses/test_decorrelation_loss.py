"""Decorrelation against a double loop, the official number, and degenerate input."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval_core.losses import AttentionDecorrelationLoss


def slow_decorrelation(attentions):
    total = 0.0
    for maps in attentions:
        cosines = [
            float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            for i, a in enumerate(maps)
            for j, b in enumerate(maps)
            if i != j
        ]
        total += sum(cosines) / len(cosines)
    return total


def test_equals_the_double_loop():
    maps = torch.rand(3, 5, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    actual = float(AttentionDecorrelationLoss()(maps))
    assert actual == pytest.approx(slow_decorrelation(maps.numpy()))
    assert float(AttentionDecorrelationLoss(0.1)(maps)) == pytest.approx(0.1 * actual)


def test_equals_the_official_number(shared_parity: Path):
    expected = np.load(shared_parity / "numerics.npz")
    actual = AttentionDecorrelationLoss(0.1)(torch.from_numpy(expected["attention"]))
    assert float(actual) == pytest.approx(float(expected["decorrelation_w0.1"]), rel=1e-4)


@pytest.mark.parametrize("maps", [torch.zeros(2, 3, 4), torch.ones(2, 3, 4), torch.ones(2, 1, 4)])
def test_degenerate_maps_give_finite_gradients(maps):
    maps = maps.clone().requires_grad_()
    value = AttentionDecorrelationLoss()(maps)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(maps.grad).all()


def test_a_single_map_costs_nothing():
    assert float(AttentionDecorrelationLoss()(torch.ones(2, 1, 4))) == 0


@pytest.mark.parametrize(
    "name",
    [
        "batch_hard",
        "classification",
        "contrastive",
        "decorrelation",
        "distance_weighted",
        "library",
        "point_to_set",
        "super_feature",
        "triplet_margin",
        "tuple_triplet",
    ],
)
def test_examples_in_the_docstrings_run(name):
    module = importlib.import_module(f"retrieval_core.losses.{name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
