"""One run from the request to the outcome."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebm_tf.config import Experiment
from ebm_tf.errors import ConfigError
from pipelines import links, preflight
from pipelines.interruption import Interrupted, Interruption
from pipelines.journal import Journal
from pipelines.lock import holder, locked
from pipelines.scheduling import schedule, scheduler_arguments
from pipelines.stage_task import StageTask
from pipelines.tasks import all_tasks, check, task_named, tree

STATUS_OF_EXIT_CODE = {0: "done", 2: "bad_config", 3: "failed", 4: "missing_input", 5: "busy"}
Watch = Callable[[Journal], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Request:
    """What is to be run.

    Attributes:
        task: name of the task.
        experiment: the resolved experiment.
        root: folder that holds artifacts/ and runs/.
        forced: names of tasks to rebuild although they are there.
        workers: tasks at the same time.
        scheduler: "local" or "HOST:PORT".
        debug: let Luigi's log be heard.
    """

    task: str
    experiment: Experiment
    root: Path
    forced: Sequence[str] = ()
    workers: int = 1
    scheduler: str = "local"
    debug: bool = False


@dataclass(frozen=True)
class TaskOutcome:
    """What became of one task: `state` is reused, ran, failed or not_run."""

    task: str
    fingerprint: str
    state: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    status: str
    exit_code: int
    task: str
    artifact: Path | None
    seconds: float
    tasks: list[TaskOutcome]
    metrics: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    log: Path | None = None


def execute(request: Request, watch: Watch = lambda journal: nullcontext()) -> Outcome:
    """Run a task and what it stands on.

    Args:
        request: what is to be run.
        watch: makes a context, entered while tasks run, that may read the journal.

    Raises:
        ConfigError: unknown task, a forced task that the task does not need, a scheduler that is none.
        MissingInput: root, disk, an artifact or the scheduler will not do.
        Busy: a task to be forced is being built.
    """
    began = time.monotonic()
    root_task = _checked(request)
    with Interruption() as interruption, tempfile.TemporaryDirectory(prefix="ebm-run-") as scratch:
        journal = Journal(Path(scratch) / "journal.jsonl")
        task = type(root_task).of(request.experiment, request.root, journal.path)
        present: set[str] = set()
        try:
            _want_rebuilds(task, request.forced)
            present = {step.key for step in tree(task) if step.complete()}
            with watch(journal):
                complete = _build(task, request, journal)
            if complete:
                links.refresh(request.experiment, request.root)
        except Interrupted:
            complete = False
        return _outcome(
            task, complete, journal, present, interruption.signal_number, time.monotonic() - began
        )


def _checked(request: Request) -> StageTask:
    """The root task, when nothing speaks against running it; writes nothing."""
    root_task = task_named(request.task).of(request.experiment, request.root)
    steps = [step.name() for step in tree(root_task)]
    for name in request.forced:
        if task_named(name).name() not in steps:
            needed = ", ".join(dict.fromkeys(steps))
            raise ConfigError(f"--force {name}: {request.task} does not need it; it needs {needed}")
    scheduler_arguments(request.scheduler)
    preflight.check(root_task, request.experiment.compute.minimum_free_disk_mb, request.forced)
    check(root_task, request.forced)
    all_tasks(request.experiment, request.root)  # links are made to all of them, at the end
    return root_task


def _want_rebuilds(root_task: StageTask, forced: Sequence[str]) -> None:
    for step in tree(root_task):
        if step.name() in forced:
            with locked(step.artifact):
                step.artifact.want_rebuild()


def _build(task: StageTask, request: Request, journal: Journal) -> bool:
    """Schedule until the task is there, or something failed, or nothing more happens.

    Once is mostly enough. A rebuilt input can leave behind an artifact that Luigi had counted as done when it
    planned; the next round takes that up.
    """
    while True:
        endings = len(journal.endings())
        complete = schedule(task, request.scheduler, request.workers, request.debug)
        if complete or journal.failures() or len(journal.endings()) == endings:
            return complete


def _outcome(
    task: StageTask,
    complete: bool,
    journal: Journal,
    present: set[str],
    signal_number: int | None,
    seconds: float,
) -> Outcome:
    exit_code, error, log = _verdict(task, complete, journal, signal_number)
    return Outcome(
        status="interrupted" if signal_number else STATUS_OF_EXIT_CODE[exit_code],
        exit_code=exit_code,
        task=task.name(),
        artifact=task.artifact.path if complete else None,
        seconds=round(seconds, 2),
        tasks=_task_outcomes(task, journal, present),
        metrics=task.artifact.metrics() if complete else {},
        error=error,
        log=log,
    )


def _verdict(
    task: StageTask, complete: bool, journal: Journal, signal_number: int | None
) -> tuple[int, str | None, Path | None]:
    """Exit code, the line that says why, and the log to read."""
    if signal_number:
        return 128 + signal_number, f"interrupted; the next run of {task.name()} goes on from here", None
    if complete:
        return 0, None, None
    if failures := journal.failures():
        first = failures[0]
        return first["exit_code"], first["message"], Path(first["log"]) if first["log"] else None
    if not journal.endings():
        return 5, _held_back(task), None
    return 3, f"{task.name()} is not complete although no task failed; `plan` says what is missing", None


def _held_back(root_task: StageTask) -> str:
    """Why Luigi's scheduler gave out nothing."""
    for step in tree(root_task):
        if owner := holder(step.artifact):
            return f"{step.title} is being built by process {owner}; run again when it is done"
    return (
        f"the scheduler does not hand out {root_task.name()} or what it needs: another worker has "
        "it, or it has just ended or been killed; run again in a minute, or with --scheduler local"
    )


def _task_outcomes(root_task: StageTask, journal: Journal, present: set[str]) -> list[TaskOutcome]:
    endings = journal.endings()
    outcomes = []
    for step in tree(root_task):
        ending = endings.get(step.key)
        state = ending["event"] if ending else "reused" if step.key in present else "not_run"
        seconds = ending["seconds"] if ending else 0.0
        outcomes.append(TaskOutcome(step.title, step.fingerprint, state, seconds))
    return outcomes
