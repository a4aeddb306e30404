"""What Luigi's scheduler remembers, as a file of JSON: Luigi itself would pickle it, and a pickle is a program."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luigi.scheduler import OrderedSet, RetryPolicy, SimpleTaskState, Task, Worker
from luigi.task_status import DISABLED, DONE, FAILED, PENDING, RUNNING, UNKNOWN

from ebm_tf.errors import Busy, MissingInput
from ebm_tf.files import sync

FORMAT = 1
STATES = (PENDING, FAILED, DONE, RUNNING, UNKNOWN, DISABLED)
# What JSON has no word for, of a task and of a worker.
FROM_LIST: dict[str, Callable[[list[Any]], Any]] = {
    "stakeholders": set,
    "workers": OrderedSet,
    "deps": set,
    "failures": deque,
    "retry_policy": lambda values: RetryPolicy(*values),
}


def as_json(state: SimpleTaskState) -> dict[str, Any]:
    """All tasks and workers, in what JSON has words for."""
    tasks, workers, _ = state.get_state()
    return {
        "format": FORMAT,
        "tasks": [
            {key: list(value) if key in FROM_LIST else value for key, value in vars(task).items()}
            for task in tasks.values()
        ],
        "workers": [
            {**vars(worker), "tasks": sorted(task.id for task in worker.tasks)} for worker in workers.values()
        ],
    }


def restore(values: Any, state: SimpleTaskState) -> None:
    """Fill an empty state with what `as_json` made.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it did not make this.
    """
    if values["format"] != FORMAT:
        raise ValueError(f"format {values['format']}, not {FORMAT}")
    tasks = {told["id"]: _task(told) for told in values["tasks"]}
    workers = {told["id"]: _worker(told, tasks) for told in values["workers"]}
    state.set_state((tasks, workers))
    for task in tasks.values():
        state.get_task(task.id, setdefault=task)  # which also sorts it by status


def _task(told: dict[str, Any]) -> Task:
    if told["status"] not in STATES:
        raise ValueError(f"a task has status {told['status']!r}")
    task = Task(str(told["id"]), told["status"], told["deps"])
    extra = {"resources_running"}  # which Luigi gives to a task when it is built first
    for key in (vars(task).keys() | extra) & told.keys():
        setattr(task, key, FROM_LIST[key](told[key]) if key in FROM_LIST else told[key])
    return task


def _worker(told: dict[str, Any], tasks: dict[str, Task]) -> Worker:
    worker = Worker(str(told["id"]))
    for key in vars(worker).keys() & told.keys():
        setattr(worker, key, told[key])
    worker.last_active = (
        time.time()
    )  # It could not say that it lives while no scheduler was there to hear it.
    worker.tasks = {tasks[task_id] for task_id in told["tasks"] if task_id in tasks}
    return worker


class StateFolder:
    """A folder for one scheduler, readable by its user alone.

    Args:
        path: made when it is not there.

    Raises:
        MissingInput: it cannot be made, is no folder, or others can read it.
        Busy: another scheduler has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = path.stat()
        except OSError as error:
            raise MissingInput(
                f"--state {path} will not do ({error.strerror}); name another folder"
            ) from error
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise MissingInput(f"--state {path} is open to other users; chmod 700 it, or name another folder")
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Busy(
                f"--state {path} is in use by another scheduler; stop that, or name another folder"
            ) from None
        self._written = ""

    @property
    def file(self) -> Path:
        """Where the state is."""
        return self.path / "state.json"

    def load(self, state: SimpleTaskState) -> str | None:
        """Fill an empty state with what was saved; a file that will not do is put aside, and the line says why."""
        if not self.file.exists():
            return None
        try:
            restore(json.loads(self.file.read_text(encoding="utf-8")), state)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            aside = self.file.with_suffix(".damaged")
            self.file.replace(aside)
            what = f"{type(error).__name__}: {error}"
            return f"the saved state cannot be read ({what}); it is now {aside}, and nothing is remembered"
        return None

    def save(self, state: SimpleTaskState) -> None:
        """Put the state in the place of the saved one, whole or not at all.

        Raises:
            OSError: the disk will not have it.
        """
        text = json.dumps(as_json(state), sort_keys=True)
        if text == self._written:
            return
        fresh = self.file.with_suffix(".part")
        fresh.write_text(text, encoding="utf-8")
        sync(fresh)
        fresh.replace(self.file)
        self._written = text
