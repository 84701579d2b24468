import errno
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.features import extract_shard, is_done, plan_shards, read_report
from retrieval_core.features import tables as tables_module
from retrieval_core.features.tables import LocalRows, open_shard


def extract(model, rows, config, path):
    directory = ArtifactDirectory(path)
    (shard,) = plan_shards(rows, len(rows))
    return directory, shard, extract_shard(model, shard, config, directory)


def test_tables_have_the_promised_columns_and_order(tiny_model, make_rows, config, tmp_path):
    directory, shard, report = extract(tiny_model, make_rows(8), config, tmp_path / "f")
    local = pq.read_table(directory.local("local/shard-00000.parquet"))
    whole = pq.read_table(directory.local("global/shard-00000.parquet"))
    assert local.column_names == ["image_id", "x", "y", "scale", "strength", "descriptor"]
    assert str(local.schema.field("descriptor").type) == "fixed_size_list<element: float>[4]"
    assert whole.column("image_id").to_pylist() == [r.image_id for r in shard.rows]
    owners = local.column("image_id").to_numpy()
    assert (np.diff(owners) >= 0).all()
    strengths = local.column("strength").to_numpy()
    assert (np.diff(strengths)[np.diff(owners) == 0] <= 0).all(), "strongest first"
    assert report.images == 8
    assert report.local_descriptors == local.num_rows
    assert set(report.seconds) == {"decode", "wait", "network", "write", "total"}


def test_batching_does_not_mix_up_images(tiny_model, make_rows, config, tmp_path):
    rows = make_rows(14)
    batched, *_ = extract(tiny_model, rows, config, tmp_path / "batched")
    assert max(shape[0] for shape in tiny_model.batch_shapes) == 3
    assert len({shape[2:] for shape in tiny_model.batch_shapes}) == 2
    single, *_ = extract(
        tiny_model, rows, config.model_copy(update={"batch_size": 1}), tmp_path / "single"
    )
    for name in ("local/shard-00000.parquet", "global/shard-00000.parquet"):
        one, other = pq.read_table(single.local(name)), pq.read_table(batched.local(name))
        assert one.column("image_id").equals(other.column("image_id"))
        flat = [np.stack(t.column("descriptor").to_pylist()) for t in (one, other)]
        np.testing.assert_allclose(*flat, atol=1e-5)


def test_a_second_run_writes_the_same_bytes(tiny_model, make_rows, config, tmp_path):
    rows = make_rows(10)
    first, *_ = extract(tiny_model, rows, config, tmp_path / "a")
    second, *_ = extract(tiny_model, rows, config, tmp_path / "b")
    for name in ("local/shard-00000.parquet", "global/shard-00000.parquet"):
        assert first.read_bytes(name) == second.read_bytes(name)


def test_unreadable_images_are_recorded(tiny_model, make_rows, config, tmp_path):
    rows = make_rows(6, damaged=(2,))
    Path(rows[4].path).unlink()
    directory, shard, report = extract(tiny_model, rows, config, tmp_path / "f")
    assert report.images == 4
    assert [(e["image_id"], e["path"]) for e in report.excluded] == [
        (30, rows[2].path),
        (50, rows[4].path),
    ]
    assert report.excluded[1]["reason"] == "missing"
    ids = pq.read_table(directory.local("global/shard-00000.parquet"))["image_id"].to_pylist()
    assert ids == [10, 20, 40, 60]
    assert read_report(directory, shard.index) == report


@pytest.mark.parametrize("place", ["local", "global"])
def test_images_with_broken_descriptors_are_recorded(
    tiny_model, make_rows, config, tmp_path, place
):
    healthy = tiny_model.extract

    def extract_with_nan(images, **options):
        local, vectors = healthy(images, **options)
        if images.shape[3] == 64:
            (vectors if place == "global" else local.descriptors)[0, 0] = float("nan")
        return local, vectors

    tiny_model.extract = extract_with_nan
    directory, _, report = extract(tiny_model, make_rows(4), config, tmp_path / "f")
    assert [(e["image_id"], e["reason"]) for e in report.excluded] == [(10, "not_finite")]
    for name in ("local/shard-00000.parquet", "global/shard-00000.parquet"):
        table = pq.read_table(directory.local(name))
        assert set(table["image_id"].to_pylist()) == {20, 30, 40}
        assert np.isfinite(np.stack(table["descriptor"].to_pylist())).all()


def test_a_shard_without_any_readable_image_is_still_a_shard(
    tiny_model, make_rows, config, tmp_path
):
    directory, shard, report = extract(
        tiny_model, make_rows(2, damaged=(0, 1)), config, tmp_path / "f"
    )
    assert (report.images, report.local_descriptors, len(report.excluded)) == (0, 0, 2)
    assert pq.read_table(directory.local("global/shard-00000.parquet")).num_rows == 0
    assert is_done(directory, shard)


def test_a_query_box_is_cropped(tiny_model, make_rows, config, tmp_path):
    rows = make_rows(2)
    rows[1] = replace(rows[1], box=(0, 0, 32, 40))
    extract(tiny_model, rows, config, tmp_path / "f")
    assert (1, 3, 40, 32) in tiny_model.batch_shapes


def test_a_global_network_writes_no_local_table(tiny_global_model, make_rows, config, tmp_path):
    directory, _, report = extract(tiny_global_model, make_rows(3), config, tmp_path / "f")
    assert directory.names() == ["global/shard-00000.parquet", "reports/shard-00000.json"]
    assert report.local_descriptors == 0


def test_a_failing_network_leaves_nothing_behind(tiny_model, make_rows, config, tmp_path):
    tiny_model.extract = lambda *_, **__: (_ for _ in ()).throw(RuntimeError("out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        extract(tiny_model, make_rows(3), config, tmp_path / "f")
    assert [p for p in (tmp_path / "f").rglob("*") if p.is_file()] == []


def test_an_interrupted_write_of_the_second_table_leaves_no_report(
    tiny_model, make_rows, config, tmp_path, monkeypatch
):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables_module, "_local_table", fail)
    with pytest.raises(OSError, match="No space left"):
        extract(tiny_model, make_rows(3), config, tmp_path / "f")
    assert ArtifactDirectory(tmp_path / "f").names() == []


@pytest.fixture
def nearly_full_disk():
    # a limit on the size of a file fails the same write that a full disk fails
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_nothing_half_written(tmp_path, nearly_full_disk):
    n = 2_000
    shapes = ((n, 128), n, (n, 2), n)
    rows = LocalRows(np.zeros(n, np.int64), *(np.zeros(s, np.float32) for s in shapes))
    with (
        pytest.raises(OSError, match="File too large"),
        open_shard(ArtifactDirectory(tmp_path), 0, global_dim=8, local_dim=128) as writer,
    ):
        writer.write(np.array([0]), np.zeros((1, 8), np.float32), rows)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
