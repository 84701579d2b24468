"""Stages whose work is cut into parts: what an interrupted run has finished is kept."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tasks.cluster import map_on_workers
from tasks.context import RunContext
from tasks.stage import StageRun

Part = TypeVar("Part")
PARTS = "parts"
"""Folder of an artifact in the making; removed before it is complete."""


def finish_missing(
    context: RunContext,
    run: StageRun,
    parts: Sequence[Part],
    *,
    is_done: Callable[[Part], bool],
    call: Callable[[Any, Part], Any],
) -> None:
    """Let Ray workers do the parts that are not there yet, in any order.

    Args:
        context: surroundings of the run.
        run: of the stage; its progress counts parts.
        parts: all that there are to do.
        is_done: whether an earlier attempt finished a part.
        call: starts a part on a worker.
    """
    missing = [part for part in parts if not is_done(part)]
    done = len(parts) - len(missing)
    run.tracked.tag(parts_resumed=str(done))
    run.progress(done, len(parts))
    for _ in map_on_workers(context.runtime.ray, call, missing):
        done += 1
        run.progress(done, len(parts))
