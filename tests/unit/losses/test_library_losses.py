"""Losses of pytorch-metric-learning by name: degenerate batches, seeds, memory, refusals."""

import math

import pytest
import torch
from library_formulas import FORMULAS, build, over_nonzero
from pytorch_metric_learning import losses as library
from torch.nn.functional import normalize

from retrieval_core.config import LibraryLossConfig
from retrieval_core.errors import ConfigError, LossInputError
from retrieval_core.losses.library import LibraryLoss

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("name", FORMULAS)
def test_equals_the_formula(batch, name):
    embeddings, labels = batch
    loss = build(name)
    value = loss(embeddings, labels).item()
    expected = FORMULAS[name](embeddings.tolist(), labels.tolist(), loss)
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_half_precision_rounds_the_embeddings_alone(usual_batch, dtype, name):
    rounded = normalize(usual_batch[0], dim=1).to(dtype)
    value = build(name)(rounded, usual_batch[1])
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    single = build(name)(rounded.float(), usual_batch[1])
    assert value.item() == pytest.approx(single.item(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients_are_finite(batch, name):
    loss, labels = build(name), batch[1]
    for dtype in DTYPES:  # one after another: no loss may hold on to the graph of the last batch
        embeddings = batch[0].to(dtype).detach().requires_grad_()
        value = loss(embeddings, labels)
        value.backward()
        assert torch.isfinite(value)
        gradients = [p.grad for p in [embeddings, *loss.parameters()] if p.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert loss.active(embeddings, labels).shape == labels.shape
        loss.zero_grad()


def test_every_loss_of_the_library_is_tried_or_refused():
    refused = {
        name
        for name in vars(library)
        if name.endswith("Loss") and name not in FORMULAS and name[0].isupper()
    }
    for name in refused:
        with pytest.raises(ConfigError, match=f"no '{name}'|{name} is left out"):
            build(name)


def test_parameters_follow_from_the_seed_alone():
    config = LibraryLossConfig(name="ProxyAnchorLoss")
    state = torch.get_rng_state()
    one, same, other = (LibraryLoss(config, dim=8, classes=4, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.loss.proxies, same.loss.proxies)
    assert not torch.equal(one.loss.proxies, other.loss.proxies)
    assert torch.equal(torch.get_rng_state(), state)


def test_active_images_are_the_anchors_that_cost():
    embeddings = normalize(torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.2]]), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 2])
    config = LibraryLossConfig(name="TripletMarginLoss", arguments={"margin": 0.2})
    active = LibraryLoss(config, dim=2, classes=3).active(embeddings, labels)
    assert active.tolist() == [True, True, False, False, False]


def test_a_label_of_no_class_is_refused():
    with pytest.raises(LossInputError, match=r"0 to 3.*1\.\.7"):
        build("ProxyAnchorLoss")(torch.eye(8)[:2], torch.tensor([1, 7]))


def slow_memory_contrastive(batches, size):
    """Of the last batch, compared with the latest `size` images, itself among them."""
    seen = [image for batch in batches for image in zip(*batch, strict=True)]
    memory = list(enumerate(seen))[-size:]
    near, far = [], []
    for i in range(len(seen) - len(batches[-1][0]), len(seen)):
        row, own = seen[i]
        near += [math.dist(row, other) for j, (other, c) in memory if c == own and j != i]
        far += [math.dist(row, other) for _, (other, c) in memory if c != own]
    return over_nonzero(near) + over_nonzero(max(0, 1 - d) for d in far)


@pytest.mark.parametrize("size", [5, 7, 12, 100])
def test_memory_compares_with_past_batches(size):
    generator = torch.Generator().manual_seed(0)
    loss = build("ContrastiveLoss", memory=size)
    batches = []
    for _ in range(5):
        rows = normalize(torch.randn(5, 8, generator=generator), dim=1).requires_grad_()
        labels = torch.randint(0, 3, (5,), generator=generator)
        value = loss(rows, labels)
        value.backward()
        assert torch.isfinite(rows.grad).all()
        batches.append((rows.tolist(), labels.tolist()))
        assert value.item() == pytest.approx(slow_memory_contrastive(batches, size), rel=1e-4)


def test_memory_survives_a_checkpoint(usual_batch):
    loss, resumed = (build("TripletMarginLoss", memory=20, miner="BatchHardMiner") for _ in "ab")
    embeddings, labels = usual_batch[0].float(), usual_batch[1]
    for turn in range(3):
        loss(embeddings.roll(turn, 1), labels)
    resumed.load_state_dict(loss.state_dict())
    assert resumed(embeddings, labels).item() == loss(embeddings, labels).item()


@pytest.mark.parametrize("turns", [1, 2, 4])  # the memory is empty in part, about to be full, full
def test_asking_for_active_images_leaves_the_memory_alone(usual_batch, turns):
    loss = build("ContrastiveLoss", memory=20)
    for turn in range(turns):
        loss(usual_batch[0].roll(turn, 1), usual_batch[1])
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    assert loss.active(*usual_batch).any()
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


@pytest.mark.parametrize("settings", [{"name": "ContrastiveLoss", "memory": 5_000}, {}])
def test_asking_for_active_images_copies_neither_memory_nor_proxies(
    usual_batch, monkeypatch, settings
):
    config = LibraryLossConfig(**{"name": "ProxyAnchorLoss", **settings})
    loss = LibraryLoss(config, dim=usual_batch[0].shape[1], classes=5_000)
    copied = []
    whole = torch.Tensor.__deepcopy__
    monkeypatch.setattr(
        torch.Tensor, "__deepcopy__", lambda x, memo: copied.append(x.numel()) or whole(x, memo)
    )
    assert loss.active(*usual_batch).shape == usual_batch[1].shape
    assert max(copied, default=0) < 5_000


@pytest.mark.parametrize("name", ["ContrastiveLoss", "MultiSimilarityLoss", "NCALoss"])
def test_a_memory_of_degenerate_batches_gives_finite_gradients(batch, dtype, name):
    loss = build(name, memory=12)
    for _ in range(3):
        embeddings = batch[0].to(dtype).requires_grad_()
        value = loss(embeddings, batch[1])
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("memory", [0, 24])
def test_a_row_without_signal_is_no_anchor(usual_batch, memory):
    name, (rows, labels) = "SignalToNoiseRatioContrastiveLoss", usual_batch
    # as a negative, such a row lies at a distance of 1, which is the usual margin but for rounding
    loss = build(name, memory=memory, neg_margin=0.9)
    rows[0] = 8**-0.5
    embeddings = rows.float().requires_grad_()
    value = loss(embeddings, labels)
    value.backward()
    expected = FORMULAS[name](embeddings.tolist(), labels.tolist(), loss)
    assert value.item() == pytest.approx(expected, rel=1e-4)
    assert torch.isfinite(embeddings.grad).all()
    equal = torch.full((12, 8), 8**-0.5, requires_grad=True)
    nothing = loss(equal, labels)
    nothing.backward()
    assert (nothing.item(), equal.grad.abs().max().item()) == (0, 0)


def test_a_batch_that_exceeds_the_memory_is_refused(usual_batch):
    with pytest.raises(LossInputError, match=r"12 exceeds training\.loss\.library\.memory = 4"):
        build("ContrastiveLoss", memory=4)(*usual_batch)
