"""SIGINT and SIGTERM: stop once, leave no process behind, and say so in the exit code."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

import psutil

GRACE_SECONDS = 10.0
PARENT_POLL_SECONDS = 0.2
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The run was told to stop; a KeyboardInterrupt, because that is what Luigi lets through.

    Attributes:
        signal_number: the signal that said so.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class Interruption:
    """While entered, the first signal raises `Interrupted` in the main thread; later ones are ignored.

    A worker that was forked meanwhile ends at once instead, with all that it started: nobody would catch anything
    there.

    Attributes:
        signal_number: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._descendants: list[psutil.Process] = []
        self._previous: dict[int, Any] = {}
        self._owner = os.getpid()

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._stop) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        if self.signal_number is not None:
            end_processes([*self._descendants, *psutil.Process().children(recursive=True)])
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None:
            return
        self.signal_number = number
        if os.getpid() != self._owner:
            end_processes(psutil.Process().children(recursive=True))
            os._exit(128 + number)
        # Noted now: a process whose parent ends before it is no descendant of ours any more.
        self._descendants = psutil.Process().children(recursive=True)
        raise Interrupted(number)


def stop_with_parent() -> None:
    """In a forked worker: stop, as if by SIGTERM, when the process that forked it is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == parent.pid:
            time.sleep(PARENT_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def end_processes(processes: list[psutil.Process], grace_seconds: float = GRACE_SECONDS) -> None:
    """Ask the processes to end, and kill those that have not within the grace period."""
    for process in set(processes):
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(set(processes), timeout=grace_seconds)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=grace_seconds)
