import numpy as np
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError
from retrieval_core.search import Ranking


def test_saving_and_loading(tmp_path):
    ranking = Ranking(
        query_ids=np.array([7, 2**60]),
        ids=np.array([[3, 1], [-1, -1]]),
        scores=np.array([[0.5, 0.25], [0, 0]], np.float32),
    )
    ranking.save(ArtifactDirectory(tmp_path), "ranking")
    loaded = Ranking.load(tmp_path, "ranking")
    for field in ("query_ids", "ids", "scores"):
        expected = getattr(ranking, field)
        np.testing.assert_array_equal(getattr(loaded, field), expected)
        assert getattr(loaded, field).dtype == expected.dtype


@pytest.mark.parametrize(
    ("ids", "shortest"),
    [([[3, 1], [-1, -1]], 2), ([[3, -1], [3, 1], [-1, -1]], 1), ([[-1, -1]], 2)],
)
def test_rows_of_unreadable_queries_shorten_no_ranking(ids, shortest):
    nothing = np.zeros(np.shape(ids), np.float32)
    assert Ranking(np.arange(len(ids)), np.array(ids), nothing).shortest == shortest


def test_a_missing_or_damaged_ranking_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="ranking/query_ids"):
        Ranking.load(tmp_path, "ranking")
    (tmp_path / "ranking").mkdir()
    (tmp_path / "ranking/query_ids.npy").write_bytes(b"no array")
    with pytest.raises(ArtifactError, match="ranking cannot be read"):
        Ranking.load(tmp_path, "ranking")
