"""A run by way of Luigi's central scheduler."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

START_SECONDS = 60.0


@pytest.fixture
def luigid(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler that was just started."""
    folder = tmp_path / "luigid"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "from luigi.cmdline import luigid; luigid()"
    options = ["--address", "127.0.0.1", "--port", str(port), "--state-path", str(folder / "state.pickle")]
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, *options], cwd=folder, stdout=log, stderr=log
        )
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < until, "luigid did not start"
            time.sleep(0.05)


def test_the_central_scheduler_hears_of_every_task(lab: Any, luigid: str) -> None:
    done = lab.run("run", "--task", "TrainEBM", "--scheduler", luigid, "--workers", "2")
    assert done.returncode == 0, done.stderr
    with urllib.request.urlopen(
        f"http://{luigid}/api/task_list?data=%7B%22status%22%3A%22DONE%22%7D"
    ) as answer:
        tasks = json.load(answer)["response"].values()
    assert {task["name"] for task in tasks} == {"PrepareDataset", "TrainEBM"}


def test_two_runs_at_one_scheduler_do_not_both_build(lab: Any, luigid: str) -> None:
    lab.behave(TrainEBM="sleep")
    first = lab.start("run", "--task", "TrainEBM", "--scheduler", luigid)
    lab.sleeping_stage()
    second = lab.answer("run", "--task", "TrainEBM", "--scheduler", luigid)
    assert (second["status"], second["exit_code"]) == ("busy", 5)
    assert f"TrainEBM is being built by process {first.pid}" in second["error"]
    first.terminate()
    first.communicate(timeout=60)
    assert lab.calls() == ["PrepareDataset", "TrainEBM"]
