import numpy as np
import pytest

from retrieval_core.errors import IndexInputError
from retrieval_core.index import VectorIndex


def test_vectors_come_back_by_id_from_every_part(draw):
    parts = []
    for ids in ([5, 2, 9], [1, 4]):
        index = VectorIndex.create(72)
        index.add(ids, draw(len(ids)))
        parts.append(index)
    union = VectorIndex.union(parts, [0, 10])
    wanted = [14, 2, 9, 2, 11]
    rows = [int(np.flatnonzero(union.image_ids == i)[0]) for i in wanted]
    np.testing.assert_array_equal(union.reconstruct(wanted), union.vectors[rows])
    assert union.reconstruct([]).shape == (0, 72)
    with pytest.raises(IndexInputError, match="7, 99 not in the index"):
        union.reconstruct([2, 7, 99])
