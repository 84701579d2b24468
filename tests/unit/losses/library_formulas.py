"""The losses of pytorch-metric-learning written out, one image after another."""

import math
import statistics
from functools import partial

from torch.nn.functional import normalize

from retrieval_core.config import LibraryLossConfig
from retrieval_core.losses.library import LibraryLoss

REQUIRED = {"RankedListLoss": {"margin": 0.4, "Tn": 1.0}}


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


def slow_arcface(rows, labels, loss):
    margin = math.radians(28.6)
    return softmax_cost(rows, labels, loss, 64, lambda s: math.cos(math.acos(s) + margin))


def slow_sub_center_arcface(rows, labels, loss):
    centres = normalize(loss.loss.W.detach().double(), dim=0).T.tolist()
    costs = []
    for row, own in zip(rows, labels, strict=True):
        cosines = [dot(row, centre) for centre in centres]
        logits = [max(cosines[3 * c : 3 * c + 3]) for c in range(4)]
        logits[own] = math.cos(math.acos(logits[own]) + math.radians(28.6))
        costs.append(cross_entropy([64 * x for x in logits], own))
    return mean(costs)


def multiplied_angle(cosine):
    """Of four times the angle, continued downwards (arXiv 1612.02295, equation 6)."""
    angle = math.acos(cosine)
    k = math.floor(4 * angle / math.pi)
    return (-1) ** k * math.cos(4 * angle) - 2 * k


def slow_large_margin(rows, labels, loss, *, unit=False):
    weights = loss.loss.W.detach().double().T.tolist()
    costs = []
    for row, own in zip(rows, labels, strict=True):
        norms = [math.hypot(*weight) for weight in weights]
        logits = [dot(row, w) / norm for w, norm in zip(weights, norms, strict=True)]
        logits[own] = multiplied_angle(logits[own])
        costs.append(
            cross_entropy([x * (1 if unit else n) for x, n in zip(logits, norms, strict=True)], own)
        )
    return mean(costs)


def slow_soft_triple(rows, labels, loss):
    centres = normalize(loss.loss.fc.detach().double(), dim=0).T.tolist()
    costs = []
    for row, own in zip(rows, labels, strict=True):
        cosines = [dot(row, centre) for centre in centres]
        logits = []
        for c in range(4):
            group = cosines[10 * c : 10 * c + 10]
            weights = [math.exp(s / 0.1) for s in group]
            logits.append(sum(w * s for w, s in zip(weights, group, strict=True)) / sum(weights))
        logits[own] -= 0.01
        costs.append(cross_entropy([20 * x for x in logits], own))
    return mean(costs)


def slow_p2s_grad(rows, labels, loss):
    weights = normalize(loss.loss.weight.detach().double(), dim=0).T.tolist()
    return mean(
        (dot(row, weight) - (c == own)) ** 2
        for row, own in zip(rows, labels, strict=True)
        for c, weight in enumerate(weights)
    )


def slow_angular(rows, labels, _):
    square = math.tan(math.radians(40)) ** 2
    costs = []
    for i, (row, own) in enumerate(zip(rows, labels, strict=True)):
        negatives = [rows[j] for j, c in enumerate(labels) if c != own]
        for j, c in enumerate(labels):
            if c == own and j != i:
                both = [x + y for x, y in zip(row, rows[j], strict=True)]
                pair = 2 * (1 + square) * dot(row, rows[j])
                terms = [math.exp(4 * square * dot(both, n) - pair) for n in negatives]
                costs.append(math.log(1 + sum(terms)))
    return mean(costs) if len(set(labels)) > 1 else 0.0


def soft_histogram(values, edges):
    """Each value shared between the two edges around it."""
    width = edges[1] - edges[0]
    return [sum(max(0, 1 - abs(v - edge) / width) for v in values) for edge in edges]


def slow_fast_ap(rows, labels, _):
    edges = [0.4 * i for i in range(11)]
    costs = []
    for near, far in anchors(rows, labels, math.dist):
        if not near:
            continue
        positive = soft_histogram([d**2 for d in near], edges)
        negative = soft_histogram([d**2 for d in far], edges)
        precision = 0.0
        for i, here in enumerate(positive):
            before = sum(positive[: i + 1])
            if here:
                precision += here * before / (before + sum(negative[: i + 1]))
        costs.append(1 - precision / len(near))
    return mean(costs)


def slow_histogram(rows, labels, _):
    pairs = [
        (min(dot(rows[i], rows[j]), 1 - 1e-6), labels[i] == labels[j], {i, j})
        for i in range(len(rows))
        for j in range(i)
    ]
    able = {i for i, c in enumerate(labels) if labels.count(c) > 1 and len(set(labels)) > 1}
    near = [s for s, same, members in pairs if same and members <= able]
    far = [s for s, same, members in pairs if not same and members & able]
    if not near:
        return 0.0
    edges = [-1 + 0.02 * i for i in range(101)]
    positive, negative = (
        [x / len(side) for x in soft_histogram(side, edges)] for side in (near, far)
    )
    return sum(negative[i] * sum(positive[: i + 1]) for i in range(101))


def slow_intra_pair_variance(rows, labels, _):
    compared = list(anchors(rows, labels, dot))
    near = [s for side, _ in compared for s in side]
    far = [s for _, side in compared for s in side]
    return mean(max(0, 0.99 * mean(near) - s) ** 2 for s in near) + mean(
        max(0, s - 1.01 * mean(far)) ** 2 for s in far
    )


def slow_lifted_pairs(rows, labels, _):
    costs = []
    for i, (row, own) in enumerate(zip(rows, labels, strict=True)):
        for j, c in enumerate(labels):
            if c != own or j == i:
                continue
            far = [
                math.exp(1 - math.dist(end, other))
                for end in (row, rows[j])
                for other, negative in zip(rows, labels, strict=True)
                if negative != own
            ]
            cost = math.log(sum(far)) + math.dist(row, rows[j]) if far else 0.0
            costs.append(max(0, cost) ** 2 / 2)
    return mean(costs)


def slow_margin(rows, labels, _):
    near, far = [], []
    for positives, negatives in anchors(rows, labels, math.dist):
        for p in positives:
            for n in negatives:
                near.append(max(0, p - 1.2 + 0.2))
                far.append(max(0, 1.2 - n + 0.2))
    costly = sum(x > 0 for x in near + far)
    return sum(near + far) / costly if costly else 0.0


def slow_n_pairs(rows, labels, _):
    pairs = {}
    for i, own in enumerate(labels):
        others = [j for j, c in enumerate(labels) if c == own and j != i]
        if own not in pairs and others:
            pairs[own] = rows[i], rows[others[0]]
    chosen = [pairs[c] for c in sorted(pairs)]
    return mean(
        cross_entropy([dot(anchor, positive) for _, positive in chosen], i)
        for i, (anchor, _) in enumerate(chosen)
    )


def slow_pnp(rows, labels, _):
    costs = []
    for near, far in anchors(rows, labels, dot):
        if not near:
            continue
        ranks = [
            sum(1 / (1 + math.exp(min(50, max(-50, (p - n) / 0.01)))) for n in far)
            for p in [1.0, *near]  # the anchor is its own first positive
        ]
        costs.append(mean(ranks))
    return mean(costs)


def slow_ranked_list(rows, labels, _):
    costs = []
    for near, far in anchors(rows, labels, math.dist):
        pulls = [d - 0.8 for d in near if d > 0.8]
        # a distance of 0 counts for nothing in the library
        pushes = [1.2 - d for d in far if 1e-7 < d < 1.2]
        weights = [math.exp(x) for x in pushes]
        tiny = 1e-5 * len(rows)
        pull = sum(pulls) / (len(pulls) + tiny)
        push = sum(w * x for w, x in zip(weights, pushes, strict=True)) / (sum(weights) + tiny)
        costs.append((pull + push) / 2)
    return mean(costs)


def noise_to_signal(a, b):
    noise = statistics.variance([x - y for x, y in zip(a, b, strict=True)])
    return noise / statistics.variance(a) if statistics.variance(a) > 1e-30 else math.nan


def slow_signal_to_noise(rows, labels, loss):
    margin = getattr(loss.loss, "loss", loss.loss).neg_margin  # a memory holds the loss
    compared = list(anchors(rows, labels, noise_to_signal))
    near = over_nonzero(d for side, _ in compared for d in side)
    return near + over_nonzero(margin - d for _, side in compared for d in side)


def slow_threshold_consistent(rows, labels, _):
    compared = list(anchors(rows, labels, dot))
    return mean(0.9 - s for near, _ in compared for s in near if s <= 0.9) + mean(
        s - 0.5 for _, far in compared for s in far if s >= 0.5
    )


def slow_tuplet(rows, labels, _):
    costs = []
    for near, far in anchors(rows, labels, dot):
        for p in near:
            relaxed = math.cos(math.acos(min(p, 1 - 1e-6)) - math.radians(5.73))
            costs.append(math.log(1 + sum(math.exp(64 * (n - relaxed)) for n in far)))
    return mean(costs) if len(set(labels)) > 1 else 0.0


FORMULAS = {
    "AngularLoss": slow_angular,
    "ArcFaceLoss": slow_arcface,
    "CircleLoss": slow_circle,
    "ContrastiveLoss": slow_contrastive,
    "CosFaceLoss": partial(softmax_cost, scale=64, change=lambda s: s - 0.35),
    "FastAPLoss": slow_fast_ap,
    "GeneralizedLiftedStructureLoss": slow_lifted,
    "HistogramLoss": slow_histogram,
    "IntraPairVarianceLoss": slow_intra_pair_variance,
    "LargeMarginSoftmaxLoss": slow_large_margin,
    "LiftedStructureLoss": slow_lifted_pairs,
    "MarginLoss": slow_margin,
    "MultiSimilarityLoss": slow_multi_similarity,
    "NCALoss": slow_nca,
    "NPairsLoss": slow_n_pairs,
    "NTXentLoss": slow_nt_xent,
    "NormalizedSoftmaxLoss": partial(softmax_cost, scale=1 / 0.05, change=lambda s: s),
    "P2SGradLoss": slow_p2s_grad,
    "PNPLoss": slow_pnp,
    "ProxyAnchorLoss": slow_proxy_anchor,
    "ProxyNCALoss": slow_proxy_nca,
    "RankedListLoss": slow_ranked_list,
    "SignalToNoiseRatioContrastiveLoss": slow_signal_to_noise,
    "SoftTripleLoss": slow_soft_triple,
    "SphereFaceLoss": partial(slow_large_margin, unit=True),
    "SubCenterArcFaceLoss": slow_sub_center_arcface,
    "SupConLoss": slow_supervised_contrastive,
    "ThresholdConsistentMarginLoss": slow_threshold_consistent,
    "TripletMarginLoss": slow_triplet,
    "TupletMarginLoss": slow_tuplet,
}
"""Every loss that can be named, as (rows, labels, loss) -> value."""
