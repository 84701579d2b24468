"""`retrieval up`: started once for all these tests, which build on each other in order."""

import json
import re
import shlex
import signal
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from browsing import RunForm, browser_page, installed_browser
from driving import CONFIG, PATIENCE, Driver, Workdir
from mlflow import MlflowClient

from tasks.running import read_running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Services:
    """The services of a work directory and how they are started again."""

    workdir: Workdir
    arguments: list[str]
    driver: Driver
    prefect: str
    mlflow: str

    def call(self, path, body=None):
        """Answer of the Prefect server."""
        request = urllib.request.Request(
            f"{self.prefect}/api{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def deployment(self, name):
        """One deployment, by name."""
        found = self.call("/deployments/filter", {})
        return next(d for d in found if d["name"] == name)

    def submit(self, name, config):
        """Start a run as the form does."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return self.call(path, {"parameters": {"config": config}, "enforce_parameter_schema": True})

    def finished(self, run_id):
        """The run, when it has ended."""
        deadline = time.monotonic() + PATIENCE
        while (run := self.call(f"/flow_runs/{run_id}"))["state"]["type"] not in ENDED:
            assert time.monotonic() < deadline, run["state"]
            time.sleep(0.5)
        return run

    def processes(self):
        """All that `retrieval up` has started."""
        return [p for p in psutil.process_iter() if _mark(p) == str(self.workdir.path)]


def _mark(process):
    try:
        return process.environ().get("RETRIEVAL_UP")
    except (psutil.Error, OSError):
        return None


def _free_ports():
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _start(workdir, arguments, sessions):
    driver = workdir.start("up", *arguments)
    sessions.append(driver.process.pid)
    driver.wait_for(lambda: (up := read_running(workdir.path)) and up.healthy)
    return driver


@pytest.fixture(scope="module")
def services(make_workdir, tmp_path_factory, sessions):
    configs = tmp_path_factory.mktemp("c")
    tiny = yaml.safe_load(CONFIG.read_text())
    tiny["training"]["epochs"] = 0
    (configs / "tiny.yaml").write_text(yaml.safe_dump(tiny))
    (configs / "other.yaml").write_text("{extends: tiny.yaml, name: other}")
    prefect, mlflow = _free_ports()
    page = (PROJECT / "docs" / "screens.md").read_text()
    asked = " ".join(re.findall(r"^retrieval up (.+)$", page, re.M))
    asked = asked.replace("4300", str(prefect)).replace("5100", str(mlflow))
    arguments = ["--configs", str(configs), *shlex.split(asked)]
    workdir = make_workdir("u")
    driver = _start(workdir, arguments, sessions)
    address = "http://127.0.0.1:"
    services = Services(workdir, arguments, driver, address + str(prefect), address + str(mlflow))
    yield services
    services.driver.process.terminate()
    services.driver.process.wait(timeout=PATIENCE)


def test_three_services_are_healthy_and_their_addresses_printed(services):
    services.driver.wait_for(lambda: "Ctrl-C" in services.driver.log.read_text())
    assert services.prefect in services.driver.log.read_text()
    for address in (f"{services.prefect}/api/health", f"{services.mlflow}/health"):
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert answer.status == 200
    found = {d["name"]: d for d in services.call("/deployments/filter", {})}
    names = "pipeline extract index distractors evaluate retrain"
    assert found.keys() == set(names.split())
    assert all(d["status"] == "READY" for d in found.values())
    assert found["retrain"]["schedules"][0]["schedule"]["cron"] == "30 2 * * 1-5"
    assert found["retrain"]["parameters"] == {"config": {"extends": "other"}}


def test_only_this_machine_can_connect(services):
    ports = {int(url.rpartition(":")[2]) for url in (services.prefect, services.mlflow)}
    listening = [
        connection
        for process in services.processes()
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert ports <= {connection.laddr.port for connection in listening}
    assert {connection.laddr.ip for connection in listening} <= {"127.0.0.1", "::1"}


FILLED_IN = {
    "extends": "tiny",
    "name": "by-hand",
    "asmk": {"binary": False},
    "features": {"scales": [1]},
    "evaluation": {"bootstrap": 10},
}
# the browser sends a section that has fields of free keys even where nobody filled them in
SENT_EMPTY = {"training": {"loss": {"library": {}}}}


def _filled_in_form(services):
    with browser_page() as page:
        form = RunForm(page, services.prefect, services.deployment("evaluate")["id"])
        form.choose("Extends", value="tiny")
        form.fill("Name", value="by-hand")
        form.choose("Asmk", "Binary", value="false")
        form.add("Features", "Scales", value=1)
        form.fill("Evaluation", "Bootstrap", value=10)
        return form.submit()


def test_a_run_from_the_browser_form_ends_well(services):
    if installed_browser():
        status, answer = _filled_in_form(services)
        assert status == 201
        assert answer["parameters"]["config"] == {**FILLED_IN, **SENT_EMPTY}
    else:
        answer = services.submit("evaluate", FILLED_IN)
    run = services.finished(answer["id"])
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["name"] == "by-hand"
    assert services.workdir.manifests("scores")
    runs = _mlflow_runs(services, "by-hand")
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert runs[0].data.params["asmk.binary"] == "False"
    assert runs[0].data.params["model.dim"] == "32"
    assert 0 < runs[0].data.metrics["untrained/asmk/map_medium"] <= 1


@pytest.mark.skipif(not installed_browser(), reason="needs playwright and an installed browser")
def test_a_value_out_of_range_is_refused_in_the_form(services):
    with browser_page() as page:
        form = RunForm(page, services.prefect, services.deployment("pipeline")["id"])
        form.choose("Extends", value="tiny")
        form.fill("Dataset", "Demo", "Views", value=3)
        status, _ = form.submit()
        assert status == 409
        assert "dataset.demo.views" in form.message()
        assert "3 is less than the minimum of 200" in form.message()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"asmk": {"alpha": 0}}, "config.asmk.alpha"),
        ({"asmk": {"alfa": 1}}, "'alfa' was unexpected"),
        ({"extends": "absent"}, "not one of ['other', 'tiny']"),
    ],
)
def test_bad_settings_are_refused_before_a_run_exists(services, config, message):
    with pytest.raises(urllib.error.HTTPError) as refusal:
        services.submit("pipeline", config)
    assert refusal.value.code == 409
    assert message in refusal.value.read().decode()


def test_a_second_up_on_the_work_directory_is_refused(services):
    output = _joined(services.workdir.start("up", "--prefect-port", "1").wait(status=2))
    assert "up already" in output
    assert services.prefect in output
    assert str(services.driver.process.pid) in output


def test_a_port_in_use_is_refused_with_its_holder_and_the_option(services, make_workdir):
    port = services.mlflow.rpartition(":")[2]
    driver = make_workdir("v").start("up", "--mlflow-port", port, "--prefect-port", "0")
    output = _joined(driver.wait(status=2))
    assert f"port {port} is in use" in output
    assert "--mlflow-port" in output
    assert "mlflow" in output


def test_a_run_in_the_shell_shows_in_the_same_ui(services):
    config = services.arguments[1] + "/tiny.yaml"
    services.workdir.start("datasets", "prepare", config, "name=in-the-shell").wait()
    runs = services.call("/flow_runs/filter", {"flow_runs": {"name": {"any_": ["in-the-shell"]}}})
    assert [run["state"]["type"] for run in runs] == ["COMPLETED"]


def test_after_kill_9_the_next_up_ends_what_is_left_and_has_everything(services, sessions):
    run = services.submit("extract", {"extends": "tiny", "name": "cut", "seed": 1})
    path = f"/flow_runs/{run['id']}"
    services.driver.wait_for(lambda: services.call(path)["state"]["type"] == "RUNNING")
    left = services.processes()
    services.driver.kill()
    assert read_running(services.workdir.path) is None

    services.driver = _start(services.workdir, services.arguments, sessions)
    assert not [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    state = services.finished(run["id"])["state"]
    assert state["type"] == "CRASHED"
    names = {r["name"] for r in services.call("/flow_runs/filter", {})}
    assert {"in-the-shell", "cut"} <= names
    assert services.deployment("retrain")["schedules"][0]["schedule"]["cron"] == "30 2 * * 1-5"


def test_ctrl_c_ends_everything_also_a_run(services):
    run = services.submit("extract", {"extends": "tiny", "seed": 2})
    path = f"/flow_runs/{run['id']}"
    services.driver.wait_for(lambda: services.call(path)["state"]["type"] == "RUNNING")
    assert len(services.processes()) > 3
    services.driver.process.send_signal(signal.SIGINT)
    services.driver.wait(status=0)
    assert services.processes() == []
    assert read_running(services.workdir.path) is None


def _mlflow_runs(services, name):
    client = MlflowClient(f"sqlite:///{services.workdir.path}/mlflow.db")
    experiment = client.get_experiment_by_name("image-retrieval")
    return client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")


def _joined(output):
    return re.sub(r"\s+", " ", output)
