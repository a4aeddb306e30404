"""Marking artifacts for a rebuild: each stays, and is read, until the next run has its successor ready."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ebm_tf.config import Experiment
from ebm_tf.errors import ConfigError, MissingInput
from pipelines.artifact import Artifact
from pipelines.asking.inspect import step_named
from pipelines.lock import holder, locked
from pipelines.trees import all_tasks, tree

BUILT, MARKED, MISSING, IN_WORK = "whole", "marked", "missing", "in work"


class Row(NamedTuple):
    """A task whose artifact is not to be trusted any more.

    Attributes:
        task: what people are shown.
        state: whole (it can be marked), marked (it is already), missing (never built, or gone) or in work.
        lost_bytes: of unfinished work that a run could have gone on from, and that a mark throws away.
        note: what there is to say of it.
    """

    task: str
    artifact: Artifact
    state: str
    lost_bytes: int
    note: str


def candidates(experiment: Experiment, root: Path, task: str, downstream: bool = False) -> list[Row]:
    """What a mark on the task would touch, each after those that it needs; nothing is changed.

    Args:
        task: a name, or a title as status shows it.
        downstream: also all tasks of the experiment that stand on it.

    Raises:
        ConfigError: there is no such task, or the experiment has no use for it.
        MissingInput: none of them is built or being built.
    """
    asked = step_named(task, experiment, root.absolute())
    name, steps = asked.name(), all_tasks(experiment, root.absolute())
    if downstream:
        chosen = [step for step in steps if asked.key in {below.key for below in tree(step)}]
    else:
        chosen = [step for step in steps if step.key == asked.key]
    if not chosen:
        known = dict.fromkeys(step.name() for step in steps)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigError(
            f"the experiment {experiment.name} has no use for {name}; {hint}It has {', '.join(known)}"
        )
    rows = [_row(step.title, step.artifact) for step in chosen]
    if all(row.state == MISSING for row in rows):
        title = asked.title
        whose = f"neither {title} nor anything that stands on it is" if downstream else f"{title} is not"
        raise MissingInput(
            f"{whose} built for {experiment.name} with these settings, so that there is nothing to invalidate; "
            f"run it with --task {name}"
        )
    return rows


def mark(rows: Sequence[Row]) -> list[Row]:
    """Mark those that are built, all or none; returns them.

    Raises:
        Busy: one of them is being built.
    """
    built = [row for row in rows if row.state in (BUILT, IN_WORK)]
    with ExitStack() as held:
        for row in built:
            held.enter_context(locked(row.artifact))
        there = [row for row in built if row.artifact.exists()]  # a first build may have failed meanwhile
        for row in there:
            row.artifact.want_rebuild()
    return there


def _row(title: str, artifact: Artifact) -> Row:
    if owner := holder(artifact):
        first = "" if artifact.exists() else ", for the first time"
        return Row(title, artifact, IN_WORK, 0, f"by process {owner}{first}")
    if not artifact.exists():
        unfinished = artifact.work.exists()
        note = "not built; its unfinished work is kept" if unfinished else "not built"
        return Row(title, artifact, MISSING, 0, note)
    if artifact.rebuild_wanted:
        return Row(title, artifact, MARKED, 0, "a rebuild is wanted already")
    lost = sum(path.stat().st_size for path in artifact.checkpoints.rglob("*") if path.is_file())
    return Row(title, artifact, BUILT, lost, "its unfinished work is thrown away" if lost else "")
