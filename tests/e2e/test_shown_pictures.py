"""The commands of the page on pictures, on two finished runs: one of HOW, one of FIRe."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from driving import CONFIG
from mlflow import MlflowClient
from PIL import Image

from retrieval_core.data.catalogue import Catalogue

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
FIRE = CONFIG.with_name("tiny-fire.yaml")
# one process for all: each costs seconds to start
IN_ONE_PROCESS = """
import json, sys
from typer.testing import CliRunner
from flows.cli import app

answers = [CliRunner().invoke(app, words) for words in json.load(sys.stdin)]
json.dump([(a.exit_code, a.output) for a in answers], open("answers.json", "w"))
"""


@pytest.fixture(scope="module")
def both(finished):
    """The work directory of the finished run, with one of FIRe on the same photographs."""
    workdir, _ = finished
    workdir.start("run", str(FIRE)).wait()
    return workdir


def _small(part):
    """A page's argument, with the experiments of these tests for those of the page."""
    if not part.startswith("configs/"):
        return part
    return str(FIRE if "/fire_" in part else CONFIG)


@pytest.fixture
def show(both, tmp_path):
    """Runs `retrieval show` commands on the finished runs; two of their photographs lie beside."""
    workdir = both
    catalogue = Catalogue.load(workdir.glob("dataset-*/images.parquet")[0].parent)
    paths = {row.image_id: row.path for row in catalogue.rows}
    truth = next(truth for truth in catalogue.truth if truth.easy)
    shutil.copy(paths[truth.query], tmp_path / "photo.jpg")
    shutil.copy(paths[truth.easy[0]], tmp_path / "other.jpg")

    def run(commands):
        words = [
            [*map(_small, shlex.split(command)), "--workdir", str(workdir.path)]
            for command in commands
        ]
        subprocess.run(
            [sys.executable, "-c", IN_ONE_PROCESS],
            cwd=tmp_path,
            check=True,
            input=json.dumps(words),
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return json.loads((tmp_path / "answers.json").read_text())

    run.queries = [truth.query for truth in catalogue.truth]
    return run


REFUSED = {
    "show attention absent.jpg --model configs/tiny.yaml": "absent.jpg: missing",
    "show ranking configs/tiny.yaml --queries 99999": "has no query 99999; its",
    "show ranking configs/tiny.yaml --descriptor bag": "no scores by 'bag': there are those by",
    "show ranking configs/tiny.yaml --queries x": "give image ids such as 3,17",
    "show curves nowhere": "no finished run of that name",
    "show words .": "no artifact at .:",
}


def test_every_picture_of_the_page_is_drawn_and_bad_usage_is_told(show, tmp_path):
    page = (PROJECT / "docs" / "pictures.md").read_text()
    lines = "".join(re.findall(r"```bash\n(.*?)```", page, re.S)).splitlines()
    commands = [line.removeprefix("retrieval ") for line in lines]
    pictures = ("attention", "features", "matches", "ranking", "curves", "words", "map")
    assert {command.split()[1] for command in commands} == set(pictures)
    for number, command in enumerate(commands):
        if "--against" in command:  # nobody knows which queries so small a run changes
            commands[number] += f" --queries {show.queries[0]}"
        commands[number] += f" --output {number}.png"
    answers = show([*commands, *REFUSED])
    for number, command in enumerate(commands):
        status, output = answers[number]
        assert status == 0, f"{command}\n{output}"
        width, height = Image.open(tmp_path / f"{number}.png").size
        assert width >= 400
        assert height >= 150
    for command, (status, output) in zip(REFUSED, answers[len(commands) :], strict=True):
        assert status == 2, f"{command}\n{output}"
        assert REFUSED[command] in " ".join(output.split())


OF_THE_NETWORK = {"attention", "features", "map", "matches-1", "words"}
OF_RANKINGS = {
    f"{descriptor}-{end}" for descriptor in ("asmk", "global") for end in ("best", "worst")
}


@pytest.mark.parametrize("name", ["tiny", "tiny-fire"])
def test_the_report_of_either_method_has_its_pictures(both, name):
    page, *_ = both.glob(f"report-{name}-{'?' * 16}/report.html")
    drawn = {
        folder: {picture.stem for picture in (page.parent / folder).glob("*.png")}
        for folder in ("network", "rankings", ".")
    }
    assert drawn["network"] >= OF_THE_NETWORK
    assert drawn["rankings"] >= OF_RANKINGS
    assert {"precision-recall", "scores"} <= drawn["."]
    assert '<section id="network">' in page.read_text()
    experiment = MlflowClient(f"sqlite:///{both.path}/mlflow.db")
    (stage, *_) = experiment.search_runs(
        [e.experiment_id for e in experiment.search_experiments()],
        f"tags.stage = 'report' and tags.`artifact.uri` LIKE '%{page.parent.name}'",
    )
    logged = {file.path for file in experiment.list_artifacts(stage.info.run_id, "network")}
    assert {f"network/{picture}.png" for picture in OF_THE_NETWORK} <= logged
