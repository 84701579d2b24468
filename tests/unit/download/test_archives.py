"""Archives of every kind, friendly and hostile."""

import errno
import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval_core.download import check_archive, unpack
from retrieval_core.errors import ArchiveError, StorageError

_OUTSIDE = r"out of its folder|outside the destination|absolute path"
KINDS = ["tar", "tar.gz", "zip"]
FILES = {
    "jpg/a.jpg": b"first",
    "jpg/deep/er/b.jpg": bytes(100_000),
    "list.txt": b"a\nb\n",
    "e": b"",
}


def _write(path, files, kind=None):
    """An archive; a value is content, or a tarfile.TarInfo / zipfile.ZipInfo to add as it is."""
    kind = kind or path.name.partition(".")[2]
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
        for name, content in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if info.isreg():
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def _tree(folder):
    paths = [
        p
        for p in folder.rglob("*")
        if p.is_file() and not p.name.startswith((".unpacked-", ".lock-"))
    ]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def _tar_entry(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _zip_entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = mode << 16, 3
    return info


def _refused(archive, folder, match):
    before = sorted(p for p in folder.parent.rglob("*") if p.is_file())
    with pytest.raises(ArchiveError, match=match) as failure:
        unpack(archive, folder)
    assert str(archive) in str(failure.value)
    assert sorted(p for p in folder.parent.rglob("*") if p.is_file()) == before


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data" / "here"


def test_files_and_folders_come_out(tmp_path, folder, kind):
    archive, seen = _write(tmp_path / f"a.{kind}", FILES.items()), []
    assert unpack(archive, folder, progress=lambda *p: seen.append(p)) == len(FILES)
    assert _tree(folder) == FILES
    size = archive.stat().st_size
    assert seen[-1] == (size, size)
    assert sorted(seen) == seen


def test_a_second_call_returns_at_once_and_a_changed_archive_is_unpacked_again(
    tmp_path, folder, kind
):
    archive = _write(tmp_path / f"a.{kind}", FILES.items())
    unpack(archive, folder)
    (folder / "list.txt").write_bytes(b"mine")
    assert unpack(archive, folder) == len(FILES)
    assert (folder / "list.txt").read_bytes() == b"mine"
    _write(archive, [("list.txt", b"new")])
    assert unpack(archive, folder) == 1
    assert (folder / "list.txt").read_bytes() == b"new"


@pytest.mark.parametrize("marker", [b"", b"{", b"[]", b'{"files": "x"}', b"1"])
def test_a_damaged_marker_counts_for_nothing(tmp_path, folder, marker):
    archive = _write(tmp_path / "a.zip", FILES.items())
    folder.mkdir(parents=True)
    (folder / ".unpacked-a.zip.json").write_bytes(marker)
    assert unpack(archive, folder) == len(FILES)
    assert _tree(folder) == FILES


def test_a_hundred_archives_share_a_folder(tmp_path, folder):
    for number in range(100):
        names = [(f"jpg/{number % 10}/{number}-{i}.jpg", b"x%d" % number) for i in range(3)]
        assert unpack(_write(tmp_path / f"{number}.{KINDS[number % 3]}", names), folder) == 3
    assert len(_tree(folder)) == 300


def test_of_two_entries_with_one_name_the_later_stays(tmp_path, folder, kind, recwarn):
    archive = _write(tmp_path / f"a.{kind}", [("x", b"old"), ("y", b"y"), ("x", b"new")])
    unpack(archive, folder)
    assert _tree(folder) == {"x": b"new", "y": b"y"}


_ELSEWHERE = ["../evil", "a/../../evil", "/tmp/evil-of-this-test", "..", "a/..", "./../evil"]
_ON_WINDOWS = ["..\\evil", "C:\\evil", "C:/evil", "\\\\host\\evil", "a\\b"]


@pytest.mark.parametrize("name", [*_ELSEWHERE, *_ON_WINDOWS, "a/" * 100 + "x", "x" * 300])
def test_names_that_lead_elsewhere_are_refused(tmp_path, folder, kind, name):
    archive = _write(tmp_path / f"a.{kind}", [("good", b"x"), (name, b"evil")])
    _refused(archive, folder, r"outside|impossible name|too long")


def test_dots_and_slashes_that_lead_nowhere_are_fine(tmp_path, folder, kind):
    unpack(_write(tmp_path / f"a.{kind}", [("./a//b/./c", b"x")]), folder)
    assert _tree(folder) == {"a/b/c": b"x"}


@pytest.mark.parametrize("target", ["../../evil", "/etc/passwd", "..", "a/../../../x", "C:\\x"])
@pytest.mark.parametrize("link", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_out_of_the_folder_are_refused(tmp_path, folder, link, target):
    outside = tmp_path / "data" / "evil"
    outside.parent.mkdir()
    outside.write_bytes(b"untouched")
    entries = [(_tar_entry("link", link, target), b""), ("link", b"written through")]
    _refused(_write(tmp_path / "a.tar", entries), folder, _OUTSIDE)
    _refused(_write(tmp_path / "b.tar", reversed(entries)), folder, _OUTSIDE)
    assert outside.read_bytes() == b"untouched"


def test_writing_through_a_link_is_refused(tmp_path, folder):
    entries = [(_tar_entry("d", tarfile.SYMTYPE, "."), b""), ("d/x", b"x")]
    _refused(_write(tmp_path / "a.tar", entries), folder, "which is no file|cannot be unpacked")


def test_links_within_the_folder_become_files(tmp_path, folder):
    entries = [
        (_tar_entry("jpg/second.jpg", tarfile.SYMTYPE, "../all/x.jpg"), b""),
        (_tar_entry("third.jpg", tarfile.SYMTYPE, "jpg/second.jpg"), b""),
        (_tar_entry("jpg/hard.jpg", tarfile.LNKTYPE, "all/x.jpg"), b""),
        ("all/x.jpg", b"x"),
    ]
    ordered = [entries[3], *entries[:3]]
    for number, order in enumerate((entries[:2] + entries[3:], ordered)):
        unpack(_write(tmp_path / f"{number}.tar", order), folder / str(number))
    names = ["all/x.jpg", "jpg/second.jpg", "third.jpg", "jpg/hard.jpg"]
    assert _tree(folder / "1") == dict.fromkeys(names, b"x")
    assert not any(p.is_symlink() for p in folder.rglob("*"))


@pytest.mark.parametrize("target", ["missing", "folder", "link"])
def test_links_to_nothing_are_refused(tmp_path, folder, target):
    entries = [("folder/x", b"x"), (_tar_entry("link", tarfile.SYMTYPE, target), b"")]
    _refused(_write(tmp_path / "a.tar", entries), folder, "which is no file")


def test_links_in_zip_archives(tmp_path, folder):
    link = _zip_entry("link", 0o120777)
    _refused(_write(tmp_path / "a.zip", [(link, b"../../evil")]), folder, "out of its folder")
    unpack(_write(tmp_path / "b.zip", [("x", b"x"), (link, b"x")]), folder)
    assert _tree(folder) == {"x": b"x", "link": b"x"}


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused(tmp_path, folder, kind):
    archive = _write(tmp_path / "a.tar", [("x", b"x"), (_tar_entry("dev", kind), b"")])
    _refused(archive, folder, "special file|no file: a device or a pipe")
    archive = _write(tmp_path / "a.zip", [(_zip_entry("dev", 0o020666), b"")])
    _refused(archive, folder, "a device or a pipe")


def test_a_file_that_is_also_a_folder_is_refused(tmp_path, folder, kind):
    for order in ([("x", b""), ("x/y", b"")], [("x/y", b""), ("x", b"")]):
        _refused(_write(tmp_path / f"a.{kind}", order), folder, "cannot be unpacked")


def test_a_file_where_another_archive_has_a_folder_is_refused(tmp_path, folder):
    unpack(_write(tmp_path / "a.zip", [("x/y", b"")]), folder)
    with pytest.raises(ArchiveError, match="cannot be unpacked"):
        unpack(_write(tmp_path / "b.zip", [("x", b"")]), folder)
    assert _tree(folder) == {"x/y": b""}


@pytest.mark.parametrize("size", [90 << 20])
def test_a_decompression_bomb_is_stopped_while_it_grows(tmp_path, folder, size):
    bombs = {"bomb.zip": _zip_bomb, "bomb.tar.gz": _tar_bomb, "header.tar.gz": _header_bomb}
    for name, make in bombs.items():
        archive = make(tmp_path / name, size)
        assert archive.stat().st_size < size / 500
        _refused(archive, folder, "decompression bomb|bytes allowed|header of")
        with pytest.raises(ArchiveError, match=r"decompression bomb|header of"):
            unpack(archive, folder, max_bytes=1 << 40)


def _zip_bomb(path, size):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(size))
    return path


def _tar_bomb(path, size):
    return _write(path, [("zeros", bytes(size))])


def _header_bomb(path, size):
    """A long name that a careless reader takes into memory."""
    info = _tar_entry("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = size
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(size + 1024))
    return path


def test_a_zip_whose_headers_lie_about_sizes_is_refused(tmp_path, folder):
    archive = _zip_bomb(tmp_path / "a.zip", 1 << 20)
    content = archive.read_bytes().replace((1 << 20).to_bytes(4, "little"), b"\x10\0\0\0")
    archive.write_bytes(content)
    _refused(archive, folder, "incomplete or damaged")


def test_data_behind_the_end_of_a_tar_is_not_free(tmp_path, folder):
    archive = tmp_path / "a.tar.gz"
    inner = _write(tmp_path / "inner.tar", [("x", b"x")]).read_bytes()
    archive.write_bytes(gzip.compress(inner + bytes(90 << 20), 1))
    _refused(archive, folder, "decompression bomb")


def test_bounds_of_bytes_and_files(tmp_path, folder, kind):
    archive = _write(tmp_path / f"a.{kind}", FILES.items())
    with pytest.raises(ArchiveError, match="more than the 100008 bytes allowed"):
        unpack(archive, folder, max_bytes=100_008)
    with pytest.raises(ArchiveError, match="more than the 3 files allowed"):
        unpack(archive, folder, max_files=3)
    assert _tree(folder) == {}
    assert unpack(archive, folder, max_bytes=100_009, max_files=4) == 4


def test_an_archive_cut_anywhere_is_refused(tmp_path, folder, kind):
    rng = np.random.default_rng(0)
    files = [(f"{i}.jpg", rng.bytes(1536)) for i in range(8)]
    whole = _write(tmp_path / f"whole.{kind}", files).read_bytes()
    # a tar is padded with zeros, which nobody misses
    needed = 8 * 2048 if kind == "tar" else len(whole) - 1
    cuts = {0, 1, 3, 511, 512, 2048, 4096, needed, *rng.integers(0, needed, 25).tolist()}
    archive = tmp_path / f"cut.{kind}"
    for cut in sorted(cuts):
        archive.write_bytes(whole[:cut])
        _refused(archive, folder, "incomplete or damaged|neither a tar")
    archive.write_bytes(whole)
    assert unpack(archive, folder) == 8


@pytest.mark.parametrize("content", [b"", b"x", b"<!DOCTYPE html><html></html>", bytes(5000)])
def test_other_files_are_no_archives(tmp_path, folder, content):
    archive = tmp_path / "a.tar"
    archive.write_bytes(content)
    if content == bytes(5000):
        assert unpack(archive, folder) == 0
    else:
        _refused(archive, folder, "neither a tar, a tar.gz nor a zip archive")


def test_what_begins_as_an_archive_passes_a_first_look(tmp_path, kind):
    archive = _write(tmp_path / f"a.{kind}", FILES.items())
    check_archive(archive)
    for content in (b"", b"{}", bytes(5000), np.random.default_rng(0).bytes(5000)):
        archive.write_bytes(content)
        with pytest.raises(ArchiveError, match=f"a.{kind} (is neither|holds nothing|is incomp)"):
            check_archive(archive)


def test_an_archive_is_unpacked_again_where_that_is_asked_for(tmp_path, folder, kind):
    archive = _write(tmp_path / f"a.{kind}", FILES.items())
    unpack(archive, folder)
    (folder / "list.txt").unlink()
    assert unpack(archive, folder, again=True) == len(FILES)
    assert _tree(folder) == FILES


def test_an_absent_archive_is_named(tmp_path, folder):
    with pytest.raises(ArchiveError, match=r"a\.tar is missing: download it first"):
        unpack(tmp_path / "a.tar", folder)


def test_encrypted_and_strangely_compressed_zips_are_refused(tmp_path, folder):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("x", b"x" * 1000)
    _refused(archive, folder, "unknown way")
    content = bytearray(_write(archive, [("x", b"x")]).read_bytes())
    for start in (content.index(b"PK\3\4") + 6, content.index(b"PK\1\2") + 8):
        content[start] |= 1
    archive.write_bytes(content)
    _refused(archive, folder, "encrypted")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_archives_never_harm(tmp_path, kind, data):
    whole = bytearray(_WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    if kind == "tar.gz" and data.draw(st.booleans()):
        inner = bytearray(gzip.decompress(_WHOLE[kind]))
        inner[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))
        whole = gzip.compress(bytes(inner), 1)
    case = tmp_path / f"{kind}-{zlib.crc32(whole)}"
    case.mkdir(exist_ok=True)
    (case / "a").write_bytes(whole)
    try:
        unpack(case / "a", case / "here")
    except ArchiveError as error:
        assert str(case / "a") in str(error)
        assert _tree(case / "here") == {}
    assert {p.name for p in case.iterdir()} == {"a", "here"}
    assert not any(p.is_symlink() for p in case.rglob("*"))


def _whole(kind):
    files = [("a/b.txt", b"some text " * 20), ("c", b"x"), ("d/" * 60 + "e", b"deep")]
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(name, content)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "tar.gz" else "w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        archive.addfile(_tar_entry("link", tarfile.SYMTYPE, "c"))
    return buffer.getvalue()


_WHOLE = {kind: _whole(kind) for kind in KINDS}

SCRIPT = """
    import resource, sys
    from pathlib import Path
    from retrieval_core.download import unpack
    from retrieval_core.errors import StorageError

    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    try:
        print(unpack(Path(sys.argv[1]), Path(sys.argv[2])))
    except StorageError as error:
        print("StorageError", error)
"""


def _process(*arguments):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_full_disk_is_a_storage_error(tmp_path, folder):
    archive = _write(tmp_path / "a.tar", [("x", bytes(1 << 20))])
    output = _process(archive, folder, 1 << 19).communicate(timeout=60)[0]
    assert output.startswith("StorageError")
    assert "make room and run again" in output
    assert _tree(folder) == {}
    assert unpack(archive, folder) == 1


def test_a_killed_process_is_made_up_for(tmp_path, folder):
    archive = _write(tmp_path / "a.tar", [(f"{i}", bytes(10_000)) for i in range(4_000)])
    killed = _process(archive, folder)
    scratch, deadline = folder / ".unpacking-a.tar", time.monotonic() + 30
    while not (scratch.exists() and any(scratch.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert scratch.exists()
    assert _tree(folder).keys() <= {f".unpacking-a.tar/{i}" for i in range(4_000)}
    both = [_process(archive, folder) for _ in range(2)]
    assert [p.communicate(timeout=60)[0].strip() for p in both] == ["4000"] * 2
    assert len(_tree(folder)) == 4_000
    assert not scratch.exists()


def test_an_interrupt_leaves_nothing(tmp_path, folder):
    archive = _write(tmp_path / "a.tar", FILES.items())

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, folder, progress=interrupt)
    assert list(folder.iterdir()) == []
    assert unpack(archive, folder) == len(FILES)


def test_errors_of_the_disk_are_not_blamed_on_the_archive(tmp_path, folder, monkeypatch):
    archive = _write(tmp_path / "a.tar", FILES.items())

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match="Input/output"):
        unpack(archive, folder, progress=fail)
    with pytest.raises(StorageError, match="make room"):
        unpack(archive, folder, progress=_full)


def _full(done, total):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
