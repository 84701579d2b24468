import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial

import psutil
import pytest

from flows.up.health import answers
from flows.up.lock import only_one
from flows.up.ports import check_port, chosen_port
from flows.up.processes import end_all
from flows.up.services import MARK, Options, Service, services
from flows.up.supervisor import Supervisor
from retrieval_core.errors import ServiceError
from tasks.running import Running, read_running

HOST = "127.0.0.1"
SLEEPER = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


@pytest.fixture
def options(tmp_path):
    return Options(tmp_path, HOST, chosen_port(HOST, 0), chosen_port(HOST, 0), None, None)


def _service(options, name="worker", code=SLEEPER, check=lambda: True):
    environment = {**os.environ, MARK: str(options.root)}
    return Service(name, [sys.executable, "-c", code], environment, check)


def _alive(processes):
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def _below():
    return psutil.Process().children(recursive=True)


def test_services_start_are_noted_and_end_together(options):
    supervisor = Supervisor(options, [_service(options, "one"), _service(options, "two")])
    healthy, before = [], _below()
    with supervisor.running():
        assert not read_running(options.root).healthy
        assert supervisor.wait_until_healthy(healthy.append)
        assert healthy == ["one", "two"]
        running = read_running(options.root)
        assert running.healthy
        assert running.prefect == f"http://127.0.0.1:{options.prefect_port}"
        started = [process for process in _below() if process not in before]
        assert len(started) == 2
    assert not _alive(started)
    assert read_running(options.root) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_waiting(options, number):
    before = signal.getsignal(number)
    supervisor = Supervisor(options, [_service(options)])
    with supervisor.running():
        threading.Timer(0.3, partial(os.kill, os.getpid(), number)).start()
        supervisor.wait()
    assert signal.getsignal(number) == before


def test_a_signal_while_it_starts_ends_it(options):
    supervisor = Supervisor(options, [_service(options, check=lambda: False)])
    with supervisor.running():
        threading.Timer(0.3, partial(os.kill, os.getpid(), signal.SIGTERM)).start()
        assert not supervisor.wait_until_healthy(lambda name: None)


def test_a_service_that_dies_is_named_with_the_end_of_its_log(options):
    dying = _service(options, "two", "import sys; print('no memory'); sys.exit(3)")
    supervisor = Supervisor(options, [_service(options, "one"), dying])
    with pytest.raises(ServiceError) as error, supervisor.running():
        started = _below()
        supervisor.wait()
    assert "two has ended with status 3" in str(error.value)
    assert "no memory" in str(error.value)
    assert str(options.root / "logs" / "two.log") in str(error.value)
    assert not _alive(started)


def test_what_ignores_its_end_and_what_lost_its_parent_ends_too(options):
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", orphan], env={**os.environ, MARK: str(options.root)}
    )
    process.wait()
    deadline = time.monotonic() + 10
    while not (left := [p for p in psutil.process_iter() if _marked(p, options.root)]):
        assert time.monotonic() < deadline
    time.sleep(0.3)
    end_all(options.root)
    assert not _alive(left)


def _marked(process, root):
    try:
        return process.environ().get(MARK) == str(root)
    except psutil.Error:
        return False


def test_a_second_one_is_refused_with_the_addresses_of_the_first(options):
    supervisor = Supervisor(options, [_service(options)])
    with supervisor.running():
        other = [sys.executable, "-c", f"{_TRY.format(root=str(options.root))}"]
        output = subprocess.run(other, capture_output=True, text=True, check=True).stdout
    assert f"up already (process {os.getpid()})" in output
    assert options.prefect in output
    assert options.mlflow in output
    with only_one(options.root):
        pass


_TRY = """
from pathlib import Path
from flows.up.lock import only_one
from retrieval_core.errors import ServiceError
try:
    with only_one(Path({root!r})):
        pass
except ServiceError as error:
    print(error)
"""


def test_a_port_in_use_is_refused_with_its_holder_and_the_option(options):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ServiceError) as error:
            check_port("127.0.0.1", port, "--mlflow-port")
    assert f"port {port} is in use by process {os.getpid()}" in str(error.value)
    assert "--mlflow-port" in str(error.value)


def test_port_0_is_any_free_one_and_another_is_itself():
    check_port(HOST, chosen_port(HOST, 0), "--mlflow-port")
    assert chosen_port(HOST, 4200) == 4200
    with pytest.raises(ServiceError, match="--host"):
        chosen_port("203.0.113.7", 0)


def test_a_host_of_another_machine_is_refused():
    with pytest.raises(ServiceError, match="--host"):
        check_port("203.0.113.7", chosen_port(HOST, 0), "--prefect-port")
    with pytest.raises(ServiceError, match="--host"):
        check_port("no-such-host.invalid", chosen_port(HOST, 0), "--prefect-port")


def test_nothing_starts_where_both_ports_are_the_same(tmp_path):
    options = Options(tmp_path, "127.0.0.1", 4200, 4200, None, None)
    supervisor = Supervisor(options, [_service(options)])
    with pytest.raises(ServiceError, match="both 4200"), supervisor.running():
        pass
    assert not (tmp_path / "logs").exists()


def test_an_old_note_of_a_process_number_used_again_is_nothing(tmp_path):
    running = Running(os.getpid(), psutil.Process().create_time(), "a", "b", healthy=True)
    running.write(tmp_path)
    assert read_running(tmp_path) == running
    Running(os.getpid(), 1.0, "a", "b", healthy=True).write(tmp_path)
    assert read_running(tmp_path) is None
    (tmp_path / "up.json").write_text("{")
    assert read_running(tmp_path) is None


def test_health_is_false_where_nobody_answers():
    assert not answers(f"http://127.0.0.1:{chosen_port(HOST, 0)}/health")()


def test_services_listen_where_they_are_told_and_keep_their_state_in_the_work_directory(options):
    prefect, mlflow, worker = services(options)
    for service in (prefect, mlflow, worker):
        assert service.environment["RETRIEVAL_WORKDIR"] == str(options.root)
        assert service.environment["PREFECT_HOME"] == str(options.root / "prefect")
        assert "MLFLOW_TRACKING_URI" not in service.environment
    assert prefect.command[prefect.command.index("--host") + 1] == "127.0.0.1"
    assert f"sqlite:///{options.root}/mlflow.db" in mlflow.command
    assert worker.environment["PREFECT_API_URL"] == f"{options.prefect}/api"


@pytest.mark.parametrize(
    ("host", "url", "public"),
    [
        ("127.0.0.1", "http://127.0.0.1:4200", False),
        ("::1", "http://[::1]:4200", False),
        ("0.0.0.0", "http://127.0.0.1:4200", True),
        ("10.0.0.5", "http://10.0.0.5:4200", True),
    ],
)
def test_addresses(tmp_path, host, url, public):
    options = Options(tmp_path, host, 4200, 5000, None, None)
    assert options.prefect == url
    assert options.is_public == public
