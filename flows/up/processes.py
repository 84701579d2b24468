"""Starting processes, and ending them with everything that they started."""

import os
import signal
import subprocess
from pathlib import Path

import psutil

from flows.up.services import MARK, Service

PATIENCE = 4.0


def start(service: Service, logs: Path) -> subprocess.Popen[bytes]:
    """Start a service in a session of its own, so that Ctrl-C reaches only this process."""
    with (logs / f"{service.name}.log").open("ab") as stream:
        return subprocess.Popen(
            service.command,
            env=service.environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end_below(pid: int) -> None:
    """End a process and all that it started."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    _end([process, *_children(process)])


def end_all(root: Path) -> None:
    """End every process that was started for a work directory, also by a dead `retrieval up`."""
    _end(_marked(root))
    _end(_marked(root))


def _end(processes: list[psutil.Process]) -> None:
    """Ask them to end, give them time for it, and then make them."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=PATIENCE)


def _marked(root: Path) -> list[psutil.Process]:
    """Processes with the mark in their environment, and all below them.

    The mark is inherited, also by what leaves its session or loses its parent; processes that
    write their title over their environment are found below those that do not.
    """
    marked = [p for p in psutil.process_iter() if _environment(p).get(MARK) == str(root)]
    below = {child for process in marked for child in _children(process)}
    return [p for p in {*marked, *below} if p.pid != os.getpid()]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return
