"""Room for large arrays."""

import errno
import os

import numpy as np
import pytest

from retrieval_core.errors import StorageError
from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.index.allocation import LARGE, new_array


def failing(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("length", [0, 7, LARGE])
@pytest.mark.parametrize("on_disk", [False, True])
def test_an_array_can_be_filled_and_leaves_no_file(tmp_path, length, on_disk):
    array = new_array((length, 2), np.uint16, tmp_path if on_disk else None)
    array[:] = 3
    assert array.shape == (length, 2)
    assert (array == 3).all()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "posix_fallocate", failing(number))
    with pytest.raises(StorageError, match=f"cannot put 56 bytes into {tmp_path}"):
        new_array((7,), np.int64, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        new_array((7,), np.int64, tmp_path / "nowhere")


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_disk_that_cannot_set_room_aside_is_used(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "posix_fallocate", failing(number))
    new_array((7,), np.int64, tmp_path)[:] = 1


def test_a_system_that_cannot_set_room_aside_is_used(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    new_array((7,), np.int64, tmp_path)[:] = 1


def test_an_index_stays_as_it_was_where_the_disk_is_full(draw, tmp_path, monkeypatch):
    index = AsmkIndex.create(Codebook(draw(24)))
    index.add([1, 2], draw(20), np.repeat([0, 1], 10))
    index.remove([1])
    before = index.snapshot
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(StorageError, match="make room"):
        index.compact(tmp_path)
    assert index.snapshot is before
