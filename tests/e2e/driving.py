"""The `retrieval` command in a process of its own, and the work directory that it fills."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from retrieval_core.artifacts import ArtifactStore
from retrieval_core.search.ranking import Ranking

CONFIG = Path(__file__).parent / "tiny.yaml"
COMMAND = Path(sys.executable).parent / "retrieval"
PATIENCE = 480.0  # less than the limit of a test, which would hide the output


@dataclass
class Driver:
    """A running `retrieval` command; it prints into a file, since orphans would hold a pipe."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait(self, status: int = 0, patience: float = PATIENCE) -> str:
        """Everything it printed; it must have ended with the status, within so many seconds."""
        self.process.wait(timeout=patience)
        output = self.log.read_text()
        assert self.process.returncode == status, output
        return output

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Until something happens, checked ten times a second, while it runs."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.1)

    def descendants(self, word: str) -> list[psutil.Process]:
        """Processes below it whose command line holds a word."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if word in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.Error:
                continue
        return found

    def kill(self) -> None:
        """Kill -9 of the driver alone; what it started finds out by itself."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Workdir:
    """A work directory and what is in it."""

    path: Path

    def start(self, *arguments: str, cwd: Path | None = None, **environment: str) -> Driver:
        """Start a command on this work directory."""
        command = [str(COMMAND), *arguments, "--workdir", str(self.path)]
        log = self.path / f"output-{uuid.uuid4().hex}.txt"
        inherited = {k: v for k, v in os.environ.items() if k != "RETRIEVAL_WORKDIR"}
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=cwd,
                env={**inherited, **environment},
            )
        return Driver(process, log)

    def run(self, *overrides: str) -> str:
        """Run the tiny pipeline to its end and return what it printed."""
        return self.start("run", str(CONFIG), *overrides).wait()

    def glob(self, pattern: str) -> list[Path]:
        """Files below the artifacts."""
        return sorted((self.path / "artifacts").glob(pattern))

    def manifests(self, kind: str) -> list:
        """Manifests of the finished artifacts of a kind."""
        return [m for m in ArtifactStore(self.path / "artifacts").list() if m.kind == kind]

    def rankings(self) -> dict[str, np.ndarray]:
        """Ranked ids per network and descriptor."""
        return {
            m.label: Ranking.load(self.glob(f"scores-*-{m.key}")[0], "ranking").ids
            for m in self.manifests("scores")
        }
