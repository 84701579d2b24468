"""Search a finished index with new photographs."""

from pathlib import Path

from prefect import flow

from flows.index import index
from retrieval_core.artifacts import read_manifest
from retrieval_core.config import load_config
from retrieval_core.search.images import Answer
from tasks.search import search_images


@flow(name="search")
def search(
    index_uri: str, images: list[str], top_k: int = 10, output: str | None = None
) -> list[Answer]:
    """The best database images of every query image."""
    return search_images(index_uri, images, top_k, output)


def find_index(reference: str, workdir: str) -> str:
    """Directory of an index, given itself or the experiment that builds it.

    An experiment's missing stages are run; its inverted file is preferred to its vector index.
    """
    if not reference.endswith((".yaml", ".yml")):
        read_manifest(reference)
        return str(Path(reference).absolute()) if "://" not in reference else reference
    built = index(load_config(reference), workdir).artifacts
    return (built.get("asmk") or built["global"])[0].uri
