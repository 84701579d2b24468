"""The three services: how each is started, and how one sees that it works."""

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from flows.up.health import Check, answers, worker_polls

MARK = "RETRIEVAL_UP"
WORKER = "worker"
EVERYWHERE = ("0.0.0.0", "::")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Attributes:
        root: the work directory, absolute.
        host: name or address to listen on.
        prefect_port: of the Prefect server.
        mlflow_port: of the MLflow server.
        configs: directory of the configurations that the form offers; None: the project's.
        retrain: cron expression; None keeps the present schedule.
    """

    root: Path
    host: str
    prefect_port: int
    mlflow_port: int
    configs: Path | None
    retrain: str | None

    @property
    def prefect(self) -> str:
        """Address of the Prefect server for programs of this machine."""
        return _url(self.host, self.prefect_port)

    @property
    def mlflow(self) -> str:
        """Address of the MLflow server for programs of this machine."""
        return _url(self.host, self.mlflow_port)

    @property
    def is_public(self) -> bool:
        """Whether other machines can connect."""
        return self.host not in LOOPBACK


@dataclass(frozen=True)
class Service:
    """A process to start.

    Attributes:
        name: shown to the user; also of the log file.
        command: to run.
        environment: of the process.
        check: whether it does its work.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    check: Check


def services(options: Options) -> tuple[Service, ...]:
    """Prefect, MLflow and the worker."""
    return _prefect(options), _mlflow(options), _worker(options)


def _prefect(options: Options) -> Service:
    command = ["prefect", "server", "start", "--host", options.host]
    environment = _environment(
        options,
        # whatever name the browser knows this machine by, and no other page may call the API
        PREFECT_UI_API_URL="/api",
        PREFECT_SERVER_CORS_ALLOWED_ORIGINS=options.prefect,
    )
    return Service(
        "prefect",
        [sys.executable, "-m", *command, "--port", str(options.prefect_port)],
        environment,
        answers(f"{options.prefect}/api/health"),
    )


def _mlflow(options: Options) -> Service:
    root = options.root
    command = ["mlflow", "server", "--host", options.host, "--port", str(options.mlflow_port)]
    command += ["--backend-store-uri", f"sqlite:///{root}/mlflow.db", "--workers", "1"]
    command += ["--default-artifact-root", f"file://{root}/mlflow-artifacts"]
    environment = _environment(options, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    if options.is_public:
        environment["MLFLOW_SERVER_ALLOWED_HOSTS"] = _host_names(options)
    return Service(
        "mlflow",
        [sys.executable, "-m", *command],
        environment,
        answers(f"{options.mlflow}/health"),
    )


def _worker(options: Options) -> Service:
    command = [sys.executable, "-m", "flows.serving"]
    if options.retrain:
        command += ["--retrain", options.retrain]
    environment = _environment(
        options,
        PREFECT_API_URL=f"{options.prefect}/api",
        PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="INFO",
    )
    if options.configs:
        environment["RETRIEVAL_CONFIGS"] = str(options.configs)
    return Service(WORKER, command, environment, worker_polls(f"{options.prefect}/api"))


def _environment(options: Options, **settings: str) -> dict[str, str]:
    """The surroundings with all state in the work directory, whatever the shell says."""
    inherited = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    places = {
        MARK: str(options.root),
        "RETRIEVAL_WORKDIR": str(options.root),
        "PREFECT_HOME": str(options.root / "prefect"),
        "PYTHONUNBUFFERED": "1",
    }
    return {**inherited, **places, **settings}


def _host_names(options: Options) -> str:
    """Names that a browser on another machine may know this one by."""
    names = {options.host, socket.gethostname(), socket.getfqdn(), *LOOPBACK}
    names -= set(EVERYWHERE)
    patterns = ["10.*", "192.168.*", *(f"172.{n}.*" for n in range(16, 32))]
    return ",".join([*sorted(names), *(f"{name}:*" for name in sorted(names)), *patterns])


def _url(host: str, port: int) -> str:
    name = "127.0.0.1" if host in EVERYWHERE else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
