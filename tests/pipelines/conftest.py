"""A store of its own for each test, and the command line with fake stages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.waiting import until

COMMAND = Path(__file__).with_name("command.py")
PATIENCE_SECONDS = 60.0


class Lab:
    """A root, a config, and stages that do as they are told.

    Attributes:
        program: the command line that is started.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, COMMAND
        self.root = folder / "store"
        self.config = folder / "tiny.yaml"
        self.started: list[subprocess.Popen[str]] = []
        self.config.write_text("# A test.\nname: tiny\n")
        self.behave()

    def behave(self, **behaviours: str) -> None:
        """Say what the stages do from now on; those not named are good."""
        (self.folder / "control.json").write_text(json.dumps(behaviours))

    def calls(self) -> list[str]:
        """The stages that were started since the last time this was asked."""
        path = self.folder / "calls.txt"
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return names

    def start(
        self, command: str, *arguments: str, root: Path | None = None, start_new_session: bool = False
    ) -> subprocess.Popen[str]:
        """Start the command line."""
        given = ["--config", str(self.config), "--root", str(root or self.root), *arguments]
        process = subprocess.Popen(
            [sys.executable, str(self.program), command, *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "FAKE_STAGES": str(self.folder / "control.json")},
            start_new_session=start_new_session,
        )
        self.started.append(process)
        return process

    def run(
        self, command: str, *arguments: str, root: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        process = self.start(command, *arguments, root=root)
        stdout, stderr = process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def answer(self, command: str, *arguments: str) -> dict[str, Any]:
        """What the command prints with --json."""
        return dict(json.loads(self.run(command, *arguments, "--json").stdout))

    def states(self, command: str, *arguments: str) -> dict[str, str]:
        """The state of each task in the command's answer."""
        return {row["task"]: row["state"] for row in self.answer(command, *arguments)["tasks"]}

    def artifacts(self, task: str) -> list[Path]:
        """The finished artifacts of a task."""
        return sorted(path for path in (self.root / "artifacts" / task).glob("[!.]*"))

    def sleeping_stage(self) -> int:
        """Wait until a stage told to sleep does; returns its process id, which is its group's too."""
        return int(wait_for(self.folder / "sleeping").read_text())


def wait_for(path: Path) -> Path:
    """Wait until the file is there."""
    until(path.exists, str(path))
    return path


def group_members(group: int) -> list[int]:
    """Live processes of a process group."""
    members = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except ProcessLookupError:
            continue
    return members


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A fresh `Lab`; what still runs or sleeps at the end is killed."""
    made = Lab(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.communicate()
    sleeping = tmp_path / "sleeping"
    if sleeping.exists():
        for member in group_members(int(sleeping.read_text())):
            psutil.Process(member).kill()


@pytest.fixture
def alive_in_group() -> Any:
    """The function `group_members`."""
    return group_members
