"""The command line: one command per flow, each with a `--help` that teaches.

Orchestration libraries are imported inside the commands, after the work directory is set and so
that `--help` and completion answer at once.
"""

import typer

from flows.cli.checkpoints import checkpoints_app
from flows.cli.compare import compare
from flows.cli.datasets import datasets_app
from flows.cli.experiments import distractors, evaluate, run
from flows.cli.search import search
from flows.cli.show import show_app
from flows.cli.study import study_app
from flows.cli.up import up

app = typer.Typer(
    name="retrieval",
    help="Find the same object, place or product again: train, index, search and score.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, evaluate, distractors, search, compare, up):
    app.command()(command)
app.add_typer(study_app, name="study")
app.add_typer(datasets_app, name="datasets")
app.add_typer(checkpoints_app, name="checkpoints")
app.add_typer(show_app, name="show")
