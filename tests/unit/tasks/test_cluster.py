import os
import tempfile
from pathlib import Path

import pytest
import ray

from retrieval_core.config import RayConfig
from retrieval_core.errors import ServiceError
from tasks.cluster import connect, disconnect


@pytest.mark.slow
def test_a_run_does_not_join_a_cluster_that_it_was_not_told_of(monkeypatch):
    disconnect()
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        # What `ray start` leaves behind, also when its cluster is long gone.
        Path(folder, "ray_current_cluster").write_text("192.0.2.1:6379")
        connect(RayConfig())
        try:
            assert ray.cluster_resources()["CPU"] == os.cpu_count()
        finally:
            disconnect()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:1"])
def test_a_cluster_that_does_not_answer_is_named(address):
    disconnect()
    with pytest.raises(ServiceError, match=rf"{address} \(runtime\.ray\.address\)"):
        connect(RayConfig(address=address))
