"""`retrieval datasets`: what there is, and what is on this machine."""

import typer

from flows.cli.console import begin, console, execute
from flows.cli.options import DEFAULT_WORKDIR, ConfigPath, Overrides, Workdir

datasets_app = typer.Typer(help="List and prepare datasets.", no_args_is_help=True)


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
    settings, root = begin(config, overrides, workdir)
    from flows.prepare import prepare as flow
    from flows.summary import print_summary

    print_summary(console, execute(flow, settings, root))
