"""What is shown of a run as it goes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.commands.watching import Watcher
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


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_into_a_pipe_go_plain_lines_and_not_too_many(journal: Journal) -> None:
    assert shown(journal, terminal=False) == "TrainEBM: started\nTrainEBM: ran (3.2 s)\n"


def test_a_terminal_has_the_ending_and_its_cursor_back(journal: Journal) -> None:
    written = shown(journal, terminal=True)
    assert "TrainEBM: ran (3.2 s)" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


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
