"""Dataclasses of arrays on disk."""

from dataclasses import dataclass

import numpy as np
import pytest

from retrieval_core.arrays import load_fields, save_fields
from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError


@dataclass(frozen=True)
class Pair:
    """Two arrays."""

    first: np.ndarray
    second: np.ndarray


def test_what_is_written_is_read(tmp_path):
    pair = Pair(np.arange(3), np.eye(2, dtype=np.float32))
    save_fields(pair, ArtifactDirectory(tmp_path), "deep/")
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["first.npy", "second.npy"]
    found = load_fields(Pair, tmp_path, "deep/")
    assert found.second.dtype == np.float32 and not found.first.flags.writeable
    np.testing.assert_array_equal(found.first, pair.first)
    np.testing.assert_array_equal(found.second, pair.second)


@pytest.mark.parametrize("content", [None, b"", b"no array", np.lib.format.MAGIC_PREFIX])
def test_a_missing_or_damaged_file_is_an_error_that_names_its_place(tmp_path, content):
    save_fields(Pair(np.arange(3), np.arange(4)), ArtifactDirectory(tmp_path))
    damaged = tmp_path / "second.npy"
    damaged.unlink() if content is None else damaged.write_bytes(content)
    with pytest.raises(ArtifactError, match=str(tmp_path)):
        load_fields(Pair, tmp_path)
