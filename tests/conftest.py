"""Fixtures for every test."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


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
