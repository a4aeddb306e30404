"""A task and all that it stands on, in an order in which they can be built."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from ebm_tf.config import Experiment
from pipelines.stage_task import StageTask
from pipelines.tasks import TASKS


def check(root_task: StageTask, forced: Collection[str] = ()) -> None:
    """Refuse an experiment of which some task that would run can make nothing.

    Args:
        forced: keys of tasks that run although their artifacts are there.

    Raises:
        ConfigError, MissingInput: the text says what and why.
    """
    for step in tree(root_task):
        if step.key in forced or step.artifact.rebuild_wanted or not step.artifact.exists():
            step.demand(json.loads(step.experiment))


def tree(root_task: StageTask) -> list[StageTask]:
    """The task and all that it stands on, each after those that it needs."""
    return _in_order([root_task])


def with_dependents(steps: Sequence[StageTask], names: Collection[str]) -> list[StageTask]:
    """Those of the steps that have one of the names, and those that stand on one of these, in the same order."""
    return [step for step in steps if any(below.name() in names for below in tree(step))]


def all_tasks(experiment: Experiment, root: Path) -> list[StageTask]:
    """Every task that the experiment has a use for, and all that they stand on, each after those that it needs.

    Those that run on request alone, with a hundred trainings below them, are there once they or an input are begun.
    """
    values = experiment.model_dump(mode="json")
    tasks = [kind.of(experiment, root) for kind in TASKS.values() if kind.applies(values)]
    usual = _in_order([task for task in tasks if not task.ON_REQUEST])
    known = {step.key for step in usual}
    return _in_order([*usual, *(task for task in tasks if task.ON_REQUEST and _begun(task, known))])


def _begun(root_task: StageTask, known: Collection[str]) -> bool:
    """Whether the task, or an input that is not known without it, is built or in work."""
    return any(
        step.artifact.exists() or step.artifact.work.exists()
        for step in (root_task, *root_task.requires())
        if step.key not in known
    )


def _in_order(pending: list[StageTask]) -> list[StageTask]:
    found: dict[str, StageTask] = {}
    while pending:
        task = pending.pop(0)
        if task.key not in found:
            found[task.key] = task
            pending += task.requires()
    order = list(TASKS)
    return sorted(found.values(), key=lambda task: order.index(task.name()))
