"""What of ours lies below a root, and what leads to what; nothing of others is looked into."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Optional

from ebm_tf.errors import MissingInput
from pipelines.artifact import FORMAT, PARAMS, Artifact
from pipelines.asking.records import inputs
from pipelines.tasks import TASKS

SHORT = re.compile(r"[0-9a-f]{16}")
ENTRY = re.compile(r"(?:\.(work|old|trash|lock)-)?([0-9a-f]{16})")
TASK = re.compile(r"[A-Za-z][A-Za-z0-9]*")
NEW_LINK = re.compile(r"\..+-[0-9]+")
LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What one learns of a folder that is none, or of a link to none: to what is gone, or round in a circle."""

Key = tuple[str, str]
"""Of an artifact: its task, and the part of its fingerprint that is used in paths."""


class Link(NamedTuple):
    """A symbolic link below runs/ to where an artifact is or was, or into it."""

    path: Path
    key: Key

    @property
    def moved_away(self) -> bool:
        """It is in a folder that only a link leads to."""
        return self.path.parent.is_symlink()

    @property
    def is_new(self) -> bool:
        """Its name is the one that a link has before it is renamed, which is done at once."""
        return NEW_LINK.fullmatch(self.path.name) is not None


@dataclass
class Place:
    """What is there of one artifact.

    Attributes:
        artifact: with the short fingerprint for its fingerprint, as there may be no record of the whole.
        entries: of "artifact", "work", "old", "trash" and "lock" those that are there; none of them is a link.
    """

    artifact: Artifact
    entries: set[str] = field(default_factory=set)

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.artifact.task, self.artifact.short

    @property
    def finished(self) -> Optional[Path]:
        """The finished artifact; where a kill came into the moment of a swap, it stands beside its place."""
        if "artifact" in self.entries:
            return self.artifact.path
        return self.artifact.replaced if "old" in self.entries else None

    @property
    def trash(self) -> Path:
        """What is deleted gets this name first, so that nothing is ever half there under its own."""
        return self.artifact.folder / f".trash-{self.artifact.short}"

    @property
    def marked(self) -> bool:
        """There is something to rebuild, and somebody asked for it."""
        return self.finished is not None and self.artifact.rebuild_wanted

    def beside_the_mark(self) -> list[Path]:
        """What a build has so far, but for the mark for a rebuild."""
        found = [Path(entry.path) for entry in _entries(self.artifact.work)]
        return [path for path in found if path != self.artifact.rebuild_mark]


def places(root: Path) -> dict[Key, Place]:
    """Every artifact below the root of which there is anything.

    Raises:
        MissingInput: there is no such folder, or its artifacts/ or runs/ is a link.
    """
    if not root.is_dir():
        raise MissingInput(f"there is no folder {root}; give the --root of some runs")
    for folder in (root / "artifacts", root / "runs"):
        if folder.is_symlink():
            raise MissingInput(
                f"{folder} is a link to {os.path.realpath(folder)}, and no link is followed where things are "
                "deleted; give a --root with a folder of its own"
            )
    tasks = [
        entry.name
        for entry in _entries(root / "artifacts")
        if TASK.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
    ]
    return {place.key: place for task in tasks for place in _places_of(root, task).values()}


def place_of(artifact: Artifact) -> Place:
    """What is there of one artifact now."""
    now = _places_of(artifact.root, artifact.task)
    return now.get(artifact.short, Place(artifact))


def links(root: Path) -> list[Link]:
    """Every link below runs/ that leads to an artifact of this root or into it, or did while there was one.

    So do those in a folder elsewhere that an entry of runs/ is a link to, as of an experiment that was moved away.
    """
    artifacts, found = Path(os.path.realpath(root / "artifacts")), []
    for folder, folders, files in os.walk(root / "runs"):
        for name in sorted([*folders, *files]):
            path = Path(folder, name)
            if path.is_symlink():
                inside = [] if _key(path, artifacts) else [path / entry.name for entry in _entries(path)]
                found += [Link(each, key) for each in [path, *inside] if (key := _key(each, artifacts))]
    return found


def reached(known: Mapping[Key, Place], roots: Collection[Key]) -> set[Key]:
    """Those of the known that the roots are or stand on, or that something stands on which is being made.

    Raises:
        MissingInput: the record of one of these cannot be read, so that what it stands on is not known.
    """
    found: set[Key] = set()
    pending = [*roots, *(key for place in known.values() for key in _read_by_work(place))]
    while pending:
        key = pending.pop()
        if key in known and key not in found:
            found.add(key)
            finished = known[key].finished
            pending += _made_from(known[key].artifact.root, finished) if finished else ()
    return found


def _places_of(root: Path, task: str) -> dict[str, Place]:
    """By short fingerprint."""
    found: dict[str, Place] = {}
    for entry in _entries(root / "artifacts" / task):
        name = ENTRY.fullmatch(entry.name)
        if name is None:
            continue
        kind, short = name[1] or "artifact", name[2]
        ours = kind != "artifact" or task in TASKS or Path(entry.path, PARAMS).is_file()
        is_one = entry.is_file if kind == "lock" else entry.is_dir
        if ours and is_one(follow_symlinks=False):
            found.setdefault(short, Place(Artifact(root, task, short))).entries.add(kind)
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        if error.errno not in LEADS_NOWHERE:
            raise
        return []


def _key(path: Path, artifacts: Path) -> Optional[Key]:
    """Of the artifact that a path leads to or into, there or not."""
    try:
        task, short, *_ = Path(os.path.realpath(path)).relative_to(artifacts).parts
    except ValueError:
        return None
    return (task, short) if TASK.fullmatch(task) and SHORT.fullmatch(short) else None


def _read_by_work(place: Place) -> list[Key]:
    """What a build that is going on, or may be gone on with, reads."""
    if "work" not in place.entries:
        return []
    artifacts = Path(os.path.realpath(place.artifact.root / "artifacts"))
    try:
        spec = json.loads((place.artifact.work / "spec.json").read_text(encoding="utf-8"))
        folders = [Path(folder) for folder in spec["inputs"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []  # it was not begun, or is no build that could be gone on with
    return [key for folder in folders if (key := _key(folder, artifacts))]


def _made_from(root: Path, finished: Path) -> tuple[Key, ...]:
    """What the record of a finished artifact says that it was made from."""
    path = finished / PARAMS
    try:
        now = path.stat()
    except OSError as error:
        raise _unknown(path, error.strerror or str(error)) from error
    return _read_inputs(root, path, (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns))


@lru_cache(maxsize=65_536)
def _read_inputs(root: Path, path: Path, state: tuple[int, ...]) -> tuple[Key, ...]:
    """Of a file in that state: before each deletion all are asked again, and few have changed."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("format", 1) > FORMAT:
            raise _unknown(path, f"it is of format {record['format']}, newer than {FORMAT}")
        try:
            return tuple((made.task, made.short) for made in inputs(root, record).values())
        except MissingInput as error:
            raise _unknown(path, str(error).partition(";")[0]) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unknown(path, type(error).__name__) from error


def _unknown(path: Path, why: str) -> MissingInput:
    return MissingInput(
        f"what {path.parent} was made from is not known, as its {PARAMS} cannot be read ({why}); rebuild it with "
        f"--force {path.parent.parent.name}, or remove the links to it below runs/"
    )
