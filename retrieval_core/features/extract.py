"""Images of a shard become local and global descriptors on disk."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import FeaturesConfig
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.data.images import to_pixels
from retrieval_core.errors import ImageError
from retrieval_core.features.batches import Decoded, batches_by, decode_ahead, in_windows
from retrieval_core.features.shards import Shard, ShardReport, report_name
from retrieval_core.features.tables import (
    LocalRows,
    OpenLocal,
    ShardWriter,
    open_local_table,
    open_shard,
)
from retrieval_core.models.base import LocalFeatures, RetrievalModel

# Images of equal size are sought among this many batches of consecutive images. More would fill
# the batches better and hold more decoded images in memory.
WINDOW_BATCHES = 4


def extract_shard(
    model: RetrievalModel,
    shard: Shard,
    config: FeaturesConfig,
    directory: ArtifactDirectory,
    *,
    open_local: OpenLocal = open_local_table,
    threads: int = 2,
) -> ShardReport:
    """Extract a shard's descriptors, on the device of the model.

    An image that cannot be read, or whose descriptors are not finite, is recorded in the report
    and left out. The same shard gives the same bytes again.

    Args:
        model: in evaluation mode.
        shard: images to extract.
        config: sizes, scales and numbers of features.
        directory: artifact in the making; gets the shard's descriptors, then its report.
        open_local: where local descriptors go; default: into a Parquet table, like global ones.
        threads: that decode images ahead of the network, >= 1.

    Raises:
        StorageError: the disk is full; nothing is left behind.
    """
    work = _Extraction(model, config)
    started = time.perf_counter()
    with open_shard(
        directory,
        shard.index,
        global_dim=model.global_dim,
        local_dim=model.local_dim,
        open_local=open_local,
    ) as writer:
        for window in work.windows(shard, threads):
            work.extract(window, writer)
    work.seconds["total"] = time.perf_counter() - started
    report = ShardReport(
        index=shard.index,
        images=work.images,
        local_descriptors=work.local_descriptors,
        excluded=work.excluded,
        seconds=work.seconds,
    )
    directory.write_json(report_name(shard.index), asdict(report))
    return report


class _Extraction:
    """Counts, exclusions and timings of a shard while its windows pass through the network."""

    def __init__(self, model: RetrievalModel, config: FeaturesConfig) -> None:
        self._model = model
        self._config = config
        self.images = 0
        self.local_descriptors = 0
        self.excluded: list[dict[str, Any]] = []
        self.seconds = dict.fromkeys(("decode", "wait", "network", "write"), 0.0)

    def windows(self, shard: Shard, threads: int) -> Iterator[list[Decoded]]:
        """Consecutive images of the shard, decoded while the network works on those before."""
        size = WINDOW_BATCHES * self._config.batch_size
        windows = in_windows(
            decode_ahead(
                shard.rows,
                image_size=self._config.image_size,
                threads=threads,
                ahead=size,
            ),
            size,
        )
        while True:
            with self._timed("wait"):
                window = next(windows, None)
            if window is None:
                return
            yield window

    def extract(self, window: Sequence[Decoded], writer: ShardWriter) -> None:
        """Run the network on the readable images of a window and append what it finds."""
        ids, images = self._readable(window)
        if not images:
            return
        with self._timed("network"):
            side, most = self._model.input_size, self._config.batch_size
            batches = list(batches_by(images, lambda image: side or image.size, most))
            found = [self._run([images[i] for i in batch]) for batch in batches]
            global_descriptors = _ordered([g for _, g in found], batches)
            local = _local_rows([f for f, _ in found if f is not None], batches, ids)
        broken = _not_finite(ids, global_descriptors, local)
        if len(broken):
            rows = [item.row for item in window if item.row.image_id in broken]
            self._exclude((row, "not_finite") for row in rows)
            whole = ~np.isin(ids, broken)
            ids, global_descriptors = ids[whole], global_descriptors[torch.from_numpy(whole)]
            local = None if local is None else local.without(broken)
        with self._timed("write"):
            writer.write(ids, global_descriptors.numpy(), local)
        self.images += len(ids)
        self.local_descriptors += 0 if local is None else len(local.image_ids)

    def _readable(self, window: Sequence[Decoded]) -> tuple[np.ndarray, list[Image]]:
        ids, images = [], []
        for item in window:
            self.seconds["decode"] += item.seconds
            if isinstance(item.image, ImageError):
                self._exclude([(item.row, item.image.reason)])
            else:
                ids.append(item.row.image_id)
                images.append(item.image)
        return np.array(ids, np.int64), images

    def _exclude(self, reasons: Iterable[tuple[ImageRow, str]]) -> None:
        self.excluded += [
            {"image_id": row.image_id, "path": row.path, "reason": reason}
            for row, reason in reasons
        ]

    @torch.inference_mode()
    def _run(self, images: Sequence[Image]) -> tuple[LocalFeatures | None, Tensor]:
        config = self._config
        tensors = [self._model.prepare(to_pixels(image)) for image in images]
        local, global_descriptors = self._model.extract(
            torch.stack(tensors).to(self._model.device),
            scales=config.scales,
            max_features=config.max_features,
            global_scales=config.global_scales,
            power=config.global_power,
        )
        return local, global_descriptors.float().cpu()

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - started


def _not_finite(ids: np.ndarray, vectors: Tensor, local: LocalRows | None) -> np.ndarray:
    """Ids of images with a descriptor that holds NaN or infinity."""
    broken: np.ndarray = ids[~vectors.isfinite().all(dim=1).numpy()]
    if local is not None:
        rows = ~np.isfinite(local.descriptors).all(axis=1)
        broken = np.union1d(broken, local.image_ids[rows])
    return broken


def _ordered(descriptors: Sequence[Tensor], batches: Sequence[Sequence[int]]) -> Tensor:
    """Rows of all batches in the order of the window's images."""
    positions = torch.tensor([i for batch in batches for i in batch])
    return torch.cat(list(descriptors))[positions.argsort()]


def _local_rows(
    found: Sequence[LocalFeatures], batches: Sequence[Sequence[int]], ids: np.ndarray
) -> LocalRows | None:
    """Local descriptors of all batches in the order of the window's images."""
    if not found:
        return None
    positions = torch.cat(
        [torch.tensor(batch)[f.image_index.cpu()] for f, batch in zip(found, batches, strict=True)]
    )
    order = positions.argsort(stable=True)

    def gather(name: str) -> np.ndarray:
        values = torch.cat([getattr(f, name).cpu() for f in found])[order]
        return values.float().numpy()

    return LocalRows(
        image_ids=ids[positions[order].numpy()],
        descriptors=gather("descriptors"),
        strengths=gather("strengths"),
        locations=gather("locations"),
        scales=gather("scales"),
    )
