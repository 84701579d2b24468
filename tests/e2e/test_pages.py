"""The commands of pages that need photographs or a finished run."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from driving import COMMAND, CONFIG
from PIL import Image

from retrieval_core.data.catalogue import Catalogue

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
# what the pages leave to real data, made small here
SMALL = [
    "training.dataset.demo.views=200",
    "training.dataset.demo.image_size=96",
    "training.whitening_images=20",
    "features.max_features=20",
    "codebook.size=32",
    "codebook.images=20",
    "evaluation.bootstrap=20",
    "model.dim=16",
]


@pytest.fixture
def desk(finished, tmp_path):
    """A directory with configs/, photos/ (a folder per label) and photos.csv."""
    workdir, _ = finished
    shutil.copytree(PROJECT / "configs", tmp_path / "configs")
    dataset = workdir.glob("dataset-*/images.parquet")[0].parent
    rows = [row for row in Catalogue.load(dataset).rows if row.label]
    labels = sorted({row.label for row in rows if row.split == "test"})[:2]
    labels += sorted({row.label for row in rows if row.split == "train"})[:4]
    table = [["path", "label", "split"]]
    for number, label in enumerate(labels):
        name = "house" if number == 0 else f"place {number}"
        for row, letter in zip((r for r in rows if r.label == label), "abcd", strict=False):
            target = tmp_path / "photos" / name / f"{letter}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(row.path, target)
            table.append([str(target), name, "test" if number < 2 else "train"])
    with (tmp_path / "photos.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(table)
    shutil.copytree(workdir.path / "prefect", tmp_path / "workdir" / "prefect")
    return tmp_path


def test_every_command_of_the_page_works_in_order(desk):
    page = (PROJECT / "docs" / "own-photographs.md").read_text()
    blocks = re.findall(r"```bash\n(.*?)```", page, re.S)
    assert len(blocks) == 4
    for block in blocks:
        command = block.replace("\\\n", " ").strip()
        if "training.epochs" in command:
            command += " features.max_features=20"
        elif "configs/" in command:
            command += " " + " ".join(SMALL)
        done = subprocess.run(
            ["bash", "-c", command.replace("retrieval", str(COMMAND), 1)],
            cwd=desk,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (desk / "found" / "results.png").exists()
    assert (desk / "found" / "results.json").exists()


# one process for all: each costs seconds to start
IN_ONE_PROCESS = """
import json, sys
from typer.testing import CliRunner
from flows.cli import app

answers = [CliRunner().invoke(app, words) for words in json.load(sys.stdin)]
json.dump([(a.exit_code, a.output) for a in answers], open("answers.json", "w"))
"""


@pytest.fixture
def show(finished, tmp_path):
    """Runs `retrieval show` commands on the finished run; two of its photographs lie beside."""
    workdir, _ = finished
    catalogue = Catalogue.load(workdir.glob("dataset-*/images.parquet")[0].parent)
    paths = {row.image_id: row.path for row in catalogue.rows}
    truth = next(truth for truth in catalogue.truth if truth.easy)
    shutil.copy(paths[truth.query], tmp_path / "photo.jpg")
    shutil.copy(paths[truth.easy[0]], tmp_path / "other.jpg")

    def run(commands):
        words = [
            [str(CONFIG) if part.startswith("configs/") else part for part in shlex.split(command)]
            + ["--workdir", str(workdir.path)]
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
