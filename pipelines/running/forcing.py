"""Which tasks are to be rebuilt although they are there."""

from __future__ import annotations

from collections.abc import Sequence

from ebm_tf.errors import ConfigError
from pipelines.stage_task import StageTask
from pipelines.tasks import task_named
from pipelines.trees import tree, with_dependents


def forced_keys(root_task: StageTask, names: Sequence[str], downstream: bool = False) -> frozenset[str]:
    """Keys of the tasks of those names that the root task stands on; with `downstream` also of what stands on them.

    Raises:
        ConfigError: no task has the name, or the root task does not need it; downstream of nothing.
    """
    if downstream and not names:
        raise ConfigError(
            "--downstream goes with --force TASK, which says what it is downstream of; add that"
        )
    steps = tree(root_task)
    known = dict.fromkeys(step.name() for step in steps)
    for name in names:
        if task_named(name).name() not in known:
            raise ConfigError(
                f"--force {name}: {root_task.name()} does not need it; it needs {', '.join(known)}"
            )
    chosen = with_dependents(steps, names) if downstream else [step for step in steps if step.name() in names]
    return frozenset(step.key for step in chosen)
