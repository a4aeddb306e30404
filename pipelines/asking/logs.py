"""The log of a task: of the build in work, of the last one that did not end well, or of the finished artifact."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional, Protocol

from ebm_tf.errors import MissingInput
from pipelines.artifact import LOG, Artifact
from pipelines.lock import holder

POLL_SECONDS = 0.2


class Logged(Protocol):
    """What has a log: a task, or an artifact with what it is called."""

    @property
    def title(self) -> str: ...

    @property
    def artifact(self) -> Artifact: ...


class Titled(NamedTuple):
    """An artifact that was named without its experiment."""

    title: str
    artifact: Artifact


class Log(NamedTuple):
    """A log file, how the build is that wrote it (in work, unfinished or finished), and who builds now, if anyone."""

    path: Path
    state: str
    owner: Optional[str]


def log_of(task: Logged) -> Log:
    """The log that tells most of now; a build in work may not have one yet.

    Raises:
        MissingInput: there is none, and none is about to be.
    """
    artifact, owner = task.artifact, holder(task.artifact)
    if owner or artifact.log.is_file():
        return Log(artifact.log, "in work" if owner else "unfinished", owner)
    if (finished := artifact.path / LOG).is_file():
        return Log(finished, "finished", None)
    raise MissingInput(
        f"no log of {task.title} {artifact.short} below {artifact.root}: it was never begun; run it with "
        f"--task {artifact.task}, or look at another --config or --root"
    )


def last_lines(task: Logged, count: int) -> bytes:
    """The last lines of a task's log; none where a build in work has not written any.

    Raises:
        MissingInput: there is no log.
    """
    log, finished = log_of(task).path, task.artifact.path / LOG
    # While this looks, a build may be published: its log has moved then.
    for path in (log, finished):
        if (file := _opened(path)) is not None:
            with file:
                return b"".join(deque(file, maxlen=count))
    return b""


def follow(task: Logged, count: int) -> Iterator[bytes]:
    """The last lines of a task's log, and then what is added, until nobody builds the task.

    Raises:
        MissingInput: there is no log, and nobody builds.
    """
    artifact = task.artifact
    log_of(task)
    with ExitStack() as opened:
        file: Optional[BinaryIO] = None
        while True:
            # Asked before reading: what was written until the build ended is then read below.
            in_work = holder(artifact) is not None
            if file is not None:
                yield file.read()
            if file is None or _is_another(artifact.log, file):
                newer = _opened(artifact.log)
                if newer is not None:
                    opened.enter_context(newer)
                    yield newer.read() if file else b"".join(deque(newer, maxlen=count))
                    file = newer
            if not in_work:
                break
            time.sleep(POLL_SECONDS)
    if file is None:
        yield last_lines(task, count)


def _opened(path: Path) -> Optional[BinaryIO]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _is_another(path: Path, file: BinaryIO) -> bool:
    """What is at the path is not the file that was opened there; a forced rebuild starts a new log."""
    try:
        return not os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
