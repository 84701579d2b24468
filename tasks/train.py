"""Stage: the network learns, as a Ray Train job that goes on from its last finished epoch."""

import os
import warnings
from dataclasses import asdict
from typing import Any

import ray
import torch
from prefect import get_run_logger, task
from prefect.client.schemas.objects import State
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, load_manifest
from retrieval_core.config import RayConfig, TrainingConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.errors import RetrievalError
from retrieval_core.models import load_model
from retrieval_core.training import CollapseWarning
from retrieval_core.training.loop import train
from tasks.cluster import connect, resource
from tasks.context import RunContext
from tasks.relay import Relay
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 2
WORKER_RESTARTS = 3
WARNINGS = "warnings"
"""The note of a trained network that says what was wrong with its epochs."""


@task(name="train", tags=["ray", "training"], **STAGE_OPTIONS)
def train_network(
    context: RunContext,
    config: TrainingConfig,
    initial: ArtifactRef,
    dataset: ArtifactRef,
    seed: int,
) -> State[ArtifactRef]:
    """Fine-tune the initial network; metrics of every epoch go to MLflow as they come."""
    settings = config.model_dump(mode="json", exclude={"dataset", "max_excluded", "cache_gb"})
    stage = Stage(
        name="train",
        kind="model",
        label=load_manifest(initial.uri).label.rpartition("-")[0],
        version=VERSION,
        config={"training": settings, "seed": seed},
        inputs={"initial": initial, "dataset": dataset},
    )

    def build(run: StageRun) -> Outcome:
        connect(context.runtime.ray)
        receiver = _Receiver(run)
        with Relay(receiver) as relay:
            job = {
                "model": initial.uri,
                "dataset": dataset.uri,
                "directory": run.directory.uri,
                "config": config,
                "seed": seed,
                "relay": relay.inlet,
            }
            _run_job(job, context, stage.ref(context).key)
        if receiver.error:
            raise receiver.error
        report = run.directory.read_json("history.json")
        counts = {"epochs": len(report["history"]) - 1, "best_epoch": report["best_epoch"]}
        receiver.catch_up(report["history"])
        metrics = _last_metrics(report["history"])
        warned = [text for epoch in report["history"] for text in epoch.get("warnings", [])]
        notes = {WARNINGS: "\n".join(warned)} if warned else {}
        return Outcome(counts=counts, metrics=metrics, excluded=report["excluded"], notes=notes)

    return run_stage(context, stage, build)


def _run_job(job: dict[str, Any], context: RunContext, key: str) -> None:
    trainer = TorchTrainer(
        _worker_loop,
        train_loop_config=job,
        scaling_config=_scaling(context.runtime.ray),
        run_config=RunConfig(
            name=key,
            storage_path=f"{context.workdir}/ray-train",
            failure_config=FailureConfig(max_failures=WORKER_RESTARTS),
        ),
    )
    trainer.fit()


def _scaling(config: RayConfig) -> ScalingConfig:
    use_gpu = resource("GPU") >= config.training_workers
    return ScalingConfig(
        num_workers=config.training_workers, use_gpu=use_gpu, resources_per_worker={"CPU": 1}
    )


def _worker_loop(job: dict[str, Any]) -> None:
    """Train; a user's error is reported instead of raised, since no restart would mend it."""
    config: TrainingConfig = job["config"]
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    device = "cuda" if ray.get_gpu_ids() else "cpu"
    tell = job["relay"].put
    try:
        train(
            load_model(job["model"], device=device),
            Catalogue.load(job["dataset"]),
            config,
            ArtifactDirectory(job["directory"]),
            seed=job["seed"],
            on_epoch=lambda report: tell({"epoch": asdict(report)}),
            on_step=lambda step, steps, loss: tell({"step": (step, steps)}),
        )
    except RetrievalError as error:
        tell({"error": error})


class _Receiver:
    """Takes the worker's events: progress, epochs for MLflow, and a user's error."""

    def __init__(self, run: StageRun) -> None:
        self._run = run
        self._logger = get_run_logger()
        self._logged: set[int] = set()
        self.error: RetrievalError | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        if "step" in event:
            self._run.progress(*event["step"])
        elif "epoch" in event:
            self.catch_up([event["epoch"]])
        else:
            self.error = event["error"]

    def catch_up(self, history: list[dict[str, Any]]) -> None:
        """Log epochs that are not in this MLflow run, such as those before an interruption."""
        for epoch in history:
            if epoch["epoch"] not in self._logged:
                self._warn(epoch.get("warnings", []))
                self._run.tracked.log_metrics(_epoch_metrics(epoch), step=epoch["epoch"])
                self._logged.add(epoch["epoch"])

    def _warn(self, texts: list[str]) -> None:
        for text in texts:
            self._logger.warning(text)
            # logs go to the server; people at the terminal have to know, too
            warnings.warn(text, CollapseWarning, stacklevel=2)


def _epoch_metrics(report: dict[str, Any]) -> dict[str, float]:
    skipped = {"epoch"}
    numbers = {k: v for k, v in report.items() if k not in skipped and v is not None}
    return {k: float(v) for k, v in numbers.items() if isinstance(v, int | float)}


def _last_metrics(epochs: list[dict[str, Any]]) -> dict[str, float]:
    return {f"last_{name}": value for name, value in _epoch_metrics(epochs[-1]).items()}
