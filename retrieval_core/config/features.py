"""How images become descriptors on disk."""

from typing import Annotated

from pydantic import Field

from retrieval_core.config.base import Config

# at the smallest scale, an image of 8 pixels, the narrowest that is read, still has one
Scale = Annotated[float, Field(ge=0.125, le=4)]


class FeaturesConfig(Config):
    """Multi-scale extraction, sharded."""

    image_size: int = Field(1024, ge=32, le=8192, description="longest side that is read, pixels")
    scales: tuple[Scale, ...] = Field(
        (2.0, 1.414, 1.0, 0.707, 0.5, 0.353, 0.25),
        min_length=1,
        description="of local descriptors; factors of image_size",
    )
    max_features: int = Field(1_000, ge=1, description="strongest local descriptors of an image")
    global_scales: tuple[Scale, ...] = Field(
        (1.0,), min_length=1, description="of the global descriptor; factors of image_size"
    )
    global_power: Annotated[float, Field(gt=0)] | None = Field(
        1.0,
        description="exponent of the mean over global_scales; null: that of the network's own "
        "pooling where it is GeM and nothing follows it, else 1, as cirtorch does",
    )
    batch_size: int = Field(8, ge=1, le=4096, description="images of one size per forward pass")
    shard_size: int = Field(64, ge=1, description="images per shard, the unit of resumption")
    max_excluded: float = Field(
        0.01, ge=0, le=1, description="share of unreadable images above which the stage fails"
    )
