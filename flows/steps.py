"""The steps that flows are put together from; each submits tasks and returns their futures."""

from dataclasses import dataclass
from typing import Any

from prefect.futures import PrefectFuture

from retrieval_core.config import FeaturesConfig, PipelineConfig
from tasks.codebook import build_codebook
from tasks.context import RunContext
from tasks.evaluate import evaluate
from tasks.extract import extract
from tasks.index import index_global, index_local
from tasks.initialise import initialise
from tasks.prepare import prepare
from tasks.train import train_network

Future = PrefectFuture[Any]


@dataclass(frozen=True)
class Datasets:
    """The images to score on and the images to learn from, often of the same dataset."""

    test: Future
    train: Future


def submit(task: Any, context: RunContext, *args: Any, **kwargs: Any) -> Future:
    """Submit a stage with the runtime's retries and timeout."""
    runtime = context.runtime
    configured = task.with_options(
        retries=runtime.retries, timeout_seconds=runtime.timeout_hours * 3600
    )
    return configured.submit(context, *args, **kwargs)  # type: ignore[no-any-return]


def prepare_datasets(context: RunContext, config: PipelineConfig) -> Datasets:
    """Make or check the images and their ground truth."""
    test = submit(prepare, context, config.dataset)
    if config.training_dataset == config.dataset:
        return Datasets(test, test)
    return Datasets(test, submit(prepare, context, config.training_dataset))


def networks(context: RunContext, config: PipelineConfig, datasets: Datasets) -> list[Future]:
    """The network before and, if there are epochs, after training."""
    initial = submit(
        initialise, context, config.model, config.training, datasets.train, config.seed
    )
    if config.training.epochs == 0:
        return [initial]
    trained = submit(train_network, context, config.training, initial, datasets.train, config.seed)
    return [initial, trained]


def test_features(
    context: RunContext, config: PipelineConfig, datasets: Datasets, model: Future
) -> Future:
    """Descriptors of the database and the queries."""
    return submit(extract, context, config.features, model, datasets.test, "test")


def codebook(
    context: RunContext, config: PipelineConfig, datasets: Datasets, model: Future
) -> Future:
    """Visual words of the model's local descriptors on training images."""
    settings = FeaturesConfig(
        **{
            **config.features.model_dump(),
            "scales": config.codebook.scales,
            "max_features": config.codebook.max_features,
        }
    )
    features = submit(
        extract,
        context,
        settings,
        model,
        datasets.train,
        "train",
        limit=config.codebook.images,
        seed=config.seed,
    )
    return submit(build_codebook, context, config.codebook, features, config.seed)


def indexes(
    context: RunContext, config: PipelineConfig, datasets: Datasets, model: Future
) -> dict[str, Future]:
    """The indexes that the method allows, by the descriptor they hold."""
    features = test_features(context, config, datasets, model)
    built = {"global": submit(index_global, context, features)}
    if config.model.method != "gem":
        words = codebook(context, config, datasets, model)
        built["asmk"] = submit(index_local, context, config.asmk, features, words)
    return built


def scores(
    context: RunContext, config: PipelineConfig, datasets: Datasets, model: Future
) -> list[Future]:
    """Scores of every index of a model."""
    return [
        submit(evaluate, context, config.evaluation, config.asmk, index, config.seed, descriptor)
        for descriptor, index in indexes(context, config, datasets, model).items()
    ]
