"""The classification loss against its sums written out, and degenerate batches."""

import math

import pytest
import torch

from retrieval_core.errors import LossInputError
from retrieval_core.losses import ClassificationLoss


@pytest.fixture
def loss():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        return ClassificationLoss(8, 4, temperature=0.5, label_smoothing=0.1)


def slow_norm(rows):
    columns = []
    for column in zip(*rows, strict=True):
        mean = sum(column) / len(column)
        variance = sum((x - mean) ** 2 for x in column) / len(column)
        columns.append([(x - mean) / math.sqrt(variance + 1e-5) for x in column])
    return list(zip(*columns, strict=True))


def slow_loss(branch, labels, loss):
    weights, biases = loss.linear.weight.tolist(), loss.linear.bias.tolist()
    total = 0.0
    for row, label in zip(slow_norm(branch.double().tolist()), labels.tolist(), strict=True):
        logits = [
            (sum(w * x for w, x in zip(weight, row, strict=True)) + bias) / loss.temperature
            for weight, bias in zip(weights, biases, strict=True)
        ]
        normaliser = math.log(sum(math.exp(x) for x in logits))
        smoothing = loss.label_smoothing
        for c, logit in enumerate(logits):
            mass = smoothing / len(logits) + (1 - smoothing) * (c == label)
            total += mass * (normaliser - logit)
    return total / len(labels)


def test_equals_the_sum_written_out(usual_batch, dtype, loss):
    branch, labels = usual_batch[0].to(dtype), usual_batch[1]
    assert float(loss(branch, labels)) == pytest.approx(slow_loss(branch, labels, loss), rel=1e-4)


def test_values_and_gradients_are_finite(batch, dtype, loss):
    branch = batch[0].to(dtype).requires_grad_()
    value = loss(branch, batch[1])
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(p.grad).all() for p in [branch, *loss.parameters()])


def test_a_lone_image_is_normalised_by_the_running_statistics(usual_batch, loss):
    loss(*usual_batch)
    alone = loss(usual_batch[0][:1], usual_batch[1][:1])
    running = loss.norm.running_mean.clone()
    assert float(alone) == pytest.approx(float(loss.eval()(usual_batch[0][:1], usual_batch[1][:1])))
    assert torch.equal(loss.norm.running_mean, running)


def test_a_label_of_no_class_and_a_branch_of_another_size_are_refused(loss):
    with pytest.raises(LossInputError, match=r"0 to 3.*2\.\.4"):
        loss(torch.zeros(2, 8), torch.tensor([2, 4]))
    with pytest.raises(LossInputError, match="-1"):
        loss(torch.zeros(2, 8), torch.tensor([-1, 2]))
    with pytest.raises(LossInputError, match="6 dimensions, not 8"):
        loss(torch.zeros(2, 6), torch.tensor([0, 1]))
