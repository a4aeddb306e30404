"""Sweeps: their points, their names, their runs and their one table."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ebm_tf.errors import ConfigError
from pipelines.running.grid import points


def test_every_combination_is_there_with_its_values() -> None:
    found = points("digits", ["training.steps=7"], ["langevin.step_size=10,30", "seed=0,1,2"])
    told = [(point.experiment.langevin.step_size, point.experiment.seed) for point in found]
    assert told == list(itertools.product((10.0, 30.0), (0, 1, 2)))
    assert {point.experiment.training.steps for point in found} == {7}
    assert found[1].values == {"langevin.step_size": "10", "seed": "1"}
    assert found[1].experiment.name == "digits-langevin.step_size-10-seed-1"


def test_without_a_grid_there_is_the_experiment_alone() -> None:
    (point,) = points("digits", ["name=mine"], [])
    assert (point.values, point.experiment.name) == ({}, "mine")


def test_values_that_differ_have_names_that_do() -> None:
    found = points("digits", [], ["optimiser.learning_rate=1e-5,1e-3,1e+0"])
    assert [point.experiment.name for point in found] == [
        f"digits-optimiser.learning_rate-{value}" for value in ("1e-5", "1e-3", "1e0")
    ]


def test_a_setting_that_is_also_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="--set and --grid both name seed; name it once"):
        points("digits", ["seed=3"], ["seed=1,2"])


def test_commas_in_brackets_part_nothing() -> None:
    found = points("digits", [], ["sampling.labels=[1,2],[3,4]", "model.conditional=true"])
    assert [list(point.experiment.sampling.labels or ()) for point in found] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "grid, said",
    [
        (["langevin.steps"], r"received 'langevin.steps'; give a setting and values"),
        (["langevin.steps="], r"received 'langevin.steps='"),
        (["langevin.steps=5,,6"], r"received 'langevin.steps=5,,6'"),
        (["=5"], r"received '=5'"),
        (["name=a,b"], r"each combination gets a name of its own"),
        (["seed=1", "seed=2"], r"names seed twice"),
        (["seed=1,1"], r"seed=1 and seed=1 would both be called digits-seed-1"),
        (["langevin.stepz=5"], r"langevin.stepz.*langevin.steps"),
        (["langevin.steps=5,x"], r"langevin.steps"),
        ([f"{key}={','.join(map(str, range(1, 41)))}" for key in ("seed", "langevin.steps")], r"1600 combinations"),
    ],
)  # fmt: skip
def test_what_is_no_grid_is_refused(grid: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        points("digits", [], grid)


def test_a_sweep_builds_what_is_shared_once_and_tells_of_all(lab: Any) -> None:
    answer = lab.answer("run", "--task", "TrainEBM", "--grid", "langevin.steps=5,6,7", "--workers", "2")
    assert (answer["status"], answer["exit_code"]) == ("done", 0)
    assert [run["settings"] for run in answer["runs"]] == [{"langevin.steps": value} for value in "567"]
    assert [run["experiment"] for run in answer["runs"]] == [
        f"tiny-langevin.steps-{value}" for value in "567"
    ]
    assert len({run["artifact"] for run in answer["runs"]}) == 3
    assert sorted(lab.calls()) == ["PrepareDataset", "TrainEBM", "TrainEBM", "TrainEBM"]
    for value in "567":
        assert (lab.root / "runs" / f"tiny-langevin.steps-{value}" / "TrainEBM").exists()
    again = lab.run("run", "--task", "TrainEBM", "--grid", "langevin.steps=6,8")
    assert again.returncode == 0
    assert lab.calls() == ["TrainEBM"]
    heading, *rows = again.stdout.splitlines()
    assert heading.split() == ["experiment", "langevin.steps", "state", "rows.fresh"]
    assert [row.split() for row in rows] == [
        ["tiny-langevin.steps-6", "6", "done", "1.5"],
        ["tiny-langevin.steps-8", "8", "done", "1.5"],
    ]
    assert again.stderr.splitlines()[-1].startswith("TrainEBM: 2 of 2 done in ")


def test_one_that_fails_keeps_no_other_from_being_tried(lab: Any) -> None:
    lab.behave(TrainEBM="fail at 6 steps")
    done = lab.run("run", "--task", "TrainEBM", "--grid", "langevin.steps=5,6,7")
    assert done.returncode == 3
    states = {row.split()[1]: row.split()[2] for row in done.stdout.splitlines()[1:]}
    assert states == {"5": "done", "6": "failed", "7": "done"}
    assert done.stderr.splitlines()[-1].startswith(
        "error: tiny-langevin.steps-6: TrainEBM: the data are gone; log: "
    )
    assert "TrainEBM: 2 of 3 done in " in done.stderr
    assert "the reason, in the log" in done.stderr
    lab.behave()
    assert lab.answer("run", "--task", "TrainEBM", "--grid", "langevin.steps=5,6,7")["exit_code"] == 0


def test_a_bad_value_is_refused_before_anything_runs(lab: Any) -> None:
    done = lab.run("run", "--task", "TrainEBM", "--grid", "langevin.steps=5,-1")
    assert done.returncode == 2
    assert lab.calls() == []
    assert not lab.root.exists()


def test_a_sweep_is_planned_without_a_trace(lab: Any) -> None:
    rows = lab.answer("plan", "--task", "TrainEBM", "--grid", "langevin.steps=5,6")["tasks"]
    assert [(row["task"], row["state"]) for row in rows] == [
        ("PrepareDataset", "run"),
        ("TrainEBM, tiny-langevin.steps-5", "run"),
        ("TrainEBM, tiny-langevin.steps-6", "run"),
    ]
    assert not lab.root.exists()
    lab.run("run", "--task", "TrainEBM", "--set", "langevin.steps=6")
    states = lab.states("plan", "--task", "TrainEBM", "--grid", "langevin.steps=5,6")
    assert states == {
        "PrepareDataset": "reuse",
        "TrainEBM, tiny-langevin.steps-5": "run",
        "TrainEBM, tiny-langevin.steps-6": "reuse",
    }
