"""Checkpoints of everything that a run needs to go on as if nothing had happened.

Each is a folder `step-00001250/` with TensorFlow's files (weights, average, optimiser, replay buffer and, with
augmentation, the next step's chain starts and b_j, which were drawn and augmented ahead; with selection, the best
weights), `run.json` (step, roll-backs, the guard's memory, sums not yet written to history.csv, what evaluations
have found) and `files.json`, the sha256 of each of these. It is written beside its final name and renamed, so that a
folder of that name was whole once. Random numbers follow from seed and step and need no state.

Before one is read its files are held against the list. One that a disk has damaged since is set aside as
`step-00001250.damaged` and the one before takes its place: a run goes on with the same numbers from any of them.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

import tensorflow as tf

from ebm_tf.files import sha256_of, sync

KEEP = 3  # newest ones
RUN, FILES = "run.json", "files.json"
STARTS_OVER = "every checkpoint is damaged: starting from the beginning"


class CheckpointFolder:
    """The checkpoints of one run, newest last."""

    def __init__(self, folder: Path, state: tf.train.Checkpoint) -> None:
        self.folder, self.state = folder, state
        folder.mkdir(parents=True, exist_ok=True)
        for debris in folder.glob("*.unfinished"):
            shutil.rmtree(debris)
        for replaced in folder.glob("*.replaced"):  # killed in the middle of a swap
            final = replaced.with_suffix("")
            shutil.rmtree(replaced) if final.exists() else replaced.rename(final)

    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, rising."""
        return sorted(int(path.name.split("-")[1]) for path in self.folder.glob("step-*[0-9]"))

    def save(self, step: int, run: Mapping[str, Any]) -> None:
        """Write the state after `step` steps, and drop the oldest beyond `KEEP`.

        What cannot be written (a full disk) leaves nothing behind, and those that are there as they are.
        """
        final = self._path(step)
        unfinished = final.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            self._write(unfinished, run)
        except Exception:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        replaced = final.with_suffix(".replaced")
        if final.exists():
            final.rename(replaced)
        unfinished.rename(final)
        sync(self.folder)  # the disk has this one before it loses another
        shutil.rmtree(replaced, ignore_errors=True)
        for old in self.steps()[:-KEEP]:
            shutil.rmtree(self._path(old))

    def first_whole(self, steps: Iterable[int]) -> Optional[int]:
        """The first of these steps whose checkpoint is as it was written; None where none is.

        Damaged ones that stand before it are named on standard error and set aside, so that nobody meets them again.
        """
        for step in steps:
            damage = _damage(self._path(step))
            if damage is None:
                return step
            aside = self._path(step).with_suffix(".damaged")
            shutil.rmtree(aside, ignore_errors=True)
            self._path(step).rename(aside)
            print(
                f"the checkpoint of step {step} is damaged ({damage}), set aside as {aside}", file=sys.stderr
            )
        return None

    def restore(self, step: int) -> dict[str, Any]:
        """Bring the state of `step`, whose checkpoint is whole, back, and return what `save` got as `run`."""
        return read_checkpoint(self._path(step), self.state)

    def files(self, step: int) -> list[Path]:
        """What `read_checkpoint` needs of the checkpoint of `step`."""
        return [path for path in sorted(self._path(step).iterdir()) if path.name != FILES]

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of later steps: they belong to a course that was abandoned."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self._path(later))

    def _write(self, folder: Path, run: Mapping[str, Any]) -> None:
        """The files of a checkpoint, so that the disk has them."""
        folder.mkdir()
        self.state.write(str(folder / "state"))
        (folder / RUN).write_text(json.dumps(dict(run)), encoding="utf-8")
        digests = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        (folder / FILES).write_text(json.dumps(digests), encoding="utf-8")
        for path in (*folder.iterdir(), folder):
            sync(path)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"


def read_checkpoint(folder: Path, state: tf.train.Checkpoint, whole: bool = True) -> dict[str, Any]:
    """Bring the state back that a folder holds, and return what `CheckpointFolder.save` got as `run`.

    Args:
        whole: everything that was saved is wanted; otherwise there may be more than `state` has a place for.
    """
    status = state.read(str(folder / "state"))
    status.assert_consumed() if whole else status.assert_existing_objects_matched()
    run: dict[str, Any] = json.loads((folder / RUN).read_text(encoding="utf-8"))
    return run


def _damage(folder: Path) -> Optional[str]:
    """What is wrong with a checkpoint, if anything is."""
    name = FILES
    try:
        digests = json.loads((folder / FILES).read_text(encoding="utf-8"))
        if not isinstance(digests, dict) or RUN not in digests:
            return f"{FILES} does not list its files"
        for name, digest in digests.items():
            if sha256_of(folder / name) != digest:
                return f"{name} is not as {FILES} has it"
    except FileNotFoundError:
        return f"{name} is missing"
    except (OSError, ValueError) as error:
        return f"{name} cannot be read: {error}"
    return None
