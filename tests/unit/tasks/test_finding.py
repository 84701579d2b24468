import pytest

from retrieval_core.artifacts import ArtifactDirectory, ArtifactStore, Manifest, commit
from retrieval_core.config import PipelineConfig, dump_config
from retrieval_core.errors import ConfigError
from tasks.finding import find_run
from tasks.tracking import link, start_run

pytestmark = pytest.mark.slow  # MLflow's database


@pytest.fixture
def workdir(make_workdir):
    return str(make_workdir())


def artifact(workdir, kind, label, inputs=None, **config):
    inputs = inputs or {}
    ref = ArtifactStore(workdir).ref(kind, label, config=config, inputs=inputs, version=1)
    plain = {name: dict(vars(i)) for name, i in inputs.items()}
    commit(ArtifactDirectory(ref.uri), Manifest(kind, ref.key, label, 1, config, plain))
    return ref


def experiment(workdir, config, status="FINISHED", scored=True):
    """A run as a flow leaves it."""
    run = start_run(workdir, config.runtime.experiment, config.name)
    run.log_config(config)
    ref = artifact(workdir, "scores", config.name, descriptor="global", run=run.run_id)
    for kind in ("feats", "scores") if scored else ("feats",):
        run.child(kind, {**link(ref), "artifact.kind": kind}).finish("FINISHED")
    run.finish(status)
    return run.run_id, ref


def test_a_name_means_the_newest_finished_run(workdir):
    experiment(workdir, PipelineConfig(name="a"))
    newest, ref = experiment(workdir, PipelineConfig(name="a", seed=1))
    experiment(workdir, PipelineConfig(name="a"), status="FAILED")
    found = find_run("a", workdir)
    assert (found.name, found.source, found.scores) == ("a", newest, [ref])
    assert found.settings["seed"] == 1
    assert "runtime" not in found.settings


def test_a_file_means_the_newest_run_with_its_settings(workdir, tmp_path):
    wanted, _ = experiment(workdir, PipelineConfig(name="a", seed=3))
    other, _ = experiment(workdir, PipelineConfig(name="a", seed=4))
    path = tmp_path / "a.yaml"
    path.write_text(dump_config(PipelineConfig(name="a", seed=3)))
    assert find_run(str(path), workdir).source == wanted
    path.write_text(dump_config(PipelineConfig(name="a", seed=5)))
    with pytest.raises(ConfigError, match=other[:8]):
        find_run(str(path), workdir)


def test_the_start_of_an_id_is_enough_if_it_is_unique(workdir):
    wanted, _ = experiment(workdir, PipelineConfig(name="a"))
    assert find_run(wanted, workdir).source == wanted
    assert find_run(wanted[:12], workdir).source == wanted
    letters = []
    while len(letters) == len(set(letters)):
        letters.append(start_run(workdir, "image-retrieval", "b").run_id[0])
    with pytest.raises(ConfigError, match=r"several runs: [0-9a-f]{8} \("):
        find_run(letters[-1], workdir)


def test_a_stage_stands_for_its_run(workdir):
    run_id, _ = experiment(workdir, PipelineConfig(name="a"))
    child = find_run(run_id, workdir).tracked.children()[0]
    assert find_run(child.info.run_id, workdir).source == run_id


def test_directories_of_a_report_and_of_scores(workdir):
    scores = artifact(workdir, "scores", "how-asmk", descriptor="asmk")
    report = artifact(workdir, "report", "mine", inputs={"scores_0": scores}, name="mine", seed=2)
    found = find_run(report.uri, workdir)
    assert (found.name, found.scores) == ("mine", [scores])
    assert found.settings == {"name": "mine", "seed": 2}
    found = find_run(scores.uri, workdir)
    assert (found.name, found.scores, found.settings) == ("how-asmk", [scores], {})
    with pytest.raises(ConfigError, match="kind 'feats'"):
        find_run(artifact(workdir, "feats", "f").uri, workdir)


@pytest.mark.parametrize("reference", ["nobody", "o'neill", "0123456789abcdef"])
def test_what_is_not_there_is_named(workdir, reference):
    with pytest.raises(ConfigError, match=reference):
        find_run(reference, workdir)


def test_a_run_without_scores_is_refused(workdir):
    experiment(workdir, PipelineConfig(name="bare"), scored=False)
    with pytest.raises(ConfigError, match=r"\(bare\) is FINISHED and has no scores"):
        find_run("bare", workdir)


def test_a_work_directory_without_runs_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="no runs yet"):
        find_run("a", str(tmp_path))
    assert not (tmp_path / "mlflow.db").exists()
