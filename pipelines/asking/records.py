"""The records of the finished artifacts below a root, as they lie on disk, and who reads whom."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from pipelines.artifact import FINGERPRINT, FORMAT, PARAMS, TASK_NAME, Artifact
from pipelines.asking.times import now, recency, started

Record = dict[str, Any]
"""What a params.json holds."""
LONGEST_SECONDS = 100 * 365 * 86_400
"""A century; a record that says more says nothing."""


class Records:
    """Each task's records, read once; those that cannot be read, or are of a newer format, are left out.

    Nothing here asks whether the files of an artifact are there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, list[Record]] = {}

    def tasks(self) -> list[str]:
        """Names of the tasks that have a folder of artifacts."""
        folder = self.root / "artifacts"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def of(self, task: str) -> list[Record]:
        """The records of a task, the newest first."""
        if task not in self._known:
            at = now()
            found = list(_readable(self.root / "artifacts" / task))
            found.sort(key=lambda record: recency(started(record), at), reverse=True)
            self._known[task] = found
        return self._known[task]

    def get(self, task: str, fingerprint: Optional[str]) -> Optional[Record]:
        """The record of one artifact, if there is one."""
        return next((record for record in self.of(task) if record["fingerprint"] == fingerprint), None)

    def everything(self) -> Iterator[tuple[Artifact, Record]]:
        """Every artifact that has a record."""
        for task in self.tasks():
            for record in self.of(task):
                yield Artifact(self.root, task, record["fingerprint"]), record

    def readers(self, artifact: Artifact) -> list[Artifact]:
        """Artifacts that were made from this one."""
        return [
            reader
            for reader, record in self.everything()
            if any(made == artifact for made in inputs(self.root, record).values())
        ]


def inputs(root: Path, record: Mapping[str, Any]) -> dict[str, Artifact]:
    """What an artifact was made from, by the names that its stage knows them under."""
    # Records of before tasks were named there have the task's name for the input's.
    return {
        name: Artifact(root, made.get("task", name), made["fingerprint"])
        for name, made in record["inputs"].items()
    }


def label(artifact: Artifact) -> str:
    """What an artifact is called: "TrainEBM/0123456789abcdef"."""
    return f"{artifact.task}/{artifact.short}"


def record_in(folder: Path) -> Record:
    """What can be read of the record in an artifact's folder, whole or not; empty where nothing can.

    Numbers that are not finite are None; of what is reckoned with or walked through, what is of another kind than a
    run writes is left out.
    """
    try:
        text = (folder / PARAMS).read_text(encoding="utf-8")
        record = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (OSError, ValueError, RecursionError):
        return {}
    return (
        {key: record[key] for key in record if _is_told(key, record[key])} if isinstance(record, dict) else {}
    )


def artifact_in(folder: Path) -> Artifact:
    """The artifact, whole or not, of a folder ROOT/artifacts/TASK/FINGERPRINT.

    Where its record does not tell the whole fingerprint, the artifact has the short one, and counts as damaged.
    """
    task, fingerprint = folder.parent.name, record_in(folder).get("fingerprint", "")
    if not is_name(task, fingerprint) or fingerprint[:16] != folder.name:
        fingerprint = folder.name
    return Artifact(folder.parents[2], task, fingerprint)


def unusable(artifact: Artifact) -> str:
    """What is said of an artifact that is whole but for its record, which is none of `Records`."""
    return (
        f"damaged artifact: {artifact.path / PARAMS} does not tell what it was made with and from; rebuild it with "
        f"--force {artifact.task}"
    )


def bytes_below(folder: Path) -> int:
    """What all files in a folder take together."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _readable(folder: Path) -> Iterator[Record]:
    for path in folder.glob("[!.]*"):
        record = record_in(path)
        if _is_whole(path, record):
            yield record


def _finite(text: str) -> Optional[float]:
    number = float(text)
    return number if math.isfinite(number) else None


def _is_told(key: str, value: Any) -> bool:
    if key == "seconds":
        return isinstance(value, (int, float)) and 0 <= value <= LONGEST_SECONDS
    return isinstance(value, {"versions": dict, "attempts": int}.get(key, object))


def is_name(task: Any, fingerprint: Any) -> bool:
    """Whether an artifact can be called so."""
    return (
        isinstance(task, str)
        and isinstance(fingerprint, str)
        and bool(TASK_NAME.fullmatch(task) and FINGERPRINT.fullmatch(fingerprint))
    )


def _is_whole(folder: Path, value: Record) -> bool:
    return (
        is_name(folder.parent.name, value.get("fingerprint"))
        and value["fingerprint"][:16] == folder.name
        and isinstance(value.get("version"), int)
        and isinstance(value.get("settings"), dict)
        and isinstance(value.get("inputs"), dict)
        and all(
            isinstance(made, dict) and is_name(made.get("task", name), made.get("fingerprint"))
            for name, made in value["inputs"].items()
        )
        and isinstance(value.get("format", 1), int)
        and value.get("format", 1) <= FORMAT
    )
