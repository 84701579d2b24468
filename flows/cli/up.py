"""`retrieval up`: everything that one needs in the browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from flows.cli.console import console, errors, open_workdir, user_errors
from flows.cli.options import DEFAULT_WORKDIR, Workdir

if TYPE_CHECKING:
    from flows.up.supervisor import Supervisor

SERVICE_DIED = 1
UNPROTECTED = (
    "There is no password: whoever can connect to {host} can start runs and read all results."
)


def _checked_cron(cron: str | None) -> str | None:
    if cron is not None:
        from prefect.client.schemas.schedules import CronSchedule

        try:
            CronSchedule(cron=cron)
        except ValueError:
            raise typer.BadParameter(
                f"{cron!r} is no cron schedule (minute, hour, day, month, weekday): try '0 3 * * *'"
            ) from None
    return cron


Retrain = Annotated[
    str | None,
    typer.Option(
        metavar="CRON",
        callback=_checked_cron,
        help="When to retrain, in UTC. [default: as before; at first daily at 03:00]",
    ),
]
Configs = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Directory of the configurations that the form offers. [default: configs/]",
    ),
]


def _port(service: str) -> Any:
    return typer.Option(min=0, max=65535, help=f"Of {service}; 0 is any free one.")


def up(
    workdir: Workdir = DEFAULT_WORKDIR,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    prefect_port: Annotated[int, _port("Prefect")] = 4200,
    mlflow_port: Annotated[int, _port("MLflow")] = 5000,
    configs: Configs = None,
    retrain: Retrain = None,
) -> None:
    """Serve the Prefect UI, the MLflow UI and a worker, until Ctrl-C.

    Runs, deployments and schedules are kept in the work directory and are there again next time.
    While it is up, commands on the same work directory show in the same UI.

    Example: retrieval up --prefect-port 4300 --retrain "30 2 * * 1-5"
    """
    root = open_workdir(workdir)
    from flows.up.ports import chosen_port
    from flows.up.services import Options, services
    from flows.up.supervisor import Supervisor

    chosen = configs.resolve() if configs else None
    _name_flawed(chosen)
    with user_errors():
        ports = chosen_port(host, prefect_port), chosen_port(host, mlflow_port)
    options = Options(root, host, *ports, chosen, retrain)
    supervisor = Supervisor(options, services(options))
    if options.is_public:
        errors.print(f"[bold yellow]{UNPROTECTED.format(host=host)}[/]", soft_wrap=True)
    with user_errors(), supervisor.running(), user_errors(SERVICE_DIED):
        _supervise(supervisor)
        errors.print("stopping ...")


def _name_flawed(configs: Path | None) -> None:
    """Say which configurations the form will not offer, and why."""
    from flows.experiment import configs_directory, read_configs

    _, flawed = read_configs(configs or configs_directory())
    for name, flaw in flawed.items():
        errors.print(f"[bold yellow]{name} is left out of the form[/]: ", end="")
        errors.print(flaw, markup=False, highlight=False, soft_wrap=True)


def _supervise(supervisor: "Supervisor") -> None:
    """Show what is awaited, then the addresses, until a signal or a failure."""
    waiting = supervisor.names
    with errors.status(_waiting(waiting)) as display:

        def on_healthy(name: str) -> None:
            waiting.remove(name)
            display.update(_waiting(waiting))

        healthy = supervisor.wait_until_healthy(on_healthy)
    if healthy:
        _print_addresses(supervisor)
        supervisor.wait()


def _waiting(names: list[str]) -> str:
    return f"starting: waiting for {', '.join(names)}"


def _print_addresses(supervisor: "Supervisor") -> None:
    options = supervisor.options
    table = Table(box=box.SIMPLE_HEAVY)
    table.add_column("service")
    table.add_column("address", no_wrap=True)
    table.add_column("for")
    table.add_row("Prefect", options.prefect, "start runs, see them and their schedules")
    table.add_row("MLflow", options.mlflow, "compare scores, settings and pictures")
    table.add_row("worker", "", "does what is asked for, one run at a time")
    console.print(table)
    console.print(f"logs: {supervisor.log('*')}", soft_wrap=True, highlight=False)
    console.print("Ctrl-C ends them all.")
