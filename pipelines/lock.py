"""One builder per artifact, across processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ebm_tf.errors import Busy
from pipelines.artifact import Artifact

ATTEMPTS = 5
PAUSE_SECONDS = 0.05


@contextmanager
def locked(artifact: Artifact) -> Iterator[int]:
    """Hold the artifact's lock; yields the file descriptor, for a child to inherit.

    A child that inherited it keeps the lock even when this process is killed.

    Raises:
        Busy: another process holds it.
    """
    artifact.folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(artifact.lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _acquire(descriptor, artifact)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        # Closing, not unlocking: unlocking would also take the lock from a child that still runs.
        os.close(descriptor)


def holder(artifact: Artifact) -> str | None:
    """The process id that holds the artifact's lock, if one does."""
    try:
        descriptor = os.open(artifact.lock_file, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 32, 0).decode() or "unknown"
    finally:
        os.close(descriptor)
    return None


def _acquire(descriptor: int, artifact: Artifact) -> None:
    # A few attempts, because `holder` of another process takes the lock for an instant to look.
    for attempt in range(ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if attempt < ATTEMPTS - 1:
                time.sleep(PAUSE_SECONDS)
    owner = os.pread(descriptor, 32, 0).decode() or "unknown"
    raise Busy(
        f"{artifact.task} {artifact.short} is being built by process {owner}; run again when it is done"
    )
