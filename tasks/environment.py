"""The process's surroundings: set before the orchestration libraries are imported, and recorded."""

import os
import platform
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from retrieval_core.errors import StorageError
from tasks.running import read_running

PACKAGES = ("torch", "torchvision", "timm", "faiss-cpu", "numpy", "prefect", "ray", "mlflow")
LONGEST_RAY_PATH = 40


def prepare_environment(workdir: str | Path) -> Path:
    """Keep all state in one directory and all libraries quiet; call before importing prefect.

    Values that are already set win, so that a configured server or cluster is used; else the
    server of `retrieval up`, if it is up on this directory.

    Args:
        workdir: created if absent; deleting it resets everything.

    Returns:
        The absolute work directory.

    Raises:
        StorageError: nothing can be written there.
    """
    root = Path(workdir).expanduser().resolve()
    _make_writable(root)
    defaults = {
        "RETRIEVAL_WORKDIR": str(root),
        "PREFECT_HOME": str(root / "prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_TMPDIR": _ray_directory(root),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_UV_AUTO_DETECT": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MPLCONFIGDIR": str(root / "cache" / "matplotlib"),
        "NUMBA_CACHE_DIR": str(root / "cache" / "numba"),
    }
    if (services := read_running(root)) and services.healthy:
        defaults["PREFECT_API_URL"] = f"{services.prefect}/api"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    return root


def describe_environment() -> dict[str, str]:
    """Versions of Python and the main packages, the platform and the git commit."""
    packages = {name: _version(name) for name in PACKAGES}
    known = {name: value for name, value in packages.items() if value}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": str(os.cpu_count()),
        "git_commit": _git_commit(),
        **known,
    }


def _make_writable(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()
    except OSError as error:
        raise StorageError(
            f"cannot write to the work directory {root} ({error.strerror}): choose another "
            "with --workdir"
        ) from None


def _ray_directory(root: Path) -> str:
    """Ray's sockets live below its directory, and a socket's path has at most 107 bytes."""
    inside = str(root / "ray")
    return inside if len(inside) <= LONGEST_RAY_PATH else tempfile.gettempdir()


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        return ""


def _git_commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        source = Path(__file__).parent
        found = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
