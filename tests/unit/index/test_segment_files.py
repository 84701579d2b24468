"""An inverted file on disk: changed in place, by one writer at a time, whatever crashes."""

import io
import json
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import ArtifactError, ConcurrentWriteError, StorageError
from retrieval_core.index import AsmkIndex, Codebook, segment_files
from retrieval_core.index.storage import verify_array, write_array

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


@pytest.mark.parametrize("spelled", ["./index", "index/", "../{0}/index", "{1}/index", "link"])
def test_an_index_is_the_same_however_its_folder_is_spelled(tmp_path, monkeypatch, spelled):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("index")
    saved("index")
    index = AsmkIndex.open("index")
    add(AsmkIndex.open("index"), [50]).save("index")
    with pytest.raises(ConcurrentWriteError, match="open it again"):
        add(index, [51]).save(spelled.format(tmp_path.name, tmp_path))
    assert 50 in AsmkIndex.open("index").image_ids


def test_a_change_elsewhere_meanwhile_is_not_forgotten(tmp_path):
    saved(tmp_path / "here")
    index = AsmkIndex.open(tmp_path / "here")
    index.save(tmp_path / "copy")
    add(AsmkIndex.open(tmp_path / "here"), [50]).save(tmp_path / "here")
    with pytest.raises(ConcurrentWriteError, match="open it again"):
        add(index, [51]).save(tmp_path / "here")
    add(index, [52]).save(tmp_path / "copy")
    assert 50 in AsmkIndex.open(tmp_path / "here").image_ids


def test_a_writer_below_is_left_in_peace(tmp_path):
    (tmp_path / "below").mkdir()
    writing = tmp_path / "below" / ".tmp-1-codes"
    writing.touch()
    (tmp_path / ".tmp-2-codes").touch()
    saved(tmp_path)
    assert writing.exists()
    assert not (tmp_path / ".tmp-2-codes").exists()


def test_an_index_elsewhere_is_replaced(tmp_path):
    saved(tmp_path / "one"), saved(tmp_path / "two", range(30))
    index = add(AsmkIndex.open(tmp_path / "one"), [50])
    index.save(tmp_path / "two")
    assert answer(AsmkIndex.open(tmp_path / "two")) == answer(index)


@pytest.mark.parametrize("damage", ["truncated", "altered"])
@pytest.mark.parametrize("array", ["codes", "centroids", "norms"])
def test_saving_over_a_damaged_file_mends_it(tmp_path, array, damage):
    expected = answer(saved(tmp_path, use_idf=True))
    _damage(tmp_path, array, damage)
    saved(tmp_path, use_idf=True)
    AsmkIndex.verify(tmp_path)
    assert answer(AsmkIndex.open(tmp_path)) == expected


def test_a_whole_file_is_not_written_again(tmp_path):
    saved(tmp_path)
    before = {path.name: path.stat().st_ino for path in tmp_path.glob("*.npy")}
    saved(tmp_path)
    assert {path.name: path.stat().st_ino for path in tmp_path.glob("*.npy")} == before


@pytest.mark.parametrize("loss", ["merged", "truncated", "missing"])
def test_a_file_that_is_there_no_more_is_written_again(tmp_path, loss):
    saved(tmp_path)
    index = AsmkIndex.union([AsmkIndex.open(tmp_path)])
    expected = answer(index)
    if loss == "merged":
        writer = add(AsmkIndex.open(tmp_path), [77])
        writer.compact()
        writer.save(tmp_path)
        assert not list(tmp_path.glob(index.snapshot.segments[0].saved.files["codes"]))
    else:
        path = next(tmp_path.glob("offsets-*.npy"))
        content = path.read_bytes()
        # another file in its place: the one that is mapped stays whole
        path.unlink()
        if loss == "truncated":
            path.write_bytes(content[:-8])
    index.save(tmp_path)
    AsmkIndex.verify(tmp_path)
    assert answer(AsmkIndex.open(tmp_path)) == answer(index) == expected


@pytest.mark.parametrize("moment", ["described", "looked for"])
def test_a_reader_goes_on_with_the_state_that_a_writer_left(tmp_path, monkeypatch, moment):
    saved(tmp_path)
    writer = add(AsmkIndex.open(tmp_path), [77])
    writer.compact()

    def commit():
        monkeypatch.undo()
        before = names(tmp_path)
        writer.save(tmp_path)
        assert before - names(tmp_path)

    if moment == "described":
        read = segment_files.read_description

        def described(*arguments):
            description = read(*arguments)
            commit()
            return description

        monkeypatch.setattr(segment_files, "read_description", described)
    else:
        load = np.load

        def opened(*arguments, **settings):
            commit()
            return load(*arguments, **settings)

        monkeypatch.setattr(np, "load", opened)
    reader = AsmkIndex.open(tmp_path)
    assert answer(reader) == answer(writer)
    # it is up to date: its own changes are taken
    add(reader, [78]).save(tmp_path)
    assert {77, 78} <= set(AsmkIndex.open(tmp_path).image_ids.tolist())


def _hold(home, held, release):
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


ARRAYS = [
    "image_ids", "words", "offsets", "images", "codes", "removed", "norms", "idf", "centroids",
]  # fmt: skip


def _damage(home, array, damage):
    (path,) = home.glob(f"{array}-*.npy")
    content = path.read_bytes()
    damaged = {
        "truncated": content[:-3],
        "lengthened": content + b"x",
        "emptied": b"",
        "altered": content[:-1] + bytes([content[-1] ^ 1]),
        "garbled": content[:12] + b"(" + content[13:],
    }
    path.unlink()
    if damage != "missing":
        path.write_bytes(damaged[damage])
    return path.name


@pytest.mark.parametrize("damage", ["truncated", "lengthened", "emptied", "garbled", "missing"])
@pytest.mark.parametrize("array", ARRAYS)
def test_a_damaged_file_is_named(tmp_path, array, damage):
    index = saved(tmp_path, use_idf=True)
    index.remove([1])
    index.save(tmp_path)
    name = _damage(tmp_path, array, damage)
    with pytest.raises(ArtifactError, match=name):
        AsmkIndex.open(tmp_path)
    with pytest.raises(ArtifactError, match=name):
        AsmkIndex.verify(tmp_path)


@pytest.mark.parametrize("array", ARRAYS)
def test_an_altered_file_is_found_by_verifying(tmp_path, array):
    index = saved(tmp_path, use_idf=True)
    index.remove([1])
    index.save(tmp_path)
    AsmkIndex.verify(tmp_path)
    name = _damage(tmp_path, array, "altered")
    with pytest.raises(ArtifactError, match=f"{name} was altered"):
        AsmkIndex.verify(tmp_path)


def _replace(home, array, change):
    """Another array in the place of one, as whole as that; the name of its file."""
    description = json.loads((home / "index.json").read_text())
    (entry,) = description["segments"]
    files = entry["files"] if array in entry["files"] else description["files"]
    directory = ArtifactDirectory(home)
    files[array] = write_array(directory, array, change(np.load(home / files[array])))
    directory.write_json("index.json", description)
    verify_array(directory, files[array])
    return files[array]


@pytest.mark.parametrize(
    ("array", "change"),
    [
        *((array, lambda a: a[:-1]) for array in ARRAYS if array != "removed"),
        *((array, lambda a: a.astype(a.dtype.newbyteorder())) for array in ARRAYS),
        *((array, lambda a: a[None]) for array in ARRAYS),
        ("codes", lambda a: np.repeat(a, 2, axis=1)),
        ("codes", lambda a: a.astype(np.float16)),
        ("centroids", lambda a: a[:, :4].astype(np.float64)),
        ("offsets", lambda a: a[[0, 2, 1, *range(3, len(a))]]),
        ("offsets", lambda a: a[[1, 1, *range(2, len(a))]]),
        ("removed", lambda a: a + 40),
        ("removed", lambda a: a - 40),
        ("removed", lambda a: a[::-1]),
        ("removed", lambda a: a[:0].astype(np.float32)),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, array, change):
    index = saved(tmp_path, use_idf=True)
    index.remove([1, 7])
    index.save(tmp_path)
    name = _replace(tmp_path, array, change)
    # of arrays that contradict each other either may be the wrong one
    words = r"(offsets|idf|centroids)-\w+\.npy|index.json"
    named = name if array not in ("offsets", "idf", "centroids") else f"{name}|{words}"
    for read in (AsmkIndex.open, AsmkIndex.verify):
        with pytest.raises(ArtifactError, match=named):
            read(tmp_path)


@pytest.mark.parametrize("change", [lambda a: a + 1, lambda a: a - 1, lambda a: a * 0])
def test_postings_of_other_images_are_found_by_verifying(tmp_path, change):
    saved(tmp_path)
    name = _replace(tmp_path, "images", change)
    with pytest.raises(ArtifactError, match=name):
        AsmkIndex.verify(tmp_path)


def _with_a_flipped_bit(home, array, place, bit):
    (path,) = home.glob(f"{array}-*.npy")
    values = np.lib.format.open_memmap(path, mode="r+")
    values.reshape(-1).view(np.uint8)[place * values.itemsize + bit // 8] ^= 1 << bit % 8
    values.flush()
    return path.name


@pytest.mark.parametrize("bit", [6, 29, 31])
@pytest.mark.parametrize("options", [{}, {"binary": False}, {"use_idf": True}])
def test_a_posting_of_no_image_is_named_when_it_is_used(tmp_path, options, bit):
    index = saved(tmp_path, **options)
    # in the middle of the list of a word
    offsets = index.snapshot.segments[0].offsets
    place = int(offsets[4] + offsets[5]) // 2
    name = _with_a_flipped_bit(tmp_path, "images", place, bit)
    words = CODEBOOK.centroids, [0] * CODEBOOK.size

    def weighed(index):
        index.remove([3])
        index.search(*words)

    def merged(index):
        add(index, [100])
        index.compact()

    uses = [
        lambda index: index.search(*words),
        lambda index: index.search(*words, device="cpu:0"),
        weighed,
        merged,
    ]
    for use in uses:
        with pytest.raises(ArtifactError, match=f"{name} is damaged"):
            use(AsmkIndex.open(tmp_path))


def test_altered_centroids_are_never_saved_as_if_they_were_right(tmp_path):
    saved(tmp_path)
    _with_a_flipped_bit(tmp_path, "centroids", 5, 20)
    index = add(AsmkIndex.open(tmp_path), [50])
    for place in (tmp_path, tmp_path / "elsewhere"):
        with pytest.raises(ArtifactError, match=f"built with codebook {CODEBOOK.digest}"):
            index.save(place)
    with pytest.raises(ArtifactError, match="centroids"):
        AsmkIndex.verify(tmp_path)


def test_another_codebook_than_the_description_says_is_found_by_verifying(tmp_path):
    saved(tmp_path)
    description = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(description.replace(CODEBOOK.digest, "0" * 64))
    with pytest.raises(ArtifactError, match=f"{'0' * 64}.*{CODEBOOK.digest}"):
        AsmkIndex.verify(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        with pytest.raises(StorageError, match="file"):
            saved(tmp_path / place)
        with pytest.raises((ArtifactError, StorageError), match="file"):
            AsmkIndex.open(tmp_path / place)
    (tmp_path / "index.json").mkdir()
    with pytest.raises(ArtifactError, match=r"index\.json cannot be read"):
        AsmkIndex.open(tmp_path)
    saved(tmp_path / "index")
    (path,) = (tmp_path / "index").glob("codes-*.npy")
    path.unlink()
    path.mkdir()
    with pytest.raises(ArtifactError, match=path.name):
        AsmkIndex.open(tmp_path / "index")


def _without(key):
    return lambda d: d.pop(key)


def _with(**values):
    return lambda d: d.update(values)


def _in_segment(change):
    return lambda d: change(d["segments"][0])


@pytest.mark.parametrize(
    "change",
    [
        *map(_without, ["binary", "codebook", "exact", "files", "images", "postings", "segments"]),
        *map(_without, ["use_idf", "kind"]),
        *(_in_segment(_without(key)) for key in ("files", "images", "postings")),
        *(_in_segment(_with(**{key: -1})) for key in ("images", "postings")),
        *(_in_segment(_with(**{key: 39})) for key in ("images", "postings")),
        _with(segments=[]),
        _with(segments={}),
        _with(segments=[3]),
        _with(images=40),
        _with(images="39"),
        _with(postings=True),
        _with(binary=False),
        _with(binary="yes"),
        _with(use_idf=False),
        _with(codebook=3),
        _with(reach="far"),
        _with(files=[]),
        _with(files={}),
        _with(files={"centroids": 3}),
        _with(kind="vector"),
        lambda d: d["files"].update(more=d["files"]["idf"]),
        lambda d: d["files"].update(idf="../" + d["files"]["idf"]),
        lambda d: d["segments"].append(d["segments"][0]),
        _in_segment(lambda s: s["files"].pop("words")),
        _in_segment(lambda s: s["files"].pop("norms")),
        _in_segment(lambda s: s["files"].pop("removed")),
        _in_segment(lambda s: s["files"].update(words=s["files"]["images"])),
        _in_segment(lambda s: s["files"].update(words="words.npy")),
    ],
)
def test_an_altered_description_is_refused(tmp_path, change):
    index = saved(tmp_path, use_idf=True)
    index.remove([1])
    index.save(tmp_path)
    path = tmp_path / "index.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))
    for read in (AsmkIndex.open, AsmkIndex.verify):
        with pytest.raises(ArtifactError, match=str(tmp_path)):
            read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"{", b"\xff\xfe", b"null"])
def test_a_description_that_is_none_is_refused(tmp_path, content):
    saved(tmp_path)
    (tmp_path / "index.json").write_bytes(content)
    for read in (AsmkIndex.open, AsmkIndex.verify):
        with pytest.raises(ArtifactError, match=str(tmp_path)):
            read(tmp_path)


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


def _crash_at_byte(place):
    """End the process when so many bytes of the file are written."""
    file, length = place
    save = np.save

    def write(path, content):
        cut = path.name.endswith(file)
        with path.open("wb", buffering=0) as stream:
            stream.write(content[:length] if cut else content)
        if cut:
            os._exit(9)

    def save_array(path, array, **settings):
        content = io.BytesIO()
        save(content, array, **settings)
        write(path, content.getvalue())

    # of the process that will crash: that of the tests keeps its own
    np.save, Path.write_bytes = save_array, write


def _no_crash(_):
    pass


def _crashed_save(index, home, crash, place):
    """Save in a process that crashes; whether it came to its end."""
    child = os.fork()
    if child == 0:
        try:
            crash(place)
            index.save(home)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9)
    return status == 0


def _bytes_of_files(before, after):
    """Some bytes of every file that the change wrote, and its end."""
    rng = np.random.default_rng(0)
    for name in sorted(names(after) - names(before) | {"index.json"}):
        size = (after / name).stat().st_size
        yield from ((name, int(n)) for n in (*rng.integers(0, size, 2), size))


def _changed(home, change):
    """An index with a change that is not saved yet."""
    if change == "first":
        return add(AsmkIndex.create(CODEBOOK, use_idf=True), list(range(40)))
    saved(home, use_idf=True)
    index = add(AsmkIndex.open(home), [200, 201])
    index.remove([5])
    if change == "compacted":
        index.compact()
    return index


def _state(home):
    return answer(AsmkIndex.open(home)) if (home / "index.json").exists() else None


@pytest.mark.parametrize("change", ["first", "small", "compacted"])
@pytest.mark.parametrize("crash", [_crash_at_event, _crash_at_byte])
def test_a_crash_leaves_the_old_index_or_the_new_one(tmp_path, monkeypatch, crash, change):
    # what a process has written stays when it ends; waiting for the disk is for power cuts
    monkeypatch.setattr(os, "fsync", lambda _: None)
    kept, home = tmp_path / "kept", tmp_path / "home"
    home.mkdir()
    changed = _changed(home, change)
    old, new = _state(home), answer(changed)
    shutil.copytree(home, kept)
    assert _crashed_save(changed, home, _no_crash, None)
    at_events = crash is _crash_at_event
    places = range(1, 10_000) if at_events else [*_bytes_of_files(kept, home)]
    found, ended = set(), False
    for place in places:
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        ended = _crashed_save(changed, home, crash, place)
        state = _state(home)
        assert state in (old, new)
        found.add(state == new)
        # whoever comes next goes on from there, and cleans up
        (AsmkIndex.open(home) if state else _changed(home, "first")).save(home)
        assert not list(home.glob(".tmp-*"))
        AsmkIndex.verify(home)
        if ended:
            break
    # every byte is written before the new state is there; files are deleted after it
    assert ended == at_events
    assert found == ({True, False} if at_events else {False})
