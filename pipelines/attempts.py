"""How often a build was begun and how long it took in all; kept beside its checkpoints."""

from __future__ import annotations

import json
import time

from pipelines.artifact import Artifact

WRITTEN_EVERY_SECONDS = 1.0


class Attempt:
    """One attempt at a build, counted from now on; earlier ones that it goes on from are added.

    Time is that of a clock that only goes forward, whatever becomes of the date.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._file = artifact.attempts_file
        earlier = self._read()
        self.number, self._before = earlier[0] + 1, earlier[1]
        self._began = self._written = time.monotonic()
        self._write()

    @property
    def seconds(self) -> float:
        """Of all attempts, this one included."""
        return round(self._before + time.monotonic() - self._began, 2)

    def note(self) -> None:
        """Write down how long it has taken so far, though not too often."""
        if time.monotonic() - self._written >= WRITTEN_EVERY_SECONDS:
            self._written = time.monotonic()
            self._write()

    def _read(self) -> tuple[int, float]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            return int(found["attempts"]), float(found["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return (
                0,
                0.0,
            )  # none yet, or a kill or a full disk in the middle of writing: the count starts anew

    def _write(self) -> None:
        record = {"attempts": self.number, "seconds": self.seconds}
        beside = self._file.with_suffix(".unfinished")
        beside.write_text(json.dumps(record), encoding="utf-8")
        beside.replace(self._file)
