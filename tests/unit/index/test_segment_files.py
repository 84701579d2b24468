"""An inverted file on disk: changed in place, by one writer at a time, whatever crashes."""

import multiprocessing
import os
import resource
import shutil
import signal
import sys

import numpy as np
import pytest

from retrieval_core.errors import ArtifactError, ConcurrentWriteError
from retrieval_core.index import AsmkIndex, Codebook

RNG = np.random.default_rng(3)
DIM = 8
CODEBOOK = Codebook(RNG.standard_normal((16, DIM)).astype(np.float32))
QUERY = RNG.standard_normal((6, DIM)).astype(np.float32)
FILE_EVENTS = ("open", "os.rename", "os.remove")


def add(index, ids, each=400):
    rows = np.random.default_rng(min(ids)).standard_normal((len(ids) * each, DIM))
    index.add(ids, rows.astype(np.float32), np.repeat(np.arange(len(ids)), each))
    return index


def saved(home, ids=range(40), **settings):
    index = add(AsmkIndex.create(CODEBOOK, **settings), list(ids))
    index.save(home)
    return index


def answer(index):
    ids, scores = index.search(QUERY, [0] * len(QUERY))
    return ids.tobytes(), scores.tobytes()


def names(home):
    return {path.name for path in home.iterdir()}


def test_a_small_change_writes_a_small_segment_and_a_tombstone(tmp_path):
    saved(tmp_path)
    before = names(tmp_path)
    index = add(AsmkIndex.open(tmp_path), [100])
    index.remove([3])
    index.save(tmp_path)
    new = names(tmp_path) - before
    assert {name.partition("-")[0] for name in new} == {
        "image_ids", "words", "offsets", "images", "codes", "removed",
    }  # fmt: skip
    assert before <= names(tmp_path)
    assert len(AsmkIndex.open(tmp_path).snapshot.segments) == 2
    assert answer(AsmkIndex.open(tmp_path)) == answer(index)


@pytest.mark.parametrize("use_idf", [False, True])
def test_what_was_opened_stays_as_it_was_while_others_write(tmp_path, use_idf):
    before = answer(saved(tmp_path, use_idf=use_idf))
    reader, writer = AsmkIndex.open(tmp_path), AsmkIndex.open(tmp_path)
    writer.remove(range(20))
    add(writer, [77])
    writer.compact()
    writer.save(tmp_path)
    assert answer(reader) == before
    assert answer(AsmkIndex.open(tmp_path)) == answer(writer) != before


def test_an_index_that_has_changed_since_it_was_opened_is_not_overwritten(tmp_path):
    saved(tmp_path)
    first, second = AsmkIndex.open(tmp_path), AsmkIndex.open(tmp_path)
    add(first, [50]).save(tmp_path)
    add(second, [51])
    with pytest.raises(ConcurrentWriteError, match="open it again"):
        second.save(tmp_path)
    # one's own changes go on
    add(first, [52]).save(tmp_path)
    assert {50, 52} <= set(AsmkIndex.open(tmp_path).image_ids.tolist())
    assert 51 not in AsmkIndex.open(tmp_path).image_ids


def _hold(home, held, release):
    from retrieval_core.artifacts import ArtifactDirectory
    from retrieval_core.index.storage import writing_alone

    with writing_alone(ArtifactDirectory(home)):
        held.set()
        release.wait()


def test_two_writers_at_once_are_refused(tmp_path):
    index = add(saved(tmp_path), [60])
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(60)
    with pytest.raises(ConcurrentWriteError, match="being written by another process"):
        index.save(tmp_path)
    release.set()
    other.join()
    index.save(tmp_path)
    assert 60 in AsmkIndex.open(tmp_path).image_ids


@pytest.mark.parametrize("damage", ["truncated", "lengthened", "emptied", "missing"])
@pytest.mark.parametrize("array", ["image_ids", "words", "offsets", "images", "codes", "removed"])
def test_a_damaged_file_is_named(tmp_path, array, damage):
    index = saved(tmp_path)
    index.remove([1])
    index.save(tmp_path)
    (path,) = tmp_path.glob(f"{array}-*.npy")
    content = path.read_bytes()
    damaged = {"truncated": content[:-3], "lengthened": content + b"x", "emptied": b""}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    with pytest.raises(ArtifactError, match=path.name):
        AsmkIndex.open(tmp_path)


def test_an_altered_file_is_found_by_verifying(tmp_path):
    saved(tmp_path)
    AsmkIndex.verify(tmp_path)
    (path,) = tmp_path.glob("codes-*.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{path.name} was altered"):
        AsmkIndex.verify(tmp_path)


def test_files_of_two_indexes_do_not_pass_for_one(tmp_path):
    saved(tmp_path / "one"), saved(tmp_path / "two", range(30))
    (own,) = (tmp_path / "one").glob("images-*.npy")
    (other,) = (tmp_path / "two").glob("images-*.npy")
    shutil.copy(other, own)
    with pytest.raises(ArtifactError, match="do not belong together"):
        AsmkIndex.open(tmp_path / "one")


def _crash_at_event(number):
    seen = 0

    def hook(event, _arguments):
        nonlocal seen
        if event in FILE_EVENTS:
            seen += 1
            if seen == number:
                os._exit(9)

    sys.addaudithook(hook)


def _crash_at_byte(number):
    # the kernel ends the process at the write that would make a file longer
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _crashed_save(index, home, crash, number):
    """Save in a process that crashes; whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            crash(number)
            index.save(home)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("crash", [_crash_at_event, _crash_at_byte])
def test_a_crash_leaves_the_old_index_or_the_new_one(tmp_path, crash):
    old = answer(saved(tmp_path / "home", use_idf=True))
    changed = add(AsmkIndex.open(tmp_path / "home"), [200, 201])
    changed.remove([5])
    new = answer(changed)
    if crash is _crash_at_event:
        numbers = iter(range(1, 10_000))
    else:
        largest = max(p.stat().st_size for p in (tmp_path / "home").iterdir())
        drawn = np.random.default_rng(0).integers(0, largest, 40)
        numbers = iter([*sorted(drawn.tolist()), 1 << 40])
    found, ended = set(), False
    while not ended:
        home = tmp_path / "home"
        shutil.copytree(home, tmp_path / "kept")
        ended = _crashed_save(changed, home, crash, next(numbers))
        state = answer(AsmkIndex.open(home))
        assert state in (old, new)
        found.add(state == new)
        # whoever comes next goes on from there, and cleans up
        AsmkIndex.open(home).save(home)
        assert not list(home.glob(".tmp-*"))
        AsmkIndex.verify(home)
        shutil.rmtree(home)
        (tmp_path / "kept").rename(home)
    assert found == {True, False}
