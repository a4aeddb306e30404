"""A copy of an artifact outside of the store: whole or not there, and compared with what was published."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ebm_tf.errors import Busy, ConfigError, MissingInput
from ebm_tf.files import inside, sha256_of, sync
from pipelines.artifact import PARAMS, Artifact


@dataclass(frozen=True)
class Copied:
    """What a copy holds: how many files besides params.json, and their bytes."""

    files: int
    bytes: int


def demand_free(out: Path, root: Path) -> None:
    """Refuse a place that a copy cannot be made in, before anything is run for it.

    Raises:
        ConfigError: it is taken, or in the store.
        MissingInput: the folder that it is to be in is not there.
    """
    taken = out.is_symlink() or (out.exists() and not out.is_dir())
    if taken or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(
            f"--out {out} is there already; give a folder that is not, or an empty one, or remove it"
        )
    parent = out.absolute().parent
    if not parent.is_dir():
        raise MissingInput(f"there is no folder {parent} for {out.name}; make it, or give another --out")
    artifacts = (root / "artifacts").resolve()
    if artifacts in (parent.resolve() / out.name, *parent.resolve().parents, parent.resolve()):
        raise ConfigError(
            f"--out {out} is among the artifacts, which are never changed; give a folder elsewhere"
        )


def copy_out(artifact: Artifact, out: Path) -> Copied:
    """Copy the files that params.json lists, and params.json, into the folder `out`, which is there at the end only.

    Raises:
        Busy: another process is copying to the same place.
        ConfigError: the place was taken meanwhile.
        MissingInput: the artifact is not there or damaged, or there is no room.
    """
    artifact.verify()
    files = artifact.params()["files"]
    with _beside(out) as place:
        for name in (*files, PARAMS):
            copied = inside(place, name)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(inside(artifact.path, name), copied)
            if name in files and sha256_of(copied) != files[name]["sha256"]:
                raise MissingInput(
                    f"{copied} was not written as {artifact.path / name} reads; is the disk in order?"
                )
        for path in [*place.rglob("*"), place]:
            sync(path)
        try:
            place.rename(out)  # onto nothing, or onto an empty folder
        except OSError as error:
            raise ConfigError(f"--out {out} was taken meanwhile ({error.strerror}); give another") from error
    sync(out.absolute().parent)
    return Copied(len(files), sum(record["bytes"] for record in files.values()))


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """An empty folder beside `out`, for this process alone; what is left of it at the end is removed."""
    place = out.absolute().parent / f".{out.absolute().name}.unfinished"
    place.mkdir(exist_ok=True)
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not place.exists() or not os.path.samestat(os.fstat(descriptor), place.stat()):
            raise BlockingIOError
        _empty(place)  # of what a kill left
        yield place
        if place.exists():
            shutil.rmtree(place)
    except BlockingIOError:
        raise Busy(f"another process is exporting to {out}; try again when it is done") from None
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
