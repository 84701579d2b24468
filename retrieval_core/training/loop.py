"""The training loop: learn, validate, save; interrupted anywhere, it goes on."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Literal

from torch.optim import Adam

from retrieval_core.artifacts import ArtifactDirectory, plain
from retrieval_core.config import TrainingConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.models import RetrievalModel, save_model
from retrieval_core.models.bundle import read_bundle
from retrieval_core.models.checkpoints import load_state
from retrieval_core.training.checkpoint import Checkpoints, TrainingState
from retrieval_core.training.collapse import EpochStatistics, warn_of_collapse
from retrieval_core.training.course import COURSES, Course
from retrieval_core.training.optimizer import build_optimizer
from retrieval_core.training.reading import ImageReader
from retrieval_core.training.report import EpochReport, TrainingReport
from retrieval_core.training.stepping import OnStep
from retrieval_core.training.validation import validate
from retrieval_core.training.whitening import initialise_whitening

HISTORY = "history.json"

OnEpoch = Callable[[EpochReport], None]


def train(
    model: RetrievalModel,
    catalogue: Catalogue,
    config: TrainingConfig,
    directory: ArtifactDirectory,
    *,
    seed: int,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> TrainingReport:
    """Train a network on tuples or labelled batches.

    A call that finds checkpoints of an interrupted one in the directory goes on after the last
    finished epoch, and on the same CPU ends with the same weights as an undisturbed one: every
    random choice depends on nothing but the seed and the epoch's number.

    Args:
        model: initial network; holds the selected weights afterwards.
        catalogue: its splits train and val, their pairs and right answers are used.
        config: the recipe.
        directory: receives the files of `save_model` and `history.json`, and checkpoints while
            the training runs.
        seed: of every random choice, >= 0.
        on_epoch: called after every epoch, epoch 0 (before training) included; not again for
            epochs that a checkpoint already holds.
        on_step: called after every optimizer step: its number, that of all, its mean loss.

    Raises:
        ConfigError: the network cannot learn by this loss, or has fewer layers than are frozen.
        DatasetError: there are too few labels or images to form tuples or batches.
        TooManyExclusionsError: more images are unreadable than `config.max_excluded`.
        DivergenceError: the loss or the descriptors are not finite any more.
        CheckpointError: a checkpoint of this very training is damaged.
    """
    used = catalogue.split("train", "val")
    digest = training_digest(model, catalogue, config, seed)
    checkpoints = Checkpoints(directory, digest)
    if finished := _finished(model, directory, digest):
        checkpoints.clear()
        return finished
    course = COURSES[config.sampling.kind](model, catalogue, config, seed)
    optimizer = build_optimizer(model, course.loss, config.optimizer)
    state = checkpoints.restore(model, course.loss, optimizer)
    reader = _reader(model, len(used), config, state)
    history = list(state.history) if state else []
    for epoch in range(len(history), config.epochs + 1):
        report = _epoch(model, catalogue, course, optimizer, reader, epoch, on_step)
        history.append(report)
        reached = TrainingState(epoch, digest, history, reader.excluded)
        checkpoints.save(model, course.loss, optimizer, reached)
        checkpoints.prune(keep={epoch, epoch - 1, select_epoch(history, config.select)})
        if on_epoch:
            on_epoch(report)
    best = select_epoch(history, config.select)
    checkpoints.load_model(best, model)
    _complete(model, used, config, directory, seed)
    result = TrainingReport(history, best, state.epoch if state else None, reader.excluded)
    directory.write_json(HISTORY, {"digest": digest, **asdict(result)})
    checkpoints.clear()
    return result


def select_epoch(history: Sequence[EpochReport], select: Literal["best", "last"]) -> int:
    """Number of the epoch to keep.

    Args:
        history: every epoch from 0 on.
        select: "best" validation mAP, the later of equals; "last" also where nothing was
            validated.
    """
    scored = [(r.validation_map, r.epoch) for r in history if r.validation_map is not None]
    return max(scored)[1] if select == "best" and scored else history[-1].epoch


def training_digest(
    model: RetrievalModel, catalogue: Catalogue, config: TrainingConfig, seed: int
) -> str:
    """Sixteen hexadecimal digits of all that determines a training but its initial weights."""
    unimportant = {"threads", "max_excluded", "dataset", "cache_gb"}
    identity = {
        "model": plain(model.config),
        "config": config.model_dump(mode="json", exclude=unimportant),
        "rows": [asdict(row) for row in catalogue.split("train", "val")],
        "pairs": catalogue.pairs,
        "val_truth": [asdict(truth) for truth in catalogue.val_truth],
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _finished(
    model: RetrievalModel, directory: ArtifactDirectory, digest: str
) -> TrainingReport | None:
    """The report of this very training where an earlier call completed it."""
    if not directory.exists(HISTORY):
        return None
    content = directory.read_json(HISTORY)
    if content.pop("digest") != digest:
        return None
    load_state(model, read_bundle(directory)[1], directory.uri)
    history = [EpochReport(**epoch) for epoch in content["history"]]
    return TrainingReport(**{**content, "history": history, "resumed_from": history[-1].epoch})


def _epoch(
    model: RetrievalModel,
    catalogue: Catalogue,
    course: Course,
    optimizer: Adam,
    reader: ImageReader,
    epoch: int,
    on_step: OnStep | None,
) -> EpochReport:
    started = time.perf_counter()
    statistics = course.epoch(epoch, optimizer, reader, on_step) if epoch else EpochStatistics()
    warned = warn_of_collapse(statistics, epoch)
    scores = validate(model, catalogue, reader)
    first = optimizer.param_groups[0]
    return EpochReport(
        epoch=epoch,
        loss=statistics.loss,
        validation_map=scores and scores.map,
        learning_rate=first["lr"] / (first["factor"] if epoch else 1),
        active_share=statistics.active_share,
        embedding_spread=statistics.spread,
        seconds=time.perf_counter() - started,
        images=statistics.images,
        excluded=len(reader.excluded),
        validation_recall=scores and scores.recall,
        warnings=warned,
    )


def _complete(
    model: RetrievalModel,
    used: Sequence[ImageRow],
    config: TrainingConfig,
    directory: ArtifactDirectory,
    seed: int,
) -> None:
    if config.refit_whitening:
        initialise_whitening(model, used, config, seed=seed)
    save_model(model, directory)


def _reader(
    model: RetrievalModel, total: int, config: TrainingConfig, state: TrainingState | None
) -> ImageReader:
    return ImageReader(
        model,
        config.image_size,
        total=total,
        max_excluded=config.max_excluded,
        excluded=state.excluded if state else (),
        cache_bytes=config.cache_gb * 1e9,
    )
