"""`retrieval datasets` at the shell."""

from pathlib import Path
from typing import Any

import pytest
from support.benchmarks import write_landmarks, write_oxford, write_sources
from support.mirror import Mirror
from typer.testing import CliRunner

from flows.cli import app
from retrieval_core.data.benchmarks import sources

runner = CliRunner()


def call(*arguments: object) -> tuple[int, str]:
    result = runner.invoke(app, ["datasets", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def options(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("RETRIEVAL_WORKDIR", "")  # what the commands set ends with the test
    write_oxford(mirror.folder)
    write_landmarks(mirror.folder)
    refined = write_sources(tmp_path / "sources.yaml", mirror.url(""))
    return ["--workdir", str(tmp_path / "work"), "--sources", refined]


@pytest.mark.parametrize("command", ["list", "download", "verify", "prepare"])
def test_help_teaches(command: str) -> None:
    status, output = call(command, "--help")
    assert status == 0
    assert "Example: retrieval datasets" in output


def test_list_shows_what_is_here(options: list[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    call("download", "roxford5k", *options)
    status, output = call("list", "--workdir", options[1])
    assert status == 0
    assert "revisitop1m" in output
    assert "restricted: see the licence" in output
    line = next(x for x in output.split("ROxford5k")[1:])
    assert "5,063" in line
    assert "whole" in line
    assert "dataset.benchmark.root" in output


def test_download_and_verify(options: list[str], tmp_path: Path) -> None:
    status, output = call("download", "roxford5k", "oxford5k", *options)
    assert status == 0
    assert "restricted licence of roxford5k" in output
    assert "oxford5k: all files are there" in output
    status, output = call("verify", "roxford5k", *options)
    assert status == 0
    assert "8 of 8 images are there" in output
    (tmp_path / "work/datasets/oxford/jpg/balliol_000003.jpg").unlink()
    status, output = call("verify", "oxford5k", "roxford5k", *options)
    assert status == 1
    assert "roxford5k: 7 of 8 images are there" in output
    assert "missing: " in output
    assert "balliol_000003.jpg" in output


def test_download_looks_for_every_image(options: list[str], tmp_path: Path) -> None:
    call("download", "roxford5k", *options)
    image = tmp_path / "work/datasets/oxford/jpg/balliol_000003.jpg"
    image.unlink()
    status, output = call("download", "roxford5k", *options)
    assert status == 0
    assert "all files are there, with 8 images" in output
    assert image.is_file()
    image.unlink()
    (tmp_path / "work/datasets/oxford/oxbuild_images-v1.tgz").unlink()
    status, output = call("download", "roxford5k", *options)
    assert status == 1
    assert "1 of 8 images are missing. Put the published files below" in output
    assert "all files are there" not in output


def test_download_says_what_to_bring(options: list[str]) -> None:
    status, output = call("download", "landmarks-v2-clean", *options)
    assert status == 0
    assert "Only the CSV files are downloaded" in output
    assert "3 of 3 images are missing" in output
    assert "restricted" not in output


def test_root_is_where_the_files_go(options: list[str], tmp_path: Path) -> None:
    status, _ = call("download", "roxford5k", "--root", tmp_path / "own", *options)
    assert status == 0
    assert (tmp_path / "own/roxford5k/gnd_roxford5k.pkl").is_file()
    assert call("verify", "roxford5k", "--root", tmp_path / "own", *options)[0] == 0


def test_an_unknown_name_is_one_message(options: list[str]) -> None:
    status, output = call("download", "roxford5", *options)
    assert status == 2
    assert "'roxford5' is no published dataset; did you mean 'roxford5k'?" in output


def test_when_every_mirror_is_dead(
    options: list[str], tmp_path: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = sources._packaged()
    for entry in packaged.values():
        for file in entry["files"]:
            file["urls"] = [mirror.url("gone/" + file["name"])]
    monkeypatch.setattr(sources, "_packaged", lambda: packaged)
    status, output = call("download", "roxford5k", *options[:2])
    assert status == 2
    assert "404" in output
    assert str(tmp_path / "work/datasets/roxford5k") in output.replace(" ", "")
    # brought by hand, the same files are taken
    for name in ("oxford/oxbuild_images-v1.tgz", "roxford5k/gnd_roxford5k.pkl"):
        target = tmp_path / "work/datasets" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((mirror.folder / name).read_bytes())
    assert call("download", "roxford5k", *options[:2])[0] == 0
    assert call("verify", "roxford5k", *options[:2])[0] == 0
