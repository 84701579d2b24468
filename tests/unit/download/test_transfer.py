"""Downloads from mirrors that behave, and from mirrors that do not."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.mirror import PAGE, PAGE_WITH_STATUS_200, Fault

from retrieval_core.download import (
    Patience,
    RemoteFile,
    download,
    download_all,
    read_receipt,
    verify,
)
from retrieval_core.download.digest import BackgroundDigest
from retrieval_core.errors import ChecksumError, DatasetError, DownloadError, StorageError

QUICK = Patience(attempts=3, connect=2.0, read=0.3, first_wait=0.01, longest_wait=0.05)
SIZE = 3_000_001
NAME = "data.bin"


def _content(seed=0, size=SIZE):
    return np.random.default_rng(seed).bytes(size)


def _sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def content(mirror):
    content = _content()
    (mirror.folder / NAME).write_bytes(content)
    return content


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "here"


def _file(*mirrors, **facts):
    return RemoteFile(NAME, tuple(mirrors), **facts)


def _fetch(file, folder, **options):
    return download(file, folder, patience=QUICK, **options)


def _hidden(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def _leave_part(mirror, folder, **facts):
    """Half of the file, from a process that has gone."""
    mirror.once(NAME, Fault(cut_after=1_000_000), Fault(status=404))
    with pytest.raises(DownloadError):
        _fetch(_file(mirror.url(NAME), **facts), folder)
    assert (folder / f".part-{NAME}").stat().st_size == 1_000_000
    mirror.requests.clear()


@pytest.mark.parametrize("published", [True, False])
def test_a_file_arrives_with_its_receipt(mirror, content, folder, published):
    seen = []
    file = _file(mirror.url(NAME), sha256=_sha(content) if published else None)
    receipt = _fetch(file, folder, progress=lambda *p: seen.append(p))
    assert (folder / NAME).read_bytes() == content
    assert (receipt.size, receipt.sha256) == (SIZE, _sha(content))
    assert (receipt.url, receipt.published) == (mirror.url(NAME), published)
    assert read_receipt(folder, NAME) == receipt
    assert seen[-1] == (SIZE, SIZE)
    assert sorted(seen) == seen
    assert _hidden(folder) == []


def test_a_finished_file_is_neither_fetched_nor_read_again(mirror, content, folder):
    file = _file(mirror.url(NAME), sha256=_sha(content).upper())
    first = _fetch(file, folder)
    (folder / NAME).write_bytes(bytes(SIZE))
    seen = []
    assert _fetch(file, folder, progress=lambda *p: seen.append(p)) == first
    assert len(mirror.requests) == 1
    assert seen == [(SIZE, SIZE)]


def test_files_of_this_machine_are_copied(tmp_path, folder):
    source = tmp_path / "with space.bin"
    source.write_bytes(_content())
    receipt = _fetch(_file(source.as_uri()), folder)
    assert receipt.sha256 == _sha(_content())


def test_an_empty_file_and_one_of_unknown_length(mirror, content, folder):
    (mirror.folder / "empty").write_bytes(b"")
    file = RemoteFile("empty", (mirror.url("empty"),))
    with pytest.raises(DownloadError, match="sends nothing"):
        _fetch(file, folder)
    assert _fetch(RemoteFile("empty", file.urls, size=0), folder).size == 0
    mirror.always(NAME, Fault(has_length=False))
    seen = []
    assert _fetch(_file(mirror.url(NAME)), folder, progress=lambda *p: seen.append(p)).size == SIZE
    assert {total for _, total in seen} == {0}


def test_redirects_are_followed(mirror, content, folder):
    mirror.always("old", Fault(redirect=mirror.url(NAME)))
    assert _fetch(_file(mirror.url("old")), folder).sha256 == _sha(content)
    mirror.always("circle", Fault(redirect=mirror.url("circle")))
    with pytest.raises(DownloadError, match="redirects"):
        _fetch(RemoteFile("other", (mirror.url("circle"),)), folder)


@pytest.mark.parametrize("reset", [False, True])
def test_ten_forced_disconnects_cost_little(mirror, content, folder, reset):
    mirror.once(NAME, *[Fault(cut_after=200_000, reset=reset)] * 10)
    _fetch(_file(mirror.url(NAME)), folder)
    assert (folder / NAME).read_bytes() == content
    starts = mirror.starts(NAME)
    assert len(starts) == 11
    assert starts == sorted(starts)
    if not reset:
        assert starts == [i * 200_000 for i in range(11)]


def test_a_stalled_answer_is_given_up_and_continued(mirror, content, folder):
    mirror.once(NAME, Fault(stall_after=1_000_000))
    _fetch(_file(mirror.url(NAME)), folder)
    assert (folder / NAME).read_bytes() == content
    assert mirror.starts(NAME) == [0, 1_000_000]


def test_a_mirror_that_stalls_for_ever_makes_way_for_the_next(mirror, content, folder):
    (mirror.folder / "stalled").write_bytes(content)
    mirror.always("stalled", Fault(stall_after=0))
    receipt = _fetch(_file(mirror.url("stalled"), mirror.url(NAME)), folder)
    assert receipt.url == mirror.url(NAME)
    assert len(mirror.starts("stalled")) == QUICK.attempts


def test_a_mirror_that_trickles_counts_as_stalled(mirror, content, folder):
    (mirror.folder / "slow").write_bytes(content)
    mirror.always("slow", Fault(bytes_per_second=200))
    patience = replace(QUICK, slowest=1000.0, window=0.2)
    file = _file(mirror.url("slow"), mirror.url(NAME))
    assert download(file, folder, patience=patience).url == mirror.url(NAME)
    assert len(mirror.starts("slow")) == QUICK.attempts
    with pytest.raises(DownloadError, match=r"trickles: \d+ bytes in"):
        download(_file(mirror.url("slow")), folder / "other", patience=patience)


def test_a_slow_mirror_is_waited_for(mirror, content, folder):
    (mirror.folder / NAME).write_bytes(content[:20_000])
    mirror.always(NAME, Fault(bytes_per_second=20_000))
    patience = replace(QUICK, slowest=5000.0, window=0.2)
    assert download(_file(mirror.url(NAME)), folder, patience=patience).size == 20_000
    assert mirror.starts(NAME) == [0]


def test_a_mirror_that_always_cuts_at_the_same_place_is_given_up(mirror, content, folder):
    mirror.always(NAME, Fault(cut_after=1_000_000, ignore_range=True))
    with pytest.raises(DownloadError, match=r"cuts the connection|ends after"):
        _fetch(_file(mirror.url(NAME)), folder)
    assert len(mirror.requests) == QUICK.attempts + 1


def test_a_mirror_that_brings_little_each_time_is_given_up(mirror, content, folder):
    mirror.always(NAME, Fault(cut_after=100))
    with pytest.raises(DownloadError):
        _fetch(_file(mirror.url(NAME)), folder)
    assert len(mirror.requests) == QUICK.attempts


def test_busy_mirrors_are_asked_again_when_they_say(mirror, content, folder):
    mirror.once(NAME, Fault(status=503, retry_after="0.3"), Fault(status=429))
    patience = Patience(attempts=3, first_wait=0.01)
    start = time.monotonic()
    download(_file(mirror.url(NAME)), folder, patience=patience)
    assert time.monotonic() - start >= 0.3
    assert [r.status for r in mirror.requests] == [503, 429, 200]


def test_no_mirror_makes_us_wait_for_an_hour(mirror, content, folder):
    mirror.once(NAME, Fault(status=503, retry_after="3600"))
    start = time.monotonic()
    _fetch(_file(mirror.url(NAME)), folder)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("fault", "reason", "requests"),
    [
        (Fault(status=404), "answers 404 Not Found", 1),
        (Fault(status=403), "answers 403 Forbidden", 1),
        (Fault(status=503), "answers 503 Service Unavailable", QUICK.attempts),
        (PAGE_WITH_STATUS_200, "web page instead of the file", 1),
        (Fault(body=PAGE), "web page instead of the file", 1),
        (Fault(body=b"\n <html>" + bytes(SIZE - 8)), "web page instead of the file", 1),
        (Fault(body=_content(1)), "sends wrong bytes", 1),
        (Fault(body=_content(0, 10)), "has 10 bytes, published are 3000001", 1),
        (Fault(body=_content(1, SIZE + 5), has_length=False), "more than the published", 1),
        (Fault(stall_after=0), "stalls", QUICK.attempts),
    ],
)
def test_a_bad_mirror_makes_way_for_the_next(mirror, content, folder, fault, reason, requests):
    facts = {"sha256": _sha(content), "size": SIZE}
    (mirror.folder / "bad").write_bytes(content)
    mirror.always("bad", fault)
    with pytest.raises(DownloadError, match=reason) as failure:
        _fetch(_file(mirror.url("bad"), **facts), folder)
    assert str(folder / NAME) in str(failure.value)
    assert facts["sha256"] in str(failure.value)
    assert len([r for r in mirror.requests if r.name == "bad"]) == requests
    assert not (folder / NAME).exists()
    receipt = _fetch(_file(mirror.url("bad"), mirror.url(NAME), **facts), folder)
    assert receipt.url == mirror.url(NAME)
    assert (folder / NAME).read_bytes() == content


def test_when_all_are_dead_each_is_named_with_its_reason(mirror, folder, unused_port):
    dead = f"http://127.0.0.1:{unused_port}/x"
    mirror.always("page", PAGE_WITH_STATUS_200)
    urls = (mirror.url("missing"), mirror.url("page"), dead, "file:///nowhere/x")
    with pytest.raises(DownloadError) as failure:
        _fetch(_file(*urls), folder)
    message = str(failure.value)
    assert all(url in message for url in urls)
    reasons = ("404", "web page", "refused", "No such file")
    assert all(reason in message for reason in reasons), message
    assert f"put a file of your own at {folder / NAME}" in message


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_a_mirror_the_place_for_ones_own_file_is_named(folder):
    with pytest.raises(DownloadError, match="no public mirror") as failure:
        _fetch(_file(size=12), folder)
    assert f"your own (12 bytes) at {folder / NAME}" in str(failure.value)


def test_wrong_checksum_is_a_checksum_error_with_both_digests(mirror, content, folder):
    with pytest.raises(ChecksumError) as failure:
        _fetch(_file(mirror.url(NAME), sha256="0" * 64), folder)
    assert _sha(content) in str(failure.value)
    assert "0" * 64 in str(failure.value)
    assert len(mirror.requests) == 1


def _begins_well(path):
    if not path.read_bytes().startswith(_content()[:100]):
        raise DatasetError(f"{path} begins otherwise")


def test_a_mirror_of_other_content_makes_way_for_the_next(mirror, content, folder):
    mirror.always("bad", Fault(body=_content(1)))
    file = _file(mirror.url("bad"), mirror.url(NAME), check=_begins_well)
    with pytest.raises(DownloadError, match=f"something else: {NAME} begins otherwise"):
        _fetch(replace(file, urls=file.urls[:1]), folder)
    assert list(folder.iterdir()) == []
    assert _fetch(file, folder).url == mirror.url(NAME)
    assert (folder / NAME).read_bytes() == content
    assert [r.name for r in mirror.requests] == ["bad", "bad", NAME]


def test_a_part_that_turns_out_wrong_begins_anew_at_the_same_mirror(mirror, content, folder):
    _leave_part(mirror, folder)
    (folder / f".part-{NAME}").write_bytes(bytes(1_000_000))
    assert _fetch(_file(mirror.url(NAME), check=_begins_well), folder).size == SIZE
    assert (folder / NAME).read_bytes() == content
    assert mirror.starts(NAME) == [1_000_000, 0]


def test_a_file_of_ones_own_is_checked_and_left_alone(mirror, content, folder):
    folder.mkdir()
    (folder / NAME).write_bytes(b"mine")
    with pytest.raises(DownloadError, match="Put a right one there"):
        _fetch(_file(mirror.url(NAME), check=_begins_well), folder)
    assert (folder / NAME).read_bytes() == b"mine"
    assert read_receipt(folder, NAME) is None
    (folder / NAME).write_bytes(content)
    assert _fetch(_file(mirror.url(NAME), check=_begins_well), folder).url == ""


def test_pages_are_welcome_where_a_page_is_wanted(mirror, folder):
    mirror.always("page", PAGE_WITH_STATUS_200)
    receipt = _fetch(RemoteFile("licence.html", (mirror.url("page"),)), folder)
    assert receipt.size == len(PAGE)
    mirror.always("table", Fault(body=b"a,b\n1,2\n", content_type="text/html"))
    assert _fetch(RemoteFile("table.csv", (mirror.url("table"),)), folder).size == 8


def test_half_a_download_of_an_earlier_run_is_continued(mirror, content, folder):
    _leave_part(mirror, folder)
    seen = []
    receipt = _fetch(_file(mirror.url(NAME)), folder, progress=lambda *p: seen.append(p))
    assert (folder / NAME).read_bytes() == content
    assert receipt.sha256 == _sha(content)
    assert mirror.starts(NAME) == [1_000_000]
    assert mirror.requests[0].headers["If-Range"].startswith('"')
    assert seen[0][1] == SIZE


@pytest.mark.parametrize("fault", [Fault(), Fault(ignore_if_range=True)])
@pytest.mark.parametrize("size", [SIZE, SIZE - 7, SIZE + 7, 500_000])
def test_halves_of_two_versions_are_never_joined(mirror, content, folder, fault, size):
    _leave_part(mirror, folder)
    newer = _content(1, size)
    (mirror.folder / NAME).write_bytes(newer)
    mirror.always(NAME, fault)
    assert _fetch(_file(mirror.url(NAME)), folder).sha256 == _sha(newer)
    assert (folder / NAME).read_bytes() == newer


@pytest.mark.parametrize(
    "fault", [Fault(etag="", dated=False), Fault(etag='W/"weak"', dated=False)]
)
def test_a_version_without_a_name_is_not_continued_by_another_run(mirror, content, folder, fault):
    mirror.always(NAME, fault)
    mirror.once(NAME, replace(fault, cut_after=1_000_000), Fault(status=404))
    with pytest.raises(DownloadError):
        _fetch(_file(mirror.url(NAME)), folder)
    newer = _content(1)
    (mirror.folder / NAME).write_bytes(newer)
    assert _fetch(_file(mirror.url(NAME)), folder).sha256 == _sha(newer)


def test_a_weak_tag_is_never_sent_back(mirror, content, folder):
    mirror.always(NAME, Fault(etag='W/"weak"'))
    mirror.once(NAME, Fault(etag='W/"weak"', cut_after=500_000))
    _fetch(_file(mirror.url(NAME)), folder)
    assert mirror.starts(NAME) == [0, 500_000]
    assert mirror.requests[1].headers["If-Range"].endswith("GMT")


def test_another_mirror_continues_when_a_published_digest_decides(mirror, content, folder):
    (mirror.folder / "second").write_bytes(content)
    facts = {"sha256": _sha(content)}
    _leave_part(mirror, folder, **facts)
    _fetch(_file(mirror.url("second"), **facts), folder)
    assert mirror.starts("second") == [1_000_000]
    assert (folder / NAME).read_bytes() == content


def test_another_mirror_does_not_continue_without_a_published_digest(mirror, content, folder):
    (mirror.folder / "second").write_bytes(content)
    _leave_part(mirror, folder)
    _fetch(_file(mirror.url("second")), folder)
    assert mirror.starts("second") == [0]


def test_a_joined_file_with_the_wrong_digest_is_fetched_anew_once(mirror, content, folder):
    other = _content(1)
    facts = {"sha256": _sha(other)}
    _leave_part(mirror, folder, **facts)
    (mirror.folder / "second").write_bytes(other)
    _fetch(_file(mirror.url("second"), **facts), folder)
    assert mirror.starts("second") == [1_000_000, 0]
    assert (folder / NAME).read_bytes() == other


@pytest.mark.parametrize("facts", [{}, {"size": SIZE}])
def test_a_part_longer_than_the_file_is_dropped(mirror, content, folder, facts):
    _leave_part(mirror, folder)
    with (folder / f".part-{NAME}").open("ab") as part:
        part.write(bytes(SIZE))
    assert _fetch(_file(mirror.url(NAME), **facts), folder).sha256 == _sha(content)


@pytest.mark.parametrize("state", [None, b"", b"{", b"[]", b'{"url": 1}'])
def test_a_part_of_unknown_origin_is_dropped(mirror, content, folder, state):
    folder.mkdir()
    (folder / f".part-{NAME}").write_bytes(_content(9, 1000))
    if state is not None:
        (folder / f".part-{NAME}.json").write_bytes(state)
    assert _fetch(_file(mirror.url(NAME)), folder).sha256 == _sha(content)


def test_a_whole_part_needs_no_mirror(mirror, content, folder):
    _leave_part(mirror, folder)
    (folder / f".part-{NAME}").write_bytes(content)
    assert _fetch(_file(mirror.url(NAME)), folder).sha256 == _sha(content)
    assert mirror.requests == []


def test_a_damaged_part_is_found_by_the_published_digest(mirror, content, folder):
    facts = {"sha256": _sha(content)}
    _leave_part(mirror, folder, **facts)
    with (folder / f".part-{NAME}").open("r+b") as part:
        part.write(b"damaged")
    assert _fetch(_file(mirror.url(NAME), **facts), folder).sha256 == _sha(content)
    assert mirror.starts(NAME) == [1_000_000, 0]


@pytest.mark.parametrize("fault", [Fault(ignore_range=True), Fault(wrong_range=True)])
def test_a_mirror_that_cannot_continue_begins_anew(mirror, content, folder, fault):
    mirror.once(NAME, Fault(cut_after=1_000_000), fault)
    assert _fetch(_file(mirror.url(NAME)), folder).sha256 == _sha(content)


def test_a_short_body_is_noticed(mirror, content, folder):
    mirror.always(NAME, Fault(announce=SIZE + 10))
    with pytest.raises(DownloadError, match=r"no more bytes|cuts the connection"):
        _fetch(_file(mirror.url(NAME)), folder)


def test_an_interrupted_download_is_continued(mirror, content, folder):
    mirror.once(NAME, Fault(bytes_per_second=2_000_000))

    def interrupt(done, total):
        if done > 500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fetch(_file(mirror.url(NAME)), folder, progress=interrupt)
    assert _hidden(folder) == [f".part-{NAME}", f".part-{NAME}.json"]
    _fetch(_file(mirror.url(NAME)), folder)
    assert (folder / NAME).read_bytes() == content
    assert mirror.starts(NAME)[1] > 500_000


SCRIPT = """
import resource, sys
from pathlib import Path
from retrieval_core.download import RemoteFile, download
from retrieval_core.errors import StorageError

if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    receipt = download(RemoteFile("data.bin", (sys.argv[1],)), Path(sys.argv[2]))
    print(receipt.sha256)
except StorageError as error:
    print("StorageError", error)
"""


def _process(*arguments):
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_processes_fetch_a_file_once(mirror, content, folder):
    mirror.always(NAME, Fault(bytes_per_second=2_000_000))
    both = [_process(mirror.url(NAME), folder) for _ in range(2)]
    assert [p.communicate(timeout=60)[0].strip() for p in both] == [_sha(content)] * 2
    assert len(mirror.requests) == 1
    assert _hidden(folder) == []


def test_a_killed_process_leaves_what_it_had(mirror, content, folder):
    mirror.once(NAME, Fault(bytes_per_second=1_000_000))
    part = folder / f".part-{NAME}"
    killed = _process(mirror.url(NAME), folder)
    _wait_until(lambda: part.exists() and part.stat().st_size > 300_000)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (folder / NAME).exists()
    _fetch(_file(mirror.url(NAME)), folder)
    assert (folder / NAME).read_bytes() == content
    assert mirror.starts(NAME)[1] > 300_000
    assert _hidden(folder) == []


def test_a_full_disk_is_a_storage_error_and_what_came_is_kept(mirror, content, folder):
    limited = _process(mirror.url(NAME), folder, 1_500_000)
    output = limited.communicate(timeout=60)[0]
    assert output.startswith("StorageError")
    assert "make room and run again" in output
    assert (folder / f".part-{NAME}").stat().st_size > 1_000_000
    _fetch(_file(mirror.url(NAME)), folder)
    assert (folder / NAME).read_bytes() == content
    assert mirror.starts(NAME)[1] > 1_000_000


def test_a_file_larger_than_the_free_space_is_refused_at_once(mirror, folder):
    mirror.always(NAME, Fault(body=b"x", announce=1 << 60))
    with pytest.raises(StorageError, match="bytes free"):
        _fetch(_file(mirror.url(NAME)), folder)


def test_a_file_put_there_by_hand_is_taken(content, folder):
    folder.mkdir()
    (folder / NAME).write_bytes(content)
    receipt = _fetch(_file(sha256=_sha(content)), folder)
    assert (receipt.url, receipt.published, receipt.sha256) == ("", True, _sha(content))
    assert read_receipt(folder, NAME) == receipt


def test_a_wrong_file_put_there_by_hand_is_refused_and_kept(mirror, content, folder):
    folder.mkdir()
    (folder / NAME).write_bytes(b"mine")
    for facts in ({"sha256": _sha(content)}, {"size": SIZE}):
        with pytest.raises(ChecksumError, match="delete it"):
            _fetch(_file(mirror.url(NAME), **facts), folder)
    assert (folder / NAME).read_bytes() == b"mine"


def test_verify_compares_with_what_was_published_or_received(mirror, content, folder):
    file = _file(mirror.url(NAME))
    with pytest.raises(DownloadError, match="missing"):
        verify(file, folder)
    receipt = _fetch(file, folder)
    seen = []
    assert verify(file, folder, progress=lambda *p: seen.append(p)) == receipt
    assert seen[-1] == (SIZE, SIZE)
    assert verify(_file(sha256=_sha(content)), folder).published
    with pytest.raises(ChecksumError, match="published was"):
        verify(_file(sha256="0" * 64), folder)
    altered = bytearray(content)
    altered[SIZE // 2] ^= 1
    (folder / NAME).write_bytes(altered)
    with pytest.raises(ChecksumError, match="received was"):
        verify(file, folder)
    (folder / NAME).write_bytes(content[:-1])
    with pytest.raises(ChecksumError, match="received were"):
        _fetch(file, folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}'])
def test_an_unreadable_receipt_is_none(folder, text):
    folder.mkdir()
    (folder / f"{NAME}.receipt.json").write_text(text)
    assert read_receipt(folder, NAME) is None


@pytest.mark.parametrize("name", ["", "..", "../x", "/x", "a/b", "a\\b", ".part-x"])
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(DownloadError, match="plain file name"):
        RemoteFile(name, ("http://host/x",))


@pytest.mark.parametrize("url", ["ftp://host/x", "/x", "", "gopher://x"])
def test_unknown_protocols_are_refused(url):
    with pytest.raises(DownloadError, match="none of http, https, file"):
        RemoteFile("x", (url,))


def _many(mirror, count=6):
    files = []
    for number in range(count):
        name = f"{number}.bin"
        (mirror.folder / name).write_bytes(_content(number, 100_000 + number))
        files.append(RemoteFile(name, (mirror.url(name),), size=100_000 + number))
    return files


def test_many_files_arrive_at_once_in_their_order(mirror, folder):
    files, seen = _many(mirror), []
    receipts = download_all(
        files, folder, parallel=3, progress=lambda *p: seen.append(p), patience=QUICK
    )
    assert [r.name for r in receipts] == [f.name for f in files]
    total = sum(f.size for f in files)
    assert seen[-1] == (total, total)
    assert {t for _, t in seen} == {total}
    assert download_all([], folder) == []


def test_one_dead_file_does_not_stop_the_others(mirror, folder):
    files = _many(mirror)
    mirror.always("1.bin", Fault(status=404))
    mirror.always("4.bin", PAGE_WITH_STATUS_200)
    with pytest.raises(DownloadError) as failure:
        download_all(files, folder, patience=QUICK)
    message = str(failure.value)
    assert "1.bin" in message
    assert "4.bin" in message
    assert "2 files" in message
    there = {p.name for p in folder.glob("*.bin")}
    assert there == {"0.bin", "2.bin", "3.bin", "5.bin"}


def test_an_interrupt_stops_all_files(mirror, folder):
    script = """
        import json, sys
        from pathlib import Path
        from retrieval_core.download import RemoteFile, download_all
        urls = json.loads(sys.argv[1])
        files = [RemoteFile(f"{n}.bin", (url,)) for n, url in enumerate(urls)]
        try:
            download_all(files, Path(sys.argv[2]))
        except KeyboardInterrupt:
            print("interrupted")
    """
    files = _many(mirror)
    for file in files:
        mirror.always(file.name, Fault(bytes_per_second=20_000))
    urls = json.dumps([file.urls[0] for file in files])
    command = [sys.executable, "-c", textwrap.dedent(script), urls, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    _wait_until(lambda: len(mirror.requests) >= 4)
    os.kill(process.pid, signal.SIGINT)
    assert process.communicate(timeout=10)[0].strip() == "interrupted"
    assert not list(folder.glob("[!.]*"))


_FAULTS = st.sampled_from(
    [
        Fault(),
        Fault(cut_after=0),
        Fault(cut_after=70_000),
        Fault(cut_after=70_000, reset=True),
        Fault(cut_after=150_000, ignore_range=True),
        Fault(status=404),
        Fault(status=503, retry_after="0"),
        Fault(status=416),
        Fault(status=206),
        Fault(wrong_range=True),
        Fault(ignore_if_range=True),
        Fault(etag=""),
        Fault(etag="", dated=False, cut_after=90_000),
        Fault(announce=200_100),
        PAGE_WITH_STATUS_200,
    ]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    faults=st.lists(st.tuples(_FAULTS, st.booleans()), max_size=6),
    published=st.booleans(),
)
def test_whatever_happens_a_file_is_one_version_or_not_there(mirror, tmp_path, faults, published):
    versions = [_content(1, 200_000), _content(2, 200_000)]
    folder, version = Path(tempfile.mkdtemp(dir=tmp_path)), 0
    name = folder.name
    for fault, changes in [*faults, (Fault(), False)]:
        version ^= changes
        (mirror.folder / name).write_bytes(versions[version])
        mirror.once(name, fault)
        sha256 = _sha(versions[version]) if published else None
        file = RemoteFile("x", (mirror.url(name),), sha256=sha256)
        try:
            _fetch(file, folder)
            break
        except DownloadError:
            assert not (folder / "x").exists()
    assert (folder / "x").read_bytes() in versions
    assert read_receipt(folder, "x").sha256 == _sha((folder / "x").read_bytes())
    assert _hidden(folder) == []


def test_every_byte_is_hashed_once_and_none_is_read_back(mirror, content, folder, monkeypatch):
    _leave_part(mirror, folder)
    hashed, read = [], []
    update, opened = BackgroundDigest.update, Path.open

    def counted_update(digest, block):
        hashed.append(len(block))
        update(digest, block)

    def counted_open(path, mode="r", *args, **options):
        if "r" in mode and path.parent == folder:
            read.append(path.name)
        return opened(path, mode, *args, **options)

    monkeypatch.setattr(BackgroundDigest, "update", counted_update)
    monkeypatch.setattr(Path, "open", counted_open)
    mirror.once(NAME, *[Fault(cut_after=300_000)] * 3)
    _fetch(_file(mirror.url(NAME)), folder)
    assert sum(hashed) == SIZE
    assert [name for name in read if name in {NAME, f".part-{NAME}"}] == [f".part-{NAME}"]
    assert len(mirror.starts(NAME)) == 4
