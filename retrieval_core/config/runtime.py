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
    images_per_partition: int = Field(
        5_000, ge=1, description="database images that a worker indexes at a time"
    )
    queries_per_partition: int = Field(
        500, ge=1, description="queries that a worker searches with at a time"
    )
    training_workers: int = Field(1, ge=1, le=1, description="workers of the training job")


class RuntimeConfig(Config):
    """Orchestration settings."""

    ray: RayConfig = Field(RayConfig())
    experiment: str = Field(
        "image-retrieval", min_length=1, description="MLflow experiment of the runs"
    )
    retries: int = Field(1, ge=0, le=10, description="further attempts of a failed stage")
    timeout_hours: float = Field(72.0, gt=0, description="longest time of one stage, hours")
    register_model: bool = Field(True, description="register the trained network in MLflow")
