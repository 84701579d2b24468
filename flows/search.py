"""Search a finished index with new photographs."""

from prefect import flow

from flows.index import index
from retrieval_core.config import AsmkConfig, VectorConfig, load_config
from retrieval_core.search.images import Answer
from tasks.search import search_images


@flow(name="search")
def search(
    index_uri: str,
    images: list[str],
    top_k: int = 10,
    output: str | None = None,
    asmk: AsmkConfig | None = None,
    vector: VectorConfig | None = None,
) -> list[Answer]:
    """The best database images of every query image."""
    return search_images(index_uri, images, top_k, output, asmk, vector)


def find_index(reference: str, workdir: str) -> tuple[str, AsmkConfig, VectorConfig]:
    """Directory of an index and how to search it, given itself or the experiment that builds it.

    An experiment's missing stages are run; its inverted file is preferred to its vector index.
    """
    if not reference.endswith((".yaml", ".yml")):
        return reference, AsmkConfig(), VectorConfig()
    config = load_config(reference)
    built = index(config, workdir).artifacts
    return (built.get("asmk") or built["global"])[0].uri, config.asmk, config.vector
