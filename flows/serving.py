"""The worker of `retrieval up`: keeps the deployments registered and runs what they are asked for.

    python -m flows.serving --retrain "0 3 * * *"

It serves the Prefect server at `$PREFECT_API_URL`, on the work directory `$RETRIEVAL_WORKDIR`.
"""

import argparse
import asyncio
import time
from dataclasses import dataclass
from typing import Any

from prefect import Flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from flows.distractors import distractors
from flows.evaluate import evaluate
from flows.experiment import configs_directory, read_configs
from flows.extract import extract
from flows.index import index
from flows.pipeline import pipeline

RETRAIN = "retrain"
DAILY = "0 3 * * *"
RETRAIN_CONFIG = "how_lite0_demo"
SERVER_PATIENCE = 120.0
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Served:
    """A flow that can be started from the browser."""

    name: str
    flow: Flow[..., Any]
    description: str


DEPLOYMENTS = (
    Served("pipeline", pipeline, "The whole DAG, from photographs to a scored index."),
    Served("extract", extract, "Descriptors of the test images with the trained network."),
    Served("index", index, "The indexes of the database images."),
    Served("distractors", distractors, "The indexes of the distractors alone."),
    Served("evaluate", evaluate, "Scores of the trained network."),
    Served(RETRAIN, pipeline, "The whole DAG on a schedule; what has not changed is reused."),
)


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--retrain", help="cron expression; default: as it was, at first daily")
    asyncio.run(serve(parser.parse_args().retrain))


async def serve(cron: str | None) -> None:
    """Register the deployments and run what is asked for, one run at a time.

    Args:
        cron: new schedule of the retraining; None keeps the present one.
    """
    async with get_client() as client:
        await _wait_for_server(client)
        # every run takes all cores, and runs of one experiment would build the same artifacts
        runner = Runner(limit=1, pause_on_shutdown=False, query_seconds=POLL_SECONDS)
        for served in DEPLOYMENTS:
            known = await _known(client, served)
            await runner.aadd_deployment(deployment(served, known, cron))
            if known:
                await _close_abandoned(client, known)
    await runner.start()


def deployment(
    served: Served, known: DeploymentResponse | None = None, cron: str | None = None
) -> RunnerDeployment:
    """A deployment as it is registered; what a user changed in the browser stays.

    Args:
        served: its flow.
        known: as it was registered before, if it was.
        cron: new schedule, for the retraining.
    """
    made = RunnerDeployment.from_flow(
        served.flow,
        name=served.name,
        description=served.description,
        paused=known.paused if known else False,
        parameters=known.parameters if known else _parameters(served),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    made.schedules = [*_schedules(served, known, cron)]
    return made


def _parameters(served: Served) -> dict[str, Any]:
    """What a scheduled run needs: nobody fills in a form for it."""
    if served.name != RETRAIN:
        return {}
    offered, _ = read_configs(configs_directory())
    if not offered:
        return {}
    chosen = RETRAIN_CONFIG if RETRAIN_CONFIG in offered else offered[0]
    return {"config": {"extends": chosen}}


def _schedules(
    served: Served, known: DeploymentResponse | None, cron: str | None
) -> list[DeploymentScheduleCreate]:
    if served.name == RETRAIN and (cron or not known):
        return [DeploymentScheduleCreate(schedule=CronSchedule(cron=cron or DAILY), active=True)]
    kept = known.schedules if known else []
    fields = {"schedule", "active", "parameters", "slug"}
    return [DeploymentScheduleCreate(**{f: getattr(s, f) for f in fields}) for s in kept]


async def _wait_for_server(client: PrefectClient) -> None:
    """Return once the server answers; it starts at the same time as this process."""
    deadline = time.monotonic() + SERVER_PATIENCE
    while error := await client.api_healthcheck():
        if time.monotonic() > deadline:
            raise error
        await asyncio.sleep(0.2)


async def _known(client: PrefectClient, served: Served) -> DeploymentResponse | None:
    try:
        return await client.read_deployment_by_name(f"{served.flow.name}/{served.name}")
    except ObjectNotFound:
        return None


async def _close_abandoned(client: PrefectClient, known: DeploymentResponse) -> None:
    """End the runs that an earlier worker was killed in the middle of."""
    types = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    runs = await client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[known.id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types))
        ),
    )
    for run in runs:
        message = "The services were stopped during this run; run it again to go on."
        await client.set_flow_run_state(run.id, Crashed(message=message), force=True)


if __name__ == "__main__":
    main()
