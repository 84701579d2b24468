"""What every stage needs besides its inputs; none of it changes a result or enters a key."""

from dataclasses import dataclass

from retrieval_core.artifacts import ArtifactStore
from retrieval_core.config import RuntimeConfig
from tasks.tracking import TrackedRun


@dataclass(frozen=True)
class RunContext:
    """The surroundings of one pipeline run.

    Attributes:
        workdir: local directory for state that is not an artifact.
        run: the MLflow run that every stage is a child of.
        runtime: orchestration settings.
    """

    workdir: str
    run: TrackedRun
    runtime: RuntimeConfig

    @property
    def store(self) -> ArtifactStore:
        """Where artifacts live."""
        return ArtifactStore(f"{self.workdir}/artifacts")
