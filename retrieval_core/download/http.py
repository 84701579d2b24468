"""Files over HTTP."""

import re
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

import urllib3

from retrieval_core.download.answers import (
    Answer,
    MirrorError,
    Patience,
    RangeError,
    check_type,
    in_words,
)
from retrieval_core.download.times import seconds_to_wait

_HEADERS = {"User-Agent": "image-retrieval-pipeline", "Accept-Encoding": "identity"}
_BUSY = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def ask_http(
    url: str, name: str, *, start: int, validator: str | None, patience: Patience
) -> Answer:
    """Open a file at a web server; arguments and errors as of `ask`."""
    response = _request(url, _headers(start, validator), patience)
    try:
        _check_status(response, patience)
        check_type(response.headers.get("Content-Type", ""), name)
        return _answer(response, start)
    except MirrorError:
        response.close()
        raise


def _headers(start: int, validator: str | None) -> dict[str, str]:
    if start == 0:
        return _HEADERS
    wanted = {**_HEADERS, "Range": f"bytes={start}-"}
    return {**wanted, "If-Range": validator} if validator else wanted


def _request(url: str, headers: Mapping[str, str], patience: Patience) -> urllib3.BaseHTTPResponse:
    redirects = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=8)
    timeout = urllib3.Timeout(connect=patience.connect, read=patience.read)
    try:
        return _pool(url).request(
            "GET",
            url,
            headers=headers,
            retries=redirects,
            timeout=timeout,
            preload_content=False,
        )
    except urllib3.exceptions.MaxRetryError as error:
        reason = error.reason or error
        final = isinstance(reason, urllib3.exceptions.SSLError | urllib3.exceptions.ResponseError)
        raise MirrorError(in_words(reason), again=not final) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise MirrorError(in_words(error)) from error


def _pool(url: str) -> urllib3.PoolManager:
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()


def _check_status(response: urllib3.BaseHTTPResponse, patience: Patience) -> None:
    status = response.status
    if status == 416:
        raise RangeError("has no more bytes than were received")
    if status in _BUSY:
        wait = seconds_to_wait(response.headers.get("Retry-After"), patience.longest_wait)
        raise MirrorError(_status_in_words(response), again=True, wait=wait)
    if status not in {200, 206}:
        raise MirrorError(_status_in_words(response))


def _answer(response: urllib3.BaseHTTPResponse, start: int) -> Answer:
    begin, total = 0, _number(response.headers.get("Content-Length"))
    if response.status == 206:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if start == 0 or found is None or int(found[1]) != start:
            raise RangeError("sends another range than the one asked for")
        begin, total = start, _number(found[2])
    return Answer(
        start=begin,
        total=total,
        validator=_validator(response.headers),
        read=lambda size: response.read1(size, decode_content=False),
        close=response.close,
    )


def _validator(headers: Mapping[str, str]) -> str | None:
    tag = headers.get("ETag")
    # a weak tag also stands for bytes that differ: HTTP forbids it in If-Range
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _status_in_words(response: urllib3.BaseHTTPResponse) -> str:
    return f"answers {response.status} {response.reason or ''}".rstrip()
