"""A web server over a folder that can be told to misbehave.

The fixture `mirror` of tests/conftest.py starts one:

    (mirror.folder / "a.zip").write_bytes(content)
    mirror.once("a.zip", Fault(cut_after=1000))     # the next answer only; several queue up
    mirror.always("a.zip", Fault(status=503))       # every answer that has no fault of its own
    download(RemoteFile("a.zip", (mirror.url("a.zip"),)), folder)
    mirror.requests                                 # what was asked and how it was answered
"""

import hashlib
import re
import socket
import struct
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

BLOCK = 1 << 16
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to go on</body></html>\n"


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer; several things may be.

    Attributes:
        status: answered instead, with a short page.
        retry_after: header sent along with it.
        body: bytes sent instead of the file's.
        content_type: instead of application/octet-stream.
        cut_after: bytes of the body after which the connection breaks.
        reset: it breaks by a reset, not by an orderly end.
        stall_after: bytes of the body after which nothing comes any more.
        bytes_per_second: at most.
        ignore_range: the whole file is sent, whatever was asked.
        ignore_if_range: the range is sent although the version is another one.
        wrong_range: another range is sent than the one asked for.
        etag: sent instead of the one made from the content; "" sends none.
        dated: whether Last-Modified is sent.
        announce: Content-Length sent instead of the true one.
        has_length: whether Content-Length is sent at all.
        redirect: another address, answered with status 302.
    """

    status: int | None = None
    retry_after: str | None = None
    body: bytes | None = None
    content_type: str = "application/octet-stream"
    cut_after: int | None = None
    reset: bool = False
    stall_after: int | None = None
    bytes_per_second: int | None = None
    ignore_range: bool = False
    ignore_if_range: bool = False
    wrong_range: bool = False
    etag: str | None = None
    dated: bool = True
    announce: int | None = None
    has_length: bool = True
    redirect: str | None = None


PAGE_WITH_STATUS_200 = Fault(body=PAGE, content_type="text/html; charset=utf-8", ignore_range=True)


@dataclass(frozen=True)
class Request:
    """What was asked and answered; `start` is the first byte sent."""

    name: str
    status: int
    start: int
    headers: dict[str, str]


class Mirror:
    """The server and its faults.

    Args:
        folder: whose files are served.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._once: dict[str, list[Fault]] = defaultdict(list)
        self._always: dict[str, Fault] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.mirror = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> "Mirror":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def url(self, name: str) -> str:
        """Address of a file of the folder, there or not."""
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def once(self, name: str, *faults: Fault) -> None:
        """Faults of the next answers, one each; later ones are good again."""
        self._once[name].extend(faults)

    def always(self, name: str, fault: Fault | None) -> None:
        """A fault of every further answer; None mends it."""
        self._always[name] = fault or Fault()

    def starts(self, name: str) -> list[int]:
        """First byte of each answer that had a body of the file."""
        return [r.start for r in self.requests if r.name == name and r.status in {200, 206}]

    def fault(self, name: str) -> Fault:
        """What is wrong with the answer that comes now."""
        with self._lock:
            queue = self._once[name]
            return queue.pop(0) if queue else self._always.get(name, Fault())


class _Server(ThreadingHTTPServer):
    mirror: Mirror
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = unquote(self.path.partition("?")[0].lstrip("/"))
        fault, path = self.server.mirror.fault(name), self.server.mirror.folder / name
        self.close_connection = True
        if fault.redirect is not None:
            self._plain(name, 302, {"Location": fault.redirect})
        elif fault.status is not None:
            wait = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._plain(name, fault.status, wait)
        elif fault.body is None and not path.is_file():
            self._plain(name, 404, {})
        else:
            self._file(name, path, fault)

    def _file(self, name: str, path: Path, fault: Fault) -> None:
        content = path.read_bytes() if fault.body is None else fault.body
        digest = hashlib.sha256(content).hexdigest()
        etag = f'"{digest[:16]}"' if fault.etag is None else fault.etag
        # a date that the content determines: tests change files within one second
        date = formatdate(int(digest[:7], 16), usegmt=True)
        start = self._start(fault, {etag, date})
        if start >= len(content) > 0 and start:
            self._plain(name, 416, {"Content-Range": f"bytes */{len(content)}"})
            return
        self._log(name, 206 if start else 200, start)
        self.send_response(206 if start else 200)
        if start:
            first = start - 1 if fault.wrong_range else start
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if etag:
            self.send_header("ETag", etag)
        if fault.dated:
            self.send_header("Last-Modified", date)
        self.send_header("Content-Type", fault.content_type)
        if fault.has_length:
            self.send_header("Content-Length", str(fault.announce or len(content) - start))
        self.send_header("Connection", "close")
        self.end_headers()
        self._body(memoryview(content)[start:], fault)

    def _start(self, fault: Fault, versions: set[str]) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if found is None or fault.ignore_range:
            return 0
        if condition is not None and condition not in versions and not fault.ignore_if_range:
            return 0
        return int(found[1])

    def _body(self, content: memoryview, fault: Fault) -> None:
        ends = [e for e in (fault.cut_after, fault.stall_after) if e is not None]
        sent, end = 0, min([len(content), *ends])
        step = min(BLOCK, (fault.bytes_per_second or 20 * BLOCK) // 20)
        while sent < end:
            block = content[sent : min(sent + step, end)]
            self.wfile.write(block)
            sent += len(block)
            if fault.bytes_per_second:
                time.sleep(len(block) / fault.bytes_per_second)
        self.wfile.flush()
        if fault.stall_after is not None:
            self.server.mirror.closing.wait(60)
        if fault.reset:
            # let what was sent arrive before the reset drops it
            time.sleep(0.05)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _plain(self, name: str, status: int, headers: dict[str, str]) -> None:
        self._log(name, status, 0)
        self.send_response(status)
        for key, value in {**headers, "Content-Length": "5", "Connection": "close"}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(b"sorry")

    def _log(self, name: str, status: int, start: int) -> None:
        self.server.mirror.requests.append(Request(name, status, start, dict(self.headers)))

    def log_message(self, *_: object) -> None:
        """Nothing on the console."""
