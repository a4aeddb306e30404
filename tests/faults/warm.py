"""Runs that can be hit at a step, without the second that imports take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

from tests.faults import processes
from tests.pipelines.conftest import Lab

WARM_RUNS = Path(__file__).with_name("warm_runs.py")


class WarmRuns:
    """Runs of the command line that can be hit at a step; each is a process, forked from one that has it loaded."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(WARM_RUNS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self,
        of: Lab,
        command: str,
        *arguments: str,
        at: Optional[int] = None,
        by: int = 0,
        who: str = "parent",
    ) -> WarmRun:
        """Run a command in a lab; the process is hit by signal `by` at the step of number `at`."""
        mark = processes.new_mark()
        order = {
            "argv": [command, "--config", str(of.config), "--root", str(of.root), *arguments],
            "environment": {"FAKE_STAGES": str(of.folder / "control.json"), **mark},
            "output": str(of.folder),
            "below": str(of.root),
            "at": at,
            "signal": by,
            "who": who,
        }
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        stdout, stderr, steps = (
            (of.folder / f"{name}.txt").read_text() for name in ("stdout", "stderr", "steps")
        )
        return WarmRun(answer["returncode"], stdout, stderr, steps.splitlines(), mark, answer["pid"])

    def end(self) -> None:
        """End the process that has everything loaded."""
        self._server.communicate(timeout=60)


class WarmRun:
    """How such a run ended, and the steps that it took."""

    def __init__(
        self, returncode: int, stdout: str, stderr: str, steps: list[str], mark: dict[str, str], pid: int
    ) -> None:
        self.returncode, self.stdout, self.stderr, self.steps = returncode, stdout, stderr, steps
        self.mark, self.pid = mark, pid

    def assert_all_gone(self) -> None:
        """None of its processes is left."""
        processes.assert_all_gone(self.mark, self.pid)

    def answer(self) -> dict[str, Any]:
        """The object on stdout."""
        return dict(json.loads(self.stdout))

    def states(self) -> dict[str, str]:
        """The state of each task in the object on stdout."""
        return {row["task"]: row["state"] for row in self.answer()["tasks"]}
