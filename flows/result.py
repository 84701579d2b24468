"""What a flow run leaves behind, as small references."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval_core.artifacts import ArtifactRef

if TYPE_CHECKING:
    from tasks.tracking import TrackedRun


@dataclass(frozen=True)
class FlowResult:
    """Addresses of what a flow built, by role, and of its MLflow run."""

    workdir: str
    run: "TrackedRun"
    artifacts: dict[str, list[ArtifactRef]]
