"""What came of a sweep: a row for each combination, and how their numbers compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ebm_tf.errors import EBMError
from ebm_tf.nested import flat
from pipelines.judging import comparison
from pipelines.judging.comparison import Cell, Comparison
from pipelines.judging.judged import TASK, load_runs
from pipelines.running.grid import Point
from pipelines.running.runner import Outcome


@dataclass(frozen=True)
class Row:
    """One combination: the values of the settings, what became of its run, and the numbers by metric."""

    experiment: str
    values: dict[str, str]
    outcome: Outcome
    numbers: dict[str, Cell]


@dataclass(frozen=True)
class Sweep:
    """All combinations.

    Attributes:
        rows: in the order of the grid.
        compared: of the judged ones, where there are two at least; runs of one artifact are compared as one.
        not_compared: why they could not be.
    """

    rows: tuple[Row, ...]
    compared: Optional[Comparison] = None
    not_compared: Optional[str] = None

    @property
    def exit_code(self) -> int:
        """That of the first that is not done."""
        return next((row.outcome.exit_code for row in self.rows if row.outcome.exit_code), 0)

    @property
    def status(self) -> str:
        """That of the first that is not done."""
        return next((row.outcome.status for row in self.rows if row.outcome.exit_code), "done")

    def best(self, metric: str) -> Optional[str]:
        """The experiment that is best by a metric, of those that were measured alike."""
        groups = self.compared.groups if self.compared else ()
        return groups[0].best.get(metric) if len(groups) == 1 else None


def gather(points: Sequence[Point], outcomes: Sequence[Outcome], root: Path, row: str) -> Sweep:
    """The numbers of every run that is done, and of evaluations how they compare.

    Args:
        points, outcomes: of the same length and order.
        row: which samples of an evaluation.

    """
    compared, not_compared = None, None
    labels: dict[Optional[Path], str] = {}
    for point, outcome in zip(points, outcomes):
        if outcome.artifact is not None:
            labels.setdefault(outcome.artifact, point.experiment.name)
    if outcomes[0].task == TASK and len(labels) > 1:
        try:
            compared = comparison.compare(load_runs([*labels.values()], root, row))
        except EBMError as error:  # what is done is told in any case
            not_compared = str(error)
    rows = [
        Row(
            point.experiment.name,
            point.values,
            outcome,
            _numbers(labels.get(outcome.artifact), outcome, compared),
        )
        for point, outcome in zip(points, outcomes)
    ]
    return Sweep(tuple(rows), compared, not_compared)


def as_json(sweep: Sweep) -> dict[str, Any]:
    """One object: a run for each combination, and the comparison where there is one."""
    runs = [
        {
            "experiment": row.experiment,
            "settings": row.values,
            "status": row.outcome.status,
            "exit_code": row.outcome.exit_code,
            "artifact": row.outcome.artifact,
            "error": row.outcome.error,
            "log": row.outcome.log,
            "metrics": row.outcome.metrics,
        }
        for row in sweep.rows
    ]
    compared = None if sweep.compared is None else comparison.as_json(sweep.compared)
    return {
        "status": sweep.status,
        "exit_code": sweep.exit_code,
        "task": sweep.rows[0].outcome.task,
        "seconds": sweep.rows[0].outcome.seconds,
        "runs": runs,
        "comparison": compared,
        "not_compared": sweep.not_compared,
    }


def _numbers(label: Optional[str], outcome: Outcome, compared: Optional[Comparison]) -> dict[str, Cell]:
    """By metric: of a run that was compared those under its label there, of others all that the artifact has."""
    if compared is not None:
        return {
            metric: cells[label]
            for group in compared.groups
            for metric, cells in group.metrics.items()
            if label in cells
        }
    if outcome.task == TASK:
        return {}  # what cannot be compared is not set side by side
    return {
        name: Cell(float(value))
        for name, value in flat(outcome.metrics)
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
