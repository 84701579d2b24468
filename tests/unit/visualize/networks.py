"""Small networks with random weights, and photographs for them."""

import numpy as np
from PIL import Image

from retrieval_core.config import ModelConfig
from retrieval_core.models import RetrievalModel, build_model

SMALL = {"backbone": "mobilenet_v3_small", "weights": "none", "dim": 16}


def network(method: str, **settings: object) -> RetrievalModel:
    lit = {"lit": {"iterations": 2, "templates": 12, "dim": 24}} if method == "fire" else {}
    return build_model(ModelConfig(method=method, **SMALL, **lit, **settings))


def noise(path, width=96, height=64, seed=0) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(path)
    return str(path)
