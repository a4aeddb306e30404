"""Looking without touching: what a run would do and why, and what is there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, Optional

from ebm_tf.config import Experiment
from ebm_tf.errors import ConfigError, MissingInput
from pipelines.asking.changes import Past
from pipelines.asking.estimates import estimate
from pipelines.asking.explain import Plan, reason
from pipelines.asking.records import bytes_below
from pipelines.lock import holder
from pipelines.stage_task import StageTask
from pipelines.tasks import task_named
from pipelines.trees import all_tasks

Tell = Callable[[int, int, str], None]
"""Told how much is done, of how much, and of what."""


class PlanRow(NamedTuple):
    """What a run would do with one task: `state` is reuse or run; `seconds` is what that may take, where known."""

    task: str
    fingerprint: str
    state: str
    reason: str
    seconds: Optional[float]


class StatusRow(NamedTuple):
    """How one task's artifact is: `state` is whole, missing, damaged, stale or in work."""

    task: str
    fingerprint: str
    state: str
    bytes: int
    finished: str
    note: str


def plan(root_task: StageTask, forced: Collection[str] = ()) -> list[PlanRow]:
    """What a run of the task would do with each task that it stands on, each after those that it needs.

    A task whose inputs will be rebuilt counts as run; should they come out identical, it is reused after all.

    Args:
        forced: keys of tasks that are rebuilt although they are there.

    Raises:
        MissingInput: an artifact is damaged.
    """
    planned = Plan(root_task, Past(Path(root_task.root)), forced)
    for damage in planned.damage():
        raise MissingInput(damage)
    return [_plan_row(task, planned) for task in planned.steps]


def plan_all(root_tasks: Mapping[str, StageTask], forced: Collection[str] = ()) -> list[PlanRow]:
    """As `plan`, of the task of several experiments, by their names; what all share is there once and first.

    Raises:
        MissingInput: an artifact is damaged.
    """
    plans = {name: plan(root_task, forced) for name, root_task in root_tasks.items()}
    everywhere = set.intersection(*({(row.task, row.fingerprint) for row in rows} for rows in plans.values()))
    found: dict[tuple[str, str], PlanRow] = {}
    for name, rows in plans.items():
        for row in rows:
            key = (row.task, row.fingerprint)
            found.setdefault(key, row if key in everywhere else row._replace(task=f"{row.task}, {name}"))
    return sorted(found.values(), key=lambda row: (row.task, row.fingerprint) not in everywhere)


def total_seconds(rows: Sequence[PlanRow]) -> tuple[Optional[float], list[str]]:
    """What all that would run may take, one after the other, and the tasks of which nothing is known.

    With such tasks the sum is a lower bound; it is None where nothing is known of any.
    """
    running = [row for row in rows if row.state == "run"]
    known = [row.seconds for row in running if row.seconds is not None]
    unknown = [row.task for row in running if row.seconds is None]
    return (round(sum(known), 1) if known or not unknown else None), unknown


def status(experiment: Experiment, root: Path) -> list[StatusRow]:
    """How the artifact of every task of the experiment is, and of those of others that it stands on."""
    return [_status_row(task) for task in all_tasks(experiment, root)]


def verified(experiment: Experiment, root: Path, tell: Tell) -> list[StatusRow]:
    """As `status`, after every byte of the artifacts was read and compared with what was published.

    Args:
        tell: told of MiB that were read, of how many, and of which task.
    """
    tasks = all_tasks(experiment, root)
    rows = [_status_row(task) for task in tasks]
    total, read = sum(row.bytes for row in rows), 0
    told = []
    for task, row in zip(tasks, rows):

        def count(size: int, title: str = row.task) -> None:
            nonlocal read
            read += size
            tell(read >> 20, total >> 20, f"MiB, {title}")

        try:
            if task.artifact.exists() and row.state != "damaged":
                task.artifact.verify(count)
            told.append(row)
        except MissingInput as error:
            told.append(row._replace(state="damaged", note=str(error)))
    return told


def damage_in_words(rows: Sequence[StatusRow]) -> Optional[str]:
    """Which artifacts are damaged and what to do, in a line; None where none is."""
    titles = [row.task for row in rows if row.state == "damaged"]
    if not titles:
        return None
    count = f"{len(titles)} artifacts are" if len(titles) > 1 else "1 artifact is"
    names = dict.fromkeys(title.split(" (")[0] for title in titles)
    return (
        f"{count} damaged: {', '.join(titles)}; rebuild with {' '.join(f'--force {name}' for name in names)}"
    )


def condition(task: StageTask) -> tuple[str, str]:
    """The state of a task's artifact (whole, missing, damaged, stale, in work), and what there is to say about it."""
    artifact = task.artifact
    if owner := holder(artifact):
        return "in work", f"by process {owner}"
    if damage := artifact.damage():
        return "damaged", damage
    if not artifact.exists():
        return "missing", "unfinished work is kept, to go on from" if artifact.work.exists() else ""
    if artifact.rebuild_wanted:
        return "stale", "a rebuild is wanted"
    try:
        if rebuilt := task.rebuilt_inputs():
            return "stale", f"input {rebuilt[0]} was rebuilt"
        return ("stale", "an input is stale") if task.disturbed() else ("whole", "")
    except MissingInput:
        return "stale", "an input is damaged"


def step_named(name: str, experiment: Experiment, root: Path) -> StageTask:
    """The experiment's task of a name, or of a title as `status` shows it ("GenerateSamples (sngan)").

    Raises:
        ConfigError: there is none, or there are only several with titles.
    """
    steps = all_tasks(experiment, root)
    for step in steps:
        if name in (step.title, step.key):
            return step
    kind = task_named(name)
    if titles := [step.title for step in steps if step.name() == name]:
        raise ConfigError(
            f"{name} is there {len(titles)} times, as {titles[0]!r} for one; name one of them, as status does"
        )
    return kind.of(experiment, root)


def _plan_row(task: StageTask, planned: Plan) -> PlanRow:
    if planned.runs(task):
        why, seconds = reason(planned.causes[task.key]), estimate(task, planned.past)
        if owner := holder(task.artifact):
            why += f"; being built by process {owner}"
        return PlanRow(task.title, task.fingerprint, "run", why, seconds)
    why = "artifact present" if task.artifact.exists() else "not needed: what it feeds is present"
    return PlanRow(task.title, task.fingerprint, "reuse", why, None)


def _status_row(task: StageTask) -> StatusRow:
    artifact = task.artifact
    size, finished = 0, ""
    if artifact.exists():
        size = bytes_below(artifact.path)
        changed = datetime.fromtimestamp(artifact.path.stat().st_mtime, timezone.utc)
        finished = changed.isoformat(timespec="seconds")
    state, note = condition(task)
    return StatusRow(task.title, task.fingerprint, state, size, finished, note)
