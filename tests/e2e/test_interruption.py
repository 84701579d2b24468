"""Kill -9 of any process at any point: the next run goes on, and ends in the same ranking."""

import subprocess

import numpy as np
import pytest
from driving import CONFIG

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def _assert_same_rankings(workdir, expected):
    rankings = workdir.rankings()
    assert rankings.keys() == expected.keys()
    for label, ranking in rankings.items():
        np.testing.assert_array_equal(ranking, expected[label], err_msg=label)


def _finished_shards(workdir):
    return {p: p.stat().st_mtime_ns for p in workdir.glob("feats-*/reports/*.json")}


def test_a_killed_driver_loses_neither_epochs_nor_shards(
    finished, undisturbed, make_workdir, sessions
):
    workdir = make_workdir("d", template=finished[0])

    driver = workdir.start("run", str(CONFIG))
    sessions.append(driver.process.pid)
    driver.wait_for(lambda: workdir.glob("model-*/checkpoints/epoch-0001/state.json"))
    driver.kill()
    shards = _finished_shards(workdir)

    driver = workdir.start("run", str(CONFIG))
    sessions.append(driver.process.pid)
    driver.wait_for(lambda: len(_finished_shards(workdir)) > len(shards) + 2)
    driver.kill()
    kept = _finished_shards(workdir)

    workdir.run()
    assert kept.items() <= _finished_shards(workdir).items()
    _assert_same_rankings(workdir, undisturbed)


def test_killed_workers_are_replaced_within_the_run(finished, undisturbed, make_workdir, sessions):
    workdir = make_workdir("k", template=finished[0])
    driver = workdir.start("run", str(CONFIG))
    sessions.append(driver.process.pid)

    driver.wait_for(lambda: workdir.glob("model-*/checkpoints/epoch-0001/state.json"))
    for worker in driver.descendants("RayTrainWorker"):
        worker.kill()
    driver.wait_for(lambda: driver.descendants("ray::Worker"))
    driver.descendants("ray::Worker")[0].kill()

    driver.wait()
    _assert_same_rankings(workdir, undisturbed)


def test_a_killed_prefect_server_costs_at_most_the_run(
    finished, undisturbed, make_workdir, sessions
):
    workdir = make_workdir("p", template=finished[0])
    driver = workdir.start("run", str(CONFIG), PREFECT_CLIENT_MAX_RETRIES="1")
    sessions.append(driver.process.pid)
    driver.wait_for(lambda: _finished_shards(workdir))
    for server in driver.descendants("prefect.server"):
        server.kill()
    try:
        driver.process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        driver.kill()

    workdir.run()
    _assert_same_rankings(workdir, undisturbed)
