"""Which images a training step sees, and through which changes."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from retrieval_core.config.base import Config

Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class SamplingConfig(Config):
    """What a batch is made of."""

    kind: Literal["tuples", "classes", "triplets"] = Field(
        "tuples",
        description="mined tuples; P classes of K images each; or anchor, positive and negative "
        "at random, training.batch of them",
    )
    classes: int = Field(16, ge=2, le=4096, description="P, distinct classes of a batch")
    images: int = Field(
        4,
        ge=2,
        le=1024,
        description="K, distinct images of each; a class of fewer gives all it has, so that a "
        "class of one has no positive",
    )
    steps: int | None = Field(
        None,
        ge=1,
        description="batches of an epoch; null: training images / (P K) (kind classes; where "
        "classes have fewer than K, an epoch does not come to all images), or as many as have "
        "every image as an anchor once (kind triplets)",
    )
    mining: Literal["none", "global"] = Field(
        "none",
        description="'global' compares all training images with each other before every epoch: a "
        "batch of classes is then one class and those most often confused with it, and a "
        "triplet's negative one of the nearest images of another class",
    )
    neighbours: int = Field(
        10, ge=1, le=1000, description="nearest images of other classes that mining looks at"
    )


class AugmentationConfig(Config):
    """Changes of training images in labelled batches; mirroring is `training.flip`."""

    crop: bool = Field(
        True,
        description="a random part of the image, resized to a square; off: the whole image, as "
        "model.input has it",
    )
    side: int = Field(
        224,
        ge=32,
        le=2048,
        description="of a crop's square, pixels; less than model.input.size where the network "
        "takes any size: a crop shows things larger than the whole image does (arXiv 1906.06423)",
    )
    scale: Range = Field((0.2, 1.0), description="share of the image's area that a crop keeps")
    ratio: Range = Field((0.75, 1.3333), description="width by height of a crop, before resizing")
    brightness: float = Field(
        0.0, ge=0, le=1, description="random change of brightness, up to this share; 0: none"
    )
    contrast: float = Field(
        0.0, ge=0, le=1, description="random change of contrast, up to this share; 0: none"
    )
    saturation: float = Field(
        0.0, ge=0, le=1, description="random change of saturation, up to this share; 0: none"
    )
    hue: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="random turn of the hues, up to this share of the colour circle; 0: none",
    )

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for name in ("scale", "ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must ascend, not {low}..{high}")
        if self.scale[1] > 1:
            raise ValueError(f"scale must not exceed 1, not {self.scale[1]}")
        return self
