"""Progress as lines of text."""

import io

import pytest
from rich.console import Console
from rich.filesize import decimal

from flows.cli import lines
from flows.cli.lines import ProgressLines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: now[0])
    return now


def _console() -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=40), written


def test_a_line_every_half_minute(clock: list[float]) -> None:
    console, written = _console()
    display = ProgressLines(console)
    stage = display.add_task("extract test images of a long name, trained", total=None)
    for now in range(0, 100, 5):
        clock[0] = now
        display.update(stage, completed=1_000 + now, total=4_092)
    display.remove_task(stage)
    told = [line.split(" ", 1)[1] for line in written.getvalue().splitlines()]
    assert told == [
        f"extract test images of a long name, trained: {done} of 4,092"
        for done in ("1,030", "1,060", "1,090")
    ]


def test_what_is_short_says_nothing(clock: list[float]) -> None:
    console, written = _console()
    display = ProgressLines(console)
    stage = display.add_task("register", total=None)
    clock[0] = 20.0
    display.update(stage, completed=1, total=1)
    assert written.getvalue() == ""


def test_of_an_unknown_total(clock: list[float]) -> None:
    console, written = _console()
    display = ProgressLines(console, decimal)
    archive = display.add_task("[archive].tar", total=None)
    clock[0] = 31.0
    display.update(archive, completed=5_000_000, total=None)
    assert written.getvalue().endswith(" [archive].tar: 5.0 MB\n")
