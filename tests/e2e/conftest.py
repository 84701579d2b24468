"""Whole pipeline runs through the installed command."""

import os
import shutil
import signal

import pytest
from driving import Workdir


@pytest.fixture(scope="session")
def sessions():
    """Process groups to end when the tests do, for servers that outlive a killed driver."""
    started: list[int] = []
    yield started
    for group in started:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.fixture(scope="session")
def make_workdir(tmp_path_factory):
    def make(name, template=None):
        workdir = Workdir(tmp_path_factory.mktemp(name))
        if template is not None:
            # a new Prefect database takes seconds that no test is about
            shutil.copytree(template.path / "prefect", workdir.path / "prefect")
        return workdir

    return make


@pytest.fixture(scope="session")
def first_run(make_workdir):
    """A work directory with an undisturbed run, what the run printed, and its rankings.

    Other runs may follow in the same work directory.
    """
    workdir = make_workdir("w")
    return workdir, workdir.run(), workdir.rankings()


@pytest.fixture(scope="session")
def finished(first_run):
    """The work directory with an undisturbed run, and what the run printed."""
    return first_run[:2]


@pytest.fixture(scope="session")
def undisturbed(first_run):
    """Rankings of the undisturbed run."""
    return first_run[2]
