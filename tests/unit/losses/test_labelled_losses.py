"""Losses on labelled batches as a configuration names them."""

import pytest
import torch

from retrieval_core.config import LossConfig
from retrieval_core.errors import ConfigError
from retrieval_core.losses import (
    LABELLED_LOSSES,
    BatchHardTripletLoss,
    HardAwarePointToSetLoss,
    LabelledLoss,
    TripletMarginLoss,
    build_classification_loss,
    build_labelled_loss,
)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"kind": "batch_hard_triplet", "margin": 0.1}, BatchHardTripletLoss(0.1)),
        (
            {"kind": "batch_hard_triplet", "soft_margin": True},
            BatchHardTripletLoss(soft_margin=True),
        ),
        (
            {"kind": "point_to_set", "margin": 0.3, "point_to_set": {"sigma": 0.2}},
            HardAwarePointToSetLoss(0.3, sigma=0.2),
        ),
        (
            {
                "kind": "point_to_set",
                "soft_margin": True,
                "point_to_set": {"weighting": "polynomial", "alpha": 4.0},
            },
            HardAwarePointToSetLoss(weighting="polynomial", alpha=4.0, soft_margin=True),
        ),
    ],
)
def test_settings_arrive(usual_batch, settings, expected):
    built = build_labelled_loss(LossConfig.model_validate(settings), 8, 4)
    assert built(*usual_batch) == expected(*usual_batch)


def test_random_triplets_have_their_loss():
    built = build_labelled_loss(LossConfig(kind="triplet_margin", margin=0.4), 8, 4)
    batch = torch.eye(8)[:3] * torch.tensor([[1.0], [2.0], [2.1]]), torch.tensor([1, 1, 0])
    assert built(*batch) == TripletMarginLoss(0.4)(*batch)
    assert built(*batch) > 0


@pytest.mark.parametrize("kind", LABELLED_LOSSES)
def test_every_kind_keeps_the_contract(kind):
    loss = build_labelled_loss(LossConfig(kind=kind), 8, 4)
    embeddings = torch.eye(8)[:6].requires_grad_()
    labels = torch.tensor([0, 0, 1, 2, 2, 0])
    assert isinstance(loss, LabelledLoss)
    value, active = loss(embeddings, labels), loss.active(embeddings, labels)
    assert value.shape == ()
    assert value.requires_grad
    assert active.dtype == torch.bool
    assert active.dim() == 1
    assert not active.requires_grad


def test_parameters_of_a_loss_can_be_trained(usual_batch):
    config = LossConfig.model_validate({"kind": "library", "library": {"name": "ProxyAnchorLoss"}})
    loss = build_labelled_loss(config, 8, 4, seed=3)
    before = loss(usual_batch[0].float(), usual_batch[1])
    before.backward()
    torch.optim.SGD(loss.parameters(), lr=0.1).step()
    assert loss(usual_batch[0].float(), usual_batch[1]) < before


def test_a_loss_on_tuples_is_refused_with_what_would_do():
    with pytest.raises(ConfigError, match=r"'contrastive'.*batch_hard_triplet, point_to_set"):
        build_labelled_loss(LossConfig(kind="contrastive"), 8, 4)


def test_the_classification_beside_a_loss():
    assert build_classification_loss(LossConfig(), 8, 4) is None
    settings = {"weight": 1.0, "temperature": 0.25, "label_smoothing": 0.2}
    config = LossConfig.model_validate({"auxiliary": settings})
    state = torch.get_rng_state()
    loss, same = (build_classification_loss(config, 8, 4, seed=1) for _ in "ab")
    assert torch.equal(torch.get_rng_state(), state)
    assert loss is not None
    assert same is not None
    assert (loss.temperature, loss.label_smoothing) == (0.25, 0.2)
    assert loss.linear.weight.shape == (4, 8)
    assert torch.equal(loss.linear.weight, same.linear.weight)
