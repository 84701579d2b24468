"""Arrows between the rooms point one way."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ORCHESTRATION = {"prefect", "ray", "mlflow"}
LEVELS = {
    "errors": 0,
    "locking": 0,
    "durability": 0,
    "storage_faults": 0,
    "config": 1,
    "artifacts": 1,
    "arrays": 2,
    "download": 2,
    "data": 3,
    "models": 4,
    "losses": 4,
    "training": 5,
    "features": 5,
    "index": 6,
    "search": 7,
    "evaluation": 8,
    "visualize": 9,
}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _modules(package):
    return sorted((PROJECT / package).rglob("*.py"))


@pytest.mark.parametrize("path", _modules("retrieval_core"), ids=lambda p: p.stem)
def test_the_core_knows_nothing_of_orchestration(path):
    roots = {name.split(".")[0] for name in _imports(path)}
    assert not roots & (ORCHESTRATION | {"tasks", "flows"})


@pytest.mark.parametrize("path", _modules("tasks"), ids=lambda p: p.stem)
def test_tasks_know_nothing_of_flows(path):
    assert "flows" not in {name.split(".")[0] for name in _imports(path)}


@pytest.mark.parametrize("path", _modules("retrieval_core"), ids=lambda p: p.stem)
def test_rooms_import_only_earlier_ones(path):
    room = path.relative_to(PROJECT / "retrieval_core").parts[0].removesuffix(".py")
    imported = {name.split(".")[1] for name in _imports(path) if name.startswith("retrieval_core.")}
    later = {other for other in imported if LEVELS[other] > LEVELS.get(room, 0)}
    assert not later, f"{room} imports {later}"
    beside = {other for other in imported - {room} if LEVELS[other] == LEVELS.get(room)}
    assert beside <= {"config"}, f"{room} imports {beside} beside it"


def test_no_pickle_is_written_and_none_is_read_unchecked():
    for package in ("retrieval_core", "tasks", "flows"):
        for path in _modules(package):
            text = path.read_text()
            assert "pickle.dump" not in text, path
            if "torch.load(" in text:
                assert "weights_only=True" in text, path
