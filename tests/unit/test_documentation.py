"""What README and docs show is what happens."""

import contextlib
import io
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval_core.config import built_in_study, load_config, load_study
from retrieval_core.data.prepare import KINDS
from retrieval_core.losses import LABELLED_LOSSES, TUPLE_LOSSES
from retrieval_core.models.factory import NETWORKS

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)


def _blocks(page, *languages):
    found = BLOCK.findall(page.read_text())
    return [(language, text) for language, text in found if language in languages]


@pytest.fixture
def _registries():
    """What the pages register is taken out again."""
    registries = (KINDS, TUPLE_LOSSES, LABELLED_LOSSES, NETWORKS)
    saved = [(registry, dict(registry)) for registry in registries]
    yield
    for registry, entries in saved:
        registry.clear()
        registry.update(entries)


@pytest.mark.usefixtures("_registries")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_python_blocks_run_and_print_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = None
    for language, text in _blocks(page, "python", "text"):
        if language == "text":
            assert printed is not None and printed.strip() == text.strip()
            continue
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(text, str(page), "exec"), {"__name__": "__page__"})
        printed = output.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_make_targets_that_pages_name_exist():
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M))
    for page in PAGES:
        for target in re.findall(r"\bmake ([a-z][a-z-]*)", _code(page)):
            assert target in targets, (page.name, target)


def _code(page):
    return "\n".join(text for _, text in _blocks(page, "bash", "console"))


@pytest.mark.parametrize("path", sorted((PROJECT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_is_a_valid_configuration_named_like_its_file(path):
    assert load_config(path).name == path.stem


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "configs" / "studies").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_study_is_valid(path):
    assert load_study(path).name == path.stem


@pytest.mark.parametrize("path", sorted((PROJECT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_has_its_stages(path):
    assert built_in_study("stages", path).name == f"{path.stem}-stages"


@pytest.mark.parametrize("path", sorted((PROJECT / "configs").glob("cgd_*")), ids=lambda p: p.stem)
def test_every_cgd_experiment_has_its_combinations(path):
    assert built_in_study("cgd", path).name == f"{path.stem}-cgd"


@pytest.fixture
def diagrams(monkeypatch):
    """The figures of the method pages."""
    monkeypatch.syspath_prepend(str(PROJECT / "docs" / "figures"))
    import draw

    return draw.DIAGRAMS


def test_figures_name_code_that_exists(diagrams):
    for diagram in diagrams:
        for box in diagram.boxes:
            assert not box.code or pkgutil.resolve_name(box.code), (diagram.name, box.code)


def test_figures_are_as_drawn(diagrams):
    for diagram in diagrams:
        drawn = PROJECT / "docs" / "images" / f"{diagram.name}.svg"
        assert drawn.read_text() == diagram.svg(), f"{diagram.name}: run `make figures`"


@pytest.mark.slow
def test_the_api_reference_has_every_module(tmp_path):
    command = [sys.executable, str(PROJECT / "docs" / "api.py"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=PROJECT)
    for package in ("retrieval_core", "tasks", "flows"):
        for path in (PROJECT / package).rglob("*.py"):
            name = path.relative_to(PROJECT).with_suffix("")
            if path.name == "__init__.py":
                name = name.parent
            assert (tmp_path / name.with_suffix(".html")).exists(), name
