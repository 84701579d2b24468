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
def finished(make_workdir):
    """A work directory with an undisturbed run, and what the run printed."""
    workdir = make_workdir("w")
    return workdir, workdir.run()
