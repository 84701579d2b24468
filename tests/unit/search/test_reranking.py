"""Re-ranking against slow, obvious versions with sets and dense matrices."""

import numpy as np
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DiffusionConfig, NeighboursConfig, ReciprocalConfig
from retrieval_core.config import RerankingConfig as Reranking
from retrieval_core.errors import ArtifactError, ArtifactMismatchError
from retrieval_core.index import VectorIndex
from retrieval_core.search import reciprocal
from retrieval_core.search.diffusion import Diffusion
from retrieval_core.search.neighbours import Neighbours, find_neighbours
from retrieval_core.search.processed import ProcessedIndex
from retrieval_core.search.reciprocal import ReciprocalEncoding

IMAGES, DIM = 60, 8
RECIPROCAL = ReciprocalConfig(neighbours=8, expansion=4, weight=0.25)
DIFFUSION = DiffusionConfig(neighbours=8, query_neighbours=4, iterations=200)


def unit(count, seed=0):
    """Vectors in loose groups, as those of images are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((6, DIM))
    vectors = centres[np.arange(count) % 6] + 0.6 * rng.standard_normal((count, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_index(vectors):
    index = VectorIndex.create(vectors.shape[1])
    index.add(np.arange(len(vectors)) * 2 + 5, vectors)
    return index


@pytest.fixture
def index():
    return make_index(unit(IMAGES))


def ordered(similarities, own=None):
    """Rows by falling similarity, the lower one first among equal ones."""
    rows = sorted(range(len(similarities)), key=lambda r: (-similarities[r], r))
    return [row for row in rows if row != own]


class SlowReciprocal:
    """The paper's equations, set by set."""

    def __init__(self, vectors, config):
        self.x, self.config = vectors.astype(float), config
        self.s = self.x @ self.x.T
        self.near = [ordered(row, own) for own, row in enumerate(self.s)]
        everyone = range(len(vectors))
        self.own = [self.encode(self.members(g), self.s[g]) for g in everyone]
        self.v = [self.mean([g, *self.near[g][: config.expansion - 1]]) for g in everyone]

    def reciprocal(self, g, k):
        return {g} | {h for h in self.near[g][:k] if g in self.near[h][:k]}

    def members(self, g):
        return self.extended(self.reciprocal(g, self.config.neighbours))

    def extended(self, close):
        members = set(close)
        for q in close:
            half = self.reciprocal(q, round(self.config.neighbours / 2))
            if len(half & close) >= 2 / 3 * len(half) - 1e-9:
                members |= half
        return members

    def encode(self, members, similarities):
        v = np.zeros(len(self.x))
        for h in members:
            v[h] = np.exp(-(1 - similarities[h]))
        return v / v.sum() if members else v

    def mean(self, rows):
        return sum(self.own[r] for r in rows) / len(rows)

    def scores(self, query):
        k1, k2 = self.config.neighbours, self.config.expansion
        s = self.x @ query.astype(float)
        rows = ordered(s)
        close = {g for g in rows[:k1] if s[g] >= self.s[g][self.near[g][k1 - 1]]}
        v = self.encode(self.extended(close), s)
        v = (v + sum(self.own[r] for r in rows[: k2 - 1])) / k2
        jaccard = np.array([np.minimum(v, o).sum() / np.maximum(v, o).sum() for o in self.v])
        return (1 - self.config.weight) * jaccard + self.config.weight * s


def slow_diffusion(vectors, query, candidates, config):
    """A dense matrix, and a direct solution of the candidates' equations."""
    x = vectors.astype(float)
    s = x @ x.T
    near = [set(ordered(row, own)[: config.neighbours]) for own, row in enumerate(s)]
    a = np.zeros_like(s)
    for i in range(len(x)):
        for j in near[i]:
            if i in near[j]:
                a[i, j] = max(s[i, j], 0) ** config.exponent
    degrees = a.sum(1)
    scales = np.array([1 / np.sqrt(d) if d > 0 else 0 for d in degrees])
    a = a * scales[:, None] * scales
    to_query = x @ query.astype(float)
    rows = ordered(to_query)[:candidates]
    y = np.array([max(to_query[r], 0) ** config.exponent for r in rows])
    y[config.query_neighbours :] = 0
    part = a[np.ix_(rows, rows)]
    return rows, np.linalg.solve(np.eye(len(rows)) - config.alpha * part, y)


def reranked(index, config, queries, top_k=None, own_ids=None):
    neighbours = find_neighbours(index, config.neighbours)
    return ProcessedIndex(index, None, config, neighbours).search(queries, top_k, own_ids)


@pytest.mark.parametrize("block", [7, 8_192])
def test_k_reciprocal_is_the_slow_one_s(index, block, monkeypatch):
    monkeypatch.setattr(reciprocal, "ROWS_AT_ONCE", block)
    monkeypatch.setattr(reciprocal, "PAIRS_AT_ONCE", block)
    slow = SlowReciprocal(index.vectors, RECIPROCAL)
    queries = np.concatenate([unit(10, seed=4), index.vectors[:5]])
    config = Reranking(kind="k_reciprocal", k_reciprocal=RECIPROCAL)
    ids, scores = reranked(index, config, queries)
    for query, found, values in zip(queries, ids, scores, strict=True):
        expected = slow.scores(query)
        rows = np.searchsorted(index.image_ids, found)
        np.testing.assert_allclose(values, expected[rows], atol=1e-6)
        assert (np.diff(values) <= 0).all()
        assert sorted(found) == index.image_ids.tolist()
    plain = index.search(queries)[0]
    assert (plain != ids).any()


@pytest.mark.parametrize("candidates", [IMAGES, 25])
def test_diffusion_is_the_slow_one_s(index, candidates):
    queries = unit(10, seed=4)
    config = Reranking(kind="diffusion", candidates=candidates, diffusion=DIFFUSION)
    ids, scores = reranked(index, config, queries)
    plain = index.search(queries)[0]
    for query, found, values, before in zip(queries, ids, scores, plain, strict=True):
        rows, expected = slow_diffusion(index.vectors, query, candidates, DIFFUSION)
        value_of = dict(zip(index.image_ids[rows], expected, strict=True))
        head = found[:candidates]
        np.testing.assert_allclose(values[:candidates], [value_of[i] for i in head], rtol=1e-3)
        # behind the candidates nothing changes
        np.testing.assert_array_equal(found[candidates:], before[candidates:])
        assert (np.diff(values) <= 0).all()
    assert (plain != ids).any()


def test_diffusion_reaches_along_the_manifold_what_similarity_does_not():
    # two half circles, one inside the other: the far end of one is nearer to the other
    angles = np.linspace(0, np.pi, 60)
    ring = np.stack([np.cos(angles), np.sin(angles)], 1)
    arcs = np.concatenate([ring, 0.7 * ring])
    x = np.concatenate([arcs, np.full((120, 1), 0.8)], 1)
    index = make_index((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    config = Reranking(
        kind="diffusion",
        candidates=120,
        diffusion=DiffusionConfig(neighbours=4, query_neighbours=1, iterations=500),
    )
    query = index.vectors[:1]

    def right(ids):
        return (ids[0, :60] < index.image_ids[60]).mean()

    assert right(index.search(query)[0]) < 0.8
    assert right(reranked(index, config, query)[0]) == 1


def test_the_order_of_queries_and_the_length_change_nothing(index, monkeypatch):
    queries = unit(9, seed=4)
    for config in (
        Reranking(candidates=30, k_reciprocal=RECIPROCAL),
        Reranking(kind="diffusion", candidates=30, diffusion=DIFFUSION),
    ):
        whole = reranked(index, config, queries)
        short = reranked(index, config, queries, top_k=4)
        monkeypatch.setattr("retrieval_core.search.processed.QUERIES_AT_ONCE", 2)
        backwards = reranked(index, config, queries[::-1])
        for a, b, c in zip(whole, short, backwards, strict=True):
            np.testing.assert_array_equal(a[:, :4], b)
            np.testing.assert_array_equal(a, c[::-1])


@pytest.mark.parametrize("kind", ["diffusion", "k_reciprocal"])
@pytest.mark.parametrize("images", [1, 2, 5])
def test_fewer_images_than_neighbours(kind, images):
    index = make_index(unit(images))
    ids, scores = reranked(index, Reranking(kind=kind), unit(3, seed=1))
    assert np.isfinite(scores).all()
    assert all(sorted(row) == index.image_ids.tolist() for row in ids)


@pytest.mark.parametrize("kind", ["diffusion", "k_reciprocal"])
def test_identical_vectors(kind):
    same = np.repeat(unit(1), 40, axis=0)
    ids, scores = reranked(make_index(same), Reranking(kind=kind), same[:2])
    assert np.isfinite(scores).all()
    assert len(set(ids[0])) == 40
    np.testing.assert_array_equal(ids[0], ids[1])


def test_opposite_vectors_reach_nothing_and_keep_their_order(index):
    config = Reranking(kind="diffusion", diffusion=DIFFUSION)
    alone = make_index(np.eye(DIM, dtype=np.float32))
    query = -np.ones((1, DIM), np.float32) / np.sqrt(DIM).astype(np.float32)
    ids, scores = reranked(alone, config, query)
    np.testing.assert_array_equal(ids, alone.search(query)[0])
    assert not scores.any()


def test_expansion_comes_before_re_ranking(index):
    queries, expansion = unit(3, seed=4), NeighboursConfig(neighbours=3)
    config = Reranking(k_reciprocal=RECIPROCAL)
    neighbours = find_neighbours(index, config.neighbours)
    both = ProcessedIndex(index, expansion, config, neighbours).search(queries)
    from retrieval_core.search.expansion import expand

    expanded = expand(index, queries, np.full(3, -1), expansion)
    only = ProcessedIndex(index, None, config, neighbours).search(expanded)
    np.testing.assert_array_equal(both[0], only[0])


def test_neighbours_are_saved_and_read(index, tmp_path):
    found = find_neighbours(index, 5)
    found.save(ArtifactDirectory(tmp_path))
    again = Neighbours.load(tmp_path)
    for field in ("image_ids", "rows", "similarities"):
        np.testing.assert_array_equal(getattr(again, field), getattr(found, field))
    s = index.vectors.astype(float) @ index.vectors.T
    expected = [ordered(row, own)[:5] for own, row in enumerate(s)]
    np.testing.assert_array_equal(found.rows, expected)
    with pytest.raises(ArtifactError, match="image_ids"):
        Neighbours.load(tmp_path / "nowhere")
    (tmp_path / "rows.npy").write_bytes(b"no array")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Neighbours.load(tmp_path)


def test_neighbours_of_other_images_or_too_few_are_refused(index):
    config = Reranking(k_reciprocal=RECIPROCAL)
    others = find_neighbours(make_index(unit(5)), 8)
    with pytest.raises(ArtifactMismatchError, match="60 indexed images, found those of 5"):
        ProcessedIndex(index, None, config, others)
    with pytest.raises(ArtifactMismatchError, match="found none"):
        ProcessedIndex(index, None, config)
    for reranker in (
        lambda few: ReciprocalEncoding(index, few, RECIPROCAL),
        lambda few: Diffusion(few, DIFFUSION),
    ):
        with pytest.raises(ArtifactMismatchError, match=r"8 neighbours .* are needed, found 4"):
            reranker(find_neighbours(index, 4))
