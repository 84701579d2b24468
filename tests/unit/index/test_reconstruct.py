import numpy as np
import pytest

from retrieval_core.config import VectorConfig
from retrieval_core.errors import IndexInputError
from retrieval_core.index import VectorIndex

IMAGES = 600
# of what codes stand for, from unit vectors
ERROR = {"exact": 0, "hnsw": 0, "scalar": 0.02, "ivf_pq": 0.7}


@pytest.fixture(params=list(ERROR))
def made(request, draw):
    """An index of images that came in any order and of which some were removed."""
    config = VectorConfig(kind=request.param, cells=4, code_bytes=36)
    vectors = draw(IMAGES)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.random.default_rng(3).permutation(IMAGES) * 3 + 1
    index = VectorIndex.create(72, config)
    index.add(ids, vectors)
    index.remove(ids[:50])
    return index, ids[50:], vectors[50:]


def check(index, ids, vectors, kind):
    rows = [7, 3, 7, 500]
    found = index.reconstruct(ids[rows])
    assert found.shape == (4, 72) and found.dtype == np.float32
    errors = np.linalg.norm(found - vectors[rows], axis=1)
    assert (errors <= ERROR[kind]).all(), errors
    assert index.reconstruct([]).shape == (0, 72)


def test_vectors_come_back_by_id(made, tmp_path):
    index, ids, vectors = made
    check(index, ids, vectors, index.kind)
    with pytest.raises(IndexInputError, match="0, 99999 not in the index"):
        index.reconstruct([ids[0], 0, 99_999])
    index.save(tmp_path / "after")
    opened = VectorIndex.open(tmp_path / "after")
    check(opened, ids, vectors, index.kind)
    # asking leaves no trace
    opened.save(tmp_path / "again")
    names = ["after", "again"]
    sizes = [sorted(p.stat().st_size for p in (tmp_path / n).glob("*.npy")) for n in names]
    assert sizes[0] == sizes[1]
    opened.remove(ids[:2])
    opened.add(ids[:2], vectors[:2])
    check(opened, ids, vectors, index.kind)


def test_from_every_part_of_a_union(made, draw):
    index, ids, vectors = made
    added = VectorIndex.create(72)
    added.add([5, 2, 9], more := draw(3))
    union = VectorIndex.union([index, added], [0, 10_000])
    check(union, ids, vectors, index.kind)
    mixed = union.reconstruct([10_009, ids[4], 10_005])
    np.testing.assert_array_equal(mixed[[0, 2]], more[[2, 0]])
    np.testing.assert_array_equal(mixed[1], index.reconstruct([ids[4]])[0])
