"""The one schema for YAML files, the command line and the browser form."""

from retrieval_core.config.base import Config
from retrieval_core.config.dataset import (
    BenchmarkConfig,
    DatasetConfig,
    DemoConfig,
    FolderConfig,
)
from retrieval_core.config.evaluation import EvaluationConfig
from retrieval_core.config.features import FeaturesConfig
from retrieval_core.config.index import AsmkConfig, CodebookConfig, VectorConfig
from retrieval_core.config.loading import dump_config, load_config, parse_config, refine_config
from retrieval_core.config.loss import AuxiliaryConfig, LibraryLossConfig, PointToSetConfig
from retrieval_core.config.model import (
    CgdConfig,
    GlobalConfig,
    InputConfig,
    LitConfig,
    ModelConfig,
)
from retrieval_core.config.pipeline import PipelineConfig
from retrieval_core.config.postprocessing import (
    DiffusionConfig,
    NeighboursConfig,
    PostprocessingConfig,
    ReciprocalConfig,
    RerankingConfig,
    WhiteningConfig,
)
from retrieval_core.config.protocol import ProtocolConfig
from retrieval_core.config.runtime import RayConfig, RuntimeConfig
from retrieval_core.config.sampling import AugmentationConfig, SamplingConfig
from retrieval_core.config.study import Study, built_in_study, load_study
from retrieval_core.config.training import (
    LossConfig,
    MiningConfig,
    OptimizerConfig,
    TrainingConfig,
)

__all__ = [
    "AsmkConfig",
    "AugmentationConfig",
    "AuxiliaryConfig",
    "BenchmarkConfig",
    "CgdConfig",
    "CodebookConfig",
    "Config",
    "DatasetConfig",
    "DemoConfig",
    "DiffusionConfig",
    "EvaluationConfig",
    "FeaturesConfig",
    "FolderConfig",
    "GlobalConfig",
    "InputConfig",
    "LibraryLossConfig",
    "LitConfig",
    "LossConfig",
    "MiningConfig",
    "ModelConfig",
    "NeighboursConfig",
    "OptimizerConfig",
    "PipelineConfig",
    "PointToSetConfig",
    "PostprocessingConfig",
    "ProtocolConfig",
    "RayConfig",
    "ReciprocalConfig",
    "RerankingConfig",
    "RuntimeConfig",
    "SamplingConfig",
    "Study",
    "TrainingConfig",
    "VectorConfig",
    "WhiteningConfig",
    "built_in_study",
    "dump_config",
    "load_config",
    "load_study",
    "parse_config",
    "refine_config",
]
