"""Deleting what nobody needs below a root, without harm to what somebody does.

Three classes. Debris is of no use to anything: what a kill left of a swap, of a deletion, or of a file being written;
what a stage had written when it was cut short, which the next one throws away; links to what is gone; locks of
nothing. Unfinished is work that a run could go on from, and the log of a run that failed. Unreferenced is an artifact
that no link below runs/ leads to, and that nothing stands on to which one does.

Whatever goes, goes under its artifact's lock, after another look, and under another name first: a kill in the middle
leaves debris, and never half an artifact.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Optional

from ebm_tf.errors import Busy, MissingInput
from pipelines.artifact import PARAMS, Artifact
from pipelines.in_use import alone
from pipelines.keeping.inventory import Key, Link, Place, links, place_of, places, reached
from pipelines.lock import holder, locked

DEBRIS, UNFINISHED, UNREFERENCED = CLASSES = ("debris", "unfinished", "unreferenced")
DAY_SECONDS = 86_400.0
NO_USE = (".unfinished", ".damaged")
"""Endings of what no run reads."""
LINK_SECONDS = 3600.0
"""A link gets its name at once; one that has not within this time never will."""


class Item(NamedTuple):
    """Something that could go.

    Attributes:
        kind: one of CLASSES.
        artifact: the one that it belongs to, whose lock is taken.
        bytes: of the files in it; what links lead to does not count.
        changed: when the last of these was written, seconds since 1970.
        note: why it is of that class.
    """

    kind: str
    path: Path
    artifact: Artifact
    bytes: int
    changed: float
    note: str

    @property
    def key(self) -> Key:
        """Of the artifact."""
        return self.artifact.task, self.artifact.short


Kept = tuple[tuple[Item, str], ...]
"""What is not deleted after all, with the reason."""


@dataclass(frozen=True)
class Survey:
    """What there is.

    Attributes:
        items: class by class.
        building: what is being built, and by whom; nothing of that is among the items.
        untold: why it cannot be told what is unreferenced, where it cannot.
    """

    items: tuple[Item, ...]
    building: tuple[str, ...]
    untold: Optional[str]


@dataclass(frozen=True)
class Swept:
    """What went, and what did not."""

    gone: tuple[Item, ...]
    kept: Kept


def survey(root: Path, older_than_days: Optional[float] = None) -> Survey:
    """Look below a root, and change nothing.

    Args:
        older_than_days: leave out what was written to since; a date in the future counts as new.

    Raises:
        MissingInput: there is no such folder, or its artifacts/ or runs/ is a link.
    """
    known, pointers = places(root), links(root)
    building = _building(known)
    items = [item for place in known.values() for item in _left_over(place)]
    items += [item for link in pointers for item in _dangling(root, link, known)]
    untold = None
    try:
        items += [_unreferenced(known[key]) for key in _unreached(known, pointers, older_than_days)]
    except MissingInput as error:
        untold = str(error)
    items = [item for item in items if item.key not in building and _is_old(item.changed, older_than_days)]
    items.sort(key=lambda item: CLASSES.index(item.kind))
    return Survey(tuple(items), _told(building), untold)


def without_unreferenced(chosen: Sequence[Item], building: Sequence[str]) -> tuple[list[Item], Kept]:
    """What may be deleted while something is built, and what may not: unreferenced artifacts, which a run may need.

    Raises:
        Busy: nothing else was chosen; the text says what is being built.
    """
    if not building:
        return list(chosen), ()
    rest, why = [item for item in chosen if item.kind != UNREFERENCED], _too_early(building)
    if chosen and not rest:
        raise Busy(why)
    return rest, tuple((item, why) for item in chosen if item.kind == UNREFERENCED)


def sweep(root: Path, chosen: Sequence[Item], older_than_days: Optional[float] = None) -> Swept:
    """Delete items of a survey, those of them that are still what they were.

    Unreferenced artifacts are kept while a run is at work that may need them.

    Raises:
        Busy: one is, and nothing but unreferenced artifacts was chosen.
        OSError: one cannot be deleted; those before it are gone.
    """
    unreferenced = [item for item in chosen if item.kind == UNREFERENCED]
    swept = _sweep(root, [item for item in chosen if item.kind != UNREFERENCED], older_than_days)
    if not unreferenced:
        return swept
    try:
        with alone(root):
            if building := _told(_building(places(root))):
                raise Busy(_too_early(building))
            more = _sweep(root, unreferenced, older_than_days)
    except Busy as error:
        if len(unreferenced) == len(chosen):
            raise
        more = Swept((), tuple((item, str(error)) for item in unreferenced))
    return Swept((*swept.gone, *more.gone), (*swept.kept, *more.kept))


def _sweep(root: Path, chosen: Sequence[Item], older_than_days: Optional[float]) -> Swept:
    gone: list[Item] = []
    kept: list[tuple[Item, str]] = []
    for item in chosen:
        try:
            with locked(item.artifact):
                if _is_still(root, item, older_than_days):
                    _delete(item)
                    gone.append(item)
                else:
                    kept.append((item, "it has changed since"))
                _drop_lock_of_nothing(item.artifact)
        except Busy as error:
            kept.append((item, str(error)))
    return Swept(tuple(gone), tuple(kept))


def _too_early(building: Sequence[str]) -> str:
    why = "and its run may need what no link leads to yet; clean --unreferenced again when it is done"
    return f"{building[0]}, {why}"


def _building(known: Mapping[Key, Place]) -> dict[Key, str]:
    return {key: owner for key, place in known.items() if (owner := holder(place.artifact))}


def _told(building: Mapping[Key, str]) -> tuple[str, ...]:
    return tuple(
        f"{task} {short} is being built by process {owner}" for (task, short), owner in building.items()
    )


def _left_over(place: Place) -> Iterator[Item]:
    """Debris and unfinished work of one artifact."""
    artifact = place.artifact
    if "trash" in place.entries:
        yield _item(DEBRIS, place.trash, artifact, "a deletion was cut short")
    if {"old", "artifact"} <= place.entries:
        yield _item(DEBRIS, artifact.replaced, artifact, "a newer one is in its place")
    if "work" in place.entries:
        yield from _of_work(place)
    elif place.entries == {"lock"}:
        yield _item(DEBRIS, artifact.lock_file, artifact, "the lock of what is gone")


def _of_work(place: Place) -> Iterator[Item]:
    """Of a build the parts that nobody could go on from, and the rest; or all of it as debris.

    A mark for a rebuild is none of it, and stays.
    """
    artifact = place.artifact
    if place.marked and not place.beside_the_mark():
        return
    parts = [
        _item(DEBRIS, path, artifact, "no run reads it: not written to its end, or damaged")
        for path in _cut_short(artifact)
    ]
    if _files(artifact.output):
        parts.append(_item(DEBRIS, artifact.output, artifact, "half an output; the next run starts it anew"))
    useless = {part.path for part in parts}
    checkpoints = [path for path in _files(artifact.checkpoints) if useless.isdisjoint([path, *path.parents])]
    whole = _item(UNFINISHED, artifact.work, artifact, "")
    if checkpoints:
        note = "a run would go on from it"
    elif artifact.log.is_file() and artifact.log.stat().st_size:
        note = "the log of a run that failed"
    else:
        yield whole._replace(kind=DEBRIS, note="nothing to go on from")
        return
    yield from parts
    yield whole._replace(note=note, bytes=whole.bytes - sum(part.bytes for part in parts))


def _cut_short(artifact: Artifact) -> Iterator[Path]:
    """Parts of a build that never got their names, or were set aside as damaged; half an output is another thing."""
    for folder, folders, files in os.walk(artifact.work):
        names = [name for name in [*folders, *files] if name.endswith(NO_USE)]
        yield from (path for name in sorted(names) if not (path := Path(folder, name)).is_symlink())
        passed = [*names, artifact.output.name] if Path(folder) == artifact.work else names
        folders[:] = [name for name in folders if name not in passed]


def _dangling(root: Path, link: Link, known: Mapping[Key, Place]) -> Iterator[Item]:
    """A link to what is gone, or one that never got its name."""
    if link.moved_away:
        return
    item, place = (
        _item(DEBRIS, link.path, Artifact(root, *link.key), "a link to what is gone"),
        known.get(link.key),
    )
    if place is None or place.finished is None:
        yield item
    elif _was_left(link):
        yield item._replace(note="a link that never got its name")


def _was_left(link: Link) -> bool:
    """It was being made when its maker was killed."""
    status = _status(link.path)
    return link.is_new and status is not None and time.time() - status.st_mtime > LINK_SECONDS


def _unreached(
    known: Mapping[Key, Place], pointers: Sequence[Link], older_than_days: Optional[float]
) -> list[Key]:
    """Finished artifacts that nothing leads to; one that is kept for being new keeps what it stands on.

    Raises:
        MissingInput: that cannot be told.
    """
    finished = {key: place.finished for key, place in known.items() if place.finished is not None}
    new = [key for key, path in finished.items() if not _is_old(_published(path), older_than_days)]
    kept = reached(known, [*(link.key for link in pointers if not _was_left(link)), *new])
    return [key for key in finished if key not in kept]


def _unreferenced(place: Place) -> Item:
    assert place.finished is not None
    item = _item(UNREFERENCED, place.finished, place.artifact, "no link below runs/ leads to it")
    return item._replace(changed=_published(place.finished))


def _is_still(root: Path, item: Item, older_than_days: Optional[float]) -> bool:
    """Under the lock of its artifact: the item is there, and of its class."""
    place = place_of(item.artifact)
    if item.kind == UNREFERENCED:
        return item.path == place.finished and item.key in _unreached(
            places(root), links(root), older_than_days
        )
    now = list(_left_over(place))
    if item.path.is_symlink():
        pointing = [link for link in links(root) if link.path == item.path]
        now = [same for link in pointing for same in _dangling(root, link, {place.key: place})]
    return any(
        (same.kind, same.path) == (item.kind, item.path) and _is_old(same.changed, older_than_days)
        for same in now
    )


def _delete(item: Item) -> None:
    if item.path == item.artifact.lock_file:
        return  # which goes with the last thing of its artifact
    if item.path.is_symlink() or not item.path.is_dir():
        item.path.unlink()
        return
    place = place_of(item.artifact)
    trash = place.trash
    if item.path != trash:
        if trash.exists():
            shutil.rmtree(trash)
        if item.path == item.artifact.work and place.marked:
            trash.mkdir()
            for path in place.beside_the_mark():
                path.rename(trash / path.name)
        else:
            item.path.rename(trash)
    shutil.rmtree(trash)


def _drop_lock_of_nothing(artifact: Artifact) -> None:
    """Needs the lock. One who waits for it will see that the file is gone, and take a new one."""
    if place_of(artifact).entries == {"lock"}:
        artifact.lock_file.unlink()


def _item(kind: str, path: Path, artifact: Artifact, note: str) -> Item:
    """With its size and age; what is gone by now is empty and of 1970."""
    files = _files(path) if path.is_dir() and not path.is_symlink() else [path]
    found = [status for file in files if (status := _status(file))]
    own = [] if found else [_status(path)]
    changed = max((status.st_mtime for status in [*found, *own] if status), default=0.0)
    return Item(kind, path, artifact, sum(status.st_size for status in found), changed, note)


def _files(folder: Path) -> list[Path]:
    """Files and links below a folder."""
    found = []
    for place, folders, files in os.walk(folder):
        paths = [Path(place, name) for name in [*folders, *files]]
        found += [path for path in paths if path.is_symlink() or not path.is_dir()]
    return found


def _status(path: Path) -> Optional[os.stat_result]:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _published(finished: Path) -> float:
    status = _status(finished / PARAMS) or _status(finished)
    return status.st_mtime if status else time.time()


def _is_old(changed: float, older_than_days: Optional[float]) -> bool:
    return older_than_days is None or time.time() - changed >= older_than_days * DAY_SECONDS
