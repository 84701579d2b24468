"""The tuple losses against their sums written out, the official numbers, and degenerate input."""

from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval_core.errors import LossInputError
from retrieval_core.losses import ContrastiveLoss, TupleTripletLoss

ROLES = [-1, 1, 0, 0, -1, 1, 0, -1, 1]  # three tuples with two, one and no negatives


def slow_tuples(embeddings, roles):
    tuples = []
    for vector, role in zip(embeddings.tolist(), roles, strict=True):
        if role == -1:
            tuples.append({"query": np.array(vector), "negatives": []})
        elif role == 1:
            tuples[-1]["positive"] = np.array(vector)
        else:
            tuples[-1]["negatives"].append(np.array(vector))
    return tuples


def slow_contrastive(embeddings, roles, margin):
    total = 0.0
    for t in slow_tuples(embeddings, roles):
        total += 0.5 * np.linalg.norm(t["query"] - t["positive"]) ** 2
        for negative in t["negatives"]:
            total += 0.5 * max(0.0, margin - np.linalg.norm(t["query"] - negative)) ** 2
    return total


def slow_triplet(embeddings, roles, margin):
    total = 0.0
    for t in slow_tuples(embeddings, roles):
        near = np.linalg.norm(t["query"] - t["positive"]) ** 2
        for negative in t["negatives"]:
            total += max(0.0, near - np.linalg.norm(t["query"] - negative) ** 2 + margin)
    return total


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
CASES = [(ContrastiveLoss, slow_contrastive, 0.8), (TupleTripletLoss, slow_triplet, 0.5)]


@pytest.fixture
def embeddings():
    generator = torch.Generator().manual_seed(3)
    vectors = torch.randn(len(ROLES), 6, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(vectors, dim=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "slow", "margin"), CASES)
def test_equals_the_sum_written_out(embeddings, loss, slow, margin, dtype):
    rounded = embeddings.to(dtype)
    actual = loss(margin)(rounded, torch.tensor(ROLES))
    assert actual.dtype == (dtype if dtype.itemsize > 2 else torch.float32)
    assert float(actual) == pytest.approx(slow(rounded.double(), ROLES, margin), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "key"),
    [(ContrastiveLoss(0.8), "contrastive_m0.8"), (TupleTripletLoss(0.5), "triplet_m0.5")],
)
def test_equals_the_official_numbers(shared_parity: Path, loss, key):
    expected = np.load(shared_parity / "numerics.npz")
    roles = torch.tensor([-1, 1, 0, 0, 0, 0, 0] * 5)
    actual = loss(torch.from_numpy(expected["tuples"]), roles)
    assert float(actual) == pytest.approx(float(expected[key]), rel=1e-4)


@pytest.mark.parametrize(("loss", "slow", "margin"), CASES)
def test_gradient_is_that_of_finite_differences(embeddings, loss, slow, margin):
    roles = torch.tensor(ROLES)
    inputs = embeddings.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(margin)(x, roles), (inputs,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [ContrastiveLoss(), TupleTripletLoss()])
@pytest.mark.parametrize("roles", [ROLES, [-1, 1], [-1, 1, -1, 1]])
def test_identical_embeddings_give_finite_gradients(loss, roles, dtype):
    vectors = torch.full((len(roles), 4), 0.5, dtype=dtype, requires_grad=True)
    value = loss(vectors, torch.tensor(roles))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize("loss", [ContrastiveLoss(0.8), TupleTripletLoss(0.5)])
def test_active_negatives_are_those_that_cost(loss):
    query, near, far = [1.0, 0.0], [0.9, 0.1], [-1.0, 0.0]
    vectors = torch.tensor([query, query, near, far, near])
    active = loss.active(vectors, torch.tensor([-1, 1, 0, 0, 0]))
    assert active.tolist() == [True, False, True]


@pytest.mark.parametrize("loss", [ContrastiveLoss(), TupleTripletLoss()])
@pytest.mark.parametrize(
    "roles", [[1, -1, 0], [-1, 0, 0], [-1, 1, 1], [-1, 1, 2], [-1, 1], [0, -1, 1], [-1, -1, 1]]
)
def test_roles_that_are_no_tuples_are_refused(loss, roles):
    with pytest.raises(LossInputError, match="roles"):
        loss(torch.zeros(3, 4), torch.tensor(roles))


def test_no_images_are_refused():
    with pytest.raises(LossInputError):
        ContrastiveLoss()(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
