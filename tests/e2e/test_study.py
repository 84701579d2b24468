"""One command runs several experiments and puts them in one table."""

import json
import re

import numpy as np
import pytest
from driving import CONFIG, PATIENCE
from mlflow import MlflowClient
from PIL import Image

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LABELLED = CONFIG.with_name("labelled.yaml")
ROWS = ("untrained", "pretrained", "fine-tuned")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder per label: a pattern of its own under noise."""
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label in range(8):
        pattern = generator.integers(0, 200, (4, 4, 3), np.uint8)
        (folder / str(label)).mkdir()
        for number in range(4):
            noisy = pattern + generator.integers(0, 55, pattern.shape, np.uint8)
            image = Image.fromarray(noisy).resize((64, 64), Image.Resampling.BICUBIC)
            image.save(folder / str(label) / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def stages(make_workdir, photos):
    """A work directory with the three stages of an experiment, and what was printed."""
    workdir = make_workdir("study")
    driver = workdir.start("study", "stages", str(LABELLED), f"dataset.folder.path={photos}")
    return workdir, driver.wait(patience=len(ROWS) * PATIENCE)


@pytest.fixture(scope="module")
def client(stages):
    workdir, _ = stages
    return MlflowClient(f"sqlite:///{workdir.path}/mlflow.db")


@pytest.fixture(scope="module")
def runs(client):
    """The study's run and those of its rows, by name."""
    experiment = client.get_experiment_by_name("image-retrieval")
    found = client.search_runs([experiment.experiment_id])
    return {r.info.run_name: r for r in found if "mlflow.parentRunId" not in r.data.tags}


def test_the_table_has_every_row_and_every_score(stages):
    workdir, output = stages
    (study,) = workdir.glob("study-labelled-stages-*/study.json")
    table = json.loads(study.read_text())
    assert [line["row"] for line in table["lines"]] == list(ROWS)
    for line in table["lines"]:
        assert {"map", "map@r", "recall@1", "recall@2"} <= line["cells"].keys()
        assert re.search(rf"^ *{line['row']} +\d+\.\d", output, re.M)
        assert line["keys"]["scores"] in output
    assert [line["training_seconds"] > 0 for line in table["lines"]] == [False, False, True]
    assert table["settings"]["training.epochs"] == [0, 0, 1]
    assert table["settings"]["model.weights"] == ["none", *["efficientnet-lite0"] * 2]
    assert str(study.with_suffix(".html")) in output.replace("\n", "")


def test_what_rows_have_in_common_is_computed_once(stages):
    workdir, _ = stages
    found = {kind: workdir.manifests(kind) for kind in ("dataset", "model", "feats", "scores")}
    assert {kind: len(manifests) for kind, manifests in found.items()} == {
        "dataset": 1,
        "model": 3,
        "feats": 3,
        "scores": 3,
    }


def test_mlflow_has_the_study_and_leads_to_its_rows(client, runs):
    study = runs["labelled-stages"]
    rows = {row: runs[f"labelled-stages-{row}"] for row in ROWS}
    assert {row: study.data.tags[f"row.{row}"] for row in ROWS} == {
        row: run.info.run_id for row, run in rows.items()
    }
    for row, run in rows.items():
        assert (run.data.tags["study"], run.data.tags["study.row"]) == (study.info.run_id, row)
        assert run.info.run_id in study.data.tags["mlflow.note.content"]
    trained = rows["fine-tuned"].data.metrics["trained/global/map"]
    assert study.data.metrics["fine-tuned/global/map"] == trained
    assert {"study.html", "study.json", "study-map.png"} <= {
        file.path for file in client.list_artifacts(study.info.run_id)
    }


def test_a_row_that_fails_does_not_lose_the_others(stages, photos, tmp_path):
    workdir, _ = stages
    study = tmp_path / "half.yaml"
    study.write_text(
        f"base: {LABELLED}\n"
        "rows:\n"
        f"  lost: {{dataset.folder.path: {tmp_path}/nowhere}}\n"
        f"  found: {{dataset.folder.path: {photos}, training.epochs: 0}}\n"
    )
    output = workdir.start("study", str(study)).wait(status=1)
    assert "lost failed: DatasetError" in output
    assert f"{tmp_path}/nowhere" in output.replace("\n", "")
    (path,) = workdir.glob("study-half-*/study.json")
    table = json.loads(path.read_text())
    assert [line["row"] for line in table["lines"]] == [table["baseline"]] == ["found"]
    assert "nowhere" in table["errors"]["lost"]
    assert len(workdir.manifests("scores")) == 3, "nothing was scored again"
