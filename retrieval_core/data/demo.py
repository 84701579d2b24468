"""The demo dataset: JPEG views of real photographs, made on the spot, with exact ground truth."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DemoConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth
from retrieval_core.data.demo_plan import Grade, PlannedView, draw, grade, plan_views
from retrieval_core.data.demo_render import render_jpeg

FOLDER_SIZE = 1_000
"""Files per sub-directory of images/."""


@dataclass(frozen=True)
class _MadeView:
    row: ImageRow
    grade: Grade


def make_demo(
    config: DemoConfig,
    directory: ArtifactDirectory,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Catalogue:
    """Write the views as JPEG files, and say what they show.

    Every view depends on the seed and its own number only, so views are made in parallel, and
    those that an interrupted attempt has written are kept.

    Args:
        config: number and size of the views, seed.
        directory: the JPEG files go below images/ in it.
        progress: called with (views done, views in all), from one thread.
    """
    plan = plan_views(config)
    made: dict[int, _MadeView] = {}
    # threads: Pillow and numpy let go of the interpreter lock in the calls that take the time
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [
            pool.submit(_make, i, planned, config, directory) for i, planned in enumerate(plan)
        ]
        try:
            for future in as_completed(futures):
                view = future.result()
                made[view.row.image_id] = view
                if progress is not None:
                    progress(len(made), len(plan))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    ordered = [made[index] for index in range(len(plan))]
    rows = tuple(view.row for view in ordered)
    return Catalogue("demo", rows, _truth(ordered), revisited=True)


def _make(
    index: int, planned: PlannedView, config: DemoConfig, directory: ArtifactDirectory
) -> _MadeView:
    generator = np.random.default_rng([config.seed, index])
    view = draw(planned, config.image_size, generator)
    name = f"images/{index // FOLDER_SIZE:03d}/{index:06d}.jpg"
    if not directory.exists(name):
        directory.write_bytes(name, render_jpeg(view, generator))
    row = ImageRow(
        image_id=index,
        path=_address(directory, name),
        label=planned.landmark.label if planned.landmark else "",
        split=planned.split,
        role=planned.role,
        box=view.box if planned.boxed else None,
    )
    return _MadeView(row, grade(view))


def _address(directory: ArtifactDirectory, name: str) -> str:
    return f"{directory.uri}/{name}" if "://" in directory.uri else directory.path(name)


def _truth(views: Iterable[_MadeView]) -> tuple[QueryTruth, ...]:
    graded: dict[str, dict[Grade, list[int]]] = {}
    test = [view for view in views if view.row.split == "test"]
    for view in test:
        if view.row.role == "database" and view.row.label:
            lists = graded.setdefault(view.row.label, {"easy": [], "hard": [], "junk": []})
            lists[view.grade].append(view.row.image_id)
    return tuple(
        QueryTruth(
            view.row.image_id,
            *(tuple(graded[view.row.label][name]) for name in ("easy", "hard", "junk")),
        )
        for view in test
        if view.row.role == "query"
    )
