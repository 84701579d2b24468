"""Retrieval networks: build, load, save."""

from retrieval_core.models.base import LocalFeatures, RetrievalModel
from retrieval_core.models.bundle import save_model
from retrieval_core.models.factory import build_model, load_model

__all__ = ["LocalFeatures", "RetrievalModel", "build_model", "load_model", "save_model"]
