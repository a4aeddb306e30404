"""Judged runs side by side: the settings that differ, and the metrics of those that were measured alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from ebm_tf.evaluation.protocols import Difference, confidence_of, differences
from ebm_tf.evaluation.verdicts import LARGER, SMALLER, apart, best, level, title_of, unlike
from pipelines.judging.judged import JudgedRun

SPREAD = "_spread"
ABSENT, UNKNOWN = "-", "?"
"""What stands for a setting that a run has not; for one that it may have had, in an ancestor that is gone."""
DIGITS_OF_SHA256 = 12


class Cell(NamedTuple):
    """One metric of one run: the spread is that of its own definition (over KID's subsets, say), no interval."""

    value: float
    interval: Optional[tuple[float, float]] = None
    confidence: Optional[float] = None  # of the interval, where the protocol tells it
    spread: Optional[float] = None


@dataclass(frozen=True)
class Group:
    """Runs that were measured alike.

    Attributes:
        runs: their labels.
        differs: what sets their protocol apart from the first group's; empty for that one.
        metrics: by metric, the cell of each run that has it.
        best: by metric that has better and worse, the run that is best of several; None where they are equal.
        verdicts: what is said of each of these; one sentence in all where every run has the same numbers.
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
        runs: two at least.

    Raises:
        ValueError: two runs share a label.
    """
    called = [run.label for run in runs]
    if len(set(called)) < len(called):
        raise ValueError(f"each run needs a label of its own. Received: {called}")
    parted: list[list[JudgedRun]] = []
    for run in runs:
        alike = next((group for group in parted if not differences(group[0].protocol, run.protocol)), None)
        if alike is None:
            parted.append([run])
        else:
            alike.append(run)
    groups = tuple(_group(members, parted[0][0]) for members in parted)
    notes = [note for run in runs for note in run.notes]
    ranked = {label for group in groups if group.verdicts for label in group.runs}
    trained = [run.label for run in runs if run.trained and run.label in ranked]
    if trained:
        several = "Each run" if len(trained) == len(runs) else f"Each of {_listed(trained)}"
        who = several if len(trained) > 1 else trained[0]
        notes.append(f"{who} was trained once: how much another seed would change is not known from this.")
    return Comparison(tuple(called), settings_that_differ(runs), groups, tuple(notes))


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
    against = _listed([f"{number(cell.value)} of {label}" for label, cell in others.items()])
    sentences = [f"By {title} {winner} is best: {number(cells[winner].value)} against {against}."]
    return " ".join([*sentences, *_chance(winner, cells)])


def _chance(winner: str, cells: dict[str, Cell]) -> list[str]:
    """From which of the others the best can be told apart, and from which not and why."""
    lacking = [label for label, cell in cells.items() if cell.interval is None]
    named: dict[tuple[str, str], list[str]] = {}
    for label, cell in cells.items():
        if label != winner:
            named.setdefault(_words(cells[winner], cell, lacking), []).append(label)
    return [f"{before} {_listed(labels)}{after}" for (before, after), labels in named.items()]


def _words(own: Cell, other: Cell, lacking: Sequence[str]) -> tuple[str, str]:
    """What is said of the best and another, before and after the other's name."""
    confidences = (own.confidence, other.confidence)
    told = apart(own.interval, other.interval, confidences)
    if told is None or own.confidence is None:
        known = own.interval is not None and other.interval is not None
        reason = unlike(confidences) if known else f"no interval is known of {_listed(lacking)}"
        return "Nobody knows whether chance made it better than", f": {reason}."
    if told:
        return f"Its {level(own.confidence)} interval lies apart from that of", "."
    return "It cannot be told apart from", f": their {level(own.confidence)} intervals overlap."


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
    return "; ".join(map(_otherwise, group.differs))


def _otherwise(difference: Difference) -> str:
    field, first, second = difference
    if first is None:
        return f"{field} is {_short(second)}, which group 1 does not tell"
    if second is None:
        return f"{field} is not told, while group 1 has {_short(first)}"
    return f"{field} is {_short(second)}, not {_short(first)}"


def number(value: float) -> str:
    """As it is told to people: to five digits."""
    return f"{value:.5g}"


def _group(members: Sequence[JudgedRun], first: JudgedRun) -> Group:
    names = dict.fromkeys(name for run in members for name in run.values if not name.endswith(SPREAD))
    metrics = {name: {run.label: _cell(run, name) for run in members if name in run.values} for name in names}
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
        verdicts=_verdicts(ranked),
    )


def _cell(run: JudgedRun, metric: str) -> Cell:
    interval = run.intervals.get(metric)
    confidence = None if interval is None else confidence_of(run.protocol)
    return Cell(run.values[metric], interval, confidence, run.values.get(metric + SPREAD))


def _verdicts(ranked: dict[str, dict[str, Cell]]) -> tuple[str, ...]:
    """One for each metric; one in all where there are several and none has a difference."""
    equal = all(len({cell.value for cell in cells.values()}) == 1 for cells in ranked.values())
    if equal and len(ranked) > 1:
        labels = dict.fromkeys(label for cells in ranked.values() for label in cells)
        titles = _listed([title_of(metric) for metric in ranked])
        return (f"None is best: {_listed([*labels])} have the same {titles}.",)
    return tuple(verdict(name, cells) for name, cells in ranked.items())


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _short(value: Any) -> str:
    """A value of a protocol; of a sha256 its first digits."""
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return value[:DIGITS_OF_SHA256]
    return str(value)
