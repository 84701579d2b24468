"""What `retrieval up` serves, and what `prefect deploy` deploys elsewhere, is the same."""

from pathlib import Path

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule

from flows.serving import DAILY, DEPLOYMENTS, RETRAIN, deployment

PROJECT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def described():
    page = yaml.safe_load((PROJECT / "deployments" / "prefect.yaml").read_text())
    return {entry["name"]: entry for entry in page["deployments"]}


def test_names_are_the_same(described):
    assert list(described) == [served.name for served in DEPLOYMENTS]


@pytest.mark.parametrize("served", DEPLOYMENTS, ids=lambda s: s.name)
def test_flow_parameters_schedule_and_description_are_the_same(served, described):
    entry, made = described[served.name], deployment(served)
    module, name = entry["entrypoint"].removesuffix(f":{served.flow.fn.__name__}"), served.flow.name
    assert made.entrypoint == f"{module.removesuffix('.py').replace('/', '.')}.{name}"
    assert made.description == entry["description"]
    assert made.parameters == entry.get("parameters", {})
    crons = [schedule.schedule.cron for schedule in made.schedules]
    assert crons == [schedule["cron"] for schedule in entry.get("schedules", [])]


def test_the_retraining_is_scheduled_as_asked():
    served = next(s for s in DEPLOYMENTS if s.name == RETRAIN)
    assert [s.schedule for s in deployment(served).schedules] == [CronSchedule(cron=DAILY)]
    weekly = deployment(served, cron="30 2 * * 1")
    assert [s.schedule for s in weekly.schedules] == [CronSchedule(cron="30 2 * * 1")]


def test_without_the_demo_the_first_configuration_is_retrained(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRIEVAL_CONFIGS", str(tmp_path))
    served = next(s for s in DEPLOYMENTS if s.name == RETRAIN)
    assert deployment(served).parameters == {}
    (tmp_path / "b.yaml").touch()
    (tmp_path / "a.yaml").touch()
    assert deployment(served).parameters == {"config": {"extends": "a"}}
