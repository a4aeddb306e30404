"""Kills, signals and two runs at once."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import psutil
import pytest

from tests.pipelines.conftest import wait_for
from tests.pipelines.served import hears
from tests.waiting import until

GONE_SECONDS = 30.0


def wait_until_gone(members: Any, group: int) -> None:
    """Wait until a process group is empty."""
    until(lambda: not members(group), f"the end of the process group {group}", GONE_SECONDS)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    "number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_leaves_no_process_and_the_next_run_goes_on(
    lab: Any, alive_in_group: Any, number: int, code: int, workers: str
) -> None:
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM", "--workers", workers, "--json")
    stage = lab.sleeping_stage()
    assert stage in alive_in_group(stage)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert alive_in_group(stage) == []
    answer = json.loads(stdout)
    assert (answer["status"], answer["exit_code"]) == ("interrupted", code)
    assert {row["task"]: row["state"] for row in answer["tasks"]} == {
        "PrepareDataset": "ran",
        "TrainEBM": "not_run",
    }
    assert "Traceback" not in stderr
    assert lab.artifacts("TrainEBM") == []
    lab.behave()
    assert lab.answer("run", "--task", "TrainEBM")["metrics"]["resumed"] is True


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_run_leaves_nothing_finished_and_the_next_goes_on(
    lab: Any, alive_in_group: Any, workers: str
) -> None:
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM", "--workers", workers)
    stage = lab.sleeping_stage()
    process.kill()
    process.communicate(timeout=60)
    wait_until_gone(alive_in_group, stage)
    assert lab.artifacts("TrainEBM") == []
    assert lab.states("status")["TrainEBM"] == "missing"
    lab.behave()
    answer = lab.answer("run", "--task", "TrainEBM")
    assert answer["exit_code"] == 0
    assert answer["metrics"]["resumed"] is True
    assert sorted(path.name for path in lab.artifacts("TrainEBM")[0].iterdir()) == [
        "data.json",
        "log.txt",
        "metrics.json",
        "params.json",
        "tensorboard",
    ]


def test_a_second_run_that_would_not_wait_is_told_that_the_first_is_at_it(lab: Any) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    answer = lab.answer("run", "--task", "TrainEBM", "--no-wait")
    assert (answer["status"], answer["exit_code"]) == ("busy", 5)
    assert f"is being built by process {first.pid}" in answer["error"]
    assert lab.states("status")["TrainEBM"] == "in work"
    assert lab.run("run", "--task", "TrainEBM", "--force", "TrainEBM").returncode == 5
    first.terminate()
    first.communicate(timeout=60)
    assert first.returncode == 143


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_run_waits_for_the_first_and_reuses_what_it_made(lab: Any, workers: str) -> None:
    lab.behave(TrainEBM="gate")
    first = lab.start("run", "--task", "TrainEBM", "--json")
    wait_for(lab.folder / "at the gate")
    second = lab.start("run", "--task", "TrainEBM", "--workers", workers)
    said = hears(second, "waits for process")
    assert f"TrainEBM: 0/0 waits for process {first.pid} on " in said
    (lab.folder / "open").touch()
    assert json.loads(first.communicate(timeout=60)[0])["exit_code"] == 0
    _, stderr = second.communicate(timeout=60)
    assert second.returncode == 0, stderr
    assert "TrainEBM: reused" in stderr
    assert lab.calls() == ["PrepareDataset", "TrainEBM"]


def test_a_run_that_waits_takes_over_when_the_first_is_killed(lab: Any) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    second = lab.start("run", "--task", "TrainEBM", "--json")
    hears(second, "waits for process")
    lab.behave()
    first.kill()
    first.communicate(timeout=60)
    answer = json.loads(second.communicate(timeout=60)[0])
    assert (answer["exit_code"], answer["metrics"]["resumed"]) == (0, True)


def test_a_run_that_waits_can_be_interrupted(lab: Any) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    second = lab.start("run", "--task", "TrainEBM")
    hears(second, "waits for process")
    second.terminate()
    assert second.wait(timeout=60) == 143
    assert first.poll() is None
    first.terminate()
    first.communicate(timeout=60)
    second.communicate(timeout=60)


def test_two_experiments_at_once_share_what_they_share(lab: Any) -> None:
    lab.behave(PrepareDataset="gate")
    first = lab.start("run", "--task", "TrainEBM")
    wait_for(lab.folder / "at the gate")
    second = lab.start("run", "--task", "TrainEBM", "--set", "langevin.steps=7", "--set", "name=seven")
    hears(second, "waits for process")
    (lab.folder / "open").touch()
    for run in (first, second):
        _, stderr = run.communicate(timeout=60)
        assert run.returncode == 0, stderr
    assert sorted(lab.calls()) == ["PrepareDataset", "TrainEBM", "TrainEBM"]
    assert len(lab.artifacts("TrainEBM")) == 2


def test_a_killed_stage_takes_what_it_started_with_it(lab: Any, alive_in_group: Any) -> None:
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM", "--json")
    stage = lab.sleeping_stage()
    assert len(alive_in_group(stage)) == 2
    os.kill(stage, signal.SIGKILL)
    answer = json.loads(process.communicate(timeout=60)[0])
    assert "its process was ended by SIGKILL (out of memory?)" in answer["error"]
    wait_until_gone(alive_in_group, stage)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_reaches_the_whole_group_and_prints_no_traceback(
    lab: Any, alive_in_group: Any, workers: str
) -> None:
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM", "--workers", workers, start_new_session=True)
    stage = lab.sleeping_stage()
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1] == (
        "error: interrupted; what is finished is kept, and a training goes on from its last checkpoint: run again"
    )
    wait_until_gone(alive_in_group, stage)
    assert alive_in_group(process.pid) == []


def test_a_run_that_would_not_wait_ends_before_it_builds_anything(lab: Any) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    lab.calls()
    assert lab.run("run", "--task", "EvaluateFID", "--no-wait").returncode == 5
    assert lab.calls() == []
    first.terminate()
    first.communicate(timeout=60)


def test_a_forced_run_that_is_busy_leaves_no_mark(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM", "--force", "TrainEBM")
    lab.sleeping_stage()
    forced = ("--force", "PrepareDataset", "--force", "TrainEBM")
    assert lab.run("run", "--task", "TrainEBM", *forced).returncode == 5
    assert lab.states("status")["PrepareDataset"] == "whole"
    first.terminate()
    first.communicate(timeout=60)


def test_a_killed_worker_is_no_success(lab: Any, alive_in_group: Any) -> None:
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM", "--workers", "2", "--json")
    stage = lab.sleeping_stage()
    worker = psutil.Process(stage).parent()
    assert worker is not None and worker.pid != process.pid
    worker.kill()
    stdout, stderr = process.communicate(timeout=60)
    answer = json.loads(stdout)
    assert (answer["status"], process.returncode) == ("failed", 3), stderr
    assert "the worker process that built it was killed" in answer["error"]
    wait_until_gone(alive_in_group, stage)
    lab.behave()
    assert lab.answer("run", "--task", "TrainEBM")["metrics"]["resumed"] is True


def test_a_forced_rebuild_keeps_the_old_artifact_until_the_new_one_is_ready(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    (old,) = lab.artifacts("TrainEBM")
    made = old.stat().st_ino
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM", "--force", "TrainEBM")
    lab.sleeping_stage()
    assert (old / "params.json").exists()
    process.terminate()
    process.communicate(timeout=60)
    assert old.stat().st_ino == made
    rows = {row["task"]: row["reason"] for row in lab.answer("plan", "--task", "TrainEBM")["tasks"]}
    assert rows["TrainEBM"] == "forced"
    lab.behave()
    assert lab.states("run", "--task", "TrainEBM")["TrainEBM"] == "ran"
    assert lab.artifacts("TrainEBM") == [old]
    assert old.stat().st_ino != made


def test_the_stage_has_a_session_of_its_own_and_shares_the_lock(lab: Any) -> None:
    lab.behave(PrepareDataset="sleep")
    process = lab.start("run", "--task", "PrepareDataset")
    stage = lab.sleeping_stage()
    assert os.getsid(stage) == stage
    (lock,) = (lab.root / "artifacts" / "PrepareDataset").glob(".lock-*")
    assert str(lock.resolve()) in {file.path for file in psutil.Process(stage).open_files()}
    process.terminate()
    process.communicate(timeout=60)
