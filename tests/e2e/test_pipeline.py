import json
import re

import numpy as np
import pytest
from driving import CONFIG
from mlflow import MlflowClient
from PIL import Image

from retrieval_core.artifacts import read_manifest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def client(finished):
    workdir, _ = finished
    return MlflowClient(f"sqlite:///{workdir.path}/mlflow.db")


@pytest.fixture(scope="module")
def runs(client):
    experiment = client.get_experiment_by_name("image-retrieval")
    return client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])


@pytest.fixture(scope="module")
def changed(finished):
    """Manifests of what a run with another alpha built; the tests before this one come first."""
    workdir, _ = finished
    before = set(workdir.glob("*/manifest.json"))
    workdir.run("asmk.alpha=2.0")
    return [read_manifest(p.parent) for p in set(workdir.glob("*/manifest.json")) - before]


def test_the_table_shows_scores_before_and_after_training(finished):
    _, output = finished
    for network in ("untrained", "trained"):
        for descriptor in ("asmk", "global"):
            assert re.search(rf"{network}\s+{descriptor}(\s+\d+\.\d){{4}}", output)
    assert "artifacts/report-tiny" in output
    assert "mlflow.db" in output


def test_every_stage_left_a_verified_artifact(finished):
    workdir, _ = finished
    kinds = {"dataset", "model", "feats", "codebook", "asmk", "vectors", "scores", "report"}
    kinds |= {"overlap", "mlflow-model"}
    manifests = {k: workdir.manifests(k) for k in kinds}
    assert {k for k, found in manifests.items() if found} == kinds
    for path in workdir.glob("*/manifest.json"):
        read_manifest(path.parent, verify=True)
    assert not workdir.glob("**/.tmp-*")


def test_nothing_is_pickled(finished):
    workdir, _ = finished
    assert not [p for p in workdir.glob("**/*") if p.suffix in (".pkl", ".pickle", ".pt", ".pth")]


def test_mlflow_has_a_parent_and_a_child_per_stage(runs):
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    assert len(parents) == 1
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parents[0].info.run_id}
    assert all(r.info.status == "FINISHED" for r in runs)
    stages = [r.data.tags["stage"] for r in children]
    assert len(stages) == len(set(stages)), stages
    assert all("artifact.uri" in r.data.tags for r in children)


def test_mlflow_has_config_environment_datasets_epochs_and_pictures(client, runs):
    parent = next(r for r in runs if "mlflow.parentRunId" not in r.data.tags)
    assert parent.data.params["model.backbone"] == "tf_efficientnet_lite0"
    assert "environment.git_commit" in parent.data.tags
    assert parent.data.tags["protocol_warnings"] == "none"
    assert "Queries are cropped" in parent.data.tags["protocol_notes"]
    assert {f.path for f in client.list_artifacts(parent.info.run_id)} >= {
        "config.yaml",
        "environment.json",
    }
    by_stage = {r.data.tags.get("stage"): r for r in runs}
    prepare = by_stage["prepare demo"]
    assert re.fullmatch(r"[0-9a-f]{36}", prepare.inputs.dataset_inputs[0].dataset.digest)
    history = client.get_metric_history(by_stage["train"].info.run_id, "validation_map")
    assert [m.step for m in history] == [0, 1, 2, 3]
    pictures = {f.path for f in client.list_artifacts(by_stage["report"].info.run_id)}
    assert "report.html" in pictures
    assert any(name.endswith(".png") for name in pictures)


def test_a_second_run_reuses_every_stage_and_says_why(finished):
    workdir, first = finished
    before_manifests = workdir.glob("*/manifest.json")
    before = {p: p.stat().st_mtime_ns for p in workdir.glob("**/*")}
    output = workdir.run()
    assert {p: p.stat().st_mtime_ns for p in workdir.glob("**/*")} == before
    assert len(re.findall(r"\(\d+\.\d\)\s+reused", output)) == len(before_manifests)
    assert "have not" in output[output.index("reused: settings, inputs and code version") :]
    assert output[: output.index("stages")].strip() in first


def test_a_changed_setting_redoes_only_what_depends_on_it(changed):
    assert {manifest.kind for manifest in changed} == {"scores", "report"}


@pytest.mark.usefixtures("changed")
def test_the_trained_network_is_registered_once(finished, client):
    workdir, _ = finished
    (version,) = client.search_model_versions("name = 'tiny'")
    trained = next(m for m in workdir.manifests("model") if "initial" in m.inputs)
    assert version.tags["model.key"] == trained.key
    assert float(version.tags["asmk.map"]) > 0
    assert client.get_run(version.run_id).data.params["name"] == "tiny"


def test_runs_are_compared_by_id_and_by_directory(finished, changed, runs, client, tmp_path):
    workdir, _ = finished
    first = next(r for r in runs if "mlflow.parentRunId" not in r.data.tags).info.run_id
    report = next(m for m in changed if m.kind == "report")
    second = workdir.glob(f"report-*-{report.key}")[0]
    output = workdir.start(
        "compare", first[:12], str(second), "--output", str(tmp_path), "--queries", "1"
    ).wait()
    assert re.search(r"asmk\.alpha\s+3\.0\s+2\.0", output)
    assert re.search(r"global\s+medium\s+B\s+\+0\.0 \[\+0\.0, \+0\.0\]\s+1\.000", output)
    assert (tmp_path / "compare.html").stat().st_size > 10_000
    (pairing,) = (
        p
        for p in json.loads((tmp_path / "compare.json").read_text())["pairings"]
        if (p["descriptor"], p["metric"]) == ("asmk", "map_medium")
    )
    after = [m.metrics["map_medium"] for m in changed if m.config.get("descriptor") == "asmk"]
    assert pairing["after"]["value"] in [pytest.approx(value) for value in after]
    logged = client.search_runs(
        [runs[0].info.experiment_id], "attributes.run_name LIKE 'compare-%'"
    )
    assert {"compare.html", "compare.json"} <= {
        f.path for f in client.list_artifacts(logged[0].info.run_id)
    }


def test_search_answers_with_json_and_a_picture(finished, tmp_path):
    workdir, _ = finished
    photo = next(iter(workdir.glob("dataset-*/images/**/*.jpg")))
    index = workdir.glob("asmk-*/manifest.json")[0].parent
    missing = tmp_path / "absent.jpg"
    output = workdir.start(
        "search", "--index", str(index), "--top-k", "3", "--output", str(tmp_path / "found"),
        str(photo), str(missing),
    ).wait()  # fmt: skip
    assert "not searched" in output
    found, lost = json.loads((tmp_path / "found" / "results.json").read_text())
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert lost["hits"] == []
    assert "missing" in lost["error"]
    assert (tmp_path / "found" / "results.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone=resnet5", "resnet5"),
        ("codebook.size=60000", "60000"),
    ],
)
def test_a_users_mistake_is_one_clear_message(finished, override, message):
    workdir, _ = finished
    output = workdir.start("run", str(CONFIG), override).wait(status=2)
    assert message in output
    assert "Traceback" not in output


def test_distractors_are_searched_with_the_database_and_never_right(finished, tmp_path):
    workdir, _ = finished
    generator = np.random.default_rng(0)
    for name in range(20):
        pixels = generator.integers(0, 255, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).resize((128, 96)).save(tmp_path / f"{name}.jpg")
    kinds = ("dataset", "feats", "asmk", "vectors", "scores")
    before = {kind: workdir.manifests(kind) for kind in kinds}
    workdir.run(
        "training.epochs=0",
        "distractors.kind=folder",
        f"distractors.folder.path={tmp_path}",
        "runtime.ray.images_per_partition=8",
    )
    new = {k: [m for m in workdir.manifests(k) if m not in before[k]] for k in kinds}
    assert [len(new[kind]) for kind in kinds] == [1, 1, 1, 1, 2]
    assert [m.counts["images"] for m in new["asmk"] + new["vectors"]] == [20] * 2
    for scores in new["scores"]:
        alone = next(
            m
            for m in before["scores"]
            if (m.inputs["index"], m.config) == (scores.inputs["index"], scores.config)
        )
        # without idf a distractor leaves the others in their order
        assert scores.metrics["map_medium"] <= alone.metrics["map_medium"]


def test_a_training_that_learns_nothing_is_told_on_every_screen(finished, make_workdir):
    workdir = make_workdir("warned", finished[0])
    output = workdir.run("training.epochs=1", "training.loss.margin=0")
    told = "nothing is learnt from them"
    assert told in " ".join(output.split())
    (trained,) = (m for m in workdir.manifests("model") if "warnings" in m.notes)
    assert told in trained.notes["warnings"]
    (report,) = workdir.glob("report-*/report.html")
    assert told in " ".join(report.read_text().split())
    client = MlflowClient(f"sqlite:///{workdir.path}/mlflow.db")
    experiment = client.get_experiment_by_name("image-retrieval")
    parents = [
        run
        for run in client.search_runs([experiment.experiment_id])
        if "mlflow.parentRunId" not in run.data.tags
    ]
    assert "The training gave warnings" in parents[0].data.tags["protocol_warnings"]
