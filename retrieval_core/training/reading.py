"""Images become tensors a little ahead of the computation."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor

from retrieval_core.data.catalogue import ImageRow
from retrieval_core.data.images import load_image, to_pixels
from retrieval_core.errors import ImageError, TooManyExclusionsError
from retrieval_core.models.base import RetrievalModel

THREADS = 4
AHEAD = 16

View = Callable[[int, Tensor], Tensor]
"""Changes the (3, H, W) uint8 pixels of an image, given its position in a stream."""


class ImageReader:
    """Reads and prepares images, and remembers those that cannot be read.

    Args:
        model: that images are prepared for.
        image_size: longest side, pixels.
        total: number of images that may be read, of which `max_excluded` is a share.
        max_excluded: share of unreadable images that is tolerated, in [0, 1].
        excluded: what an earlier reader of the same images already excluded.
        cache_bytes: memory for decoded images, which are then decoded once.
    """

    def __init__(
        self,
        model: RetrievalModel,
        image_size: int,
        *,
        total: int,
        max_excluded: float,
        excluded: Iterable[dict[str, Any]] = (),
        cache_bytes: float = 0,
    ) -> None:
        self._model = model
        self._image_size = image_size
        self._total = total
        self._max_excluded = max_excluded
        self._excluded = {entry["image_id"]: dict(entry) for entry in excluded}
        self._cache: dict[int, Tensor] = {}
        self._cache_room = cache_bytes

    @property
    def excluded(self) -> list[dict[str, Any]]:
        """Image id, path and reason of every unreadable image, by ascending image id."""
        return [self._excluded[image_id] for image_id in sorted(self._excluded)]

    def stream(
        self, rows: Sequence[ImageRow], view: View | None = None, *, ahead: int = AHEAD
    ) -> Iterator[Tensor | None]:
        """Decode images in order, a bounded number of them ahead of the consumer.

        Args:
            rows: images.
            view: what becomes of the pixels before they are prepared, called in threads.
            ahead: images that wait for the consumer at most.

        Yields:
            (3, H, W) float32 from `RetrievalModel.prepare`, or None for an unreadable image.

        Raises:
            TooManyExclusionsError: more images are unreadable than tolerated.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            waiting: deque[tuple[ImageRow, Future[Tensor]]] = deque()
            for position, row in enumerate(rows):
                waiting.append((row, pool.submit(self._load, row, position, view)))
                if len(waiting) > ahead:
                    yield self._result(*waiting.popleft())
            while waiting:
                yield self._result(*waiting.popleft())

    def _load(self, row: ImageRow, position: int, view: View | None) -> Tensor:
        pixels = self._pixels(row)
        return self._model.prepare(pixels if view is None else view(position, pixels))

    def _pixels(self, row: ImageRow) -> Tensor:
        if (known := self._cache.get(row.image_id)) is not None:
            return known
        pixels = to_pixels(load_image(row.path, image_size=self._image_size, box=row.box))
        # what comes in random order is not worth making room for by dropping something else
        if pixels.nbytes <= self._cache_room:
            self._cache_room -= pixels.nbytes
            self._cache[row.image_id] = pixels
        return pixels

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
