"""A clock that jumps back: during a run, and between runs, so that artifacts are dated in the future."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Optional

import pytest

from ebm_tf.training.history import read_csv
from tests.faults import brief, wholeness
from tests.faults.warm import WarmRuns
from tests.pipelines.conftest import Lab, wait_for

INJECTED = Path(__file__).with_name("injected")
DAY = 86400.0
MOMENTS = (1000.0, 3.0, 6.0, 9.0, 12.0)
"""Seconds after the start of a real run; after the first of them it is over."""


def jumping(monkeypatch: pytest.MonkeyPatch, once: Path) -> None:
    """For processes that are started from here on, it is yesterday from when the file is there."""
    monkeypatch.setenv("PYTHONPATH", str(INJECTED))
    monkeypatch.setenv("FAULTS", json.dumps({"clock": {"by": -DAY, "once": str(once)}}))


def numbers(value: Any, path: str = "") -> dict[str, float]:
    """Every number in a JSON value that is called seconds, by its path."""
    found: dict[str, float] = {}
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, (dict, list)):
            found |= numbers(item, f"{path}.{key}")
        elif "seconds" in str(key) and item is not None:
            found[f"{path}.{key}"] = item
    return found


def assert_no_negative_time(root: Path, answer: Optional[dict[str, Any]] = None) -> None:
    """Nothing took less than no time."""
    told = [json.loads((path / "params.json").read_text()) for path in wholeness.finished(root)]
    measured = {**numbers(told), **numbers(answer or {}, "answer")}
    assert told and len(measured) >= len(told)
    assert_positive(measured)


def assert_positive(measured: dict[str, float]) -> None:
    """Or nought."""
    assert {path: seconds for path, seconds in measured.items() if seconds < 0} == {}


def test_the_clock_of_the_processes_does_jump(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other tests rest on."""
    jumping(monkeypatch, lab.config)
    before = time.time()
    assert lab.run("run", "--task", "PrepareDataset").returncode == 0
    (path,) = lab.artifacts("PrepareDataset")
    started = json.loads((path / "params.json").read_text())["started"]
    yesterday = time.strftime("%Y-%m-%d", time.gmtime(before - DAY))
    assert started.startswith(yesterday)


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_clock_that_jumps_back_during_a_run_changes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    """It jumps while a stage runs."""
    lab.behave(TrainEBM="gate")
    jumping(monkeypatch, lab.folder / "open")
    process = lab.start("run", "--task", "TrainEBM", "--workers", workers, "--json")
    wait_for(lab.folder / "at the gate")
    (lab.folder / "open").touch()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert wholeness.faults(lab.root) == []
    assert_no_negative_time(lab.root, json.loads(stdout))
    assert lab.states("plan", "--task", "TrainEBM") == {"PrepareDataset": "reuse", "TrainEBM": "reuse"}


def test_artifacts_dated_in_the_future_are_artifacts(
    lab: Lab, warm: WarmRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were made before the clock was put right; the disk's dates say so too."""
    warm.run(lab, "run", "--task", "GenerateSamples")
    tomorrow = time.time() + DAY
    for path in lab.root.rglob("*"):
        os.utime(path, (tomorrow, tomorrow), follow_symlinks=False)
    lab.calls()
    jumping(monkeypatch, lab.config)
    ran = lab.answer("run", "--task", "GenerateSamples", "--set", "langevin.steps=7")
    assert ran["exit_code"] == 0
    assert lab.calls() == ["TrainEBM", "GenerateSamples"]
    assert_no_negative_time(lab.root, ran)
    for command, *about in (["plan"], ["status"], ["explain", "TrainEBM"], ["runs"]):
        where = ["--root", str(lab.root), *(["--config", str(lab.config)] if command != "runs" else [])]
        done = brief.ended([sys.executable, str(brief.CLI), command, *about, *where, "--json"])
        assert done.returncode == 0, done.stderr
        assert_positive(numbers(json.loads(done.stdout), command))


@pytest.mark.slow
def test_a_clock_that_jumps_back_in_a_real_training_changes_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of several jumps comes at another moment of the run."""
    config, expected = brief.write_config(tmp_path), None
    for number, moment in enumerate(MOMENTS):
        root = tmp_path / str(number)
        jump = tmp_path / f"jump {number}"
        jumping(monkeypatch, jump)
        timer = threading.Timer(moment, jump.touch)
        timer.start()
        done = brief.ended(brief.command(config, "run", root, "--task", "TrainEBM", "--json"))
        timer.cancel()
        assert done.returncode == 0, done.stderr
        expected = expected or wholeness.contents(root)
        assert wholeness.contents(root) == expected
        assert_no_negative_time(root, json.loads(done.stdout))
        speeds = read_csv(next(root.glob("artifacts/TrainEBM/*/speed.csv")))
        assert all((column >= 0).all() for column in speeds.values())
