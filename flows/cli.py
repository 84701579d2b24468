"""The command line: one command per flow, each with a `--help` that teaches.

Orchestration libraries are imported inside the commands, after the work directory is set and so
that `--help` and completion answer at once.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from retrieval_core.config import PipelineConfig, load_config
from retrieval_core.errors import RetrievalError
from tasks.environment import prepare_environment

app = typer.Typer(
    name="retrieval",
    help="Find the same object, place or product again: train, index, search and score.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
datasets_app = typer.Typer(help="List and prepare datasets.", no_args_is_help=True)
app.add_typer(datasets_app, name="datasets")

console = Console()
errors = Console(stderr=True)

ConfigPath = Annotated[
    Path, typer.Argument(help="YAML file of the experiment.", exists=True, dir_okay=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings to change, as key.path=value (value in YAML)."),
]
Workdir = Annotated[
    Path,
    typer.Option(
        envvar="RETRIEVAL_WORKDIR",
        help="Holds artifacts, the MLflow database and Prefect's state; delete it to reset all.",
    ),
]
DEFAULT_WORKDIR = Path("workdir")
USER_ERROR = 2


@app.command()
def run(
    config: ConfigPath, overrides: Overrides = None, workdir: Workdir = DEFAULT_WORKDIR
) -> None:
    """Run the whole pipeline and print the scores, the seconds of each stage and where all is.

    What was computed before, by the same settings, inputs and code, is reused; what was
    interrupted goes on where it stopped.

    Example: retrieval run configs/how_lite0_demo.yaml training.epochs=2
    """
    settings, root = _begin(config, overrides, workdir)
    from flows.pipeline import pipeline
    from flows.summary import print_summary

    print_summary(console, _execute(pipeline, settings, root))


@app.command()
def evaluate(
    config: ConfigPath, overrides: Overrides = None, workdir: Workdir = DEFAULT_WORKDIR
) -> None:
    """Score the trained network of an experiment; stages that are missing are run first.

    Example: retrieval evaluate configs/how_lite0_demo.yaml asmk.alpha=2
    """
    settings, root = _begin(config, overrides, workdir)
    from flows.evaluate import evaluate as flow
    from flows.summary import print_summary

    print_summary(console, _execute(flow, settings, root))


@app.command()
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
    root = prepare_environment(workdir)
    from flows.search import find_index
    from flows.summary import print_answers
    from tasks.search import search_images

    with _progress(), _user_errors():
        found, asmk = find_index(index, str(root))
        # the task's own function: a look-up at the shell needs no server to be started
        answers = search_images.fn(found, images, top_k, str(output) if output else None, asmk)
    print_answers(console, answers)


@datasets_app.command("list")
def list_datasets() -> None:
    """The kinds of dataset, and what each needs."""
    from flows.summary import print_dataset_kinds

    print_dataset_kinds(console)


@datasets_app.command("prepare")
def prepare_dataset(
    config: ConfigPath, overrides: Overrides = None, workdir: Workdir = DEFAULT_WORKDIR
) -> None:
    """Make or check the datasets of an experiment and say what is in them.

    Example: retrieval datasets prepare configs/how_lite0_folder.yaml dataset.folder.path=photos
    """
    settings, root = _begin(config, overrides, workdir)
    from flows.prepare import prepare as flow
    from flows.summary import print_summary

    print_summary(console, _execute(flow, settings, root))


def _begin(config: Path, overrides: list[str] | None, workdir: Path) -> tuple[PipelineConfig, Path]:
    with _user_errors():
        settings = load_config(config, overrides or [])
    return settings, prepare_environment(workdir)


def _execute(flow: Callable[..., Any], config: PipelineConfig, workdir: Path) -> Any:
    with _progress(), _user_errors():
        return flow(config, str(workdir))


@contextmanager
def _progress() -> Iterator[None]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from tasks.progress import show_in

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as display:
        show_in(display)
        try:
            yield
        finally:
            show_in(None)


@contextmanager
def _user_errors() -> Iterator[None]:
    try:
        yield
    except RetrievalError as error:
        errors.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        errors.print(str(error), markup=False, highlight=False)
        sys.exit(USER_ERROR)
