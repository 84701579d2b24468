"""The commands of a page that put a network behind HTTP."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from driving import COMMAND, CONFIG, PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TINY = json.dumps({"config": yaml.safe_load(CONFIG.read_text())})
PAGES = Path(__file__).parents[2] / "docs"
ENVIRONMENT = {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}


def blocks(page):
    text = (PAGES / page).read_text().replace("\\\n", " ")
    return re.findall(r"```bash\n(.*?)```", text, re.S)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@contextmanager
def serving(command, folder):
    """A command of a page, as long as the context lasts."""
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=ENVIRONMENT, start_new_session=True
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def ran(command, folder):
    return subprocess.run(
        ["bash", "-c", command],
        check=False,
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )


def answered(command, folder, server):
    """What a command prints, once it succeeds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = ran(command, folder)
        if done.returncode == 0:
            return done.stdout
        assert server.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.5)


@pytest.fixture
def made_real(finished, tmp_path):
    """The text of a page with the names of what is here."""
    workdir, _ = finished
    shutil.copy(next(iter(workdir.glob("dataset-*/images/**/*.jpg"))), tmp_path / "photo.jpg")
    names = {
        "workdir/mlflow.db": f"{workdir.path}/mlflow.db",
        "how_lite0_demo": "tiny",
        "5001": free_port(),
    }

    def replace(text):
        for name, real in names.items():
            text = text.replace(name, real)
        return text

    return replace


def test_a_registered_network_is_served(made_real, tmp_path):
    (block,) = (text for text in blocks("compare.md") if "models serve" in text)
    serve, ask = re.split(r"\n(?=curl)", made_real(block))
    with serving(serve, tmp_path) as server:
        answer = json.loads(answered(ask, tmp_path, server))
    (described,) = answer["predictions"]
    assert np.linalg.norm(described["descriptor"]) == pytest.approx(1, abs=1e-4)


def test_a_registered_network_is_loaded(made_real, tmp_path):
    (block,) = re.findall(r"```\n(import mlflow.*?)```", (PAGES / "compare.md").read_text(), re.S)
    done = subprocess.run(
        [sys.executable, "-c", made_real(block)],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_flows_are_deployed_on_a_server_elsewhere(finished, tmp_path, monkeypatch):
    """By the commands of the page; a worker runs one of them, of which all stages are there."""
    workdir, _ = finished
    shutil.copytree(workdir.path / "prefect", tmp_path / "prefect")
    port = free_port()
    for name, value in {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "RETRIEVAL_WORKDIR": str(workdir.path),
        # other tests count the runs of this work directory
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }.items():
        monkeypatch.setitem(ENVIRONMENT, name, value)
    create, deploy, work = re.findall(r"^prefect .*", (PAGES / "cluster.md").read_text(), re.M)
    run = f"prefect deployment run evaluate/evaluate --watch --params '{TINY}'"
    with serving(f"exec prefect server start --port {port}", tmp_path) as server:
        answered(f"curl -sf http://127.0.0.1:{port}/api/health", tmp_path, server)
        for command in (create, deploy):
            done = ran(command, PAGES.parent)
            assert done.returncode == 0, done.stdout + done.stderr
        with serving(f"exec {work}", tmp_path):
            done = ran(run, tmp_path)
    assert "Completed" in done.stdout, done.stdout + done.stderr
