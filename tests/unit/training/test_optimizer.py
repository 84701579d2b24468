"""Learning rates and decay by parameter, epoch and step."""

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from retrieval_core.config import OptimizerConfig
from retrieval_core.errors import ConfigError
from retrieval_core.training.optimizer import build_optimizer, learning_rate, set_learning_rate

CONFIG = OptimizerConfig(learning_rate=1e-3, weight_decay=0.1, decay=0.5, pool_factor=4)
NOTHING = nn.Module()


def settings(**changes):
    return CONFIG.model_copy(update=changes)


def test_the_exponent_learns_faster_and_does_not_decay(model):
    optimizer = build_optimizer(model, NOTHING, CONFIG)
    others, exponents = optimizer.param_groups
    assert [p is model.pool.p for p in exponents["params"]] == [True]
    assert len(others["params"]) == len(list(model.parameters())) - 1
    assert (others["weight_decay"], exponents["weight_decay"]) == (0.1, 0.0)
    set_learning_rate(optimizer, 1e-3)
    assert (others["lr"], exponents["lr"]) == pytest.approx((1e-3, 4e-3))


def test_the_head_and_the_loss_learn_at_their_own_pace(model):
    loss = nn.Linear(8, 3)
    optimizer = build_optimizer(model, loss, settings(head_factor=10.0, loss_factor=100.0))
    backbone, _, head, proxies = optimizer.param_groups
    assert {id(p) for p in backbone["params"]} == {id(p) for p in model.features.parameters()}
    assert {id(p) for p in head["params"]} == {id(p) for p in model.whitening.parameters()}
    assert {id(p) for p in proxies["params"]} == {id(p) for p in loss.parameters()}
    set_learning_rate(optimizer, 1e-4)
    assert [g["lr"] for g in (backbone, head, proxies)] == pytest.approx([1e-4, 1e-3, 1e-2])


def test_adamw_is_an_option(model):
    assert type(build_optimizer(model, NOTHING, settings(kind="adamw"))) is AdamW
    assert type(build_optimizer(model, NOTHING, CONFIG)) is not AdamW


def test_the_rate_decays_from_the_second_epoch_on():
    rates = [learning_rate(CONFIG, 9, epoch=epoch, step=2, steps=5) for epoch in (1, 2, 4)]
    assert rates == pytest.approx([1e-3, 5e-4, 1.25e-4])


def test_a_cosine_falls_to_nothing_as_torch_has_it():
    config = settings(schedule="cosine")
    found = [
        learning_rate(config, 3, epoch=epoch, step=step, steps=4)
        for epoch in (1, 2, 3)
        for step in (1, 2, 3, 4)
    ]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)
    for rate in found:
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_the_rate_rises_step_by_step_during_the_warm_up():
    config = settings(warmup=1.5, decay=1.0)
    rates = [
        learning_rate(config, 9, epoch=epoch, step=step, steps=2)
        for epoch in (1, 2)
        for step in (1, 2)
    ]
    assert rates == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])


def test_frozen_parameters_are_left_out(model):
    model.whitening.requires_grad_(False)
    model.pool.p.requires_grad_(False)
    (group,) = build_optimizer(model, NOTHING, CONFIG).param_groups
    assert len(group["params"]) == 4
    with pytest.raises(ConfigError, match="nothing of the network"):
        build_optimizer(model.requires_grad_(False), NOTHING, CONFIG)
