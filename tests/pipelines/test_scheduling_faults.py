"""The scheduler killed under runs, and runs killed under the scheduler."""

from __future__ import annotations

import configparser
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.running.central import WITHHELD_SECONDS
from pipelines.running.scheduling import LUIGI_CONFIG
from tests.pipelines.conftest import wait_for
from tests.pipelines.served import Served, hears, kill_stage, served
from tests.waiting import until

LESS_THAN_A_MINUTE = 50.0


@pytest.fixture
def central(tmp_path: Path) -> Iterator[Served]:
    """A scheduler of the test's own, to be killed."""
    with served(tmp_path / "central") as made:
        yield made


def saved(central: Served, name: str) -> str:
    """The status of a task in the saved state."""
    if not (central.state / "state.json").exists():
        return ""
    tasks = json.loads((central.state / "state.json").read_text())["tasks"]
    return next((str(task["status"]) for task in tasks if task["family"] == name), "")


@pytest.mark.parametrize("state", ["kept", pytest.param("lost", marks=pytest.mark.slow)])
def test_a_run_outlives_a_scheduler_that_is_killed_and_started_again(
    lab: Any, central: Served, state: str
) -> None:
    lab.behave(TrainEBM="gate")
    run = lab.start("run", "--task", "GenerateSamples", "--scheduler", central.address, "--json")
    wait_for(lab.folder / "at the gate")
    until(lambda: saved(central, "TrainEBM") == "RUNNING", "the saved state")
    central.end()
    if state == "lost":
        (central.state / "state.json").unlink()
    central.start()
    if state == "kept":
        assert central.tasks()["TrainEBM"]["status"] == "RUNNING"
    (lab.folder / "open").touch()
    stdout, stderr = run.communicate(timeout=60)
    answer = json.loads(stdout)
    assert (answer["status"], answer["exit_code"]) == ("done", 0), stderr
    assert lab.calls() == ["PrepareDataset", "TrainEBM", "GenerateSamples"]
    again = lab.answer("run", "--task", "GenerateSamples", "--scheduler", central.address)
    assert again["exit_code"] == 0
    assert {row["state"] for row in again["tasks"]} == {"reused"}


@pytest.mark.slow
def test_what_fails_after_the_scheduler_forgot_it_is_told_as_it_is(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="gate")
    run = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address, "--json")
    note = wait_for(lab.folder / "at the gate")
    central.end()
    (central.state / "state.json").unlink(missing_ok=True)
    central.start()
    kill_stage(note)
    answer = json.loads(run.communicate(timeout=60)[0])
    assert answer["exit_code"] == 3
    assert "TrainEBM: its process was ended by SIGKILL" in answer["error"]
    assert 'luigi_task_failed_total{family="TrainEBM"} 1.0' in central.get("/metrics")
    assert "500 POST" not in central.said.read_text()
    lab.behave()
    assert lab.answer("run", "--task", "TrainEBM", "--scheduler", central.address)["exit_code"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("state", ["kept", "lost"])
def test_a_run_that_waits_outlives_it_too(lab: Any, central: Served, state: str) -> None:
    lab.behave(TrainEBM="gate")
    first = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address, "--json")
    wait_for(lab.folder / "at the gate")
    second = lab.start("run", "--task", "TrainEBM", "--scheduler", central.address, "--json")
    hears(second, "waits: ")
    until(lambda: saved(central, "TrainEBM") == "RUNNING", "the saved state")
    central.end()
    if state == "lost":
        (central.state / "state.json").unlink()
    central.start()
    (lab.folder / "open").touch()
    for run in (first, second):
        stdout, stderr = run.communicate(timeout=60)
        assert json.loads(stdout)["exit_code"] == 0, stderr
    assert lab.calls() == ["PrepareDataset", "TrainEBM"]


@pytest.mark.slow
def test_a_scheduler_that_does_not_come_back_ends_the_run_with_a_line(lab: Any, central: Served) -> None:
    lab.behave(TrainEBM="gate")
    run = lab.start("run", "--task", "GenerateSamples", "--scheduler", central.address)
    wait_for(lab.folder / "at the gate")
    central.end()
    (lab.folder / "open").touch()
    _, stderr = run.communicate(timeout=240)
    assert run.returncode == 4
    assert (
        f"error: the Luigi scheduler at {central.address} has stopped answering; what is done is kept"
        in stderr
    )
    assert "Traceback" not in stderr
    assert len(lab.artifacts("TrainEBM")) == 1
    assert lab.states("run", "--task", "GenerateSamples")["GenerateSamples"] == "ran"
    assert lab.calls() == ["PrepareDataset", "TrainEBM", "GenerateSamples"]


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_what_a_killed_run_was_at_is_taken_over(lab: Any, central: Served, workers: str) -> None:
    lab.behave(TrainEBM="sleep")
    where = ("run", "--task", "TrainEBM", "--scheduler", central.address, "--workers", workers)
    killed = lab.start(*where)
    lab.sleeping_stage()
    killed.kill()
    killed.communicate(timeout=60)
    hasty = lab.answer(*where, "--no-wait")
    assert (hasty["status"], hasty["exit_code"], hasty["artifact"]) == ("busy", 5, None)
    lab.behave()
    patient = lab.start(*where, "--json")
    answer = json.loads(patient.communicate(timeout=LESS_THAN_A_MINUTE)[0])
    assert (answer["exit_code"], answer["metrics"]["resumed"]) == (0, True)
    assert lab.calls() == ["PrepareDataset", "TrainEBM", "TrainEBM"]


def test_a_dead_worker_is_known_for_dead_before_its_task_is_given_up() -> None:
    shipped = configparser.ConfigParser()
    shipped.read(LUIGI_CONFIG)
    delay = shipped.getfloat("scheduler", "worker_disconnect_delay")
    assert delay < WITHHELD_SECONDS < LESS_THAN_A_MINUTE
