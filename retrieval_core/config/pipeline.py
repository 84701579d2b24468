"""The whole experiment: one YAML file, one form in the browser, one object in code."""

from typing import Annotated, Any

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from retrieval_core.config.base import Config
from retrieval_core.config.dataset import DatasetConfig
from retrieval_core.config.evaluation import EvaluationConfig
from retrieval_core.config.features import FeaturesConfig
from retrieval_core.config.index import AsmkConfig, CodebookConfig, VectorConfig
from retrieval_core.config.model import ModelConfig
from retrieval_core.config.postprocessing import PostprocessingConfig
from retrieval_core.config.protocol import ProtocolConfig
from retrieval_core.config.runtime import RuntimeConfig
from retrieval_core.config.training import TrainingConfig


class PipelineConfig(Config):
    """An experiment from images to scores."""

    name: str = Field(
        "experiment", pattern=r"^[A-Za-z0-9_.-]+$", description="of the experiment, in every list"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of every stage that draws at random")
    dataset: DatasetConfig = Field(DatasetConfig(), description="its test split is scored")
    distractors: DatasetConfig | Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="images added to the searched database, never a right answer; or the directory "
        "of their index, or its name in the work directory, that `retrieval distractors` built",
    )
    model: ModelConfig = Field(ModelConfig())
    training: TrainingConfig = Field(TrainingConfig())
    features: FeaturesConfig = Field(FeaturesConfig())
    codebook: CodebookConfig = Field(CodebookConfig())
    asmk: AsmkConfig = Field(AsmkConfig())
    vector: VectorConfig = Field(VectorConfig())
    postprocessing: PostprocessingConfig = Field(PostprocessingConfig())
    evaluation: EvaluationConfig = Field(EvaluationConfig())
    protocol: ProtocolConfig = Field(ProtocolConfig())
    runtime: RuntimeConfig = Field(RuntimeConfig())

    @field_validator("distractors", mode="wrap")
    @classmethod
    def _dataset_or_index(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        # else a mistake in a dataset would be told twice, once as if it were a text
        if isinstance(value, dict):
            return DatasetConfig.model_validate(value)
        try:
            return check(value)
        except ValidationError:
            raise ValueError(
                f"expected a dataset, or the directory or name of an index, not {value!r}"
            ) from None

    @model_validator(mode="after")
    def _loss_fits_method(self) -> "PipelineConfig":
        if self.training.loss.kind == "super_feature" and self.model.method != "fire":
            raise ValueError(
                f"training.loss.kind 'super_feature' needs model.method 'fire', not "
                f"'{self.model.method}'"
            )
        if self.training.loss.auxiliary.weight and self.model.method != "cgd":
            raise ValueError(
                "training.loss.auxiliary.weight above 0 needs model.method 'cgd', not "
                f"'{self.model.method}'"
            )
        return self

    @model_validator(mode="after")
    def _training_fits_network(self) -> "PipelineConfig":
        model, training = self.model, self.training
        whitened = model.has_local or (model.method == "gem" and model.pooled.whitening)
        if training.refit_whitening and not whitened:
            raise ValueError(
                f"training.refit_whitening: a network of method '{model.method}' has no whitening "
                "to compute again" + (" without pooled.whitening" * (model.method == "gem"))
            )
        return self

    @model_validator(mode="after")
    def _batches_are_of_one_size(self) -> "PipelineConfig":
        size, augmentation = self.model.input.size, self.training.augmentation
        if self.training.sampling.kind == "tuples":
            return self
        if augmentation.crop and size is not None and augmentation.side > size:
            raise ValueError(
                f"training.augmentation.side {augmentation.side} is more than the {size} pixels of "
                "model.input.size, the square that images become afterwards"
            )
        if size is None and not augmentation.crop:
            raise ValueError(
                "training.augmentation.crop is off: model.input.size has to say what square the "
                "images of a batch become"
            )
        return self

    @model_validator(mode="after")
    def _whitening_has_training_images(self) -> "PipelineConfig":
        whitening = self.postprocessing.whitening
        fitted_to = whitening and (whitening.dataset or self.training_dataset)
        if fitted_to and fitted_to.is_for_tests_alone:
            raise ValueError(
                f"postprocessing.whitening is fitted to training images, {fitted_to.label} has "
                "none: name others as postprocessing.whitening.dataset, such as the benchmark "
                "sfm30k-whiten"
            )
        return self

    @model_validator(mode="after")
    def _distractors_are_other_images(self) -> "PipelineConfig":
        if self.distractors == self.dataset:
            raise ValueError("distractors are the dataset itself: right answers would count wrong")
        return self

    @property
    def training_dataset(self) -> DatasetConfig:
        """Where training images come from."""
        return self.training.dataset or self.dataset
