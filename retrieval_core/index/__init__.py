"""Codebook, ASMK inverted file and vector index."""

from retrieval_core.index.asmk import AsmkIndex
from retrieval_core.index.codebook import Codebook
from retrieval_core.index.vector import VectorIndex

__all__ = ["AsmkIndex", "Codebook", "VectorIndex"]
