"""The steps that flows are put together from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect.futures import PrefectFuture, wait

from flows.result import FlowResult
from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import (
    DatasetConfig,
    FeaturesConfig,
    PipelineConfig,
    WhiteningConfig,
)
from retrieval_core.errors import ConfigError
from tasks.codebook import build_codebook
from tasks.context import RunContext
from tasks.distractors import find_distractors
from tasks.evaluate import evaluate
from tasks.extract import extract
from tasks.index import index_global, index_local
from tasks.initialise import initialise
from tasks.overlap import overlap
from tasks.postprocess import augment, fit, neighbours, whiten
from tasks.prepare import prepare
from tasks.register import register
from tasks.report import report
from tasks.train import train_network

Future = PrefectFuture[Any]
Searched = Sequence[Future | ArtifactRef]


@dataclass(frozen=True)
class Datasets:
    """The images to score on and to learn from, often of one dataset, and those that distract."""

    test: Future
    train: Future
    distractors: Future | None = None


@dataclass(frozen=True)
class Processed:
    """What is searched by post-processed global descriptors.

    Attributes:
        queries: descriptors of the database's dataset, as queries are searched with.
        indexes: of the database and, if there are any, of the distractors.
        neighbours: of all their images, for re-ranking.
    """

    queries: Future
    indexes: Searched
    neighbours: Future | None

    @property
    def built(self) -> dict[str, list[Future]]:
        """What was built here, by role."""
        built = {"processed": [each for each in self.indexes if isinstance(each, PrefectFuture)]}
        return built | ({"neighbours": [self.neighbours]} if self.neighbours else {})


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
        # what several stages need is made once
        self._whitening_images: Future | None = None
        self._training_features: dict[tuple[str, str, int, bool], Future] = {}

    def datasets(self) -> Datasets:
        """Make or check the images and their ground truth."""
        config = self.config
        train = self.training_images()
        test = train
        if config.training_dataset != config.dataset:
            test = self._submit(prepare, config.dataset)
        if not isinstance(config.distractors, DatasetConfig):
            return Datasets(test, train)
        return Datasets(test, train, self.distractor_images())

    def training_images(self) -> Future:
        """Make or check the images to learn from."""
        config = self.config
        if config.training_dataset == config.dataset:
            return self._submit(prepare, config.dataset)
        return self._submit(prepare, config.training_dataset, ("train",))

    def distractor_images(self) -> Future:
        """Make or check the images that distract.

        Raises:
            ConfigError: the experiment names no dataset of them.
        """
        images = self.config.distractors
        if not isinstance(images, DatasetConfig):
            raise ConfigError(
                "distractors: expected a dataset to be indexed, such as {kind: folder, folder: "
                f"{{path: photos}}}}, found {images!r}"
            )
        return self._submit(prepare, images, ("database",))

    def overlap(self, datasets: Datasets) -> Future:
        """What training and test images have in common."""
        config = self.config
        return self._submit(overlap, config.protocol, datasets.train, datasets.test, config.seed)

    def networks(self, train: Future) -> list[Future]:
        """The network before and, if there are epochs, after training."""
        config = self.config
        initial = self._submit(initialise, config.model, config.training, train, config.seed)
        if config.training.epochs == 0:
            return [initial]
        trained = self._submit(train_network, config.training, initial, train, config.seed)
        return [initial, trained]

    def codebook(self, train: Future, model: Future) -> Future | None:
        """Visual words of the model's local descriptors, if it has any, on training images."""
        if not self.config.model.has_local:
            return None
        words = self.config.codebook
        features = self.training_features(train, model, words.images)
        return self._submit(build_codebook, words, features, self.config.seed)

    def training_features(
        self, train: Future, model: Future, images: int, *, matching: bool = False
    ) -> Future:
        """Descriptors of training images, local ones as visual words are made of.

        Args:
            train: the dataset that they are of.
            model: the network.
            images: at most so many.
            matching: drawn together with the images that match them.
        """
        identity = (str(train.task_run_id), str(model.task_run_id), images, matching)
        if identity not in self._training_features:
            words = self.config.codebook
            changed = {"scales": words.scales, "max_features": words.max_features}
            settings = FeaturesConfig(**{**self.config.features.model_dump(), **changed})
            sample = {"limit": images, "seed": self.config.seed, "matching": matching}
            self._training_features[identity] = self._submit(
                extract, settings, model, train, "train", **sample
            )
        return self._training_features[identity]

    def features(self, datasets: Datasets, model: Future, words: Future | None) -> list[Future]:
        """Descriptors of the database and the queries and, if there are any, of the distractors."""
        test = self._submit(extract, self.config.features, model, datasets.test, "test")
        if datasets.distractors is None:
            return [test]
        return [test, self.distractor_features(datasets.distractors, model, words)]

    def distractor_features(self, images: Future, model: Future, words: Future | None) -> Future:
        """Descriptors of the distractors, the local ones as postings of these words only."""
        settings, binary = self.config.features, self.config.asmk.binary
        return self._submit(
            extract, settings, model, images, "distractor", codebook=words, binary=binary
        )

    def indexes(self, features: list[Future], words: Future | None) -> dict[str, list[Future]]:
        """What is searched of these images, by descriptor."""
        vector = self.config.vector
        built = {"global": [self._submit(index_global, vector, part) for part in features]}
        if words is not None:
            asmk = self.config.asmk
            built["asmk"] = [self._submit(index_local, asmk, part, words) for part in features]
        return built

    def processed(
        self, train: Future, model: Future, features: list[Future], searched: Searched
    ) -> Processed:
        """What is searched by post-processed descriptors.

        Args:
            train: images to learn from.
            model: the network.
            features: of the test images and, if there are any, of the distractors.
            searched: the indexes of the network's own global descriptors, of the distractors too.
        """
        config, vector = self.config.postprocessing, self.config.vector
        queries, indexes = features[0], searched
        if config.whitening is not None:
            learned_from = self._fitted_to(config.whitening, train, model)
            whitening = self._submit(fit, config.whitening, learned_from, self.config.seed)
            # distractors that an earlier run indexed have no features here, but their index has
            earlier = [each for each in searched if isinstance(each, ArtifactRef)]
            described = [*features, *map(_features, earlier)]
            whitened = [self._submit(whiten, part, whitening) for part in described]
            queries = whitened[0]
            indexes = [self._submit(index_global, vector, part) for part in whitened]
        if config.database_augmentation is not None:
            parts = range(len(indexes))
            settings = (config.database_augmentation, vector)
            sums = [self._submit(augment, *settings, indexes, part) for part in parts]
            indexes = [self._submit(index_global, vector, part) for part in sums]
        near = None
        if config.reranking is not None:
            near = self._submit(neighbours, config.reranking, vector, indexes)
        return Processed(queries, indexes, near)

    def _fitted_to(self, whitening: WhiteningConfig, train: Future, model: Future) -> Future:
        """Descriptors of the training images that a whitening is fitted to."""
        if whitening.dataset not in (None, self.config.training_dataset):
            if self._whitening_images is None:
                self._whitening_images = self._submit(prepare, whitening.dataset, ("train",))
            train = self._whitening_images
        matching = whitening.kind == "learned"
        return self.training_features(train, model, whitening.images, matching=matching)

    def scores(self, datasets: Datasets, model: Future) -> list[Future]:
        """Scores of every index of a model, searched together with that of the distractors."""
        config = self.config
        words = self.codebook(datasets.train, model)
        features = self.features(datasets, model, words)
        built = self.indexes(features, words)
        opened = find_distractors(config, self.context.workdir)
        searched: dict[str, Searched] = {
            name: [*found, *opened.get(name, [])] for name, found in built.items()
        }
        settings = (config.evaluation, config.asmk, config.vector, config.seed)
        scores = [
            self._submit(evaluate, *settings, descriptor, *indexes)
            for descriptor, indexes in searched.items()
        ]
        if not config.postprocessing.is_on:
            return scores
        found = self.processed(datasets.train, model, features, searched["global"])
        processed = self._submit(
            evaluate,
            *settings,
            "processed",
            *found.indexes,
            postprocessing=config.postprocessing,
            queries=found.queries,
            neighbours=found.neighbours,
        )
        return [*scores, processed]

    def registered(self, scores: list[Future]) -> list[Future]:
        """The network behind these scores in MLflow's registry, if that is wanted."""
        if not self.config.runtime.register_model:
            return []
        return [self._submit(register, self.config, scores)]

    def report(self, datasets: Datasets, scores: list[Future], overlap: Future) -> Future:
        """Pictures and the HTML page of the whole experiment."""
        return self._submit(report, self.config, datasets.test, scores, overlap)

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
            # without the random suffix that Prefect would add
            task_run_name=task.task_run_name or task.name,
            retries=runtime.retries,
            timeout_seconds=runtime.timeout_hours * 3600,
        )
        future: Future = configured.submit(self.context, *args, **kwargs)
        self._submitted.append(future)
        return future


def _features(index: ArtifactRef) -> ArtifactRef:
    """What an index was built of."""
    return load_manifest(index.uri).input("features")
