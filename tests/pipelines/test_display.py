"""What a person is shown of a run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.commands.display import show_outcome
from pipelines.running.runner import Outcome


@pytest.mark.parametrize(("exit_code", "shown"), [(2, False), (3, True), (4, False)])
def test_the_end_of_the_log_is_shown_of_what_nobody_foresaw(
    tmp_path: Path, exit_code: int, shown: bool
) -> None:
    log = tmp_path / "log.txt"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    outcome = Outcome("failed", exit_code, "TrainEBM", None, 1.0, [], error="TrainEBM: no", log=log)
    messages = io.StringIO()
    show_outcome(outcome, Console(file=io.StringIO()), Console(file=messages))
    said = messages.getvalue()
    assert said.endswith(f"\nerror: TrainEBM: no; log: {log}\n")
    assert ("line 99" in said) == shown
    assert "line 0\n" not in said
