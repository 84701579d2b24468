"""A run on a Ray cluster that is started as docs/cluster.md says."""

import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from driving import COMMAND, CONFIG

from flows.up.ports import chosen_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
PATIENCE = 400.0


def shell(command, home):
    """Run a block of the page by a user with a home of their own; return its process."""
    environment = {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with (home / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            ["bash", "-ec", command],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    process.wait(timeout=PATIENCE)
    assert process.returncode == 0, (home / "log.txt").read_text()
    return process


@contextmanager
def ended_with(processes):
    """End what some processes have left running, however the block is left."""
    try:
        yield
    finally:
        sessions = {process.pid for process in processes}
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) in sessions:
                    process.send_signal(signal.SIGKILL)
            except (psutil.Error, ProcessLookupError):
                continue


def test_a_cluster_finds_what_one_machine_finds(finished, undisturbed, make_workdir, tmp_path):
    together = make_workdir("c", template=finished[0])
    text = PAGE.read_text()
    for name, real in {
        "6399": str(chosen_port("127.0.0.1", 0)),
        "configs/how_lite0_demo.yaml": str(CONFIG),
        "--workdir workdir": f"--workdir {together.path}",
    }.items():
        text = text.replace(name, real)
    head, node, run = re.findall(r"```bash\n(.*?)```", text, re.S)
    started = []
    with ended_with(started):
        for block in (head, node, run):
            started.append(shell(block, tmp_path))
    found = together.rankings()
    assert undisturbed.keys() == found.keys()
    for name, ranking in undisturbed.items():
        np.testing.assert_array_equal(found[name], ranking)
