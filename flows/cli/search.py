"""`retrieval search`: photographs against a finished index."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import console, open_workdir, progress, user_errors
from flows.cli.options import DEFAULT_WORKDIR, Workdir


def search(
    images: Annotated[list[str], typer.Argument(help="Image files or URLs to search with.")],
    index: Annotated[
        str, typer.Option(help="Directory of an index, or YAML file of an experiment.")
    ],
    top_k: Annotated[int, typer.Option(min=1, help="Results per image.")] = 10,
    output: Annotated[
        Path | None, typer.Option(help="Also write results.json and a picture of the rankings.")
    ] = None,
    workdir: Workdir = DEFAULT_WORKDIR,
) -> None:
    """Find the database images that show what your images show.

    Example: retrieval search --index configs/how_lite0_demo.yaml photo.jpg --output found/
    """
    root = open_workdir(workdir)
    from flows.search import find_index
    from flows.summary import print_answers
    from tasks.search import search_images

    with progress(), user_errors():
        found, asmk, vector, processing = find_index(index, str(root))
        # the task's own function: a look-up at the shell needs no server to be started
        written = str(output) if output else None
        answers = search_images.fn(found, images, top_k, written, asmk, vector, processing)
    print_answers(console, answers)
