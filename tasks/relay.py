"""Numbers on their way from a worker process to the process that owns the MLflow run."""

import contextvars
import threading
from collections.abc import Callable
from typing import Any, Self

from ray.util.queue import Empty, Queue

POLL_SECONDS = 0.5


class Relay:
    """Calls a function in this process for every event that a worker puts into `inlet`.

    Args:
        receive: called with each event, in order, from one thread.
    """

    def __init__(self, receive: Callable[[dict[str, Any]], None]) -> None:
        self._receive = receive
        self._closing = threading.Event()
        # in the stage's context, so that its progress is known to belong to its task run
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._drain,), daemon=True)
        self.inlet = Queue(actor_options={"num_cpus": 0})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        self.inlet.shutdown()

    def _drain(self) -> None:
        while True:
            try:
                self._receive(self.inlet.get(timeout=POLL_SECONDS))
            except Empty:
                if self._closing.is_set():
                    return
