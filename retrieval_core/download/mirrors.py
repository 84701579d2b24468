"""The places a file can come from."""

import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from retrieval_core.download.answers import Answer, MirrorError, Patience
from retrieval_core.download.http import ask_http


def ask(url: str, name: str, *, start: int, validator: str | None, patience: Patience) -> Answer:
    """Open a file at a mirror.

    Args:
        url: of the file; http, https or file.
        name: that the file gets here; tells whether a web page could be meant.
        start: the first byte wanted.
        validator: of the version whose bytes are wanted; another one is sent from its start.
        patience: with the mirror.

    Raises:
        MirrorError: it does not have the file, or not now.
    """
    if urlsplit(url).scheme == "file":
        return _open(url, start, validator)
    return ask_http(url, name, start=start, validator=validator, patience=patience)


def _open(url: str, start: int, validator: str | None) -> Answer:
    path = Path(urllib.request.url2pathname(urlsplit(url).path))
    try:
        stream = path.open("rb", buffering=0)
        facts = path.stat()
        current = f"{facts.st_mtime_ns}-{facts.st_size}"
        begin = start if start <= facts.st_size and validator in {None, current} else 0
        stream.seek(begin)
    except OSError as error:
        raise MirrorError(error.strerror or str(error)) from error
    return Answer(begin, facts.st_size, current, stream.read, stream.close)
