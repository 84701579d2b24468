"""Images decoded ahead of the network and grouped into batches of one size."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from PIL.Image import Image

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.data.images import load_image
from retrieval_core.errors import ImageError

T = TypeVar("T")


@dataclass(frozen=True)
class Decoded:
    """An image, or why there is none, and the seconds that decoding took."""

    row: ImageRow
    image: Image | ImageError
    seconds: float


def decode_ahead(
    rows: Sequence[ImageRow],
    *,
    image_size: int,
    threads: int,
    ahead: int,
) -> Iterator[Decoded]:
    """Images in the order of their rows, decoded by a thread pool while the caller works.

    Args:
        rows: images to read; a query box is cropped.
        image_size: longest side of the uncropped image, pixels.
        threads: size of the pool, >= 1.
        ahead: most images that are decoded and not yet taken, >= 1; bounds the memory.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    pending: deque[Future[Decoded]] = deque()
    try:
        for row in rows:
            pending.append(pool.submit(_decode, row, image_size))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def in_windows(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Consecutive lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while window := list(islice(iterator, size)):
        yield window


def batches_by(
    items: Sequence[T], key: Callable[[T], object], batch_size: int
) -> Iterator[list[int]]:
    """Positions of items of equal key, at most `batch_size` at a time.

    The order depends on the items alone, so that a second run forms the same batches and with
    them the same sums in the same order.
    """
    groups: dict[object, list[int]] = {}
    for position, item in enumerate(items):
        groups.setdefault(key(item), []).append(position)
    for group in groups.values():
        yield from in_windows(group, batch_size)


def _decode(row: ImageRow, image_size: int) -> Decoded:
    started = time.perf_counter()
    image: Image | ImageError
    try:
        image = load_image(row.path, image_size=image_size, box=row.box)
    except ImageError as error:
        image = error
    return Decoded(row, image, time.perf_counter() - started)
