"""`retrieval datasets`: what there is, and what is on this machine."""

import difflib
import os
import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from flows.cli.bars import bars
from flows.cli.console import begin, console, errors, execute, user_errors
from flows.cli.options import DEFAULT_WORKDIR, ConfigPath, Overrides, Workdir
from retrieval_core.config import BenchmarkConfig
from retrieval_core.config.dataset import BenchmarkName
from retrieval_core.errors import ConfigError

INCOMPLETE = 1

datasets_app = typer.Typer(
    help="List, download, verify and prepare datasets.", no_args_is_help=True
)

Names = Annotated[list[str], typer.Argument(help="Names from `retrieval datasets list`.")]
Root = Annotated[
    str, typer.Option(help="Folder of the datasets; default: 'datasets' in the work directory.")
]
Sources = Annotated[
    str, typer.Option(help="YAML file with your own mirrors, sizes and checksums of the files.")
]


@datasets_app.command("list")
def list_datasets(workdir: Workdir = DEFAULT_WORKDIR) -> None:
    """The kinds of dataset and what each needs; the published datasets and what is here.

    Example: retrieval datasets list
    """
    _work_in(workdir)
    from flows.summary import print_benchmarks, print_dataset_kinds

    print_dataset_kinds(console)
    print_benchmarks(console)


@datasets_app.command("download")
def download_datasets(
    names: Names,
    workdir: Workdir = DEFAULT_WORKDIR,
    root: Root = "",
    sources: Sources = "",
    parallel: Annotated[int, typer.Option(min=1, help="Files at the same time.")] = 4,
) -> None:
    """Get what is missing of published datasets; what was interrupted goes on where it stopped.

    Deleted images come from their archives again where those are still there; the exit status is
    1 where they are not.

    Example: retrieval datasets download roxford5k rparis6k --workdir workdir
    """
    _work_in(workdir)
    from retrieval_core.data.benchmarks.fetch import advice, fetch_benchmark, restore_images
    from retrieval_core.data.benchmarks.sources import load_benchmarks

    whole = True
    with user_errors():
        known = load_benchmarks(sources)
        for config in _configs(names, root, sources):
            benchmark = known[config.name]
            mark = "[bold yellow]restricted[/] licence" if benchmark.restricted else "licence"
            errors.print(f"{mark} of {config.name}: {benchmark.licence}", highlight=False)
            if benchmark.bring:
                errors.print(f"{config.name}: {benchmark.bring}", highlight=False, markup=False)
            with bars() as tell:
                fetch_benchmark(config, parallel=parallel, progress=tell)
                missing, images = restore_images(config, progress=tell)
            if missing:
                lost = f"{config.name}: {missing} of {images} images are missing. {advice(config)}"
                errors.print(lost, highlight=False, markup=False)
                # what its user has to bring is no failure of the download
                whole = whole and bool(benchmark.bring)
                continue
            console.print(
                f"{config.name}: all files are there, with {images} images; "
                f"`retrieval datasets verify {config.name}` reads every file again",
                highlight=False,
            )
    if not whole:
        sys.exit(INCOMPLETE)


@datasets_app.command("verify")
def verify_datasets(
    names: Names,
    workdir: Workdir = DEFAULT_WORKDIR,
    root: Root = "",
    sources: Sources = "",
) -> None:
    """Read every file again and look for every image; the exit status is 1 where one is wrong.

    Example: retrieval datasets verify roxford5k --workdir workdir
    """
    _work_in(workdir)
    from flows.summary import print_verification
    from retrieval_core.data.benchmarks.fetch import advice
    from retrieval_core.data.benchmarks.verify import verify_benchmark

    whole = True
    with user_errors():
        for config in _configs(names, root, sources):
            with bars() as tell:
                found = verify_benchmark(config, progress=tell)
            print_verification(console, config.name, found)
            if not found.whole:
                errors.print(f"{config.name}: {advice(config)}", highlight=False, markup=False)
            whole = whole and found.whole
    if not whole:
        sys.exit(INCOMPLETE)


@datasets_app.command("prepare")
def prepare_dataset(
    config: ConfigPath, overrides: Overrides = None, workdir: Workdir = DEFAULT_WORKDIR
) -> None:
    """Make or check the datasets of an experiment and say what is in them.

    Example: retrieval datasets prepare configs/how_lite0_folder.yaml dataset.folder.path=photos
    """
    settings, root = begin(config, overrides, workdir)
    from flows.prepare import prepare as flow
    from flows.summary import print_summary

    print_summary(console, execute(flow, settings, root))


def _configs(names: list[str], root: str, sources: str) -> list[BenchmarkConfig]:
    known = get_args(BenchmarkName)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise ConfigError(f"{name!r} is no published dataset; {hint}")
    return [
        BenchmarkConfig.model_validate({"name": name, "root": root, "sources": sources})
        for name in names
    ]


def _work_in(workdir: Path) -> None:
    os.environ["RETRIEVAL_WORKDIR"] = str(workdir.expanduser().resolve())
