"""The pictures of docs/screens.md, from a real browser: `make screenshots`.

Starts the services, fills in the run form, waits for two runs and photographs the pages.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from browsing import RunForm, browser_page
from mlflow import MlflowClient
from PIL import Image
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
)

from tasks.running import Running, read_running

FOLDER = Path(__file__).parent.parent / "images"
PATIENCE = 1800.0
COLOURS = 128
# the status of a server whose database is locked for a moment
BUSY = 503
SETTLE_MS = 4000
DEMO = {"views": 400, "image_size": 192}
CHOSEN = {"extends": "how_lite0_demo", "name": "how_short", "dataset": {"demo": DEMO}}
# the network is the same, and trained only once
FEWER = {"name": "how_30_features", "features": {"max_features": 30}}


def main() -> None:
    """Draw every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=Path, help="default: a new one, removed at the end")
    given = parser.parse_args().workdir
    with tempfile.TemporaryDirectory(prefix="retrieval-") as fresh:
        workdir = (given or Path(fresh)).resolve()
        with _services(workdir) as up, browser_page() as page:
            screens = Screens(page, up, workdir)
            first = screens.form()
            second = screens.submit({**CHOSEN, **FEWER})
            screens.finished(first)
            screens.dag(first)
            screens.artifacts(first, "evaluate asmk, trained")
            screens.finished(second)
            screens.comparison([CHOSEN["name"], FEWER["name"]])


class Screens:
    """The pages of running services.

    Args:
        page: of the browser.
        up: addresses of the services.
        workdir: that they serve.
    """

    def __init__(self, page: Any, up: Running, workdir: Path) -> None:
        self._page = page
        self._up = up
        self._prefect = SyncPrefectClient(f"{up.prefect}/api")
        self._mlflow = MlflowClient(f"sqlite:///{workdir}/mlflow.db")

    def form(self) -> UUID:
        """Fill in and photograph the form; return the id of its run."""
        self._page.set_viewport_size({"width": 1200, "height": 1310})
        form = RunForm(self._page, self._up.prefect, self._pipeline())
        form.choose("Extends", value=CHOSEN["extends"])
        form.fill("Name", value=CHOSEN["name"])
        form.fill("Dataset", "Demo", "Views", value=DEMO["views"])
        form.fill("Dataset", "Demo", "Image Size", value=DEMO["image_size"])
        self._page.evaluate("document.activeElement.blur()")
        self._page.mouse.move(600, 300)
        self._page.mouse.wheel(0, -10_000)
        self._save("ui-form")
        while (answer := form.submit())[0] == BUSY:
            time.sleep(1)
        status, run = answer
        if status != 201:
            raise SystemExit(f"the form was refused: {run}")
        return UUID(run["id"])

    def submit(self, config: dict[str, Any]) -> UUID:
        """Start a run as the form does; return its id."""
        made = self._prefect.create_flow_run_from_deployment(
            self._pipeline(), parameters={"config": config}
        )
        return made.id

    def finished(self, run: UUID) -> None:
        """Return when a run has ended well."""
        # the open page would take its share of the machine
        self._page.goto("about:blank")
        deadline = time.monotonic() + PATIENCE
        while not (state := self._prefect.read_flow_run(run).state).is_completed():
            if state.is_final() or time.monotonic() > deadline:
                raise SystemExit(f"run {run}: {state.name}: {state.message}")
            time.sleep(1)

    def dag(self, run: UUID) -> None:
        """Photograph the graph of a run's stages, laid out by what needs what."""
        self._page.set_viewport_size({"width": 1400, "height": 900})
        self._page.goto(f"{self._up.prefect}/runs/flow-run/{run}")
        options = self._page.get_by_role("button", name="Run Graph Options")
        options.click()
        for choice in ("Dependency grid", "Hide artifacts", "Hide events"):
            self._page.get_by_text(choice, exact=True).click()
        self._page.keyboard.press("Escape")
        self._page.get_by_text("Task Runs", exact=True).click()
        self._save("ui-dag")

    def artifacts(self, run: UUID, stage: str) -> None:
        """Photograph what a stage has published."""
        self._page.set_viewport_size({"width": 1400, "height": 1000})
        among = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run]),
            type=ArtifactFilterType(any_=["markdown"]),
        )
        found = self._prefect.read_artifacts(artifact_filter=among)
        chosen = next(a.id for a in found if a.description == stage)
        self._page.goto(f"{self._up.prefect}/artifacts/artifact/{chosen}")
        self._save("ui-artifacts")

    def comparison(self, names: list[str]) -> None:
        """Photograph runs side by side."""
        self._page.set_viewport_size({"width": 1300, "height": 1400})
        experiment = self._mlflow.get_experiment_by_name("image-retrieval").experiment_id
        newest = [self._newest(experiment, name) for name in names]
        query = f"runs={json.dumps(newest)}&experiments={json.dumps([experiment])}"
        self._page.goto(f"{self._up.mlflow}/#/compare-runs?{query}")
        self._page.get_by_text("Model training", exact=True).click()
        self._page.get_by_role("button", name="Close").click()
        for differing in ("Parameters", "Metrics"):
            self._page.get_by_label(f"{differing} - Show diff only").click()
        self._page.get_by_text("Visualizations", exact=True).click()
        self._page.mouse.move(0, 0)
        self._save("ui-mlflow")

    def _newest(self, experiment: str, name: str) -> str:
        among = f"attributes.run_name = '{name}' AND attributes.status = 'FINISHED'"
        found = self._mlflow.search_runs([experiment], among)
        return str(found[0].info.run_id)

    def _pipeline(self) -> UUID:
        return self._prefect.read_deployment_by_name("pipeline/pipeline").id

    def _save(self, name: str) -> None:
        self._page.wait_for_timeout(SETTLE_MS)
        picture = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(
            FOLDER / f"{name}.png", optimize=True
        )


@contextmanager
def _services(workdir: Path) -> Iterator[Running]:
    """`retrieval up`, and its end."""
    command = [str(Path(sys.executable).parent / "retrieval"), "up", "--workdir", str(workdir)]
    command += ["--prefect-port", "0", "--mlflow-port", "0"]
    process = subprocess.Popen(command)
    try:
        while not (up := read_running(workdir)) or not up.healthy:
            if process.poll() is not None:
                raise SystemExit("the services did not start")
            time.sleep(0.2)
        yield up
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
