"""The real scheduler as a process, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


class Served:
    """`cli.py scheduler` on a port of its own; may be killed and started again.

    Args:
        folder: where its state and what it says go.
        arguments: of the command, besides port, state and --json.
        inside: command that it is started by, such as one that enters a network namespace.
    """

    def __init__(self, folder: Path, *arguments: str, inside: tuple[str, ...] = ()) -> None:
        self.state = folder / "state"
        self.port = 0
        self.said = folder / "scheduler.txt"
        self._arguments = arguments
        self._inside = inside
        self.start()

    def start(self) -> None:
        """Start it, on the port of the time before; returns when it answers."""
        line = [*self._inside, sys.executable, str(REPOSITORY / "cli.py"), "scheduler", *self._arguments]
        with self.said.open("a") as said:
            self.process = subprocess.Popen(
                [*line, "--port", str(self.port), "--state", str(self.state), "--json"],
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        assert self.process.stdout is not None
        text = ""
        for part in self.process.stdout:
            text += part
            if part == "}\n":
                break
        self.told = json.loads(text)
        assert self.told["status"] == "serving", self.told
        self.port = int(self.told["port"])

    @property
    def address(self) -> str:
        """What --scheduler takes."""
        return f"127.0.0.1:{self.port}"

    def get(self, path: str) -> str:
        """The page at a path."""
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=PATIENCE_SECONDS) as answer:
            return str(answer.read().decode())

    def ask(self, method: str, **about: Any) -> Any:
        """What a method of the REST interface answers."""
        return json.loads(self.get(f"/api/{method}?{urlencode({'data': json.dumps(about)})}"))["response"]

    def tasks(self, status: str = "") -> dict[str, dict[str, Any]]:
        """The tasks with a status by name, of which a test should have one each."""
        return {task["name"]: task for task in self.ask("task_list", status=status).values()}

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def served(folder: Path, *arguments: str, inside: tuple[str, ...] = ()) -> Iterator[Served]:
    """A scheduler that is gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Served(folder, *arguments, inside=inside)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.end()


def hears(process: subprocess.Popen[str], words: str) -> str:
    """The line with these words, which a process writes to stderr sooner or later."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line
    raise AssertionError(f"{words!r} was never said")


def kill_stage(note: Path) -> None:
    """Kill the stage that left its process id there."""
    os.kill(int(note.read_text()), signal.SIGKILL)
