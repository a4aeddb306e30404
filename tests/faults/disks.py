"""A small disk in a mount namespace of its own, which goes when the process that holds it does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HOLD = 'mount -t tmpfs -o size="$1" tmpfs "$2" && echo ready && exec cat'


class NoNamespaces(Exception):
    """This system does not let tests mount anything; the text says what it answered."""


class SmallDisk:
    """A tmpfs that only the commands behind `prefix` see.

    Attributes:
        folder: where it is mounted, for those commands.
        prefix: what a command line has to begin with.
    """

    def __init__(self, folder: Path, size: str) -> None:
        if missing := [tool for tool in ("unshare", "nsenter", "mount") if shutil.which(tool) is None]:
            raise NoNamespaces(f"no {missing[0]}")
        folder.mkdir(parents=True, exist_ok=True)
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._holder = subprocess.Popen(
            ["unshare", "--mount", *user, "sh", "-c", HOLD, "sh", size, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            said = self._holder.stderr.read().strip()
            self.end()
            raise NoNamespaces(said)
        self.folder = folder
        entered = ["--user", "--preserve-credentials"] if user else []
        self.prefix = ["nsenter", "--target", str(self._holder.pid), "--mount", *entered, "--"]

    def seen(self, path: Path) -> Path:
        """The path by which this process reaches what is at `path` for those commands."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def allow_writing(self, allowed: bool) -> None:
        """Make the disk read-only, or writable again."""
        how = "rw" if allowed else "ro"
        subprocess.run([*self.prefix, "mount", "-o", f"remount,bind,{how}", str(self.folder)], check=True)

    def end(self) -> None:
        """Let it go, with all that is on it."""
        self._holder.communicate(timeout=60)
