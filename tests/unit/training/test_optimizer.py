"""Learning rates and decay by parameter and epoch."""

import pytest

from retrieval_core.config import OptimizerConfig
from retrieval_core.training.optimizer import build_optimizer, set_learning_rate

CONFIG = OptimizerConfig(learning_rate=1e-3, weight_decay=0.1, decay=0.5, pool_factor=4)


def test_the_exponent_learns_faster_and_does_not_decay(model):
    optimizer = build_optimizer(model, CONFIG)
    others, exponents = optimizer.param_groups
    assert [p is model.pool.p for p in exponents["params"]] == [True]
    assert len(others["params"]) == len(list(model.parameters())) - 1
    assert (others["weight_decay"], exponents["weight_decay"]) == (0.1, 0.0)
    set_learning_rate(optimizer, CONFIG, epoch=1)
    assert (others["lr"], exponents["lr"]) == pytest.approx((1e-3, 4e-3))


def test_the_rate_decays_from_the_second_epoch_on(model):
    optimizer = build_optimizer(model, CONFIG)
    rates = [set_learning_rate(optimizer, CONFIG, epoch) for epoch in (1, 2, 4)]
    assert rates == pytest.approx([1e-3, 5e-4, 1.25e-4])
    assert optimizer.param_groups[0]["lr"] == rates[-1]


def test_frozen_parameters_are_left_out(model):
    model.whitening.requires_grad_(False)
    model.pool.p.requires_grad_(False)
    (group,) = build_optimizer(model, CONFIG).param_groups
    assert len(group["params"]) == 4
