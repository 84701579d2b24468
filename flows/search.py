"""Search a finished index with new photographs."""

from prefect import flow

from flows.index import index
from retrieval_core.config import AsmkConfig, VectorConfig, load_config
from retrieval_core.search.images import Answer
from retrieval_core.search.processed import QueryProcessing
from tasks.search import search_images


@flow(name="search")
def search(
    index_uri: str,
    images: list[str],
    top_k: int = 10,
    output: str | None = None,
    asmk: AsmkConfig | None = None,
    vector: VectorConfig | None = None,
    processing: QueryProcessing | None = None,
) -> list[Answer]:
    """The best database images of every query image."""
    return search_images(index_uri, images, top_k, output, asmk, vector, processing)


def find_index(
    reference: str, workdir: str
) -> tuple[str, AsmkConfig, VectorConfig, QueryProcessing]:
    """Directory of an index and how to search it, given itself or the experiment that builds it.

    An experiment's missing stages are run; its inverted file is preferred to its vector index, and
    that of post-processed descriptors to that of the network's own.
    """
    if not reference.endswith((".yaml", ".yml")):
        return reference, AsmkConfig(), VectorConfig(), QueryProcessing()
    config = load_config(reference)
    built = index(config, workdir).artifacts
    found = built.get("asmk") or built.get("processed") or built["global"]
    steps = config.postprocessing
    neighbours = built["neighbours"][0].uri if "neighbours" in built else ""
    processing = QueryProcessing(steps.query_expansion, steps.reranking, neighbours)
    return found[0].uri, config.asmk, config.vector, processing
