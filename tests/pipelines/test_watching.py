"""What is shown of a run as it goes."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines.commands import watching
from pipelines.commands.watching import Bars, Lines, Watcher
from pipelines.journal import Journal


def shown(journal: Journal, terminal: bool) -> str:
    """What a watcher writes of a short run."""
    file = io.StringIO()
    with Watcher(journal, Console(file=file, force_terminal=terminal, width=120)):
        journal.write("TrainEBM", "started")
        journal.write("TrainEBM", "progress", done=120, total=3000, message="FD [4.2]")
        journal.write("TrainEBM", "progress", done=121, total=3000, message="FD [4.1]")
        journal.write("TrainEBM", "ran", seconds=3.25)
    return file.getvalue()


STARTED = {"event": "started", "task": "TrainEBM", "key": "a"}


def progress(done: int, total: int, message: str) -> dict[str, Any]:
    """An event of the journal, of the task that `STARTED` starts."""
    return {**STARTED, "event": "progress", "done": done, "total": total, "message": message}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_into_a_pipe_go_plain_lines_and_not_too_many(journal: Journal) -> None:
    assert shown(journal, terminal=False) == "TrainEBM: started\nTrainEBM: ran (3.2 s)\n"


def test_a_terminal_has_the_ending_and_its_cursor_back(journal: Journal) -> None:
    written = shown(journal, terminal=True)
    assert "TrainEBM: ran (3.2 s)" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_a_narrow_terminal_cuts_the_message_and_no_number() -> None:
    file = io.StringIO()
    view = Bars(Console(file=file, force_terminal=True, width=80))
    view.show(STARTED)
    view.show(progress(120, 3000, "E(real) " * 9))
    view.close()
    written = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", file.getvalue())
    last = [line for line in written.split("\r") if "120" in line][-1]
    assert "120/3000" in last and "-:--:--" in last and "E(real)" in last and "…" in last


def test_lines_tell_the_time_left_at_the_pace_since_the_task_told_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, clock = io.StringIO(), iter([0.0, 10.0, 20.0, 40.0])
    monkeypatch.setattr(watching.time, "monotonic", lambda: next(clock))
    view = Lines(Console(file=file))
    view.show(STARTED)
    for done in (250, 300, 400):
        view.show(progress(done, 500, "gap 1"))
    assert file.getvalue().splitlines() == [
        "TrainEBM: started",
        "TrainEBM: 250/500 gap 1",
        "TrainEBM: 300/500 (about 40 s left) gap 1",
        "TrainEBM: 400/500 (about 20 s left) gap 1",
    ]


def test_a_journal_is_read_on_from_where_one_was(journal: Journal) -> None:
    assert journal.read_from(0) == ([], 0)
    journal.write("A", "started")
    first, offset = journal.read_from(0)
    journal.write("A", "failed", message="x")
    second, end = journal.read_from(offset)
    assert [line["event"] for line in (*first, *second)] == ["started", "failed"]
    assert end == journal.path.stat().st_size
    assert journal.failures() == second


def test_a_line_that_is_still_being_written_is_left_for_later(journal: Journal) -> None:
    journal.path.write_text('{"task": "A", "event": "started"}\n{"task": "A", "ev')
    lines, offset = journal.read_from(0)
    assert len(lines) == 1
    assert journal.path.read_bytes()[offset:] == b'{"task": "A", "ev'
