"""Kills at random moments in the life of every real stage: of the run, of the stage's process, of Luigi's worker.

After each kill no process is left and nothing passes for finished that is not whole; after all of them the next run
completes, and its content is that of an undisturbed build.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any, Optional

import psutil
import pytest

from pipelines.asking import inspect
from pipelines.tasks import TASKS
from tests.faults import processes
from tests.faults.brief import PATIENCE_SECONDS, Undisturbed, ended
from tests.faults.wholeness import faults

KILLS = 10
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LOOK_SECONDS = 0.005
LATE = "after the end"
TARGETS = ("parent", "child", "worker")


def hear_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so does what that starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Victim:
    """A run in which one process is to be hit.

    Attributes:
        run: the process of the command line.
    """

    def __init__(self, undisturbed: Undisturbed, stage: str, target: str, root: Path) -> None:
        self._stage, self._target, self._root = stage, target, root
        self.mark, self._began = processes.new_mark(), time.time()
        workers = "2" if target == "worker" else "1"
        with (root / "stdout.txt").open("w") as out, (root / "stderr.txt").open("w") as err:
            self.run = subprocess.Popen(
                undisturbed.command("run", stage, root, "--workers", workers, "--json"),
                env={**os.environ, **self.mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=hear_interrupts,
            )

    def hit(self, after_seconds: float, number: signal.Signals) -> str:
        """Hit the target so long after it began; returns what was going on, LATE when it had ended by then."""
        target, met = self._awaited(), LATE
        if target is not None:
            time.sleep(after_seconds)
            try:
                if self.run.poll() is None and target.status() != psutil.STATUS_ZOMBIE:
                    met = self._going_on()
                    target.send_signal(number)
            except psutil.NoSuchProcess:
                met = LATE
        self.run.wait(PATIENCE_SECONDS)
        return met

    def said(self) -> tuple[Optional[dict[str, Any]], str]:
        """The object on stdout, if it came to one, and stderr."""
        stdout, stderr = ((self._root / f"{name}.txt").read_text() for name in ("stdout", "stderr"))
        return json.loads(stdout) if stdout else None, stderr

    def _going_on(self) -> str:
        """Whether the stage's process runs, or there is work before or after it."""
        try:
            children = psutil.Process(self.run.pid).children(recursive=True)
            lines = [child.cmdline() for child in children]
        except psutil.Error:
            return "at a turn of processes"
        if any("ebm_tf.stages" in line for line in lines):
            return "in the stage"
        return "in publication" if self._stage_was_started() else "before the stage"

    def _stage_was_started(self) -> bool:
        """By this run, that is: what tells a stage what to do is new, or the artifact has its place already."""
        folder = self._root / "artifacts" / self._stage
        new = [path for path in folder.glob(".work-*/spec.json") if path.stat().st_mtime >= self._began]
        return bool(new or list(folder.glob("[!.]*")))

    def _awaited(self) -> Optional[psutil.Process]:
        """The process to be hit, once it is there."""
        run = psutil.Process(self.run.pid)
        if self._target == "parent":
            return run
        while self.run.poll() is None:
            try:
                for process in run.children(recursive=self._target == "child"):
                    if self._is_target(process.cmdline(), run.cmdline()):
                        return process
            except psutil.Error:
                pass
            time.sleep(LOOK_SECONDS)
        return None

    def _is_target(self, line: list[str], line_of_run: list[str]) -> bool:
        if self._target == "worker":  # forked, and so with the run's own command line
            return line == line_of_run
        return "ebm_tf.stages" in line and self._stage in line


class Campaign:
    """All kills of one stage by way of one target.

    Attributes:
        counts: of kills, by what they met.
        losses: what was lost or left or said wrongly, a line each.
    """

    def __init__(self, undisturbed: Undisturbed, stage: str, target: str, root: Path) -> None:
        self._undisturbed, self._stage, self._target, self._root = undisturbed, stage, target, root
        start_seconds = undisturbed.build(stage)
        own = [step.artifact.params() for step in undisturbed.own(stage)]
        lives = [params["seconds"] for params in own if target == "parent" or params["task"] == stage]
        self._life = sum(lives) + start_seconds if target == "parent" else lives[0]
        self._expected = [params["content"] for params in own]
        self._artifacts = [step.artifact for step in undisturbed.own(stage, root)]
        self._chance = random.Random(f"{stage} {target}")
        self.counts: Counter[str] = Counter()
        self.losses: list[str] = []
        root.mkdir()
        undisturbed.copy_inputs(stage, root)

    def kill(self, number: signal.Signals) -> None:
        """One run, hit at a moment of its life."""
        moment = self._chance.uniform(0, self._life)
        victim = Victim(self._undisturbed, self._stage, self._target, self._root)
        met = victim.hit(moment, number)
        self.counts[met] += 1
        where = f"{number.name} to the {self._target} after {moment:.2f} of {self._life:.2f} s"
        problems = [*self._left(victim), *(self._misled(victim, number) if met != LATE else ())]
        self.losses += [f"{where}: {problem}" for problem in problems]
        for artifact in self._artifacts:  # begin anew, so that the next kill finds a build
            shutil.rmtree(artifact.path, ignore_errors=True)

    def complete(self) -> None:
        """The next run; its content is that of the undisturbed build."""
        done = ended(self._undisturbed.command("run", self._stage, self._root))
        if done.returncode != 0:
            self.losses.append(f"the next run ended with {done.returncode}: {done.stderr}")
        self.losses += [f"after the next run: {problem}" for problem in self._differences(complete=True)]

    def _differences(self, complete: bool = False) -> list[str]:
        """What there is that is not as in the undisturbed build."""
        return [
            f"{artifact.task} has another content, or none"
            for artifact, content in zip(self._artifacts, self._expected)
            if (complete or artifact.exists()) and (not artifact.exists() or artifact.content() != content)
        ]

    def _left(self, victim: Victim) -> list[str]:
        """What is wrong with the root and with the process table."""
        problems = []
        try:
            processes.assert_all_gone(victim.mark, victim.run.pid)
        except AssertionError as error:
            problems.append(str(error))
        problems += faults(self._root)
        problems += [
            f"status: {row.task} is {row.state}"
            for row in self._rows()
            if row.state in ("damaged", "in work")
        ]
        return problems + self._differences()

    def _rows(self) -> list[inspect.StatusRow]:
        """What status says, once locks are free: the last that the system takes from a process are its files."""
        until = time.monotonic() + processes.GONE_SECONDS
        while True:
            rows = inspect.status(self._undisturbed.experiment(self._stage), self._root)
            if time.monotonic() > until or all(row.state != "in work" for row in rows):
                return rows
            time.sleep(LOOK_SECONDS)

    def _misled(self, victim: Victim, number: signal.Signals) -> list[str]:
        """What is wrong with how the run ended and with what it said."""
        code, (answer, stderr) = victim.run.returncode, victim.said()
        # One without a line of cli.py is of Python's own start, before there was anything of ours.
        problems = [f"a traceback: {stderr}"] if "Traceback" in stderr and "cli.py" in stderr else []
        if code == 0:
            fine = all(artifact.exists() for artifact in self._artifacts)
        elif code == -number:  # before the run could have said anything, after it had said all, or SIGKILL
            fine = self._target == "parent"
        elif answer is None or answer["exit_code"] != code or not answer["error"]:
            fine = False
        elif self._target == "parent":
            fine = code == 128 + number and answer["status"] == "interrupted"
        elif self._target == "child":
            fine = code == 3 and number.name in answer["error"] and Path(answer["log"]).is_file()
        else:
            fine = code in (3, 5)
        return (
            problems if fine else [*problems, f"exit code {code}, {answer and answer['error']!r}, {stderr!r}"]
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Every stage, to be built once."""
    return Undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stage", TASKS)
def test_kills_lose_nothing(
    undisturbed: Undisturbed, tmp_path: Path, stage: str, target: str, record_property: Any
) -> None:
    campaign = Campaign(undisturbed, stage, target, tmp_path / "root")
    for number in range(KILLS):
        campaign.kill(SIGNALS[number % len(SIGNALS)])
    campaign.complete()
    record_property("kills", {**campaign.counts, "losses": len(campaign.losses)})
    assert not campaign.losses, "\n".join(campaign.losses)
