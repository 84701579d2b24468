import os
import tempfile
import threading
import time
from pathlib import Path

import pytest
import ray

from retrieval_core.config import RayConfig
from retrieval_core.errors import ServiceError
from tasks import cluster
from tasks.cluster import cluster_scope, connect, disconnect, map_on_workers


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


@pytest.mark.slow
def test_a_cluster_lasts_longer_than_the_thread_that_asked_for_it():
    disconnect()
    with cluster_scope():
        flow = threading.Thread(target=connect, args=[RayConfig()])
        flow.start()
        flow.join()
        # Linux would end the cluster within milliseconds of its thread
        time.sleep(1)
        assert ray.get(ray.put("alive"), timeout=30) == "alive"
        assert ray.cluster_resources()["CPU"] == os.cpu_count()


@pytest.mark.slow
def test_runs_inside_one_scope_share_the_cluster_and_its_workers(monkeypatch):
    class Named:
        def pid(self):
            return os.getpid()

    def process_of(worker, _):
        return worker.pid.remote()

    monkeypatch.setattr(cluster, "Worker", Named)
    disconnect()
    with cluster_scope():
        with cluster_scope():
            first = set(map_on_workers(RayConfig(workers=1), process_of, [0]))
            node = ray.get_runtime_context().get_node_id()
        again = RayConfig(workers=1, queries_per_partition=7)
        assert set(map_on_workers(again, process_of, [0])) == first
        assert not first & set(map_on_workers(RayConfig(workers=2), process_of, [0, 1]))
        assert ray.get_runtime_context().get_node_id() == node
    assert not ray.is_initialized()
