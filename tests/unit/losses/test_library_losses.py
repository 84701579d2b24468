"""Losses of pytorch-metric-learning by name: formulas, degenerate batches, memory, refusals."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as library
from torch.nn.functional import normalize

from retrieval_core.config import LibraryLossConfig
from retrieval_core.errors import ConfigError, LossInputError
from retrieval_core.losses.library import LibraryLoss

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
REQUIRED = {"RankedListLoss": {"margin": 0.4, "Tn": 1.0}}
LOSSES = [
    "AngularLoss",
    "ArcFaceLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "FastAPLoss",
    "GeneralizedLiftedStructureLoss",
    "HistogramLoss",
    "InstanceLoss",
    "IntraPairVarianceLoss",
    "LargeMarginSoftmaxLoss",
    "LiftedStructureLoss",
    "MarginLoss",
    "MultiSimilarityLoss",
    "NCALoss",
    "NPairsLoss",
    "NTXentLoss",
    "NormalizedSoftmaxLoss",
    "P2SGradLoss",
    "PNPLoss",
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "RankedListLoss",
    "SignalToNoiseRatioContrastiveLoss",
    "SmoothAPLoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
    "SupConLoss",
    "ThresholdConsistentMarginLoss",
    "TripletMarginLoss",
    "TupletMarginLoss",
]


def build(name, *, memory=0, miner=None, **arguments):
    arguments = {**REQUIRED.get(name, {}), **arguments}
    config = LibraryLossConfig(name=name, arguments=arguments, memory=memory, miner=miner)
    return LibraryLoss(config, dim=8, classes=4)


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def over_nonzero(values):
    return mean(v for v in values if v > 0)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def anchors(rows, labels, compare):
    """What `compare` says of every image with its positives and with its negatives."""
    for i, (row, own) in enumerate(zip(rows, labels, strict=True)):
        near = [compare(row, rows[j]) for j, c in enumerate(labels) if c == own and j != i]
        far = [compare(row, rows[j]) for j, c in enumerate(labels) if c != own]
        yield near, far


def cross_entropy(logits, label):
    return math.log(sum(math.exp(x - logits[label]) for x in logits))


def slow_multi_similarity(rows, labels, _):
    return mean(
        math.log(1 + sum(math.exp(-2 * (s - 0.5)) for s in near)) / 2
        + math.log(1 + sum(math.exp(50 * (s - 0.5)) for s in far)) / 50
        for near, far in anchors(rows, labels, dot)
    )


def slow_contrastive(rows, labels, _):
    compared = list(anchors(rows, labels, math.dist))
    return over_nonzero(d for near, _ in compared for d in near) + over_nonzero(
        max(0, 1 - d) for _, far in compared for d in far
    )


def slow_triplet(rows, labels, _):
    compared = anchors(rows, labels, math.dist)
    return over_nonzero(max(0, p - n + 0.05) for near, far in compared for p in near for n in far)


def slow_nt_xent(rows, labels, _):
    compared = list(anchors(rows, labels, dot))
    if not any(near for near, _ in compared) or not any(far for _, far in compared):
        return 0.0
    return mean(
        cross_entropy([p / 0.07, *(n / 0.07 for n in far)], 0)
        for near, far in compared
        for p in near
    )


def slow_supervised_contrastive(rows, labels, _):
    compared = list(anchors(rows, labels, dot))
    if not any(far for _, far in compared):
        return 0.0
    logits = [([s / 0.1 for s in near], [s / 0.1 for s in far]) for near, far in compared]
    return over_nonzero(
        mean(cross_entropy([*near, *far], i) for i in range(len(near))) for near, far in logits
    )


def slow_circle(rows, labels, _):
    costs = []
    for near, far in anchors(rows, labels, dot):
        p = sum(math.exp(-80 * max(0, 1.4 - s) * (s - 0.6)) for s in near)
        n = sum(math.exp(80 * max(0, s + 0.4) * (s - 0.4)) for s in far)
        costs.append(math.log(1 + p * n))
    return over_nonzero(costs)


def slow_nca(rows, labels, _):
    costs = []
    for near, far in anchors(rows, labels, math.dist):
        p, n = (sum(math.exp(-(d**2)) for d in side) for side in (near, far))
        if p:
            costs.append(-math.log(p / (p + n)))
    return mean(costs)


def slow_lifted(rows, labels, _):
    costs = []
    for near, far in anchors(rows, labels, math.dist):
        p = math.log(sum(map(math.exp, near))) if near else 0
        n = math.log(sum(math.exp(1 - d) for d in far)) if far else 0
        costs.append(max(0, p + n))
    return mean(costs)


def slow_proxy_anchor(rows, labels, loss):
    proxies = normalize(loss.loss.proxies.detach().double(), dim=1).tolist()
    pull, push = [], []
    for c, proxy in enumerate(proxies):
        near = [dot(proxy, row) for row, own in zip(rows, labels, strict=True) if own == c]
        far = [dot(proxy, row) for row, own in zip(rows, labels, strict=True) if own != c]
        if near:
            pull.append(math.log(1 + sum(math.exp(-32 * (s - 0.1)) for s in near)))
        push.append(math.log(1 + sum(math.exp(32 * (s + 0.1)) for s in far)))
    return mean(pull) + mean(push)


def slow_proxy_nca(rows, labels, loss):
    proxies = normalize(loss.loss.proxies.detach().double(), dim=1).tolist()
    return mean(
        cross_entropy([-(math.dist(row, proxy) ** 2) for proxy in proxies], own)
        for row, own in zip(rows, labels, strict=True)
    )


def softmax_cost(rows, labels, loss, scale, change):
    weights = normalize(loss.loss.W.detach().double(), dim=0).T.tolist()
    costs = []
    for row, own in zip(rows, labels, strict=True):
        logits = [dot(row, weight) for weight in weights]
        logits[own] = change(logits[own])
        costs.append(cross_entropy([scale * x for x in logits], own))
    return mean(costs)


def slow_normalised_softmax(rows, labels, loss):
    return softmax_cost(rows, labels, loss, 1 / 0.05, lambda s: s)


def slow_cosface(rows, labels, loss):
    return softmax_cost(rows, labels, loss, 64, lambda s: s - 0.35)


def slow_arcface(rows, labels, loss):
    margin = math.radians(28.6)
    assert softmax_cost(rows, labels, loss, 1, lambda s: s)  # angles below stay under pi
    return softmax_cost(rows, labels, loss, 64, lambda s: math.cos(math.acos(s) + margin))


FORMULAS = {
    "ArcFaceLoss": slow_arcface,
    "CircleLoss": slow_circle,
    "ContrastiveLoss": slow_contrastive,
    "CosFaceLoss": slow_cosface,
    "GeneralizedLiftedStructureLoss": slow_lifted,
    "MultiSimilarityLoss": slow_multi_similarity,
    "NCALoss": slow_nca,
    "NTXentLoss": slow_nt_xent,
    "NormalizedSoftmaxLoss": slow_normalised_softmax,
    "ProxyAnchorLoss": slow_proxy_anchor,
    "ProxyNCALoss": slow_proxy_nca,
    "SupConLoss": slow_supervised_contrastive,
    "TripletMarginLoss": slow_triplet,
}


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


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_finite(batch, name):
    loss, labels = build(name), batch[1]
    if name == "SmoothAPLoss" and len(set(labels.bincount().tolist()) - {0}) > 1:
        with pytest.raises(LossInputError, match="SmoothAPLoss is not defined on labels"):
            loss(*batch)
        return
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
        if name.endswith("Loss") and name not in LOSSES and name[0].isupper()
    }
    for name in refused:
        with pytest.raises(ConfigError, match=f"no '{name}'"):
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


def test_asking_for_active_images_leaves_the_memory_alone(usual_batch):
    loss = build("ContrastiveLoss", memory=20)
    loss(*usual_batch)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    assert loss.active(*usual_batch).any()
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


@pytest.mark.parametrize("name", ["ContrastiveLoss", "MultiSimilarityLoss", "NCALoss"])
def test_a_memory_of_degenerate_batches_gives_finite_gradients(batch, dtype, name):
    loss = build(name, memory=12)
    for _ in range(3):
        embeddings = batch[0].to(dtype).requires_grad_()
        value = loss(embeddings, batch[1])
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(embeddings.grad).all()


def test_a_batch_that_exceeds_the_memory_is_refused(usual_batch):
    with pytest.raises(LossInputError, match=r"12 exceeds training\.loss\.library\.memory = 4"):
        build("ContrastiveLoss", memory=4)(*usual_batch)
