"""The services that run on a work directory, as `retrieval up` writes them down."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

CLOCK_SLACK = 1.0


@dataclass(frozen=True)
class Running:
    """One `retrieval up`.

    Attributes:
        pid: of the supervising process.
        created: when that process began, seconds since the epoch: a pid alone is used again.
        prefect: address of the Prefect server.
        mlflow: address of the MLflow server.
        healthy: whether all services have answered.
    """

    pid: int
    created: float
    prefect: str
    mlflow: str
    healthy: bool = False

    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        try:
            return abs(psutil.Process(self.pid).create_time() - self.created) < CLOCK_SLACK
        except psutil.Error:
            return False

    def write(self, root: Path) -> None:
        """Keep this in the work directory."""
        temporary = _path(root).with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(_path(root))


def read_running(root: Path) -> Running | None:
    """The services that are up on a work directory; None if there are none."""
    try:
        running = Running(**json.loads(_path(root).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return running if running.is_alive() else None


def forget_running(root: Path) -> None:
    """Take the note away when the services have ended."""
    _path(root).unlink(missing_ok=True)


def _path(root: Path) -> Path:
    return root / "up.json"
