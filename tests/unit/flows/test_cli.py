import pytest
from typer.testing import CliRunner

from flows.cli import app

runner = CliRunner()


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["evaluate"],
        ["distractors"],
        ["search"],
        ["compare"],
        ["study"],
        ["study", "stages"],
        ["study", "cgd"],
        ["study", "run"],
        ["up"],
        ["datasets"],
        ["datasets", "prepare"],
    ],
)
def test_help_teaches(command):
    result = runner.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    if command not in ([], ["datasets"], ["study"]):
        assert "Example: retrieval" in " ".join(result.output.split())


def test_a_missing_config_is_a_usage_error():
    result = runner.invoke(app, ["run", "nowhere.yaml"])
    assert result.exit_code == 2
    assert "nowhere.yaml" in result.output


def test_a_bad_key_is_one_message_before_any_work(tmp_path):
    config = tmp_path / "bad.yaml"
    config.write_text("model: {bakbone: resnet50}")
    result = runner.invoke(app, ["run", str(config), "--workdir", str(tmp_path / "w")])
    assert result.exit_code == 2
    assert "did you mean 'backbone'?" in result.output
    assert not (tmp_path / "w").exists()


def test_dataset_kinds_are_listed_with_their_settings():
    result = runner.invoke(app, ["datasets", "list"])
    assert result.exit_code == 0
    assert "dataset.folder.path" in result.output
    assert "dataset.demo.views" in result.output


def test_one_run_is_nothing_to_compare(tmp_path):
    result = runner.invoke(app, ["compare", "alone", "--workdir", str(tmp_path / "w")])
    assert result.exit_code == 2
    assert "at least two runs" in result.output
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("words", [["study"], ["study", "run"]])
def test_a_bad_row_is_one_message_before_any_work(words, tmp_path):
    study = tmp_path / "mine.yaml"
    study.write_text("rows: {a: {extends: mine.yaml, seed: -1}}")
    result = runner.invoke(app, [*words, str(study), "--workdir", str(tmp_path / "w")])
    assert result.exit_code == 2
    assert "row 'a'" in result.output
    assert not (tmp_path / "w").exists()


def test_a_study_of_cgd_does_not_start_from_another_methods_network(tmp_path):
    config = tmp_path / "how.yaml"
    config.write_text("model: {weights: how_r50-, skip_layer: 1}")
    result = runner.invoke(app, ["study", "cgd", str(config), "--workdir", str(tmp_path / "w")])
    assert result.exit_code == 2
    assert "how_r50- is a how checkpoint" in " ".join(result.output.split())
    assert not (tmp_path / "w").exists()


def test_a_study_that_is_neither_built_in_nor_a_file_is_a_usage_error():
    result = runner.invoke(app, ["study", "stagse", "configs/how_lite0_demo.yaml"])
    assert result.exit_code == 2
    assert "No such command 'stagse'" in result.output


def test_a_schedule_that_is_none_is_refused_before_anything_starts(tmp_path):
    result = runner.invoke(app, ["up", "--retrain", "daily", "--workdir", str(tmp_path / "w")])
    assert result.exit_code == 2
    assert "no cron schedule" in " ".join(result.output.split())
    assert not (tmp_path / "w").exists()
