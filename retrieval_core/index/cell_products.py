"""Comparing descriptors with the words of a cell, as fast as the processor allows."""

from collections.abc import Callable
from typing import Any, Protocol

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from retrieval_core.index.assignment import keep_best
from retrieval_core.index.inputs import Float32, Int64
from retrieval_core.index.tiles import (
    BLOCK,
    SHORT,
    has_tiles,
    multiply_block,
    pack_words,
    tile_shapes,
)

Array = npt.NDArray[Any]

# The library compiles a kernel for each shape of a product that it meets: let there be few.
LARGEST_PRODUCT, PRODUCT_STEP = 2048, 128


class Visit(Protocol):
    """Puts the words of a cell among the best so far of some descriptors."""

    def __call__(
        self, begin: int, end: int, rows: Int64, affinities: Float32, words: Array, scores: Float32
    ) -> None:
        """Compare.

        Args:
            begin: number of the cell's first word.
            end: behind its last one; a multiple of 32 further.
            rows: (m,) which descriptors.
            affinities: (n,) of all descriptors to the cell.
            words: (n, k) int32, best first, changed in place.
            scores: (n, k) of these words, changed in place.
        """


class CellProducts(Protocol):
    """Products of descriptors and the words of all cells."""

    def enter(self, vectors: Tensor) -> Visit:
        """Prepare (n, d) float32 descriptors for visits, by one thread."""


Prepare = Callable[[Tensor, Float32], CellProducts]


def fastest_products(relative: Tensor, biases: Float32) -> CellProducts:
    """The products that suit this processor.

    Args:
        relative: (w, d) float32, the words, each relative to its cell.
        biases: (w,) as `keep_best` takes them.
    """
    if has_tiles():
        return TileProducts(relative, biases)
    able = torch.cpu.get_capabilities()
    dtype = torch.bfloat16 if able.get("avx512_bf16") else torch.float32
    return LibraryProducts(relative, biases, dtype)


class LibraryProducts:
    """By torch, in float32 or bfloat16 (arguments as `fastest_products`)."""

    def __init__(self, relative: Tensor, biases: Float32, dtype: torch.dtype) -> None:
        self._relative, self._biases = relative.to(dtype), biases

    def enter(self, vectors: Tensor) -> Visit:
        """As `CellProducts.enter`."""
        typed = vectors.to(self._relative.dtype)
        picked = typed.new_empty((LARGEST_PRODUCT, typed.shape[1]))

        def visit(
            begin: int,
            end: int,
            rows: Int64,
            affinities: Float32,
            words: Array,
            scores: Float32,
        ) -> None:
            relative, biases = self._relative[begin:end].T, self._biases[begin:end]
            for start in range(0, len(rows), LARGEST_PRODUCT):
                part = rows[start : start + LARGEST_PRODUCT]
                torch.index_select(typed, 0, torch.from_numpy(part), out=picked[: len(part)])
                # the last rows of the product may be of descriptors before, and are not looked at
                size = -(-len(part) // PRODUCT_STEP) * PRODUCT_STEP
                products = picked[:size] @ relative
                if products.dtype == torch.bfloat16:
                    products = products.view(torch.uint16)
                keep_best(products.numpy(), part, affinities, biases, begin, words, scores)

        return visit


class TileProducts:
    """By the processor's tiles (arguments as `fastest_products`)."""

    def __init__(self, relative: Tensor, biases: Float32) -> None:
        self._packed, self._biases = pack_words(_short(relative)), biases
        self._shapes = tile_shapes()

    def enter(self, vectors: Tensor) -> Visit:
        """As `CellProducts.enter`."""
        bits = _short(vectors).view(torch.uint16).numpy()
        block = np.zeros((BLOCK, bits.shape[1]), np.uint16)

        def visit(
            begin: int,
            end: int,
            rows: Int64,
            affinities: Float32,
            words: Array,
            scores: Float32,
        ) -> None:
            packed = self._packed[begin * 2 // BLOCK : end * 2 // BLOCK]
            biases = self._biases[begin:end]
            _visit_by_tiles(
                bits, rows, block, packed, self._shapes, affinities, biases, begin, words, scores
            )

        return visit


@numba.njit(cache=True, nogil=True)
def _visit_by_tiles(
    vectors: Array,
    rows: Array,
    block: Array,
    packed: Array,
    shapes: Array,
    affinities: Array,
    biases: Array,
    first: int,
    words: Array,
    scores: Array,
) -> None:
    products = np.empty((BLOCK, len(biases)), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        for i in range(len(part)):
            row = part[i]
            for j in range(vectors.shape[1]):
                block[i, j] = vectors[row, j]
        multiply_block(block, packed, products, shapes)
        keep_best(products, part, affinities, biases, first, words, scores)


def _short(vectors: Tensor) -> Tensor:
    """(n, d') bfloat16, filled up by zeros to whole tiles."""
    return pad(vectors, (0, -vectors.shape[1] % SHORT)).to(torch.bfloat16)
