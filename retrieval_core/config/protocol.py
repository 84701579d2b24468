"""What is checked so that scores may be believed."""

from pydantic import Field

from retrieval_core.config.base import Config


class ProtocolConfig(Config):
    """The guard that compares training with test images; its remarks are in the report."""

    near_duplicates: bool = Field(
        True, description="look for test images that are also training images, by their pixels"
    )
    max_images: int = Field(
        200_000, ge=1, description="images of either side that are compared; of more, a sample"
    )
