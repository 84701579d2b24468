"""Images become tensors a little ahead of the computation."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor

from retrieval_core.config import ModelConfig
from retrieval_core.data.catalogue import ImageRow
from retrieval_core.data.images import load_image, to_tensor
from retrieval_core.errors import ImageError, TooManyExclusionsError

THREADS = 4
AHEAD = 16


class ImageReader:
    """Reads and normalises images, and remembers those that cannot be read.

    Args:
        model: its mean and std normalise the images.
        image_size: longest side, pixels.
        total: number of images that may be read, of which `max_excluded` is a share.
        max_excluded: share of unreadable images that is tolerated, in [0, 1].
        excluded: what an earlier reader of the same images already excluded.
    """

    def __init__(
        self,
        model: ModelConfig,
        image_size: int,
        *,
        total: int,
        max_excluded: float,
        excluded: Iterable[dict[str, Any]] = (),
    ) -> None:
        self._model = model
        self._image_size = image_size
        self._total = total
        self._max_excluded = max_excluded
        self._excluded = {entry["image_id"]: dict(entry) for entry in excluded}

    @property
    def excluded(self) -> list[dict[str, Any]]:
        """Image id, path and reason of every unreadable image, by ascending image id."""
        return [self._excluded[image_id] for image_id in sorted(self._excluded)]

    def stream(self, rows: Sequence[ImageRow]) -> Iterator[Tensor | None]:
        """Decode images in order, a bounded number of them ahead of the consumer.

        Yields:
            (3, H, W) float32, or None for an unreadable image.

        Raises:
            TooManyExclusionsError: more images are unreadable than tolerated.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            waiting: deque[tuple[ImageRow, Future[Tensor]]] = deque()
            for row in rows:
                waiting.append((row, pool.submit(self._load, row)))
                if len(waiting) > AHEAD:
                    yield self._result(*waiting.popleft())
            while waiting:
                yield self._result(*waiting.popleft())

    def _load(self, row: ImageRow) -> Tensor:
        image = load_image(row.path, image_size=self._image_size, box=row.box)
        return to_tensor(image, mean=self._model.mean, std=self._model.std)

    def _result(self, row: ImageRow, future: Future[Tensor]) -> Tensor | None:
        try:
            return future.result()
        except ImageError as error:
            self._exclude(row, error)
            return None

    def _exclude(self, row: ImageRow, error: ImageError) -> None:
        self._excluded[row.image_id] = {
            "image_id": row.image_id,
            "path": row.path,
            "reason": error.reason,
        }
        if len(self._excluded) > self._max_excluded * self._total:
            setting, allowed = "training.max_excluded", self._max_excluded
            raise TooManyExclusionsError.of(self.excluded, self._total, setting, allowed)
