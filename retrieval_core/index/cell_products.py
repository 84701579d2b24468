"""Comparing descriptors with the words of a cell, as fast as the processor allows."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from retrieval_core.index.assignment import keep_best, rows_above
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.tiles import (
    BLOCK,
    SHORT,
    WIDE,
    has_tiles,
    multiply_block,
    pack_words,
    tile_shapes,
)

Array = npt.NDArray[Any]

# The library compiles a kernel for each shape of a product that it meets: let there be few.
LARGEST_PRODUCT, PRODUCT_STEP = 2048, 128


class CellProducts(Protocol):
    """Products of descriptors and the words of the cells near each."""

    def search(
        self, vectors: Tensor, affinities: Float32, lowest: Float32, words: Array, scores: Float32
    ) -> None:
        """Find the best words of some descriptors.

        Args:
            vectors: (n, d) float32, relative to what the cells are relative to.
            affinities: (cells, n) float32.
            lowest: (n,) float32, cells of an affinity above it are searched.
            words: (n, k) int32, best first, changed in place.
            scores: (n, k) float32 of these words, changed in place.
        """


Prepare = Callable[[Tensor, Float32, Int64], CellProducts]


def fastest_products(relative: Tensor, biases: Float32, bounds: Int64) -> CellProducts:
    """The products that suit this processor.

    Args:
        relative: (w, d) float32, the words of cell after cell, each relative to its cell.
        biases: (w,) as `keep_best` takes them.
        bounds: (cells + 1,) where each cell begins; multiples of 32.
    """
    if has_tiles():
        return TileProducts(relative, biases, bounds)
    able = torch.cpu.get_capabilities()
    dtype = torch.bfloat16 if able.get("avx512_bf16") else torch.float32
    return LibraryProducts(relative, biases, bounds, dtype)


class LibraryProducts:
    """By torch, in float32 or bfloat16 (arguments as `fastest_products`)."""

    def __init__(
        self, relative: Tensor, biases: Float32, bounds: Int64, dtype: torch.dtype
    ) -> None:
        self._relative, self._biases, self._bounds = relative.to(dtype), biases, bounds

    def search(
        self, vectors: Tensor, affinities: Float32, lowest: Float32, words: Array, scores: Float32
    ) -> None:
        """As `CellProducts.search`."""
        typed = vectors.to(self._relative.dtype)
        picked = typed.new_empty((LARGEST_PRODUCT, typed.shape[1]))
        rows = np.empty(len(vectors) + 1, np.int64)
        for own, (begin, end) in zip(affinities, pairwise(self._bounds), strict=True):
            near = rows[: rows_above(own, lowest, rows)]
            relative, biases = self._relative[begin:end].T, self._biases[begin:end]
            for start in range(0, len(near), LARGEST_PRODUCT):
                part = near[start : start + LARGEST_PRODUCT]
                torch.index_select(typed, 0, torch.from_numpy(part), out=picked[: len(part)])
                # the last rows of the product may be of descriptors before, and are not looked at
                size = -(-len(part) // PRODUCT_STEP) * PRODUCT_STEP
                products = picked[:size] @ relative
                if products.dtype == torch.bfloat16:
                    products = products.view(torch.uint16)
                keep_best(products.numpy(), part, own, biases, begin, words, scores)


class TileProducts:
    """By the processor's tiles (arguments as `fastest_products`)."""

    def __init__(self, relative: Tensor, biases: Float32, bounds: Int64) -> None:
        self._packed, self._biases, self._bounds = pack_words(_short(relative)), biases, bounds
        self._shapes = tile_shapes()

    def search(
        self, vectors: Tensor, affinities: Float32, lowest: Float32, words: Array, scores: Float32
    ) -> None:
        """As `CellProducts.search`."""
        bits = _short(vectors).view(torch.uint16).numpy()
        block = np.zeros((BLOCK, bits.shape[1]), np.uint16)
        cells = self._packed, self._biases, self._bounds
        _search_by_tiles(bits, affinities, lowest, block, cells, self._shapes, words, scores)


@numba.njit(cache=True, nogil=True)
def _search_by_tiles(
    vectors: Array,
    all_affinities: Array,
    lowest: Array,
    block: Array,
    cells: tuple[Array, Array, Array],
    shapes: Array,
    words: Array,
    scores: Array,
) -> None:
    all_packed, all_biases, bounds = cells
    rows = np.empty(len(vectors) + 1, np.int64)
    for cell in range(len(bounds) - 1):
        begin, end = bounds[cell], bounds[cell + 1]
        packed, biases = all_packed[begin // WIDE : end // WIDE], all_biases[begin:end]
        products = np.empty((BLOCK, end - begin), np.float32)
        affinities = all_affinities[cell]
        near = rows[: rows_above(affinities, lowest, rows)]
        for start in range(0, len(near), BLOCK):
            part = near[start : start + BLOCK]
            for i in range(len(part)):
                row = part[i]
                for j in range(vectors.shape[1]):
                    block[i, j] = vectors[row, j]
            multiply_block(block, packed, products, shapes)
            keep_best(products, part, affinities, biases, begin, words, scores)


def _short(vectors: Tensor) -> Tensor:
    """(n, d') bfloat16, filled up by zeros to whole tiles."""
    lacking = -vectors.shape[1] % SHORT
    return (pad(vectors, (0, lacking)) if lacking else vectors).to(torch.bfloat16)
