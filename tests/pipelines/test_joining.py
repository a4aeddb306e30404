"""The command join: who may, how it ends, what it leaves; the stages are fake, the processes are real."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

CLUSTER = [
    "--set",
    "compute.strategy=multi_worker",
    "--set",
    "compute.workers=[127.0.0.1:2222, 127.0.0.1:2223]",
]
OTHER = [*CLUSTER, "--set", "compute.worker=1"]
CHIEF = [*CLUSTER, "--set", "compute.worker=0"]


def only_line(done: Any) -> str:
    (line,) = done.stderr.splitlines()
    return str(line)


@pytest.mark.parametrize(
    ("command", "arguments", "line"),
    [
        ("join", [], "error: compute.strategy is mirrored, which one process does alone"),
        ("join", CHIEF, "error: this is the chief (127.0.0.1:2222), which runs the task that trains"),
        (
            "join",
            CLUSTER,
            "error: compute.workers names 2, but not which of them this is; give compute.worker",
        ),
        (
            "run",
            ["--task", "EvaluateFID", *OTHER],
            "error: this is worker 1 (127.0.0.1:2223), and tasks run on the",
        ),
    ],
)
def test_who_has_no_place_is_refused_before_anything_runs(
    lab: Any, command: str, arguments: list[str], line: str
) -> None:
    done = lab.run(command, *arguments)
    assert done.returncode == 2
    assert only_line(done).startswith(line)
    assert lab.calls() == []


def test_a_worker_may_run_what_trains_nothing(lab: Any) -> None:
    assert lab.run("run", "--task", "ReferenceStatistics", *OTHER).returncode == 0


def test_a_wrong_tf_config_is_refused_before_anything_runs(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1"]}}')
    for command in (["run", "--task", "TrainEBM"], ["join"]):
        done = lab.run(*command, "--set", "compute.strategy=multi_worker")
        assert done.returncode == 2
        assert only_line(done).startswith(
            "error: TF_CONFIG: task is missing, and should be a mapping; give {"
        )
    assert lab.run("run", "--task", "TrainEBM").returncode == 0, "alone, it does not matter"


def test_it_prepares_the_images_and_a_failure_is_one_line_with_its_log(lab: Any) -> None:
    lab.behave(JoinTraining="fail")
    done = lab.run("join", *OTHER)
    log = lab.root / "runs" / "tiny" / "worker-1.log"
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == f"error: worker 1: the data are gone; log: {log}"
    assert lab.calls() == ["PrepareDataset", "JoinTraining"]
    assert "the reason, in the log" in log.read_text()
    answer = lab.answer("join", *OTHER)
    assert lab.calls() == ["JoinTraining"]
    assert log.read_text().count("the reason, in the log") == 1, "the log is of the last time"
    assert {**answer, "seconds": 0} == {
        "status": "failed",
        "exit_code": 3,
        "worker": 1,
        "workers": ["127.0.0.1:2222", "127.0.0.1:2223"],
        "steps": 0,
        "seconds": 0,
        "error": "worker 1: the data are gone",
        "log": str(log),
    }
    assert [path.name for path in (lab.root / "artifacts").glob("[!.]*")] == ["PrepareDataset"]


def test_without_images_it_does_not_join(lab: Any) -> None:
    lab.behave(PrepareDataset="fail")
    answer = lab.answer("join", *OTHER)
    assert lab.calls() == ["PrepareDataset"]
    assert (answer["exit_code"], answer["error"]) == (3, "PrepareDataset: the data are gone")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_interrupted_and_leaves_nothing_behind(
    lab: Any, alive_in_group: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    lab.behave(JoinTraining="sleep")
    process = lab.start("join", *OTHER, "--json")
    group = lab.sleeping_stage()
    os.kill(process.pid, number)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert json.loads(stdout)["status"] == "interrupted"
    assert alive_in_group(group) == []
    assert list(scratch.glob("ebm-join-*")) == []
