"""The trained network as an MLflow model: image files in, descriptors out.

MLflow copies this file into the model and runs it wherever the model is loaded: nothing is pickled.
It imports the core alone, which lies beside it in the model.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch

from retrieval_core.config import FeaturesConfig
from retrieval_core.data.images import decode_image, to_pixels
from retrieval_core.errors import ConfigError, ImageError
from retrieval_core.features.rewriting import whiten
from retrieval_core.models import load_model
from retrieval_core.models.whitening import Whitening

IMAGE = "image"
LOCAL = ("descriptors", "strengths", "locations", "scales")
COLUMNS = {
    "global": ("descriptor", "error"),
    "processed": ("descriptor", "error"),
    "local": (*LOCAL, "error"),
}


class DescriptorModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """Describes images as the pipeline that trained the network does.

    Its model configuration is a `FeaturesConfig`; `mlflow.pyfunc.load_model(...,
    model_config={"image_size": 512})` changes a setting.
    """

    def load_context(self, context: Any) -> None:
        """Load the network, on a GPU where there is one."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = load_model(context.artifacts["network"], device=device)
        self._settings = FeaturesConfig.model_validate(dict(context.model_config))
        whitening = context.artifacts.get("whitening")
        self._whitening = Whitening.load(whitening) if whitening else None

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Descriptors of images.

        Args:
            context: not used.
            model_input: image files in the column "image", as bytes or in base64. MLflow makes
                this table of a list of {"image": ...} and of a series of that name, too.
            params: "output" is "global" (default), "processed", which is the global descriptor
                whitened, or "local".

        Returns:
            One row per image. "descriptor": (D,) float32, unit norm; or "descriptors": (n, d)
            float32, strongest first, with "strengths" (n,), "locations" (n, 2) in cells of the
            feature map, and "scales" (n,). Empty where "error" says what is wrong with the file.

        Raises:
            ConfigError: the output is unknown, or there are no local descriptors or no whitening.
        """
        output = (params or {}).get("output", "global")
        self._require(output)
        files = model_input[IMAGE]
        rows = [self._describe(file, f"image {i}", output) for i, file in enumerate(files)]
        # as objects, so that what is absent stays None: JSON knows no NaN
        return pd.DataFrame(rows, list(files.index), list(COLUMNS[output]), dtype=object)

    def _require(self, output: str) -> None:
        if output not in COLUMNS:
            raise ConfigError(f"output {output!r}: expected one of {list(COLUMNS)}")
        if output == "local" and self._network.local_dim is None:
            method = self._network.config.method
            raise ConfigError(f"output 'local': a {method} network has only global descriptors")

        if output == "processed" and self._whitening is None:
            raise ConfigError("output 'processed': nothing is whitened here, as with 'global'")

    def _describe(self, file: Any, name: str, output: str) -> dict[str, Any]:
        try:
            found = self._extract(_bytes(file, name), name, output)
            if not all(np.isfinite(values).all() for values in found.values()):
                raise ImageError(name, "not_finite")
        except ImageError as error:
            return {**dict.fromkeys(COLUMNS[output]), "error": str(error)}
        return {**found, "error": ""}

    @torch.inference_mode()
    def _extract(self, content: bytes, name: str, output: str) -> Mapping[str, np.ndarray]:
        network, settings = self._network, self._settings
        image = decode_image(content, name, image_size=settings.image_size)
        batch = network.prepare(to_pixels(image))[None].to(network.device)
        if output != "local":
            vectors = network.extract_global(
                batch, scales=settings.global_scales, power=settings.global_power
            )
            found = vectors.float().cpu().numpy()
            if output == "processed" and self._whitening is not None:
                found = whiten(self._whitening, found)
            return {"descriptor": found[0]}
        local = network.extract_local(
            batch, scales=settings.scales, max_features=settings.max_features
        )
        return {field: getattr(local, field).float().cpu().numpy() for field in LOCAL}


def _bytes(file: Any, name: str) -> bytes:
    if isinstance(file, str):
        try:
            return base64.b64decode(file, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ImageError(name, "unreadable", f"not base64: {error}") from None
    if not isinstance(file, bytes | bytearray | memoryview):
        raise ImageError(name, "unreadable", f"bytes expected, not {type(file).__name__}")
    return bytes(file)


mlflow.models.set_model(DescriptorModel())
