"""Stage: images and ground truth become a catalogue."""

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef
from retrieval_core.config import DatasetConfig
from retrieval_core.data.catalogue import Split
from retrieval_core.data.identity import dataset_identity
from retrieval_core.data.prepare import prepare_dataset
from tasks.context import RunContext
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 1


@task(name="prepare", task_run_name="prepare {config.kind}", tags=["data"], **STAGE_OPTIONS)
def prepare(
    context: RunContext, config: DatasetConfig, needs: tuple[Split, ...] = ("test",)
) -> State[ArtifactRef]:
    """Make or check the dataset; its key covers the images' names, sizes and times.

    Args:
        context: surroundings of the run.
        config: which dataset.
        needs: splits that may not be empty.
    """
    stage = Stage(
        name=f"prepare {config.kind}",
        kind="dataset",
        label=config.kind,
        version=VERSION,
        config={**dataset_identity(config), "needs": needs},
        inputs={},
    )

    def build(run: StageRun) -> Outcome:
        prepared = prepare_dataset(config, run.directory, progress=run.progress, needs=needs)
        catalogue = prepared.catalogue
        counts = {f"{s}_images": len(catalogue.split(s)) for s in ("train", "val", "test")}
        return Outcome(
            counts={**counts, "queries": len(catalogue.truth)},
            notes={"name": catalogue.name, "digest": prepared.digest},
            excluded=prepared.excluded,
        )

    return run_stage(context, stage, build)
