"""Checkpoints of everything that a run needs to go on as if nothing had happened.

Each is a folder `step-00001250/` with TensorFlow's files (weights, average, optimiser, replay buffer and, with
augmentation, the next step's chain starts and b_j, which were drawn and augmented ahead; with selection, the best
weights) and `run.json` (step, roll-backs, the guard's memory, sums not yet written to history.csv, what evaluations
have found). It is written beside its final name and renamed, so that a folder of that name is always whole. Random
numbers follow from seed and step and need no state.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from ebm_tf.files import sync

KEEP = 3  # newest ones


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
        """Write the state after `step` steps, and drop the oldest beyond `KEEP`."""
        final = self._path(step)
        unfinished = final.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        self.state.write(str(unfinished / "state"))
        (unfinished / "run.json").write_text(json.dumps(dict(run)), encoding="utf-8")
        for path in unfinished.iterdir():
            sync(path)
        replaced = final.with_suffix(".replaced")
        if final.exists():
            final.rename(replaced)
        unfinished.rename(final)
        shutil.rmtree(replaced, ignore_errors=True)
        for old in self.steps()[:-KEEP]:
            shutil.rmtree(self._path(old))

    def restore(self, step: int) -> dict[str, Any]:
        """Bring the state of `step` back, and return what `save` got as `run`."""
        self.state.read(str(self._path(step) / "state")).assert_consumed()
        run: dict[str, Any] = json.loads((self._path(step) / "run.json").read_text(encoding="utf-8"))
        return run

    def drop_after(self, step: int) -> None:
        """Remove the checkpoints of later steps: they belong to a course that was abandoned."""
        for later in self.steps():
            if later > step:
                shutil.rmtree(self._path(later))

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"
