"""Judged runs side by side: the settings that differ, and the metrics of those that were measured alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, Optional

from ebm_tf.evaluation.protocols import Difference, differences
from ebm_tf.evaluation.verdicts import LARGER, SMALLER, apart, best, title_of
from pipelines.judged import JudgedRun

SPREAD = "_spread"
ABSENT, UNKNOWN = "-", "?"
"""What stands for a setting that a run has not; for one that it may have had, in an ancestor that is gone."""
DIGITS_OF_SHA256 = 12


class Cell(NamedTuple):
    """One metric of one run: the spread is that of its own definition (over KID's subsets, say), no interval."""

    value: float
    interval: Optional[tuple[float, float]] = None
    spread: Optional[float] = None


@dataclass(frozen=True)
class Group:
    """Runs that were measured alike.

    Attributes:
        runs: their labels.
        differs: what sets their protocol apart from the first group's; empty for that one.
        metrics: by metric, the cell of each run that has it.
        best: by metric that has better and worse, the run that is best of several; None where they are equal.
        verdicts: one sentence for each of these.
    """

    runs: tuple[str, ...]
    differs: tuple[Difference, ...]
    metrics: dict[str, dict[str, Cell]]
    best: dict[str, Optional[str]]
    verdicts: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Attributes:
        runs: their labels.
        settings: what differs, by dotted name: the value in each run whose settings are known; "-" where it has none,
            "?" where the artifact that would tell is gone.
        groups: the runs by how they were measured; nothing is ranked across them.
        notes: what a reader has to know, a sentence each.
    """

    runs: tuple[str, ...]
    settings: dict[str, dict[str, Any]]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def compare(runs: Sequence[JudgedRun]) -> Comparison:
    """Set runs side by side.

    Args:
        runs: two at least, with labels of their own.
    """
    parted: list[list[JudgedRun]] = []
    for run in runs:
        alike = next((group for group in parted if not differences(group[0].protocol, run.protocol)), None)
        if alike is None:
            parted.append([run])
        else:
            alike.append(run)
    groups = tuple(_group(members, parted[0][0]) for members in parted)
    notes = [note for run in runs for note in run.notes]
    notes += [
        f"{one.label} and {other.label} are the same artifact."
        for one, other in combinations(runs, 2)
        if one.source == other.source
    ]
    if any(group.verdicts for group in groups):
        notes.append("Each run was trained once: how much another seed would change is not known from this.")
    return Comparison(tuple(run.label for run in runs), settings_that_differ(runs), groups, tuple(notes))


def settings_that_differ(runs: Sequence[JudgedRun]) -> dict[str, dict[str, Any]]:
    """By dotted name, the value in each run whose settings are known; those that all share are left out."""
    known = [run for run in runs if run.settings is not None]
    names = sorted({name for run in known for name in run.settings or ()})
    rows = {
        name: {run.label: (run.settings or {}).get(name, ABSENT if run.whole else UNKNOWN) for run in known}
        for name in names
    }
    return {name: row for name, row in rows.items() if _differ(row)}


def _differ(row: Mapping[str, Any]) -> bool:
    values = [value for value in row.values() if value != UNKNOWN]
    return any(value != values[0] for value in values)


def verdict(metric: str, cells: dict[str, Cell]) -> str:
    """Which of several runs is best by a metric, and from which it can be told apart."""
    winner = best(metric, {label: cell.value for label, cell in cells.items()})
    title = title_of(metric)
    if winner is None:
        goal = min if metric in SMALLER else max
        value = goal(cell.value for cell in cells.values())
        equals = [label for label, cell in cells.items() if cell.value == value]
        return f"By {title} none is best: {_listed(equals)} have {number(value)}."
    others = {label: cell for label, cell in cells.items() if label != winner}
    told = {label: apart(cells[winner].interval, cell.interval) for label, cell in others.items()}
    against = _listed([f"{number(cell.value)} of {label}" for label, cell in others.items()])
    sentences = [f"By {title} {winner} is best: {number(cells[winner].value)} against {against}."]
    for state, words in (
        (True, "Its interval lies apart from that of {}."),
        (False, "It cannot be told apart from {}: intervals overlap."),
        (None, "Without both intervals nobody knows whether chance made it better than {}."),
    ):
        if named := [label for label in others if told[label] is state]:
            sentences.append(words.format(_listed(named)))
    return " ".join(sentences)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """One object, of which everything is told by label."""
    return {
        "runs": list(comparison.runs),
        "settings": comparison.settings,
        "groups": [
            {
                "runs": list(group.runs),
                "differs": {field: [first, second] for field, first, second in group.differs},
                "metrics": {
                    metric: {label: cell._asdict() for label, cell in cells.items()}
                    for metric, cells in group.metrics.items()
                },
                "best": group.best,
                "verdicts": list(group.verdicts),
            }
            for group in comparison.groups
        ],
        "notes": list(comparison.notes),
    }


def what_differs(group: Group) -> str:
    """In words, how a group was measured otherwise than the first one; empty for that one."""
    told = (f"{field} is {_short(second)}, not {_short(first)}" for field, first, second in group.differs)
    return "; ".join(told)


def number(value: float) -> str:
    """As it is told to people: to five digits."""
    return f"{value:.5g}"


def _group(members: Sequence[JudgedRun], first: JudgedRun) -> Group:
    names = dict.fromkeys(name for run in members for name in run.values if not name.endswith(SPREAD))
    metrics = {
        name: {
            run.label: Cell(run.values[name], run.intervals.get(name), run.values.get(name + SPREAD))
            for run in members
            if name in run.values
        }
        for name in names
    }
    ranked = {
        name: cells for name, cells in metrics.items() if len(cells) > 1 and name in (*SMALLER, *LARGER)
    }
    return Group(
        runs=tuple(run.label for run in members),
        differs=tuple(differences(first.protocol, members[0].protocol)),
        metrics=metrics,
        best={
            name: best(name, {label: cell.value for label, cell in cells.items()})
            for name, cells in ranked.items()
        },
        verdicts=tuple(verdict(name, cells) for name, cells in ranked.items()),
    )


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _short(value: Any) -> str:
    """A value of a protocol; of a sha256 its first digits."""
    if value is None:
        return "not told"
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return value[:DIGITS_OF_SHA256]
    return str(value)
