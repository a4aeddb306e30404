"""Tables and lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ebm_tf.models.summary import Summary
from ebm_tf.nested import flat
from pipelines.runner import Outcome

LOG_LINES = 15
LONGEST_LIST = 12
COLOURS = {
    "ran": "green", "run": "yellow", "reused": "cyan", "reuse": "cyan", "failed": "red", "not_run": "dim",
    "whole": "green", "missing": "dim", "damaged": "red", "stale": "yellow", "in work": "blue",
}  # fmt: skip


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], coloured: str = "state") -> Table:
    """A plain table; words of known states have their colour in the column named `coloured`."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(
            *(
                f"[{COLOURS.get(str(cell), 'default')}]{cell}[/]" if heading == coloured else _escaped(cell)
                for heading, cell in zip(headings, row)
            )
        )
    return made


def show_outcome(outcome: Outcome, data: Console, messages: Console) -> None:
    """The tasks, the numbers of the task that was asked for, and what to look at."""
    rows = [(task.task, task.fingerprint[:16], task.state, f"{task.seconds:.1f}") for task in outcome.tasks]
    messages.print(table(("task", "fingerprint", "state", "seconds"), rows))
    if outcome.artifact is not None:
        summary = _summary(outcome.artifact, outcome.metrics)
        data.print(summary, highlight=False, markup=False, soft_wrap=True, end="")
        line = f"{outcome.task}: done in {outcome.seconds:.1f} s, see {outcome.artifact}"
        messages.print(line, highlight=False, markup=False, soft_wrap=True)
        return
    messages.print(f"error: {outcome.error}", style="red", highlight=False, markup=False, soft_wrap=True)
    if outcome.log is not None:
        messages.print(f"log: {outcome.log}", highlight=False, markup=False, soft_wrap=True)
        # What a user can mend has been said; of anything else the log knows more.
        for line in _last_lines(outcome.log) if outcome.exit_code == 3 else ():
            messages.print(f"  {line}", style="dim", highlight=False, markup=False, soft_wrap=True)


def show_network(summary: Summary, data: Console) -> None:
    """The layers of a network, one a row, their sums, and where the network comes from."""
    rows = [
        (row.scale, row.layer, _sizes(row.output), f"{row.parameters:,}", f"{row.multiply_adds:,}")
        for row in summary.layers
    ]
    total = ("", "in all", "", f"{summary.parameters:,}", f"{summary.multiply_adds:,}")
    data.print(table(("scale", "layer", "output", "parameters", "multiply-adds"), [*rows, total]))
    line = f"{summary.architecture} ({summary.source}) on images of {_sizes(summary.image_shape)}"
    data.print(line, highlight=False, markup=False, soft_wrap=True)


def _sizes(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _summary(artifact: Path, metrics: Mapping[str, Any]) -> str:
    """The stage's own words, else its metrics one a line."""
    written = artifact / "summary.txt"
    if written.is_file():
        return written.read_text(encoding="utf-8").rstrip("\n") + "\n"
    return "".join(f"{path}: {_short(value)}\n" for path, value in flat(metrics))


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > LONGEST_LIST:
        return f"{len(value)} values"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _last_lines(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []


def _escaped(cell: object) -> str:
    return str(cell).replace("[", r"\[")
