"""One `retrieval up` per work directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval_core.errors import ServiceError
from retrieval_core.locking import exclusive
from tasks.running import read_running


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the work directory's services; the system lets go when this process dies.

    Raises:
        ServiceError: another process holds them; names it and its addresses.
    """

    def refuse(_: float) -> None:
        raise ServiceError(_explain(root))

    with exclusive(root / "up.lock", refuse):
        yield


def _explain(root: Path) -> str:
    if (running := read_running(root)) is None:
        return f"the services of {root} are being started or stopped by another process: wait"
    return (
        f"the services of {root} are up already (process {running.pid}): "
        f"Prefect at {running.prefect}, MLflow at {running.mlflow}. Use them, end them with "
        f"`kill {running.pid}`, or choose another --workdir"
    )
