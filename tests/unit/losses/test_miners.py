"""Miners by name against loops over every pair and triplet, and degenerate batches."""

import math
from collections import Counter

import pytest
import torch
from pytorch_metric_learning import miners as library
from torch.nn.functional import normalize

from retrieval_core.config import LibraryLossConfig
from retrieval_core.losses.library import LibraryLoss
from retrieval_core.losses.pairs import at_least_single

MINERS = [
    "AngularMiner",
    "BatchEasyHardMiner",
    "BatchHardMiner",
    "DistanceWeightedMiner",
    "HDCMiner",
    "MultiSimilarityMiner",
    "PairMarginMiner",
    "TripletMarginMiner",
    "UniformHistogramMiner",
]


def build(miner, *, loss="TripletMarginLoss", seed=0, dim=8, **arguments):
    config = LibraryLossConfig(name=loss, miner=miner, miner_arguments=arguments)
    return LibraryLoss(config, dim=dim, classes=4, seed=seed)


def mined(batch, miner, **arguments):
    """The triplets, or pairs of positives and pairs of negatives, as sets of tuples."""
    precise = at_least_single(batch[0])
    found = [index.tolist() for index in build(miner, **arguments).miner(precise, batch[1])]
    if len(found) == 3:
        return set(zip(*found, strict=True))
    return set(zip(*found[:2], strict=True)), set(zip(*found[2:], strict=True))


class Pairs:
    """Distances and cosines of a batch, by hand."""

    def __init__(self, batch):
        # rounded to a half, they are not of unit norm
        self.rows = normalize(batch[0].double(), dim=1).tolist()
        self.labels = batch[1].tolist()
        self.images = range(len(self.rows))

    def distance(self, i, j):
        return math.dist(self.rows[i], self.rows[j])

    def cosine(self, i, j):
        return sum(a * b for a, b in zip(self.rows[i], self.rows[j], strict=True))

    def positives(self, i):
        return [j for j in self.images if self.labels[j] == self.labels[i] and j != i]

    def negatives(self, i):
        return [j for j in self.images if self.labels[j] != self.labels[i]]

    def triplets(self):
        return [
            (a, p, n) for a in self.images for p in self.positives(a) for n in self.negatives(a)
        ]


@pytest.fixture(params=["usual_batch", "uneven_batch"])
def pairs_batch(request, dtype):
    """A batch without ties."""
    embeddings, labels = request.getfixturevalue(request.param)
    return embeddings.to(dtype), labels


@pytest.fixture
def uneven_batch():
    generator = torch.Generator().manual_seed(9)
    vectors = torch.randn(10, 8, generator=generator, dtype=torch.float64)
    return normalize(vectors, dim=1), torch.tensor([0, 2, 0, 1, 2, 0, 3, 2, 0, 1])


def test_batch_hard_takes_the_farthest_positive_and_nearest_negative(pairs_batch):
    pairs = Pairs(pairs_batch)
    expected = {
        (
            a,
            max(pairs.positives(a), key=lambda p: pairs.distance(a, p)),
            min(pairs.negatives(a), key=lambda n: pairs.distance(a, n)),
        )
        for a in pairs.images
        if pairs.positives(a)
    }
    assert mined(pairs_batch, "BatchHardMiner") == expected


@pytest.mark.parametrize("which", ["all", "hard", "semihard", "easy"])
def test_triplets_by_their_margin(pairs_batch, which):
    pairs = Pairs(pairs_batch)
    margins = {
        (a, p, n): pairs.distance(a, n) - pairs.distance(a, p) for a, p, n in pairs.triplets()
    }
    wanted = {
        "all": lambda m: m <= 0.2,
        "hard": lambda m: m <= 0,
        "semihard": lambda m: 0 < m <= 0.2,
        "easy": lambda m: m > 0.2,
    }[which]
    expected = {triplet for triplet, margin in margins.items() if wanted(margin)}
    assert expected
    assert mined(pairs_batch, "TripletMarginMiner", type_of_triplets=which) == expected


def test_easy_positive_with_a_semi_hard_negative(pairs_batch):
    pairs = Pairs(pairs_batch)
    positives, negatives = set(), set()
    for a in pairs.images:
        if not pairs.positives(a):
            continue
        p = min(pairs.positives(a), key=lambda j: pairs.distance(a, j))
        farther = [n for n in pairs.negatives(a) if pairs.distance(a, n) > pairs.distance(a, p)]
        if farther:
            positives.add((a, p))
            negatives.add((a, min(farther, key=lambda j: pairs.distance(a, j))))
    assert mined(pairs_batch, "BatchEasyHardMiner") == (positives, negatives)


def test_multi_similarity_takes_pairs_that_overlap(pairs_batch):
    pairs = Pairs(pairs_batch)
    positives, negatives = set(), set()
    for a in pairs.images:
        near = {p: pairs.cosine(a, p) for p in pairs.positives(a)}
        far = {n: pairs.cosine(a, n) for n in pairs.negatives(a)}
        if near:
            positives |= {(a, p) for p, s in near.items() if s - 0.1 < max(far.values())}
            negatives |= {(a, n) for n, s in far.items() if s + 0.1 > min(near.values())}
    assert mined(pairs_batch, "MultiSimilarityMiner") == (positives, negatives)


def test_pairs_by_their_margins(pairs_batch):
    pairs = Pairs(pairs_batch)
    near = {(a, p) for a in pairs.images for p in pairs.positives(a)}
    far = {(a, n) for a in pairs.images for n in pairs.negatives(a)}
    expected = (
        {pair for pair in near if pairs.distance(*pair) > 1.1},
        {pair for pair in far if pairs.distance(*pair) < 1.3},
    )
    assert mined(pairs_batch, "PairMarginMiner", pos_margin=1.1, neg_margin=1.3) == expected


def test_the_hardest_half_of_the_pairs(pairs_batch):
    pairs = Pairs(pairs_batch)
    near = [pairs.distance(a, p) for a in pairs.images for p in pairs.positives(a)]
    far = [pairs.distance(a, n) for a in pairs.images for n in pairs.negatives(a)]
    # a pair and its mirror image are equally hard, so that the last one taken is either
    positives, negatives = mined(pairs_batch, "HDCMiner")
    taken_near, taken_far = (
        sorted(pairs.distance(*pair) for pair in taken) for taken in (positives, negatives)
    )
    assert taken_near == pytest.approx(sorted(near)[len(near) // 2 :])
    assert taken_far == pytest.approx(sorted(far)[: math.ceil(len(far) / 2)])


def test_triplets_of_wide_angles(pairs_batch):
    pairs = Pairs(pairs_batch)
    expected = set()
    for a, p, n in pairs.triplets():
        centre = [(x + y) / 2 for x, y in zip(pairs.rows[a], pairs.rows[p], strict=True)]
        angle = math.atan(pairs.distance(a, p) / (2 * math.dist(pairs.rows[n], centre)))
        if math.degrees(angle) > 25:
            expected.add((a, p, n))
    assert 0 < len(expected) < len(pairs.triplets())
    assert mined(pairs_batch, "AngularMiner", angle=25) == expected


def test_pairs_drawn_evenly_over_the_histogram(usual_batch):
    pairs = Pairs(usual_batch)
    state = torch.get_rng_state()
    _, _, anchors, negatives = build("UniformHistogramMiner", num_bins=4).miner(*usual_batch)
    torch.set_rng_state(state)
    distances = [pairs.distance(a, n) for a in pairs.images for n in pairs.negatives(a)]
    low, width = min(distances), (max(distances) - min(distances)) / 4
    drawn = [
        min(3, int((pairs.distance(a, n) - low) / width))
        for a, n in zip(anchors.tolist(), negatives.tolist(), strict=True)
    ]
    occupied = {min(3, int((d - low) / width)) for d in distances}
    assert Counter(drawn) == dict.fromkeys(occupied, 10)


def density(distance, dim):
    """Of distances between points on a sphere (arXiv 1706.07567, section 4), up to a factor."""
    return distance ** (dim - 2) * (1 - distance**2 / 4) ** ((dim - 3) / 2)


@pytest.mark.parametrize("cutoff", [0.5, 1.0])
def test_negatives_are_drawn_evenly_over_distances(usual_batch, cutoff):
    pairs = Pairs(usual_batch)
    drawn = Counter()
    loss = build("DistanceWeightedMiner", cutoff=cutoff, nonzero_loss_cutoff=1.5)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        for _ in range(300):
            anchors, positives, negatives = loss.miner(*usual_batch)
            drawn.update(zip(anchors.tolist(), negatives.tolist(), strict=True))
            assert all(p in pairs.positives(a) for a, p in zip(anchors, positives, strict=True))
    for a in pairs.images:
        allowed = [n for n in pairs.negatives(a) if pairs.distance(a, n) < 1.5]
        weights = {n: 1 / density(max(cutoff, pairs.distance(a, n)), 8) for n in allowed}
        assert {n for anchor, n in drawn if anchor == a} <= set(allowed)
        for n in allowed:
            share = drawn[a, n] / sum(drawn[a, other] for other in allowed)
            # 900 draws an anchor: four standard deviations
            assert share == pytest.approx(weights[n] / sum(weights.values()), abs=0.067)


def test_one_hard_pair_in_many_dimensions_leaves_the_other_anchors_theirs():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) // 4
    centres = normalize(torch.randn(16, 512, generator=generator), dim=1)
    noise = normalize(torch.randn(64, 512, generator=generator), dim=1)
    embeddings = normalize(0.8 * centres[labels] + 0.6 * noise, dim=1)
    embeddings[0] = normalize(embeddings[0] + embeddings[63], dim=0)
    anchors, _, _ = build("DistanceWeightedMiner", dim=512).miner(embeddings, labels)
    assert len(anchors.unique()) == 64
    released, _, _ = library.DistanceWeightedMiner()(embeddings, labels)
    assert len(released.unique()) < 10  # why the library's own is not used


@pytest.mark.parametrize("loss", ["TripletMarginLoss", "MultiSimilarityLoss"])
@pytest.mark.parametrize("miner", MINERS)
def test_values_and_gradients_are_finite(batch, miner, loss):
    built = build(miner, loss=loss)
    for dtype in [torch.float64, torch.float32, torch.bfloat16, torch.float16]:
        embeddings = batch[0].to(dtype).detach().requires_grad_()
        value = built(embeddings, batch[1])
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(embeddings.grad).all()


def test_every_miner_of_the_library_is_tried():
    known = {name for name in vars(library) if name.endswith("Miner")}
    assert known - {"BaseMiner"} == set(MINERS)


def test_draws_follow_from_the_seed_alone(usual_batch):
    state = torch.get_rng_state()
    one, same, other = (build("DistanceWeightedMiner", seed=s) for s in (0, 0, 1))
    first = [one(*usual_batch).item() for _ in range(5)]
    assert first == [same(*usual_batch).item() for _ in range(5)]
    assert first != [other(*usual_batch).item() for _ in range(5)]
    assert len(set(first)) > 1
    assert torch.equal(torch.get_rng_state(), state)
