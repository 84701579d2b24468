"""A download beside a plain loop that reads from the same server and writes to a file.

The plain loop computes no checksum and is lost at the first disconnect; `download` hashes, keeps a
receipt and goes on. Server and client are two processes on this machine; the ways take turns, so
that a change of the machine's speed meets all of them.

    python benchmarks/download.py --megabytes 1024 --repeats 7
"""

import argparse
import json
import multiprocessing
import os
import re
import socket
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from retrieval_core.download import RemoteFile, download

RESULTS = Path(__file__).parent / "results" / "download.json"
DISCONNECTS = 10
BLOCK = 1 << 20


def main() -> None:
    """Measure every way, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write(folder / "served", options.megabytes)
        seconds = _measure(folder, options.megabytes << 20, options.repeats)
    results = {name: _summary(name, seconds, options.megabytes) for name in seconds}
    report = {"options": {"megabytes": options.megabytes, "repeats": options.repeats}, **results}
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    _print(results)


def _measure(folder: Path, size: int, repeats: int) -> dict[str, list[float]]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(
        target=_serve, args=(listener, folder / "served"), daemon=True
    )
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    cut = size // (DISCONNECTS + 1) + 1
    ways: dict[str, Callable[[], None]] = {
        "plain": lambda: _plain(f"{url}/whole", folder / "plain"),
        "download": lambda: _download(f"{url}/whole", folder / "ours", size),
        "ten_disconnects": lambda: _download(f"{url}/cut/{cut}", folder / "ours", size),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            # the first round warms up
            if repeat:
                seconds[name].append(time.perf_counter() - start)
            _clear(folder)
    server.terminate()
    return seconds


def _plain(url: str, target: Path) -> None:
    with urllib.request.urlopen(url) as response, target.open("wb") as file:
        while block := response.read(BLOCK):
            file.write(block)


def _download(url: str, folder: Path, size: int) -> None:
    receipt = download(RemoteFile("file", (url,)), folder)
    if receipt.size != size:
        raise SystemExit(f"{receipt.size} bytes arrived instead of {size}")


def _serve(listener: socket.socket, path: Path) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection, path), daemon=True).start()


def _answer(connection: socket.socket, path: Path) -> None:
    request, size = connection.recv(1 << 16), path.stat().st_size
    cut = re.match(rb"GET /cut/(\d+)", request)
    wanted = re.search(rb"Range: bytes=(\d+)-", request)
    start = int(wanted[1]) if wanted else 0
    status = "206 Partial Content" if wanted else "200 OK"
    headers = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {size - start}",
        'ETag: "1"',
        "Connection: close",
        *([f"Content-Range: bytes {start}-{size - 1}/{size}"] if wanted else []),
    ]
    connection.sendall("\r\n".join([*headers, "", ""]).encode())
    with path.open("rb") as file, suppress(OSError):
        connection.sendfile(file, start, min(size - start, int(cut[1])) if cut else None)
    connection.close()


def _write(path: Path, megabytes: int) -> None:
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(BLOCK))
        os.fsync(file.fileno())


def _clear(folder: Path) -> None:
    for path in [folder / "plain", *folder.glob("ours/*"), *folder.glob("ours/.*")]:
        path.unlink(missing_ok=True)


def _summary(name: str, seconds: dict[str, list[float]], megabytes: int) -> dict[str, float]:
    ratios = [s / p for s, p in zip(seconds[name], seconds["plain"], strict=True)]
    median = statistics.median(seconds[name])
    return {
        "seconds": median,
        "megabytes_per_second": megabytes / median,
        "times_the_plain_loop": statistics.median(ratios),
    }


def _print(results: dict[str, dict[str, float]]) -> None:
    table = Table("way", "seconds", "MB/s", "times the plain loop")
    for name, r in results.items():
        table.add_row(name, *(f"{value:.2f}" for value in r.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
