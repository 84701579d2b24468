"""What a flow run leaves behind, as small references."""

from dataclasses import dataclass
from typing import Self

from prefect.futures import PrefectFuture, wait

from retrieval_core.artifacts import ArtifactRef
from tasks.context import RunContext
from tasks.tracking import TrackedRun


@dataclass(frozen=True)
class FlowResult:
    """Addresses of what a flow built, by role, and of its MLflow run."""

    workdir: str
    run: TrackedRun
    artifacts: dict[str, list[ArtifactRef]]

    @classmethod
    def of(cls, context: RunContext, **futures: list[PrefectFuture[ArtifactRef]]) -> Self:
        """Wait for all futures, then resolve them; the first failure is raised."""
        wait([future for group in futures.values() for future in group])
        artifacts = {name: [f.result() for f in group] for name, group in futures.items()}
        return cls(context.workdir, context.run, artifacts)
