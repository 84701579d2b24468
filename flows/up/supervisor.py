"""Starts the services together, watches them, and ends them together."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from flows.up.lock import only_one
from flows.up.ports import check_port
from flows.up.processes import end_all, end_below, start
from flows.up.services import WORKER, Options, Service
from retrieval_core.errors import ServiceError
from tasks.running import Running, forget_running

START_PATIENCE = 300.0
POLL_SECONDS = 0.2
LOG_TAIL = 25


class Supervisor:
    """The services of one work directory.

    Args:
        options: what the user chose.
        services: what to start.
    """

    def __init__(self, options: Options, services: Sequence[Service]) -> None:
        self.options = options
        self._services = services
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start everything; end everything however the block is left.

        Raises:
            ServiceError: they are up already, or cannot listen where they should.
        """
        root = self.options.root
        with only_one(root), self._signals():
            end_all(root)
            self._check_ports()
            try:
                self._start()
                yield
            finally:
                self._stop()

    def wait_until_healthy(self, on_healthy: Callable[[str], None]) -> bool:
        """Return when every service works, or was asked to stop.

        Args:
            on_healthy: called with the name of each as soon as it works.

        Returns:
            Whether all work.

        Raises:
            ServiceError: one has ended, or does not answer for long.
        """
        deadline = time.monotonic() + START_PATIENCE
        waiting = list(self._services)
        while waiting and not self._stopping.wait(POLL_SECONDS):
            self._check_alive()
            for service in [s for s in waiting if s.check()]:
                waiting.remove(service)
                on_healthy(service.name)
            if waiting and time.monotonic() > deadline:
                raise ServiceError(self._report(waiting[0].name, "does not answer"))
        if not waiting:
            replace(self._note(), healthy=True).write(self.options.root)
        return not waiting

    def wait(self) -> None:
        """Return when a signal asks to stop.

        Raises:
            ServiceError: a service has ended by itself.
        """
        while not self._stopping.wait(POLL_SECONDS):
            self._check_alive()

    @property
    def names(self) -> list[str]:
        """Of the services."""
        return [service.name for service in self._services]

    def log(self, name: str) -> Path:
        """Where a service writes."""
        return self.options.root / "logs" / f"{name}.log"

    def _check_ports(self) -> None:
        options = self.options
        if options.prefect_port == options.mlflow_port:
            raise ServiceError(
                f"--prefect-port and --mlflow-port are both {options.mlflow_port}: choose two"
            )
        check_port(options.host, options.prefect_port, "--prefect-port")
        check_port(options.host, options.mlflow_port, "--mlflow-port")

    def _start(self) -> None:
        (self.options.root / "logs").mkdir(exist_ok=True)
        self._note().write(self.options.root)
        for service in self._services:
            self._processes[service.name] = start(service, self.options.root / "logs")

    def _stop(self) -> None:
        """The worker first: while the servers are there, its run can say that it was ended."""
        if worker := self._processes.get(WORKER):
            end_below(worker.pid)
        end_all(self.options.root)
        forget_running(self.options.root)

    def _note(self) -> Running:
        process = psutil.Process(os.getpid())
        return Running(
            process.pid, process.create_time(), self.options.prefect, self.options.mlflow
        )

    def _check_alive(self) -> None:
        for name, process in self._processes.items():
            if (status := process.poll()) is not None:
                raise ServiceError(self._report(name, f"has ended with status {status}"))

    def _report(self, name: str, what: str) -> str:
        tail = self.log(name).read_text(errors="replace").splitlines()[-LOG_TAIL:]
        return "\n".join([f"{name} {what}; the end of {self.log(name)}:", *tail])

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C, `kill` and a closed terminal all mean: stop."""
        names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {n: signal.signal(n, lambda *_: self._stopping.set()) for n in names}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
