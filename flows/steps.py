"""The steps that flows are put together from."""

from dataclasses import dataclass
from typing import Any

from prefect.futures import PrefectFuture, wait

from flows.result import FlowResult
from retrieval_core.config import FeaturesConfig, PipelineConfig
from tasks.codebook import build_codebook
from tasks.context import RunContext
from tasks.evaluate import evaluate
from tasks.extract import extract
from tasks.index import index_global, index_local
from tasks.initialise import initialise
from tasks.prepare import prepare
from tasks.report import report
from tasks.train import train_network

Future = PrefectFuture[Any]


@dataclass(frozen=True)
class Datasets:
    """The images to score on and the images to learn from, often of the same dataset."""

    test: Future
    train: Future


class Steps:
    """Submits the stages of one experiment and keeps their futures.

    Every method returns at once; a stage starts when its inputs are there.

    Args:
        context: surroundings of the flow run.
        config: of the experiment.
    """

    def __init__(self, context: RunContext, config: PipelineConfig) -> None:
        self.context = context
        self.config = config
        self._submitted: list[Future] = []

    def datasets(self) -> Datasets:
        """Make or check the images and their ground truth."""
        test = self._submit(prepare, self.config.dataset)
        if self.config.training_dataset == self.config.dataset:
            return Datasets(test, test)
        return Datasets(test, self._submit(prepare, self.config.training_dataset, ("train",)))

    def networks(self, datasets: Datasets) -> list[Future]:
        """The network before and, if there are epochs, after training."""
        config = self.config
        initial = self._submit(
            initialise, config.model, config.training, datasets.train, config.seed
        )
        if config.training.epochs == 0:
            return [initial]
        trained = self._submit(train_network, config.training, initial, datasets.train, config.seed)
        return [initial, trained]

    def features(self, datasets: Datasets, model: Future) -> Future:
        """Descriptors of the database and the queries."""
        return self._submit(extract, self.config.features, model, datasets.test, "test")

    def codebook(self, datasets: Datasets, model: Future) -> Future:
        """Visual words of the model's local descriptors on training images."""
        words, seed = self.config.codebook, self.config.seed
        changed = {"scales": words.scales, "max_features": words.max_features}
        settings = FeaturesConfig(**{**self.config.features.model_dump(), **changed})
        sample = {"limit": words.images, "seed": seed}
        features = self._submit(extract, settings, model, datasets.train, "train", **sample)
        return self._submit(build_codebook, words, features, seed)

    def indexes(self, datasets: Datasets, model: Future) -> dict[str, Future]:
        """The indexes that the method allows, by the descriptor they hold."""
        features = self.features(datasets, model)
        built = {"global": self._submit(index_global, features)}
        if self.config.model.method != "gem":
            words = self.codebook(datasets, model)
            built["asmk"] = self._submit(index_local, self.config.asmk, features, words)
        return built

    def scores(self, datasets: Datasets, model: Future) -> list[Future]:
        """Scores of every index of a model."""
        config = self.config
        return [
            self._submit(evaluate, config.evaluation, config.asmk, index, config.seed, descriptor)
            for descriptor, index in self.indexes(datasets, model).items()
        ]

    def report(self, datasets: Datasets, scores: list[Future]) -> Future:
        """Pictures and the HTML page of the whole experiment."""
        return self._submit(report, self.config, datasets.test, scores)

    def result(self, **roles: list[Future]) -> FlowResult:
        """Wait for every stage and resolve these.

        Raises:
            Exception: the first failure, in the order of submission.
        """
        wait(self._submitted)
        for future in self._submitted:
            future.result()
        artifacts = {role: [f.result() for f in group] for role, group in roles.items()}
        return FlowResult(self.context.workdir, self.context.run, artifacts)

    def _submit(self, task: Any, *args: Any, **kwargs: Any) -> Future:
        runtime = self.context.runtime
        configured = task.with_options(
            retries=runtime.retries, timeout_seconds=runtime.timeout_hours * 3600
        )
        future: Future = configured.submit(self.context, *args, **kwargs)
        self._submitted.append(future)
        return future
