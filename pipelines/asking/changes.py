"""What differs between a task of now and what was built before: settings, code version, inputs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Optional

from pipelines.asking.records import Record, Records, inputs
from pipelines.asking.times import started
from pipelines.stage_task import StageTask

ABSENT = "absent"
SETTING, VERSION, INPUT = "setting", "version", "input"
OF_THE_IMAGES = ("dataset.name", "dataset.path")
"""Settings of which another value means other images, not the same ones brought to another form."""
OF_THE_KIND = (*OF_THE_IMAGES, "sampling.source")
"""Settings of which another value makes another thing, not this one changed: images, or another model's samples."""


class Change(NamedTuple):
    """One thing that differs; `kind` is setting, version or input, and of an input the values are fingerprints."""

    kind: str
    name: str
    was: Any
    now: Any

    @property
    def words(self) -> str:
        """Such as "langevin.steps was 20, is 40"."""
        if self.kind == VERSION:
            return f"code version was {self.was}, is {self.now}"
        if self.kind == INPUT:
            verb = "is new" if self.was is None else "is read no more" if self.now is None else "changes"
            return f"input {self.name} {verb}"
        if self.was == ABSENT and isinstance(self.now, Mapping):
            return f"{self.name} was added"
        if self.now == ABSENT and isinstance(self.was, Mapping):
            return f"{self.name} was removed"
        return f"{self.name} was {self.was}, is {self.now}"


class Past:
    """What was built below a root before, as seen from tasks of now."""

    def __init__(self, root: Path) -> None:
        self.records = Records(root)
        self._sources: dict[str, dict[str, StageTask]] = {}
        self._unlike: dict[tuple[str, str], frozenset[str]] = {}

    def nearest(self, task: StageTask, before: Optional[datetime] = None) -> Optional[Record]:
        """The record of the task's other artifact from which the fewest settings differ, the newest of equals.

        With `before`, one that was begun before that; None where none of them is known to be.

        Settings count that the task or anything it stands on depends on. One of other images, or of
        samples of another model, is none of these.
        """
        others = [
            record
            for record in self.records.of(task.name())
            if record["fingerprint"] != task.fingerprint
            and (before is None or _begun_before(record, before))
            and not any(change.name in OF_THE_KIND for change in _settings_that_differ(task, record))
        ]
        return min(others, key=lambda record: self._distance(task, record), default=None)

    def changes(self, task: StageTask, record: Record) -> list[Change]:
        """What makes the task another than the one that the record is of."""
        found = _settings_that_differ(task, record)
        if record["version"] != task.VERSION:
            found.append(Change(VERSION, task.name(), record["version"], task.VERSION))
        made_from = inputs(self.records.root, record)
        reads = self.sources(task)
        for name in [*reads, *(name for name in made_from if name not in reads)]:
            was = made_from[name].fingerprint if name in made_from else None
            now = reads[name].fingerprint if name in reads else None
            if was != now:
                found.append(Change(INPUT, name, was, now))
        return found

    def unlike(self, task: StageTask, record: Record) -> frozenset[str]:
        """Names of all that differs, of the task and of what it stands on, down to the roots.

        An input that cannot be compared, as its record is gone, is named by its fingerprint.
        """
        key = (task.key, record["fingerprint"])
        if key not in self._unlike:
            names = {change.name for change in self.changes(task, record) if change.kind == SETTING}
            if record["version"] != task.VERSION:
                names.add(f"version of {task.name()}")
            self._unlike[key] = frozenset(names.union(*self._unlike_inputs(task, record)))
        return self._unlike[key]

    def sources(self, task: StageTask) -> dict[str, StageTask]:
        """The task's own, asked for once."""
        if task.key not in self._sources:
            self._sources[task.key] = task.sources()
        return self._sources[task.key]

    def _unlike_inputs(self, task: StageTask, record: Record) -> list[frozenset[str]]:
        made_from, found = inputs(self.records.root, record), []
        for name, upstream in self.sources(task).items():
            made = made_from.get(name)
            if made is not None and made.fingerprint == upstream.fingerprint:
                continue
            below = None if made is None else self.records.get(made.task, made.fingerprint)
            if made is not None and below is not None and made.task == upstream.name():
                found.append(self.unlike(upstream, below))
            else:
                found.append(frozenset({upstream.fingerprint}))
        return found

    def _distance(self, task: StageTask, record: Record) -> tuple[bool, int]:
        unlike = self.unlike(task, record)
        return any(name in unlike for name in OF_THE_KIND), len(unlike)


def _begun_before(record: Record, date: datetime) -> bool:
    begun = started(record)
    return begun is not None and begun < date


def _settings_that_differ(task: StageTask, record: Record) -> list[Change]:
    return differences(record["settings"], task.settings)


def differences(was: Any, now: Any, path: str = "") -> list[Change]:
    """Each setting that differs, by its dotted name; of lists of sections each item by its number."""
    if _has_sections(was, now):
        was, now = ({str(index): item for index, item in enumerate(items)} for items in (was, now))
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        keys = sorted({*was, *now}, key=lambda key: (len(key), key) if key.isdigit() else (0, key))
        below = {key: f"{path}.{key}" if path else key for key in keys}
        return [
            change
            for key in keys
            for change in differences(was.get(key, ABSENT), now.get(key, ABSENT), below[key])
        ]
    return [] if was == now else [Change(SETTING, path, was, now)]


def _has_sections(*values: Any) -> bool:
    """Whether all are lists, and one has mappings as its items."""
    return all(isinstance(value, list) for value in values) and any(
        isinstance(item, Mapping) for value in values for item in value
    )
