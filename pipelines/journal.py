"""What happens to each task of one run, as lines that every worker process appends to and anyone may read."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ENDINGS = ("ran", "reused", "failed", "busy")


@dataclass(frozen=True)
class Journal:
    """A file of JSON lines; `event` is started, progress, ran, reused, failed or busy."""

    path: Path

    def write(self, task: str, event: str, key: str = "", **fields: Any) -> None:
        """Append one line; lines of several processes do not mix.

        Args:
            task: what the task is called. event: what happened to it. fields: what there is to say of that.
            key: what tells it from others of that name; by default the name.
        """
        line = json.dumps({"task": task, "event": event, "key": key or task, **fields}) + "\n"
        with suppress(OSError) if event == "progress" else nullcontext():  # of which there will be more
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)

    def read(self) -> list[dict[str, Any]]:
        """All lines so far, oldest first."""
        return self.read_from(0)[0]

    def read_from(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """The whole lines after byte `offset`, and the offset of what comes next."""
        if not self.path.is_file():
            return [], offset
        with self.path.open("rb") as file:
            file.seek(offset)
            lines = file.read().split(b"\n")[:-1]
        events = [event for line in lines if (event := _event(line)) is not None]
        return events, offset + sum(len(line) + 1 for line in lines)

    def endings(self) -> dict[str, dict[str, Any]]:
        """The last ran, reused, failed or busy line of each task, by its key."""
        return {line["key"]: line for line in self.read() if line["event"] in ENDINGS}

    def unended(self) -> list[str]:
        """Keys of the tasks that were started and have no ending: nobody was left to write it."""
        begun = dict.fromkeys(line["key"] for line in self.read() if line["event"] == "started")
        ended = self.endings()
        return [key for key in begun if key not in ended]

    def failures(self) -> list[dict[str, Any]]:
        """The failed and busy lines among `endings`, in the order in which they happened."""
        return [line for line in self.endings().values() if line["event"] in ("failed", "busy")]


def _event(line: bytes) -> dict[str, Any] | None:
    """None of a line that a full disk has cut short."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None
