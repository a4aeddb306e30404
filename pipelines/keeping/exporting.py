"""A copy of an artifact outside of the store: whole or not there, and compared with what was published.

Beside its record goes one of the settings of all that it came from; and what EvaluateFID found, where it has been run
for the same experiment, is entered into the model's card.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ebm_tf.config import Experiment
from ebm_tf.errors import Busy, ConfigError, MissingInput
from ebm_tf.files import inside, sha256_of, sync
from ebm_tf.model_card import CARD, with_metrics
from pipelines.artifact import PARAMS, Artifact
from pipelines.judging.lineage import lineage
from pipelines.tasks import EvaluateFID

SETTINGS = "experiment.json"
OF_THE_STORE = {
    "artifacts": "among the artifacts, which are never changed",
    "runs": "among the experiments, and would be taken for one",
}


@dataclass(frozen=True)
class Copied:
    """What a copy holds.

    Attributes:
        files: how many besides params.json and experiment.json.
        bytes: of these.
        gone: what the artifact came from and is not there any more, so that experiment.json lacks its settings.
        evaluation: whose numbers the model's card has; None where there are none.
    """

    files: int
    bytes: int
    gone: tuple[str, ...]
    evaluation: Optional[str]


def demand_free(out: Path, root: Path) -> None:
    """Refuse a place that a copy cannot be made in, before anything is run for it.

    Raises:
        Busy: another process is copying to the same place.
        ConfigError: it is taken, is in the store or around it, or nothing can be called so.
        MissingInput: the folder that it is to be in is not there, or nothing can be made in it.
    """
    try:
        _demand_place(out, root)
        with _beside(out):
            pass
    except OSError as error:
        kind = ConfigError if error.errno == errno.ENAMETOOLONG else MissingInput
        raise kind(f"--out {out} cannot be made ({error.strerror}); give another") from error


def _demand_place(out: Path, root: Path) -> None:
    taken = out.is_symlink() or (out.exists() and not out.is_dir())
    if taken or (out.is_dir() and any(out.iterdir())):
        raise ConfigError(
            f"--out {out} is there already; give a folder that is not, or an empty one, or remove it"
        )
    parent = out.absolute().parent
    if not parent.is_dir():
        raise MissingInput(f"there is no folder {parent} for {out.name}; make it, or give another --out")
    if out.is_mount():
        raise ConfigError(f"--out {out} is where a disk is mounted, and stays; give a folder in it")
    place, store = Path(os.path.realpath(parent), out.name), Path(os.path.realpath(root))
    if place in (store, *store.parents):
        raise ConfigError(f"--out {out} is where the store is to be; give a folder elsewhere")
    for name, where in OF_THE_STORE.items():
        if Path(os.path.realpath(root / name)) in (place, *place.parents):
            raise ConfigError(f"--out {out} is {where}; give a folder elsewhere")


def evaluation_of(experiment: Experiment, root: Path) -> Optional[Artifact]:
    """What EvaluateFID found of the energy model of an experiment; None where it has not been run since.

    Raises:
        MissingInput: it is damaged.
    """
    task = EvaluateFID.of(experiment, root)
    return task.artifact if experiment.sampling.source == "ebm" and task.complete() else None


def copy_out(artifact: Artifact, out: Path, evaluation: Optional[Artifact] = None) -> Copied:
    """Copy the files that params.json lists, and params.json, into the folder `out`, which is there at the end only.

    experiment.json beside them has the settings of the whole lineage, by dotted name.

    Args:
        evaluation: whose numbers go into MODEL_CARD.md, which then is the one file that is not as params.json says.

    Raises:
        Busy: another process is copying to the same place.
        ConfigError: the place was taken meanwhile.
        MissingInput: the artifact is not there or damaged, or a record of what it came from is, or there is no room.
    """
    artifact.verify()
    files, known = artifact.params()["files"], lineage(artifact)
    with _beside(out) as place:
        for name in (*files, PARAMS):
            copied = inside(place, name)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(inside(artifact.path, name), copied)
            if name in files and sha256_of(copied) != files[name]["sha256"]:
                raise MissingInput(
                    f"{copied} was not written as {artifact.path / name} reads; is the disk in order?"
                )
        if evaluation is not None:
            _enter_metrics(place / CARD, evaluation)
        settings = json.dumps(known.settings, indent=2, sort_keys=True)
        (place / SETTINGS).write_text(f"{settings}\n", encoding="utf-8")
        for path in [*place.rglob("*"), place]:
            sync(path)
        try:
            place.rename(out)  # onto nothing, or onto an empty folder
        except OSError as error:
            raise ConfigError(f"--out {out} was taken meanwhile ({error.strerror}); give another") from error
    sync(out.absolute().parent)
    size = sum(record["bytes"] for record in files.values())
    return Copied(len(files), size, known.gone, None if evaluation is None else _named(evaluation))


def _enter_metrics(card: Path, evaluation: Artifact) -> None:
    text = with_metrics(card.read_text(encoding="utf-8"), evaluation.metrics(), _named(evaluation))
    card.write_text(text, encoding="utf-8")


def _named(artifact: Artifact) -> str:
    return f"{artifact.task}/{artifact.short}"


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """An empty folder beside `out`, for this process alone; what is left of it at the end is removed.

    Its name is the same for all who copy there, and short, however long the name of `out` is.
    """
    digest = hashlib.sha256(os.fsencode(out.absolute().name)).hexdigest()[:16]
    place = out.absolute().parent / f".export-{digest}.unfinished"
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
