"""One run from the request to the outcome."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebm_tf.config import Experiment
from ebm_tf.errors import Busy, ConfigError, MissingInput
from pipelines.in_use import in_use
from pipelines.interruption import Interrupted, Interruption
from pipelines.journal import Journal
from pipelines.lock import holder, locked
from pipelines.running import links, preflight
from pipelines.running.forcing import forced_keys
from pipelines.running.scheduling import schedule, scheduler_arguments
from pipelines.stage_task import StageTask
from pipelines.tasks import task_named
from pipelines.trees import check, tree

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
        downstream: rebuild also what stands on the forced tasks.
        accelerators: how many tasks may train or sample at the same time, where the scheduler is local.
        wait: wait for what another run builds; otherwise such a run is told that it is busy.
        others: further experiments to run the task of, side by side with the first.
    """

    @property
    def experiments(self) -> list[Experiment]:
        """All of them, the first one first."""
        return [self.experiment, *self.others]

    task: str
    experiment: Experiment
    root: Path
    forced: Sequence[str] = ()
    workers: int = 1
    scheduler: str = "local"
    debug: bool = False
    downstream: bool = False
    accelerators: int = 1
    wait: bool = True
    others: Sequence[Experiment] = ()


@dataclass(frozen=True)
class TaskOutcome:
    """What became of one task: `state` is reused, ran, failed, busy or not_run."""

    task: str
    fingerprint: str
    state: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        experiment: its name, of which there are links below runs/.
        replaced: artifacts to which these links led until now, and no longer do.
    """

    status: str
    exit_code: int
    task: str
    artifact: Path | None
    seconds: float
    tasks: list[TaskOutcome]
    metrics: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    log: Path | None = None
    experiment: str = ""
    replaced: list[str] = field(default_factory=list)


def execute(request: Request, watch: Watch = lambda journal: nullcontext()) -> Outcome:
    """Run a task and what it stands on; of a request with several experiments, the outcome of the first.

    See `execute_all`.
    """
    return execute_all(request, watch)[0]


def execute_all(request: Request, watch: Watch = lambda journal: nullcontext()) -> list[Outcome]:
    """Run a task of every experiment of the request, and what they stand on; what they share is built once.

    One that fails does not keep the others from being tried.

    Args:
        request: what is to be run.
        watch: makes a context, entered while tasks run, that may read the journal.

    Returns:
        An outcome for each experiment, in their order.

    Raises:
        ConfigError: unknown task, a forced task that the task does not need, a scheduler that is none.
        MissingInput: root, disk, an artifact or the scheduler will not do.
        Busy: a task to be forced is being built; without waiting, any that is needed.
    """
    began = time.monotonic()
    forced = _forced_where_all_is_well(request)
    with (
        Interruption() as interruption,
        in_use(request.root, request.wait),
        tempfile.TemporaryDirectory(prefix="ebm-run-") as scratch,
    ):
        journal = Journal(Path(scratch) / "journal.jsonl")
        kind = task_named(request.task)
        tasks = [kind.of(one, request.root, journal.path, request.wait) for one in request.experiments]
        steps = {step.key: step for task in tasks for step in tree(task)}
        present: set[str] = set()
        done: set[str] = set()
        replaced: dict[str, list[str]] = {}
        try:
            _want_rebuilds([step for step in steps.values() if step.key in forced])
            present = {step.key for step in steps.values() if step.complete()}
            with watch(journal):
                _build(tasks, request, journal)
            done = {task.key for task in tasks if task.complete()}
            for task, experiment in zip(tasks, request.experiments):
                if task.key in done:
                    replaced[experiment.name] = links.refresh(experiment, request.root)
        except Interrupted:
            done = set()
        seconds = time.monotonic() - began
        return [
            _outcome(
                task,
                task.key in done,
                journal,
                present,
                interruption.signal_number,
                seconds,
                experiment.name,
                replaced.get(experiment.name, []),
            )
            for task, experiment in zip(tasks, request.experiments)
        ]


def _forced_where_all_is_well(request: Request) -> set[str]:
    """Keys of the tasks to rebuild, when nothing that can be known before a run speaks against it; writes nothing."""
    scheduler_arguments(request.scheduler)
    if request.accelerators != 1 and request.scheduler != "local":
        raise ConfigError(
            f"--accelerators {request.accelerators} has no effect on {request.scheduler}: give it to the command "
            "scheduler there"
        )
    kind = task_named(request.task)
    forced: set[str] = set()
    for experiment in request.experiments:
        root_task = kind.of(experiment, request.root)
        keys = forced_keys(root_task, request.forced, request.downstream)
        preflight.check(root_task, experiment.compute.minimum_free_disk_mb, keys)
        check(root_task, keys)
        links.check(experiment, request.root)
        if not request.wait and (busy := _held(root_task)):
            raise Busy(busy)
        forced |= keys
    return forced


def _want_rebuilds(steps: Sequence[StageTask]) -> None:
    """Mark all, or none where one of them is being built."""
    with ExitStack() as held:
        for step in steps:
            held.enter_context(locked(step.artifact))
        for step in steps:
            step.artifact.want_rebuild()


def _build(tasks: Sequence[StageTask], request: Request, journal: Journal) -> None:
    """Schedule until the tasks are there, or something failed, or nothing more happens.

    Once is mostly enough. A rebuilt input can leave behind an artifact that Luigi had counted as done when it
    planned; the next round takes that up.
    """
    while True:
        endings = len(journal.endings())
        try:
            complete = schedule(
                tasks, request.scheduler, request.workers, request.accelerators, request.wait, request.debug
            )
        except MissingInput:
            # The scheduler is gone; but what failed before that is the news.
            if not journal.failures():
                raise
            complete = False
        troubled = journal.failures() or journal.unended()
        if complete or troubled or len(journal.endings()) == endings:
            return


def _outcome(
    task: StageTask,
    complete: bool,
    journal: Journal,
    present: set[str],
    signal_number: int | None,
    seconds: float,
    experiment: str,
    replaced: list[str],
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
        experiment=experiment,
        replaced=replaced,
    )


def _verdict(
    task: StageTask, complete: bool, journal: Journal, signal_number: int | None
) -> tuple[int, str | None, Path | None]:
    """Exit code, the line that says why, and the log to read."""
    if signal_number:
        line = "interrupted; what is finished is kept, and a training goes on from its last checkpoint: run again"
        return 128 + signal_number, line, None
    if complete:
        return 0, None, None
    steps = {step.key: step for step in tree(task)}
    failures = [failure for failure in journal.failures() if failure["key"] in steps]
    if failures:
        first = failures[0]
        return first["exit_code"], first["message"], Path(first["log"]) if first["log"] else None
    if cut_short := [steps[key] for key in journal.unended() if key in steps]:
        step = cut_short[0]
        line = (
            f"{step.title}: the worker process that built it was killed (out of memory?); run again to go on"
        )
        return 3, line, step.artifact.log if step.artifact.log.is_file() else None
    if not any(key in steps for key in journal.endings()):
        return 5, _held_back(task), None
    return 3, f"{task.name()} is not complete although no task failed; `plan` says what is missing", None


def _held(root_task: StageTask) -> str | None:
    """Which of the tasks another process builds, if one does."""
    for step in tree(root_task):
        if owner := holder(step.artifact):
            return f"{step.title} is being built by process {owner}; run again when it is done"
    return None


def _held_back(root_task: StageTask) -> str:
    """Why Luigi's scheduler gave out nothing."""
    return _held(root_task) or (
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
