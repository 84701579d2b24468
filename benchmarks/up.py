"""Seconds from nothing, a work directory that is not there, to three healthy services.

    python benchmarks/up.py --repeats 5

The time begins when the command is typed and ends when `retrieval up` has seen the Prefect server,
the MLflow server and the worker at work. "again" starts once more on what the first start left.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.running import read_running

RESULTS = Path(__file__).parent / "results" / "up.json"
COMMAND = Path(sys.executable).parent / "retrieval"
POLL_SECONDS = 0.05


def main() -> None:
    """Measure both starts, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    starts: dict[str, list[float]] = {"from_nothing": [], "again": []}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as scratch:
            for seconds in starts.values():
                seconds.append(_seconds(Path(scratch) / "workdir"))
    results = {name: _summary(seconds) for name, seconds in starts.items()}
    report = {"options": {"repeats": options.repeats, "cores": os.cpu_count()}, **results}
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    _print(results)


def _seconds(workdir: Path) -> float:
    """Of one start; all has ended when this returns."""
    command = [str(COMMAND), "up", "--workdir", str(workdir)]
    command += ["--prefect-port", "0", "--mlflow-port", "0"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not (running := read_running(workdir)) or not running.healthy:
            if process.poll() is not None:
                raise SystemExit(f"`retrieval up` has ended with status {process.returncode}")
            time.sleep(POLL_SECONDS)
        return time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


def _summary(seconds: list[float]) -> dict[str, Any]:
    return {
        "median_seconds": round(statistics.median(seconds), 2),
        "seconds": [round(s, 2) for s in seconds],
    }


def _print(results: dict[str, dict[str, Any]]) -> None:
    table = Table("start", "median, s", "all, s")
    for name, r in results.items():
        every = " ".join(f"{seconds:.1f}" for seconds in r["seconds"])
        table.add_row(name, f"{r['median_seconds']:.1f}", every)
    Console().print(table)


if __name__ == "__main__":
    main()
