"""The commands of a page that put a network behind HTTP."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from driving import COMMAND, PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

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


def test_a_registered_network_is_served(finished, tmp_path):
    workdir, _ = finished
    shutil.copy(next(iter(workdir.glob("dataset-*/images/**/*.jpg"))), tmp_path / "photo.jpg")
    (block,) = (text for text in blocks("compare.md") if "models serve" in text)
    for name, real in {
        "workdir/mlflow.db": f"{workdir.path}/mlflow.db",
        "how_lite0_demo": "tiny",
        "5001": free_port(),
    }.items():
        block = block.replace(name, real)
    serve, ask = re.split(r"\n(?=curl)", block)
    with serving(serve, tmp_path) as server:
        answer = json.loads(answered(ask, tmp_path, server))
    (described,) = answer["predictions"]
    assert np.linalg.norm(described["descriptor"]) == pytest.approx(1, abs=1e-4)
