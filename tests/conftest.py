"""Fixtures for every test."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mirror import Mirror

PROJECT = Path(__file__).parent.parent


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: a shell's background jobs, and theirs, ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _shared(name: str) -> Path:
    data = os.environ.get("RETRIEVAL_SHARED_DATA")
    root = Path(data).parent if data else PROJECT.parent / "shared"
    if not (root / name).exists():
        pytest.skip(f"{root / name} is absent: set RETRIEVAL_SHARED_DATA to its data folder")
    return root / name


@pytest.fixture(scope="session")
def shared_parity() -> Path:
    """Outputs of the official implementations."""
    return _shared("parity")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photographs and weights."""
    return _shared("data")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """A web server over an empty folder that can be told to misbehave."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with Mirror(folder) as served:
        yield served
