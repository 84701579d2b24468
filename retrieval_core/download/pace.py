"""Whether a mirror's bytes come fast enough to wait for the rest of them."""

import time
from collections.abc import Iterator

from retrieval_core.download.answers import MirrorError, Patience


def steady(blocks: Iterator[bytes], patience: Patience) -> Iterator[bytes]:
    """The same blocks for as long as they do not trickle; only the waiting for them is timed.

    Args:
        blocks: of a mirror's answer, each taken as soon as it is there.
        patience: its `window` and `slowest`.

    Raises:
        MirrorError: less than `slowest` bytes per second came while `window` seconds were waited.
    """
    waited, received = 0.0, 0
    while True:
        start = time.monotonic()
        block = next(blocks, None)
        if block is None:
            return
        waited += time.monotonic() - start
        received += len(block)
        yield block
        if waited >= patience.window:
            if received < patience.slowest * waited:
                raise MirrorError(f"trickles: {received} bytes in {waited:.0f} s", again=True)
            waited, received = 0.0, 0
