"""Kills at chosen steps of a build, between the renames of publication too; the stages are fake, the rest is real.

The fast tier takes some of the steps, the slow one takes all of them with each signal.
"""

from __future__ import annotations

import itertools
import json
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.warm import WarmRun, WarmRuns
from tests.faults.wholeness import contents, faults
from tests.pipelines.conftest import Lab

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WORKERS = {"parent": "1", "worker": "2"}
SOME = 4


def first(lab: Lab) -> list[str]:
    """Nothing is there."""
    return ["PrepareDataset"]


def resumed(lab: Lab) -> list[str]:
    """A build was killed, and has left a checkpoint."""
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    process.terminate()
    process.communicate(timeout=60)
    assert list(lab.root.glob("artifacts/TrainEBM/.work-*/checkpoints/checkpoint.txt"))
    return ["TrainEBM"]


def forced(lab: Lab) -> list[str]:
    """The artifact is there, and is to be built anew."""
    assert lab.run("run", "--task", "TrainEBM").returncode == 0
    return ["TrainEBM", "--force", "TrainEBM"]


BEGINNINGS = {begin.__name__: begin for begin in (first, resumed, forced)}


class Build:
    """A build that is begun again and again, each time from the same state, and hit at another step."""

    def __init__(self, folder: Path, warm: WarmRuns, begin: Callable[[Lab], list[str]], who: str) -> None:
        self._folder, self._warm, self._who = folder, warm, who
        (folder / "template").mkdir()
        self._template = Lab(folder / "template")
        self._task, *force = begin(self._template)
        self._arguments = ["run", "--task", self._task, *force, "--workers", WORKERS[who]]
        self._copies = itertools.count()
        undisturbed = self._copy()
        ran = self._warm.run(undisturbed, *self._arguments, who=who)
        assert ran.returncode == 0, ran.stderr
        self.steps, self._contents = ran.steps, contents(undisturbed.root)
        self._resumed = self._metrics(undisturbed)["resumed"]

    def hit(self, at: int, by: int) -> None:
        """Hit one build at the step of this number, see what is left, and let the next run finish it."""
        lab = self._copy()
        had = contents(lab.root)
        ran = self._warm.run(lab, *self._arguments, at=at, by=by, who=self._who)
        where = f"{signal.Signals(by).name} at {at}: {self.steps[at]}"
        self._check_end(ran, by, where)
        ran.assert_all_gone()
        assert faults(lab.root) == [], where
        kept = {f"{path.parent.name}/{path.name[5:]}" for path in lab.root.glob("artifacts/*/.old-*")}
        assert set(had) <= set(contents(lab.root)) | kept, f"lost by {where}"
        states = self._warm.run(lab, "status", "--json").states()
        assert set(states.values()) <= {"whole", "missing", "stale"}, where
        after = self._warm.run(lab, "run", "--task", self._task)
        assert after.returncode == 0, f"{where}: {after.stderr}"
        assert contents(lab.root) == self._contents, where
        assert self._metrics(lab)["resumed"] == self._resumed, f"checkpoint lost by {where}"
        shutil.rmtree(lab.folder)

    def _check_end(self, ran: WarmRun, by: int, where: str) -> None:
        assert "Traceback" not in ran.stderr, f"{where}: {ran.stderr}"
        if self._who == "worker":
            # The root may have been finished before the worker was hit.
            assert ran.returncode in (0, 3, 5), f"{where}: {ran.returncode}"
        elif by == signal.SIGKILL:
            assert ran.returncode == -by, where
        else:
            assert ran.returncode == 128 + by, f"{where}: {ran.returncode} {ran.stderr}"
            assert ran.stderr.splitlines()[-1].startswith("error: interrupted"), f"{where}: {ran.stderr}"

    def _copy(self) -> Lab:
        folder = self._folder / str(next(self._copies))
        shutil.copytree(self._template.folder, folder, symlinks=True)
        for left in ("sleeping", "calls.txt"):
            (folder / left).unlink(missing_ok=True)
        return Lab(folder)

    def _metrics(self, lab: Lab) -> dict[str, Any]:
        (path,) = lab.artifacts(self._task)
        return dict(json.loads((path / "metrics.json").read_text()))


def some_of(steps: list[str]) -> Iterable[int]:
    """The renames and what follows each, the moments at which a file is empty that was not, and a few between."""
    places = {at for at, step in enumerate(steps) if step.startswith("os.rename") and "/artifacts/" in step}
    emptied = {at for at, step in enumerate(steps) if step.startswith("first write") and "inputs" in step}
    spread = {round(part * (len(steps) - 1) / (SOME - 1)) for part in range(SOME)}
    after = {at + 1 for at in places if at + 1 < len(steps)}
    return sorted(places | emptied | after | spread)


@pytest.mark.parametrize(("name", "who"), [("forced", "parent"), ("resumed", "worker")])
def test_a_kill_at_some_steps_loses_nothing(warm: WarmRuns, tmp_path: Path, name: str, who: str) -> None:
    build = Build(tmp_path, warm, BEGINNINGS[name], who)
    for at, by in zip(some_of(build.steps), itertools.cycle(SIGNALS)):
        build.hit(at, by)


def test_what_was_being_replaced_outlives_a_rebuild_that_fails(warm: WarmRuns, lab: Lab) -> None:
    """Killed between the two renames of a forced rebuild, the next run puts the old artifact back first."""
    task, *force = forced(lab)
    before = contents(lab.root)
    (old,) = lab.artifacts(task)
    forced_run = ["run", "--task", task, *force]
    shutil.copytree(lab.root, lab.folder / "kept", symlinks=True)
    at = warm.run(lab, *forced_run).steps.index(f"os.rename {old}")
    shutil.rmtree(lab.root)
    (lab.folder / "kept").rename(lab.root)
    assert warm.run(lab, *forced_run, at=at, by=signal.SIGKILL).returncode == -signal.SIGKILL
    assert not old.exists(), "so the kill came between"
    lab.behave(TrainEBM="fail")
    assert warm.run(lab, "run", "--task", task).returncode == 3
    assert contents(lab.root) == before
    assert faults(lab.root) == []


@pytest.mark.slow
@pytest.mark.parametrize("by", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("who", WORKERS)
@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_kill_at_every_step_loses_nothing(
    warm: WarmRuns, tmp_path: Path, name: str, who: str, by: signal.Signals, record_property: Any
) -> None:
    build = Build(tmp_path, warm, BEGINNINGS[name], who)
    for at in range(len(build.steps)):
        build.hit(at, by)
    record_property("kills", {"landed": len(build.steps)})
