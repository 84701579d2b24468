"""Stage: training images are compared with test images, beside the training."""

import os
from collections.abc import Iterable

from prefect import task
from prefect.client.schemas.objects import State

from retrieval_core.artifacts import ArtifactRef, load_manifest
from retrieval_core.config import ProtocolConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow
from retrieval_core.data.near_duplicates import (
    ImageHashes,
    hash_images,
    join_hashes,
    near_duplicates,
)
from retrieval_core.data.overlap import Overlap, shared_labels
from tasks.cluster import map_on_workers
from tasks.context import RunContext
from tasks.sampling import sample
from tasks.stage import STAGE_OPTIONS, Outcome, Stage, StageRun, run_stage

VERSION = 1
OVERLAP = "overlap.json"

CHUNK = 256
"""Images hashed at a time."""

FEW_CHUNKS = 8
"""Hashed in this process: a few seconds, while the workers are about other things."""


@task(name="overlap", tags=["data"], **STAGE_OPTIONS)
def overlap(
    context: RunContext,
    config: ProtocolConfig,
    train: ArtifactRef,
    test: ArtifactRef,
    seed: int,
) -> State[ArtifactRef]:
    """Find landmarks and photographs that are among the training and the test images."""
    stage = Stage(
        name="compare training and test images",
        kind="overlap",
        label=f"{load_manifest(train.uri).label}-{load_manifest(test.uri).label}",
        version=VERSION,
        config={"protocol": config, "seed": seed},
        inputs={"train": train, "test": test},
    )

    def build(run: StageRun) -> Outcome:
        learned = Catalogue.load(train.uri).split("train", "val")
        scored = Catalogue.load(test.uri).split("test")
        labels = shared_labels(
            (row.label for row in learned),
            (row.label for row in scored),
            same_dataset=train.key == test.key,
        )
        if not config.near_duplicates:
            run.directory.write_json(OVERLAP, Overlap(labels, None).to_dict())
            return Outcome(counts={"shared_labels": len(labels)})
        train_hashes, test_hashes = (
            _hash(context, run, sample(rows, config.max_images, seed)) for rows in (learned, scored)
        )
        images = near_duplicates(train_hashes, test_hashes)
        found = Overlap(
            labels,
            images,
            train_images=len(train_hashes.paths),
            test_images=len(test_hashes.paths),
            sampled=max(len(learned), len(scored)) > config.max_images,
        )
        run.directory.write_json(OVERLAP, found.to_dict())
        counts = {"shared_labels": len(labels), "shared_images": len(images)}
        return Outcome(counts=counts, excluded=train_hashes.excluded + test_hashes.excluded)

    return run_stage(context, stage, build)


def _hash(context: RunContext, run: StageRun, rows: list[ImageRow]) -> ImageHashes:
    paths = sorted({row.path for row in rows})
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    parts = []
    for part in _hash_chunks(context, chunks):
        parts.append(part)
        run.progress(len(parts), len(chunks))
    return join_hashes(parts)


def _hash_chunks(context: RunContext, chunks: list[list[str]]) -> Iterable[ImageHashes]:
    if len(chunks) > FEW_CHUNKS:
        return map_on_workers(
            context.runtime.ray, lambda worker, paths: worker.hash_images.remote(paths), chunks
        )
    return (hash_images(paths, threads=os.cpu_count() or 1) for paths in chunks)
