"""Every shell command of README and docs can be run as it stands.

All of them are read: the shell must parse them, each program must know its options, and each
experiment must be valid. Those that download datasets are executed here, the others in tests/e2e.
"""

import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from support.benchmarks import write_oxford, write_paris
from support.mirror import Mirror
from typer.testing import CliRunner

from flows.cli import app
from retrieval_core.config import PipelineConfig, load_config, load_study
from retrieval_core.data.benchmarks import sources
from retrieval_core.models.zoo import checkpoints

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(?:bash|console)\n(.*?)```", re.S)
ASSIGNMENT = re.compile(r"\w+=")


@cache
def program(name: str) -> Any:
    """The command line of a program that pages use; None for those of the system."""
    if name == "retrieval":
        return typer.main.get_command(app)
    if name == "ray":
        from ray.scripts.scripts import cli as ray

        return ray
    if name == "mlflow":
        from mlflow.cli import cli as mlflow

        return mlflow
    return None


def commands(text: str) -> Iterator[list[str]]:
    """Words of the commands that a block gives to these programs; its other lines are output."""
    for line in text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        while words and ASSIGNMENT.match(words[0]):
            words.pop(0)
        if words and program(words[0]) is not None:
            yield words


def check(words: list[str]) -> None:
    """Parse a command as its program would, and load the experiment that it names."""
    name, command, rest = words[0], program(words[0]), words[1:]
    context = None
    try:
        while hasattr(command, "resolve_command"):
            context = command.make_context(name, rest, parent=context)
            name, command, rest = command.resolve_command(
                context, [*context._protected_args, *context.args]
            )
        params = command.make_context(name, rest, parent=context).params
        if isinstance(params.get("config"), Path):
            load_config(params["config"], params.get("overrides") or [])
        if isinstance(params.get("study"), Path):
            load_study(params["study"], params["overrides"] or [])
    except Exception as error:
        raise AssertionError(f"{shlex.join(words)}: {error}") from error


def blocks() -> list[Any]:
    return [
        pytest.param(text, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, text in enumerate(BLOCK.findall(page.read_text()), 1)
    ]


@pytest.mark.parametrize("text", blocks())
def test_commands_of_pages_are_valid(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    for words in commands(text):
        check(words)


def test_shell_blocks_are_parsed_by_the_shell() -> None:
    for page in PAGES:
        for text in re.findall(r"```bash\n(.*?)```", page.read_text(), re.S):
            parsed = subprocess.run(
                ["bash", "-n"], check=False, input=text, text=True, capture_output=True
            )
            assert parsed.returncode == 0, (page.name, parsed.stderr)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("retrieval rum configs/how_lite0_demo.yaml", "No such command 'rum'"),
        ("retrieval run configs/absent.yaml", "absent.yaml' does not exist"),
        ("retrieval run configs/how_lite0_demo.yaml --wurkdir w", "No such option: --wurkdir"),
        ("retrieval run configs/how_lite0_demo.yaml features.scale=[1]", "did you mean 'scales'"),
        ("retrieval run configs/how_lite0_demo.yaml training.epochs=-1", "not -1"),
        ("retrieval study stages configs/how_lite0_demo.yaml training.epoch=1", "did you mean"),
        ("retrieval study configs/studies/cars196-half_losses.yaml seed=-1", "row 'pretrained'"),
        ("retrieval datasets verifi roxford5k", "No such command 'verifi'"),
        ("A=1 ray start --heat", "No such option.*--heat"),
    ],
)
def test_a_wrong_command_would_be_found(
    line: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    (words,) = commands(line)
    with pytest.raises(AssertionError, match=fault):
        check(words)


def settings_of(page: Path) -> list[Any]:
    found = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)
    return [pytest.param(text, id=f"{page.stem}-{n}") for n, text in enumerate(found, 1)]


@pytest.mark.parametrize("text", [block for page in PAGES for block in settings_of(page)])
def test_settings_of_pages_are_accepted(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.yaml"
    path.write_text(text)
    keys = yaml.safe_load(text).keys()
    if keys <= PipelineConfig.model_fields.keys():
        load_config(path)
    elif "rows" in keys:
        (tmp_path / "configs").symlink_to(PROJECT / "configs")
        load_study(path)
    elif "mirrors" in keys:
        sources.load_benchmarks(path)
    else:
        monkeypatch.setenv("RETRIEVAL_CHECKPOINTS", str(path))
        assert keys <= checkpoints().keys()


def test_the_commands_on_datasets_work_in_order(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On small archives, from a server of this machine in the place of the published ones."""
    write_oxford(mirror.folder)
    write_paris(mirror.folder)
    packaged = sources._packaged()
    for entry in packaged.values():
        for file in entry["files"]:
            file["urls"] = [mirror.url(f"{file['folder']}/{file['name']}")]
    monkeypatch.setattr(sources, "_packaged", lambda: packaged)
    monkeypatch.setenv("RETRIEVAL_WORKDIR", str(tmp_path / "work"))
    (block,) = re.findall(r"```bash\n(.*?)```", (PROJECT / "docs/datasets.md").read_text(), re.S)
    for words in commands(block):
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, done.output
