"""The table of a sweep: judged runs with intervals and a best one, and what it does when they cannot be compared."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines.artifact import Artifact
from pipelines.commands.display import show_sweep
from pipelines.judging.sweep import Sweep, as_json, gather
from pipelines.running.grid import Point, points
from pipelines.running.runner import Outcome
from tests.pipelines.artifact_trees import link
from tests.pipelines.test_comparison import RECORD, Bench

SWEPT = points("digits", [], ["langevin.steps=5,6,7"])


def outcome(artifact: Artifact | None, status: str = "done", exit_code: int = 0) -> Outcome:
    metrics = {} if artifact is None else artifact.metrics()
    path = None if artifact is None else artifact.path
    error = None if artifact is not None else "TrainEBM: the data are gone"
    return Outcome(status, exit_code, "EvaluateFID", path, 1.0, [], metrics, error)


def told(sweep: Sweep, root: Path) -> tuple[list[str], list[str]]:
    """The lines of data and of messages."""
    data, messages = io.StringIO(), io.StringIO()
    show_sweep(sweep, root, Console(file=data, width=300), Console(file=messages, width=300))
    return data.getvalue().splitlines(), messages.getvalue().splitlines()


def record(distance: float) -> dict[str, Any]:
    changed = copy.deepcopy(RECORD)
    changed["frechet_distance"]["fresh"] = distance
    changed["intervals"]["fresh"]["frechet_distance"] = [distance - 0.1, distance + 0.1]
    return changed


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def judged(bench: Bench, point: Point, distance: float) -> Outcome:
    steps = point.experiment.langevin.steps
    return outcome(bench.judge(point.experiment.name, steps, record(distance)))


def test_the_best_is_marked_and_what_failed_is_told_last(bench: Bench) -> None:
    outcomes = [judged(bench, SWEPT[0], 3.0), outcome(None, "failed", 3), judged(bench, SWEPT[2], 2.0)]
    sweep = gather(SWEPT, outcomes, bench.root, "fresh")
    assert (sweep.status, sweep.exit_code) == ("failed", 3)
    assert sweep.best("frechet_distance") == SWEPT[2].experiment.name
    data, messages = told(sweep, bench.root)
    assert data[0].split()[:4] == ["experiment", "langevin.steps", "state", "frechet_distance"]
    assert [line.split()[1:3] for line in data[1:4]] == [["5", "done"], ["6", "failed"], ["7", "done"]]
    assert "3 [2.9, 3.1]" in data[1] and "3 [2.9, 3.1] *" not in data[1]
    assert "2 [1.9, 2.1] *" in data[3]
    best, worse = SWEPT[2].experiment.name, SWEPT[0].experiment.name
    assert any(f"{best} is best: 2 against 3 of {worse}" in line for line in data)
    assert messages[0] == f"EvaluateFID: 2 of 3 done in 1.0 s, see {bench.root}/runs"
    assert messages[-1] == "error: digits-langevin.steps-6: TrainEBM: the data are gone"
    assert as_json(sweep)["comparison"]["groups"][0]["best"]["frechet_distance"] == SWEPT[2].experiment.name


def test_runs_of_one_artifact_are_compared_as_one(bench: Bench) -> None:
    first, third = judged(bench, SWEPT[0], 3.0), judged(bench, SWEPT[2], 2.0)
    assert first.artifact is not None
    same = Artifact(bench.root, "EvaluateFID", first.artifact.name)
    link(bench.root, SWEPT[1].experiment.name, same)
    sweep = gather(SWEPT, [first, first, third], bench.root, "fresh")
    assert (sweep.exit_code, sweep.not_compared) == (0, None)
    assert [row.numbers["frechet_distance"].value for row in sweep.rows] == [3.0, 3.0, 2.0]


def test_what_cannot_be_compared_is_told_without_it(bench: Bench) -> None:
    broken = outcome(bench.judge(SWEPT[0].experiment.name, 5, {"kid": 1.5}))
    sweep = gather(SWEPT[:2], [broken, judged(bench, SWEPT[1], 3.0)], bench.root, "fresh")
    assert sweep.exit_code == 0
    assert "has no protocol" in (sweep.not_compared or "")
    data, _ = told(sweep, bench.root)
    assert [line.split()[2] for line in data[1:3]] == ["done", "done"]
    assert data[-1].startswith("Not compared: ")
