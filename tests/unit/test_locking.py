"""One process at a time."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from retrieval_core.locking import exclusive


def refuse(_):
    raise AssertionError("somebody holds it")


def descriptors():
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_a_held_lock_is_waited_for(tmp_path):
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            raise TimeoutError

    with (
        exclusive(tmp_path / "lock", refuse),
        pytest.raises(TimeoutError),
        exclusive(tmp_path / "lock", wait),
    ):
        pass
    assert len(waits) == 3
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("moment", ["before it is locked", "before it is looked at"])
def test_a_lock_whose_file_its_holder_deletes_is_free(tmp_path, monkeypatch, moment):
    path, before = tmp_path / "lock", descriptors()
    lock, stat = fcntl.flock, Path.stat
    gone = []

    def delete():
        if not gone:
            gone.append(path)
            path.unlink()

    def locked(*arguments):
        lock(*arguments)
        if moment == "before it is locked":
            delete()

    def looked_at(self, **settings):
        if self == path:
            delete()
        return stat(self, **settings)

    monkeypatch.setattr(fcntl, "flock", locked)
    if moment == "before it is looked at":
        monkeypatch.setattr(Path, "stat", looked_at)
    with exclusive(path, refuse):
        monkeypatch.undo()
        assert path.exists()
    assert gone
    assert descriptors() == before


def test_a_file_system_without_locks_leaks_nothing(tmp_path, monkeypatch):
    before = descriptors()

    def fail(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="no locks"), exclusive(tmp_path / "lock", refuse):
        pass
    assert descriptors() == before
