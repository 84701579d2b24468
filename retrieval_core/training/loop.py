"""The training loop: mine, learn, validate, save; interrupted anywhere, it goes on."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Literal

import numpy as np
from torch.optim import Adam

from retrieval_core.artifacts import ArtifactDirectory, plain
from retrieval_core.config import TrainingConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.models import RetrievalModel, save_model
from retrieval_core.models.bundle import read_bundle
from retrieval_core.models.checkpoints import load_state
from retrieval_core.training.checkpoint import Checkpoints, TrainingState
from retrieval_core.training.collapse import EpochStatistics, warn_of_collapse
from retrieval_core.training.epoch import OnStep, prepare_tuples, train_epoch
from retrieval_core.training.mining import mine_tuples
from retrieval_core.training.objective import build_objective
from retrieval_core.training.optimizer import build_optimizer, set_learning_rate
from retrieval_core.training.reading import ImageReader
from retrieval_core.training.report import EpochReport, TrainingReport
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
    """Train a network on mined tuples.

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
        on_step: called after every optimizer step with its number, the number of steps and the
            mean loss of its tuples.

    Raises:
        DatasetError: there are too few labels or images to form tuples.
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
    optimizer = build_optimizer(model, config.optimizer)
    state = checkpoints.restore(model, optimizer)
    reader = _reader(model, len(used), config, state)
    history = list(state.history) if state else []
    for epoch in range(len(history), config.epochs + 1):
        report = _epoch(model, catalogue, config, optimizer, reader, epoch, seed, on_step)
        history.append(report)
        checkpoints.save(model, optimizer, TrainingState(epoch, digest, history, reader.excluded))
        checkpoints.prune(keep={epoch, epoch - 1, select_epoch(history, config.select)})
        if on_epoch:
            on_epoch(report)
    best = select_epoch(history, config.select)
    checkpoints.load_model(best, model)
    if config.refit_whitening:
        initialise_whitening(model, used, config, seed=seed)
    save_model(model, directory)
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
    identity = {
        "model": plain(model.config),
        "config": config.model_dump(mode="json", exclude={"threads", "max_excluded", "dataset"}),
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
    config: TrainingConfig,
    optimizer: Adam,
    reader: ImageReader,
    epoch: int,
    seed: int,
    on_step: OnStep | None,
) -> EpochReport:
    started = time.perf_counter()
    statistics, rate = EpochStatistics(), config.optimizer.learning_rate
    if epoch > 0:
        rng = np.random.default_rng([seed, epoch])
        rate = set_learning_rate(optimizer, config.optimizer, epoch)
        tuples = mine_tuples(model, catalogue, config, reader, rng)
        flips = [rng.random(len(t.images)) < config.flip for t in tuples]
        objective = build_objective(model, config.loss)
        train_epoch(
            model,
            objective,
            optimizer,
            prepare_tuples(tuples, flips, reader),
            statistics,
            batch=config.batch,
            steps=-(-len(tuples) // config.batch),
            on_step=on_step,
        )
        warn_of_collapse(statistics, epoch)
    return EpochReport(
        epoch=epoch,
        loss=statistics.loss,
        validation_map=validate(model, catalogue, reader),
        learning_rate=rate,
        active_share=statistics.active_share,
        embedding_spread=statistics.spread,
        seconds=time.perf_counter() - started,
        images=statistics.images,
        excluded=len(reader.excluded),
    )


def _reader(
    model: RetrievalModel, total: int, config: TrainingConfig, state: TrainingState | None
) -> ImageReader:
    return ImageReader(
        model.config,
        config.image_size,
        total=total,
        max_excluded=config.max_excluded,
        excluded=state.excluded if state else (),
    )
