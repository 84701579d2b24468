"""How the network learns."""

from typing import Literal, Self

from pydantic import Field, model_validator

from retrieval_core.config.base import Config
from retrieval_core.config.dataset import DatasetConfig
from retrieval_core.config.loss import AuxiliaryConfig, LibraryLossConfig, PointToSetConfig
from retrieval_core.config.sampling import AugmentationConfig, SamplingConfig


class LossConfig(Config):
    """The training objective over tuples, over labelled batches, or over triplets."""

    kind: Literal[
        "contrastive",
        "triplet",
        "super_feature",
        "batch_hard_triplet",
        "point_to_set",
        "triplet_margin",
        "library",
    ] = Field(
        "contrastive",
        description="which objective: the first three on tuples (super_feature needs method fire), "
        "triplet_margin on triplets drawn at random, the others on labelled batches",
    )
    margin: float = Field(
        0.8,
        ge=0,
        description="distance kept from negatives: 0.8 HOW, 0.85 GeM, 1.1 FIRe, 0.1 CGD; "
        "library losses have their own",
    )
    soft_margin: bool = Field(
        False, description="soft-plus instead of the margin, in batch_hard_triplet, point_to_set"
    )
    point_to_set: PointToSetConfig = Field(
        PointToSetConfig(), description="used when kind is point_to_set"
    )
    library: LibraryLossConfig = Field(LibraryLossConfig(), description="used when kind is library")
    auxiliary: AuxiliaryConfig = Field(
        AuxiliaryConfig(), description="classification beside a loss on labelled batches"
    )
    super_feature_weight: float = Field(0.02, ge=0, description="of that loss; FIRe, equation 7")
    decorrelation_weight: float = Field(
        0.1, ge=0, description="of the attention maps; FIRe, equation 7"
    )
    ratio_test: Literal["paper", "released"] = Field(
        "paper",
        description="'paper' divides by the second smallest distance; 'released' repeats the "
        "published code, which divides by its index",
    )
    ratio: float = Field(0.9, gt=0, le=1, description="Lowe ratio of accepted matches")

    @model_validator(mode="after")
    def _library_has_it(self) -> "LossConfig":
        if self.kind == "library":
            from retrieval_core.config.library import check_library_loss  # the library loads slowly

            check_library_loss(self.library)
        return self


SAMPLINGS_OF_LOSS: dict[str, tuple[str, ...]] = {
    "contrastive": ("tuples",),
    "triplet": ("tuples",),
    "super_feature": ("tuples",),
    "triplet_margin": ("triplets",),
    "batch_hard_triplet": ("classes", "triplets"),
    "point_to_set": ("classes", "triplets"),
    "library": ("classes", "triplets"),
}
"""Per `LossConfig.kind`, what it can learn from."""


class MiningConfig(Config):
    """Which negatives a tuple gets (hard ones by the current global descriptor)."""

    negatives: int = Field(5, ge=1, le=64, description="negatives of a tuple, distinct labels")
    pool: int = Field(20_000, ge=1, description="images drawn per epoch to mine among")


class OptimizerConfig(Config):
    """Adam, and how its learning rate changes."""

    kind: Literal["adam", "adamw"] = Field(
        "adam", description="adamw decays the weights apart from the gradient (arXiv 1711.05101)"
    )
    learning_rate: float = Field(3e-5, gt=0, lt=1, description="the highest, of the backbone")
    weight_decay: float = Field(1e-4, ge=0, lt=1, description="L2 penalty")
    schedule: Literal["exponential", "cosine"] = Field(
        "exponential",
        description="'exponential' multiplies the rate by decay after every epoch; 'cosine' lets "
        "it fall to 0 at the end (arXiv 1608.03983)",
    )
    decay: float = Field(0.99, gt=0, le=1, description="factor of the learning rate per epoch")
    warmup: float = Field(0.0, ge=0, description="epochs over which the rate rises from 0")
    pool_factor: float = Field(10.0, gt=0, description="learning-rate factor of GeM's exponent")
    head_factor: float = Field(
        1.0, gt=0, description="learning-rate factor of the network's layers after the backbone"
    )
    loss_factor: float = Field(
        1.0, gt=0, description="learning-rate factor of the loss's own proxies or classifier"
    )


class TrainingConfig(Config):
    """Epochs of tuples or batches; `epochs: 0` keeps the initial network."""

    epochs: int = Field(
        20, ge=0, le=10_000, description="passes over the training images; 0: no training"
    )
    queries: int = Field(2_000, ge=1, description="tuples per epoch")
    batch: int = Field(5, ge=1, le=1024, description="tuples, or triplets, per optimizer step")
    image_size: int = Field(1024, ge=32, le=4096, description="longest side, pixels")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
    whitening_images: int = Field(
        5_000, ge=2, description="training images that initialise the whitening by PCA"
    )
    refit_whitening: bool = Field(
        False,
        description="compute the PCA again from the trained network; the recipes of HOW and FIRe "
        "keep that of the initial one",
    )
    select: Literal["best", "last"] = Field(
        "best", description="epoch that is kept: best validation mAP (if there is a val split)"
    )
    max_excluded: float = Field(
        0.01, ge=0, le=1, description="share of unreadable images above which training fails"
    )
    threads: int = Field(0, ge=0, description="CPU threads per worker; 0 uses all its cores")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of the network's layers while it learns from labelled batches; bfloat16 is "
        "faster on GPUs and on processors with AMX",
    )
    together: int | None = Field(
        None,
        ge=1,
        description="images of a labelled batch that go through the network at once, while "
        "batch-norm is frozen: the gradients are the same, but few at a time stay in a "
        "processor's caches; null: 4 on a CPU in float32, else all",
    )
    frozen_layers: int = Field(
        0, ge=0, le=1000, description="first layers, or blocks, of the backbone that do not learn"
    )
    batch_norm: Literal["frozen", "learned"] = Field(
        "frozen",
        description="whether batch-norm normalises by its stored statistics, as the recipes on "
        "tuples do, or by those of the batch",
    )
    cache_gb: float = Field(
        2.0, ge=0, description="memory for decoded training images, GB; they are decoded once"
    )
    sampling: SamplingConfig = Field(SamplingConfig())
    augmentation: AugmentationConfig = Field(
        AugmentationConfig(), description="used when images are sampled by classes or as triplets"
    )
    loss: LossConfig = Field(LossConfig())
    mining: MiningConfig = Field(MiningConfig())
    optimizer: OptimizerConfig = Field(OptimizerConfig())
    dataset: DatasetConfig | None = Field(
        None,
        description="images to learn from, codebook included; null: those of dataset",
    )

    @model_validator(mode="after")
    def _loss_fits_sampling(self) -> Self:
        kind, sampling = self.loss.kind, self.sampling.kind
        if sampling not in SAMPLINGS_OF_LOSS[kind]:
            raise ValueError(
                f"loss.kind {kind!r} learns from sampling.kind "
                f"{' or '.join(map(repr, SAMPLINGS_OF_LOSS[kind]))}, not {sampling!r}"
            )
        if sampling == "tuples" and self.batch_norm == "learned":
            raise ValueError("batch_norm 'learned' needs batches: sampling.kind classes, triplets")
        if sampling == "tuples" and self.loss.auxiliary.weight:
            raise ValueError(
                "loss.auxiliary.weight above 0 needs batches: sampling.kind classes, triplets"
            )
        if sampling == "tuples" and self.sampling.mining == "global":
            raise ValueError(
                "sampling.mining 'global' is for sampling.kind classes and triplets; tuples are "
                "mined as the section mining says"
            )
        return self

    @model_validator(mode="after")
    def _memory_holds_a_batch(self) -> Self:
        sampling, memory = self.sampling, self.loss.library.memory
        batch = sampling.classes * sampling.images if sampling.kind == "classes" else 3 * self.batch
        if self.loss.kind == "library" and 0 < memory < batch:
            raise ValueError(f"loss.library.memory {memory} is less than a batch of {batch}")
        return self
