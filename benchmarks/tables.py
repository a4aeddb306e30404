"""Tables of figures, and how figures are put in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

WIDE = 1.5
"""Slowest over fastest lap from which on a median is not to be trusted."""
MARK = " (!)"
NOTE_OF_MARK = (
    f"{MARK.strip()}: laps differed by {WIDE:g} times or more; the machine was busy, take it again."
)


@dataclass(frozen=True)
class Table:
    """Rows under headings, what they are, and what was compared and how."""

    title: str
    comparison: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def as_markdown(self) -> str:
        """Heading, paragraph, table; with a note where a row is marked."""
        lines = [f"## {self.title}", "", self.comparison, ""]
        if self.rows:
            lines += [_row(self.headings), _row(["---"] * len(self.headings)), *map(_row, self.rows)]
        else:
            lines += ["Nothing was measured."]
        if self.marked:
            lines += ["", NOTE_OF_MARK]
        return "\n".join(lines)

    @property
    def marked(self) -> bool:
        """Whether a cell bears the mark of a wide range."""
        return any(MARK in cell for row in self.rows for cell in row)


def milliseconds_in_words(milliseconds: float) -> str:
    """Three figures, such as 12.3 or 1,230."""
    if milliseconds >= 100:
        return f"{milliseconds:,.0f}"
    return f"{milliseconds:.1f}" if milliseconds >= 10 else f"{milliseconds:.3g}"


def ratio_in_words(ratio: Optional[float], between: Optional[Sequence[float]] = None) -> str:
    """Such as "1.62 (1.55 to 1.70)"; "not run" where there is none."""
    if ratio is None:
        return "not run"
    return f"{ratio:.2f}" + ("" if between is None else f" ({between[0]:.2f} to {between[1]:.2f})")


def mark_if_wide(ranges: Iterable[Sequence[float]]) -> str:
    """The mark, if in one of these (fastest, slowest) laps differed too much."""
    return MARK if any(slow >= WIDE * fast for fast, slow in ranges) else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
