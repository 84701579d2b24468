"""What a run says of the licence of what it downloads."""

import logging
import warnings
from pathlib import Path

import pytest

from retrieval_core.config import BenchmarkConfig, DatasetConfig
from tasks import prepare

LOGGER = logging.getLogger("test")


def _config(**changes: object) -> DatasetConfig:
    benchmark = BenchmarkConfig.model_validate({"name": "roxford5k", **changes})
    return DatasetConfig(kind="benchmark", benchmark=benchmark)


@pytest.fixture(autouse=True)
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVAL_WORKDIR", str(tmp_path))


def test_a_restricted_licence_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.warns(UserWarning, match="restricted licence of roxford5k: .*research only"):
        prepare._tell_licence(_config(), LOGGER)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "research only" in record.getMessage()


def test_another_licence_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with warnings.catch_warnings(action="error"):
        prepare._tell_licence(_config(name="landmarks-v2-clean"), LOGGER)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "CC BY" in record.getMessage()


def test_nothing_is_told_where_nothing_is_downloaded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    with warnings.catch_warnings(action="error"):
        prepare._tell_licence(_config(download=False), LOGGER)
        prepare._tell_licence(DatasetConfig(kind="demo"), LOGGER)
        monkeypatch.setattr(prepare, "benchmark_state", lambda config: "whole")
        prepare._tell_licence(_config(), LOGGER)
    assert caplog.records == []
