"""Where and on what the work runs; none of it changes a result, none of it enters a key."""

from pydantic import Field

from retrieval_core.config.base import Config


class RayConfig(Config):
    """The Ray cluster and a worker's share of it."""

    address: str | None = Field(None, description="of a running cluster; null starts a local one")
    workers: int = Field(0, ge=0, description="extraction workers; 0: one per GPU, else per core")
    gpus_per_worker: float = Field(
        1.0, ge=0, description="GPUs that each worker reserves, where the cluster has any"
    )
    training_workers: int = Field(1, ge=1, le=1, description="workers of the training job")


class RuntimeConfig(Config):
    """Orchestration settings."""

    ray: RayConfig = Field(RayConfig())
    experiment: str = Field("image-retrieval", min_length=1, description="MLflow experiment")
    retries: int = Field(1, ge=0, le=10, description="of a failed stage")
    timeout_hours: float = Field(72.0, gt=0, description="of one stage")
    register: bool = Field(True, description="register the trained network in MLflow")
