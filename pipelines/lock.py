"""One builder per artifact, across processes and, on a shared disk, across machines."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Optional

from ebm_tf.errors import Busy
from pipelines.artifact import Artifact

ATTEMPTS = 5
PAUSE_SECONDS = 0.05
WAIT_SECONDS = 0.5

Waiting = Callable[[str], None]
"""Told, again and again while a lock is waited for, who holds it."""


@contextmanager
def locked(artifact: Artifact, waiting: Optional[Waiting] = None) -> Iterator[int]:
    """Hold the artifact's lock; yields the file descriptor, for a child to inherit.

    A child that inherited it keeps the lock even when this process is killed.

    Args:
        waiting: wait for as long as another process holds the lock, and tell this function whom for.

    Raises:
        Busy: another process holds it, and there is no `waiting`.
    """
    artifact.folder.mkdir(parents=True, exist_ok=True)
    descriptor = _acquired(artifact, waiting)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield descriptor
    finally:
        # Closing, not unlocking: unlocking would also take the lock from a child that still runs.
        os.close(descriptor)


def holder(artifact: Artifact) -> str | None:
    """Who holds the artifact's lock, as "PID on HOST", if anyone does."""
    try:
        descriptor = os.open(artifact.lock_file, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner(descriptor)
    finally:
        os.close(descriptor)
    return None


def _acquired(artifact: Artifact, waiting: Optional[Waiting]) -> int:
    """A descriptor of the lock file that has the lock."""
    attempt = 0
    while True:
        descriptor = os.open(artifact.lock_file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(artifact, descriptor):
                return descriptor
            owner = None
        except BlockingIOError:
            owner = _owner(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        attempt += 1
        # A few attempts in any case, because `holder` of another process takes the lock for an instant to look.
        if owner is None or attempt < ATTEMPTS:
            time.sleep(PAUSE_SECONDS)
        elif waiting is None:
            raise Busy(
                f"{artifact.task} {artifact.short} is being built by process {owner}; run again when it is done"
            )
        else:
            waiting(owner)
            time.sleep(WAIT_SECONDS)


def _is_still(artifact: Artifact, descriptor: int) -> bool:
    """The lock file is the one that was opened: whoever cleans may have removed it between opening and locking."""
    try:
        return os.path.samestat(os.fstat(descriptor), artifact.lock_file.stat())
    except FileNotFoundError:
        return False


def _owner(descriptor: int) -> str:
    return os.pread(descriptor, 300, 0).decode(errors="replace") or "unknown"
