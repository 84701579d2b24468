"""Stage without an artifact: new photographs are searched in a finished index."""

import json
from pathlib import Path

from prefect import task

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import AsmkConfig, VectorConfig
from retrieval_core.search.images import Answer, ImageSearcher
from retrieval_core.search.processed import QueryProcessing
from retrieval_core.visualize.answers import answers_grid


@task(name="search", tags=["search"])
def search_images(
    index_uri: str,
    images: list[str],
    top_k: int,
    output: str | None,
    asmk: AsmkConfig | None = None,
    vector: VectorConfig | None = None,
    processing: QueryProcessing | None = None,
) -> list[Answer]:
    """Rank the database for every image; write `results.json` and `results.png` to `output`."""
    answers = ImageSearcher(index_uri, asmk, vector, processing).search(images, top_k=top_k)
    if output:
        write_answers(answers, output)
    return answers


def write_answers(answers: list[Answer], output: str) -> None:
    """Write the answers as JSON and as a picture."""
    directory = ArtifactDirectory(Path(output).absolute())
    content = json.dumps([answer.to_dict() for answer in answers], indent=1)
    directory.write_bytes("results.json", content.encode())
    with directory.writing("results.png") as path:
        answers_grid(answers).save(path, format="PNG")
