"""The commands run and join as people use them: two programs, two roots, TF_CONFIG."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.workers.free_ports import free_addresses

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = (
    "compute.strategy=multi_worker", "training.steps=6", "training.batch_size=8", "langevin.steps=3",
    "replay.capacity=100", "loss.entropy_minimum_fill=40", "selection.every=0",
)  # fmt: skip


def start(root, command, addresses, index, *more):
    sets = [argument for setting in (*SETTINGS, *more) for argument in ("--set", setting)]
    task = {"type": "worker", "index": index}
    told = json.dumps({"cluster": {"worker": addresses}, "task": task})
    return subprocess.Popen(
        [sys.executable, "cli.py", *command, *sets, "--root", str(root), "--json"],
        cwd=REPOSITORY,
        env={**os.environ, "TF_CONFIG": told},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process):
    out, errors = process.communicate(timeout=200)
    return process.returncode, json.loads(out), errors.splitlines()


def test_a_worker_joins_a_run_which_has_the_result_of_one_alone(tmp_path):
    addresses = free_addresses(2)
    chief = start(tmp_path / "chief", ["run", "--task", "TrainEBM"], addresses, 0, "compute.wait_seconds=150")
    other = start(tmp_path / "other", ["join"], addresses, 1, "compute.wait_seconds=150")
    code, joined, _ = answer(other)
    assert (code, joined["status"], joined["worker"], joined["steps"]) == (0, "done", 1, 6)
    code, ran, _ = answer(chief)
    assert code == 0
    alone = start(tmp_path / "alone", ["run", "--task", "TrainEBM"], addresses[:1], 0)
    _, ran_alone, _ = answer(alone)
    assert Path(ran["artifact"]).name == Path(ran_alone["artifact"]).name, "workers are in no fingerprint"
    one, several = (np.load(Path(each["artifact"]) / "replay.npz") for each in (ran_alone, ran))
    assert np.abs(one["images"].astype(int) - several["images"].astype(int)).max() <= 1
    np.testing.assert_array_equal(one["ages"], several["ages"])
    assert [path.name for path in (tmp_path / "other" / "artifacts").glob("[!.]*")] == ["PrepareDataset"]


def test_who_waits_in_vain_says_for_whom(tmp_path):
    addresses = free_addresses(2)
    chief = start(tmp_path, ["run", "--task", "TrainEBM"], addresses, 0, "compute.wait_seconds=2")
    code, ran, lines = answer(chief)
    assert (code, ran["status"]) == (3, "failed")
    assert ran["error"].startswith(
        f"TrainEBM: worker 1 ({addresses[1]}) did not come within 2 s; start the command"
    )
    assert lines[-1].startswith(f"error: {ran['error']}; log: ")
    other = start(tmp_path, ["join"], addresses, 1, "compute.wait_seconds=2")
    code, joined, lines = answer(other)
    assert (code, joined["status"]) == (3, "failed")
    assert joined["error"].startswith(f"worker 1: the chief ({addresses[0]}) did not answer within 2 s")
