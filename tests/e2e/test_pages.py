"""The commands of pages that need photographs or a finished run."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from driving import COMMAND

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
