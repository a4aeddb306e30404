"""Two runs at the same moment: every task is built once, and both runs end well."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import brief, wholeness
from tests.pipelines.conftest import Lab, wait_for

LARGEST_OFFSET_SECONDS = 0.6
EVALUATION = {
    "PrepareDataset", "TrainFeatureExtractor", "ReferenceStatistics", "BaselineStatistics", "TrainEBM",
    "GenerateSamples", "EvaluateFID",
}  # fmt: skip
OTHER = ("--set", "langevin.steps=7")


def both_end_well(*processes: subprocess.Popen[str]) -> list[str]:
    """Wait for them; what they print on stdout."""
    said = [process.communicate(timeout=brief.PATIENCE_SECONDS) for process in processes]
    for process, (_, stderr) in zip(processes, said):
        assert process.returncode == 0, stderr
    return [stdout for stdout, _ in said]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))])
def test_two_runs_of_the_same_build_each_task_once(lab: Lab, seed: int) -> None:
    chance = random.Random(seed)
    workers = [str(chance.choice((1, 2, 3))) for _ in range(2)]
    first = lab.start("run", "--task", "EvaluateFID", "--workers", workers[0], "--json")
    time.sleep(chance.uniform(0, LARGEST_OFFSET_SECONDS))
    second = lab.start("run", "--task", "EvaluateFID", "--workers", workers[1], "--json")
    answers = [json.loads(stdout) for stdout in both_end_well(first, second)]
    assert Counter(lab.calls()) == Counter(EVALUATION)
    assert answers[0]["artifact"] == answers[1]["artifact"] is not None
    states = [{row["task"]: row["state"] for row in answer["tasks"]} for answer in answers]
    for task in EVALUATION:
        # not_run: by a run that was so slow to begin that it found the last task done
        assert sorted(one[task] for one in states) in (["ran", "reused"], ["not_run", "ran"]), task
    assert wholeness.faults(lab.root) == []


def test_two_experiments_share_what_they_share(lab: Lab) -> None:
    """PrepareDataset, here at work when the second begins."""
    lab.behave(PrepareDataset="gate")
    first = lab.start("run", "--task", "TrainEBM")
    wait_for(lab.folder / "at the gate")
    second = lab.start("run", "--task", "TrainEBM", *OTHER)
    time.sleep(LARGEST_OFFSET_SECONDS)
    (lab.folder / "open").touch()
    both_end_well(first, second)
    assert Counter(lab.calls()) == Counter({"PrepareDataset": 1, "TrainEBM": 2})
    assert len(lab.artifacts("PrepareDataset")) == 1
    assert len(lab.artifacts("TrainEBM")) == 2
    assert wholeness.faults(lab.root) == []


def test_a_run_that_waits_takes_over_when_the_other_is_killed(lab: Lab) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    second = lab.start("run", "--task", "TrainEBM", "--json")
    lab.behave()
    first.kill()
    first.communicate(timeout=60)
    (stdout,) = both_end_well(second)
    assert json.loads(stdout)["metrics"]["resumed"] is True
    assert Counter(lab.calls()) == Counter({"PrepareDataset": 1, "TrainEBM": 2})


def test_a_run_that_is_not_to_wait_says_busy(lab: Lab) -> None:
    lab.behave(TrainEBM="gate")
    first = lab.start("run", "--task", "TrainEBM")
    wait_for(lab.folder / "at the gate")
    second = lab.run("run", "--task", "TrainEBM", "--no-wait")
    assert second.returncode == 5
    assert f"is being built by process {first.pid}" in second.stderr
    (lab.folder / "open").touch()
    both_end_well(first)
    assert Counter(lab.calls()) == Counter({"PrepareDataset": 1, "TrainEBM": 1})


@pytest.mark.slow
def test_two_real_runs_train_once_and_give_the_numbers_of_one(tmp_path: Path) -> None:
    config = brief.write_config(tmp_path)
    alone, together = tmp_path / "alone", tmp_path / "together"
    line = brief.command(config, "run", together, "--task", "TrainEBM", "--json")
    assert brief.ended(brief.command(config, "run", alone, "--task", "TrainEBM")).returncode == 0
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    stdouts = both_end_well(*(subprocess.Popen(line, **pipes) for _ in range(2)))
    for task in ("PrepareDataset", "TrainEBM"):
        states = [
            row["state"] for stdout in stdouts for row in json.loads(stdout)["tasks"] if row["task"] == task
        ]
        assert sorted(states) == ["ran", "reused"], task
    assert wholeness.contents(together) == wholeness.contents(alone)
