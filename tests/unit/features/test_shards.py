import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.errors import ArtifactError
from retrieval_core.features import Shard, is_done, plan_shards, read_report


def rows(*ids):
    return [ImageRow(i, f"{i}.jpg", "", "test", "database") for i in ids]


def test_shards_hold_every_row_once_by_ascending_id():
    shards = plan_shards(rows(5, 1, 4, 2, 3), 2)
    assert [[r.image_id for r in s.rows] for s in shards] == [[1, 2], [3, 4], [5]]
    assert [s.index for s in shards] == [0, 1, 2]


def test_no_rows_give_no_shards():
    assert plan_shards([], 4) == []


def test_a_shard_without_report_is_not_done(tmp_path):
    directory = ArtifactDirectory(tmp_path)
    directory.write_bytes("global/shard-00000.parquet", b"")
    assert not is_done(directory, Shard(0, ()))


def test_a_damaged_report_is_named(tmp_path):
    directory = ArtifactDirectory(tmp_path)
    directory.write_json("reports/shard-00003.json", {"index": 3})
    with pytest.raises(ArtifactError, match=r"shard-00003\.json"):
        read_report(directory, 3)
