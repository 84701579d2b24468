"""What a search without assignment needs of the reference implementation, PyPI's `asmk`."""

import sys
from pathlib import Path

import numpy as np
from asmk_data import WORDS, Batch

# the benchmark beside this file has the package's name and would be found before it
sys.path = [folder for folder in sys.path if Path(folder) != Path(__file__).parent]

from asmk import kernel  # noqa: E402
from asmk.inverted_file import IVF  # noqa: E402

ALPHA, THRESHOLD = 3.0, 0.0


class Reference:
    """The parts of the reference that a search without assignment needs."""

    def __init__(self, centroids: np.ndarray, binary: bool, use_idf: bool, top_k: int) -> None:
        holder = type("Codebook", (), {"centroids": centroids})
        self._kernel = kernel.ASMKKernel(holder, binary=binary)
        self._top_k = top_k
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._file = IVF.initialize_empty(codebook_size=WORDS, use_idf=use_idf)

    def aggregate(self, batch: Batch) -> None:
        """Aggregate some images."""
        images = batch.images[batch.image_index]
        self._parts.append(self._kernel.aggregate(batch.descriptors, batch.words, images))

    def build(self) -> None:
        """Index all images in one call: a later one would leave the idf of earlier ones stale."""
        self._file.add(*(np.concatenate(column) for column in zip(*self._parts, strict=True)))
        self._parts.clear()

    def bytes(self) -> int:
        """What its posting lists take in memory."""
        lists = (*self._file.ivf_vecs, *self._file.ivf_image_ids)
        return sum(array.nbytes for array in lists if array is not None)

    def search(self, descriptors: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ids and scores of the best images of one query."""
        codes, found = self._kernel.aggregate_image(descriptors, words)
        ids, scores = self._file.search(
            codes,
            found,
            similarity_func=lambda *x: self._kernel.similarity(
                *x, alpha=ALPHA, similarity_threshold=THRESHOLD
            ),
            topk=self._top_k,
        )
        return ids, scores
