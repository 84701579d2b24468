"""Batch-hard, point-to-set and triplet losses against loops, and degenerate batches."""

import math

import pytest
import torch

from retrieval_core.errors import LossInputError
from retrieval_core.losses import (
    BatchHardTripletLoss,
    HardAwarePointToSetLoss,
    TripletMarginLoss,
)


def slow_anchors(embeddings, labels):
    """Distances to positives and to negatives, of every image that has both."""
    rows, classes = embeddings.double().tolist(), labels.tolist()
    for i, (anchor, own) in enumerate(zip(rows, classes, strict=True)):
        near = [math.dist(anchor, rows[j]) for j, c in enumerate(classes) if c == own and j != i]
        far = [math.dist(anchor, rows[j]) for j, c in enumerate(classes) if c != own]
        if near and far:
            yield near, far


def slow_cost(near, far, margin, soft):
    return math.log(1 + math.exp(near - far)) if soft else max(0.0, near - far + margin)


def slow_batch_hard(near, far):
    return max(near), min(far)


def weighted(distances, weights):
    return sum(w * d for w, d in zip(weights, distances, strict=True)) / sum(weights)


def slow_exponential(near, far, sigma=0.5):
    positive, negative = [math.exp(d / sigma) for d in near], [math.exp(-d / sigma) for d in far]
    return weighted(near, positive), weighted(far, negative)


def slow_polynomial(near, far, alpha=10):
    positive, negative = [(d + 1) ** alpha for d in near], [(d + 1) ** (-2 * alpha) for d in far]
    return weighted(near, positive), weighted(far, negative)


def slow_loss(embeddings, labels, distances, margin, soft):
    costs = [
        slow_cost(*distances(near, far), margin, soft)
        for near, far in slow_anchors(embeddings, labels)
    ]
    return sum(costs) / len(costs) if costs else 0.0


CASES = [
    (BatchHardTripletLoss, {}, slow_batch_hard),
    (HardAwarePointToSetLoss, {"weighting": "exponential"}, slow_exponential),
    (HardAwarePointToSetLoss, {"weighting": "polynomial"}, slow_polynomial),
]
BUILD = [(kind, {**options, "soft_margin": s}) for kind, options, _ in CASES for s in (False, True)]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("kind", "options", "slow"), CASES)
def test_equals_loops(batch, dtype, kind, options, slow, soft):
    embeddings, labels = batch[0].to(dtype), batch[1]
    value = kind(0.3, soft_margin=soft, **options)(embeddings, labels)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    # half precision rounds the embeddings, not the arithmetic
    expected = slow_loss(embeddings, labels, slow, 0.3, soft)
    assert float(value) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("kind", "options"), BUILD)
def test_values_and_gradients_are_finite(batch, dtype, kind, options):
    embeddings = batch[0].to(dtype).requires_grad_()
    value = kind(0.3, **options)(embeddings, batch[1])
    value.backward()
    assert torch.isfinite(value)
    assert embeddings.grad.dtype == dtype
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize(("kind", "options"), BUILD)
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1e3, 1e4])
def test_no_distance_overflows(usual_batch, kind, options, scale):
    for dtype in (torch.float32, torch.float16):
        embeddings = (usual_batch[0] * scale).to(dtype).requires_grad_()
        value = kind(0.3, **options)(embeddings, usual_batch[1])
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize(("kind", "options"), BUILD)
def test_gradient_is_that_of_finite_differences(usual_batch, kind, options):
    inputs = usual_batch[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: kind(0.3, **options)(x, usual_batch[1]), (inputs,))


def test_a_soft_margin_far_from_satisfied_is_linear():
    embeddings = torch.tensor([[0.0], [500.0], [0.0], [500.0]])
    value = BatchHardTripletLoss(soft_margin=True)(embeddings, torch.tensor([0, 0, 1, 1]))
    assert float(value) == pytest.approx(500)  # log(1 + exp(500)), which overflows as it stands


@pytest.mark.parametrize(("kind", "options", "slow"), CASES)
def test_a_class_of_one_image_is_no_anchor_but_a_negative(kind, options, slow):
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    loss = kind(0.3, **options)
    value = loss(embeddings, torch.tensor([0, 0, 1]))
    first = slow_cost(*slow([math.sqrt(2)], [math.sqrt(0.4)]), 0.3, False)
    second = slow_cost(*slow([math.sqrt(2)], [math.sqrt(0.8)]), 0.3, False)
    assert float(value) == pytest.approx((first + second) / 2)
    assert loss.active(embeddings, torch.tensor([0, 0, 1])).tolist() == [True, True]


@pytest.mark.parametrize(("kind", "options", "slow"), CASES)
def test_active_anchors_are_those_that_cost(kind, options, slow):
    embeddings = torch.tensor([[0.0], [0.1], [5.0], [5.0], [5.2], [8.0]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    expected = [
        slow_cost(*slow(*anchor), 0.3, False) > 0 for anchor in slow_anchors(embeddings, labels)
    ]
    assert kind(0.3, **options).active(embeddings, labels).tolist() == expected
    assert set(expected) == {True, False}


@pytest.mark.parametrize(("kind", "options"), [(kind, options) for kind, options, _ in CASES])
def test_order_and_names_of_classes_do_not_matter(usual_batch, kind, options):
    embeddings, labels = usual_batch
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    loss = kind(0.3, **options)
    renamed = loss(embeddings[order], 100 - 7 * labels[order])
    assert float(renamed) == pytest.approx(float(loss(embeddings, labels)))


@pytest.mark.parametrize("loss", [BatchHardTripletLoss(), HardAwarePointToSetLoss()])
@pytest.mark.parametrize(
    ("embeddings", "labels", "told"),
    [
        (torch.zeros(3), torch.zeros(3, dtype=torch.int64), r"\(3,\)"),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), r"\(0, 4\)"),
        (torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64), r"\(2,\)"),
        (torch.zeros(3, 4), torch.zeros(3), "float32"),
    ],
)
def test_what_is_no_labelled_batch_is_refused(loss, embeddings, labels, told):
    with pytest.raises(LossInputError, match=told):
        loss(embeddings, labels)


def slow_triplets(embeddings, margin):
    rows = embeddings.double().tolist()
    triplets = zip(rows[0::3], rows[1::3], rows[2::3], strict=True)
    costs = [max(0.0, math.dist(a, p) - math.dist(a, n) + margin) for a, p, n in triplets]
    return sum(costs) / len(costs)


@pytest.mark.parametrize("identical", [False, True])
def test_triplets_equal_loops(usual_batch, dtype, identical):
    vectors = usual_batch[0].mean(dim=0).expand(12, -1) if identical else usual_batch[0]
    embeddings = vectors.to(dtype).detach().clone().requires_grad_()
    value = TripletMarginLoss(0.5)(embeddings, torch.tensor([1, 1, 2] * 4))
    value.backward()
    assert value.item() == pytest.approx(slow_triplets(embeddings.detach(), 0.5), abs=1e-5)
    assert torch.isfinite(embeddings.grad).all()


def test_active_triplets_are_those_that_cost():
    embeddings = torch.tensor([[0.0], [1.0], [1.5], [0.0], [1.0], [9.0]])
    active = TripletMarginLoss(1.0).active(embeddings, torch.tensor([1, 1, 2, 5, 5, 1]))
    assert active.tolist() == [True, False]


@pytest.mark.parametrize("labels", [[1, 1, 1], [1, 2, 3], [1, 1], [1, 1, 2, 1]])
def test_labels_that_are_no_triplets_are_refused(labels):
    with pytest.raises(LossInputError, match="triplets"):
        TripletMarginLoss()(torch.zeros(len(labels), 4), torch.tensor(labels))
