"""Looking without touching: what a run would do and why, and what is there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from ebm_tf.config import Experiment
from ebm_tf.errors import MissingInput
from pipelines.artifact import PARAMS
from pipelines.lock import holder
from pipelines.stage_task import StageTask
from pipelines.tasks import all_tasks, tree

MOST_SETTINGS_NAMED = 3
ABSENT = "absent"


class PlanRow(NamedTuple):
    """What a run would do with one task: `state` is reuse or run."""

    task: str
    fingerprint: str
    state: str
    reason: str


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

    Raises:
        MissingInput: an artifact is damaged.
    """
    reasons: dict[str, str | None] = {}
    for task in tree(root_task):
        reasons[task.key] = _reason_to_run(task, reasons, forced)
    needed = _needed(root_task, reasons)
    while unsettled := [
        (task, upstream)
        for task in tree(root_task)
        for upstream in task.requires()
        if needed and reasons[task.key] is None and upstream.key in needed
    ]:
        task, upstream = unsettled[0]
        reasons[task.key] = f"input {upstream.title} changes"
        needed = _needed(root_task, reasons)
    return [
        PlanRow(task.title, task.fingerprint, *_decision(task, reasons[task.key], task.key in needed))
        for task in tree(root_task)
    ]


def status(experiment: Experiment, root: Path) -> list[StatusRow]:
    """How the artifact of every task of the experiment is, and of those of others that it stands on."""
    return [_status_row(task) for task in all_tasks(experiment, root)]


def _decision(task: StageTask, reason: str | None, needed: bool) -> tuple[str, str]:
    if reason is not None and needed:
        return "run", reason
    return "reuse", "artifact present" if task.artifact.exists() else "not needed: what it feeds is present"


def _reason_to_run(task: StageTask, below: Mapping[str, str | None], forced: Collection[str]) -> str | None:
    if task.name() in forced or task.artifact.rebuild_wanted:
        return "forced"
    if not task.artifact.complete():
        return _why_missing(task)
    running = [upstream for upstream in task.requires() if below[upstream.key] is not None]
    changing = [upstream for upstream in running if not _only_missing(upstream, forced)]
    if changing:
        return f"input {changing[0].title} changes"
    rebuilt = task.rebuilt_inputs()
    return f"input {rebuilt[0]} was rebuilt" if rebuilt else None


def _only_missing(task: StageTask, forced: Collection[str]) -> bool:
    """The artifact is gone, but nothing says that it would come out differently."""
    if task.artifact.exists() or any(step.name() in forced for step in tree(task)):
        return False
    return not task.disturbed()


def _needed(root_task: StageTask, reasons: Mapping[str, str | None]) -> set[str]:
    """Keys of the tasks that have a reason to run and that something that runs asks for."""
    if reasons[root_task.key] is None:
        return set()
    return {root_task.key}.union(*(_needed(upstream, reasons) for upstream in root_task.requires()))


def _why_missing(task: StageTask) -> str:
    earlier = _nearest_earlier(task)
    if earlier is None:
        return "never built"
    if differences := _differences(earlier["settings"], task.settings):
        named = "; ".join(differences[:MOST_SETTINGS_NAMED])
        more = len(differences) - MOST_SETTINGS_NAMED
        return f"setting {named}" + (f"; and {more} more" if more > 0 else "")
    if earlier["version"] != task.VERSION:
        return f"code version was {earlier['version']}, is {task.VERSION}"
    changed = [
        name
        for name, upstream in task.sources().items()
        if earlier["inputs"].get(name, {}).get("fingerprint") != upstream.fingerprint
    ]
    return f"input {changed[0]} changes" if changed else "never built"


def _of_same_images(was: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether none is of another data set, so that one may have become the other by a change of settings."""
    return all(was.get("dataset", {}).get(key) == now.get("dataset", {}).get(key) for key in ("name", "path"))


def _nearest_earlier(task: StageTask) -> dict[str, Any] | None:
    """The params of the task's other artifact with the fewest settings that differ, the newest of equals."""
    others = sorted(
        _readable_params(task.artifact.folder), key=lambda params: params["started"], reverse=True
    )
    others = [params for params in others if _of_same_images(params["settings"], task.settings)]
    return min(others, key=lambda params: len(_differences(params["settings"], task.settings)), default=None)


def _readable_params(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.glob(f"[!.]*/{PARAMS}"):
        try:
            params = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if {"settings", "started", "version", "inputs"} <= set(params):
            yield params


def _differences(was: Any, now: Any, path: str = "") -> list[str]:
    """Each setting that differs, as "langevin.steps was 20, is 40"; of lists of sections each item by its number."""
    if _has_sections(was, now):
        was, now = ({str(index): item for index, item in enumerate(items)} for items in (was, now))
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        keys = sorted({*was, *now}, key=lambda key: (len(key), key) if key.isdigit() else (0, key))
        below = {key: f"{path}.{key}" if path else key for key in keys}
        return [
            line
            for key in keys
            for line in _differences(was.get(key, ABSENT), now.get(key, ABSENT), below[key])
        ]
    if was == now:
        return []
    if was == ABSENT and isinstance(now, Mapping):
        return [f"{path} was added"]
    if now == ABSENT and isinstance(was, Mapping):
        return [f"{path} was removed"]
    return [f"{path} was {was}, is {now}"]


def _has_sections(*values: Any) -> bool:
    """Whether all are lists, and one has mappings as its items."""
    return all(isinstance(value, list) for value in values) and any(
        isinstance(item, Mapping) for value in values for item in value
    )


def _status_row(task: StageTask) -> StatusRow:
    artifact = task.artifact
    size, finished = 0, ""
    if artifact.exists():
        size = sum(path.stat().st_size for path in artifact.path.rglob("*") if path.is_file())
        changed = datetime.fromtimestamp(artifact.path.stat().st_mtime, timezone.utc)
        finished = changed.isoformat(timespec="seconds")
    state, note = _condition(task)
    return StatusRow(task.title, task.fingerprint, state, size, finished, note)


def _condition(task: StageTask) -> tuple[str, str]:
    """The state of a task's artifact, and what there is to say about it."""
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
