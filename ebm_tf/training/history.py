"""What a run writes down as it goes: history.csv, speed.csv, TensorBoard, pictures of its samples.

history.csv holds nothing that depends on the clock: the same run gives the same file, also after a resume. Rates
are in speed.csv. Evaluations on the way are in selection.csv, and what they took in selection_speed.csv.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from ebm_tf.figures import save_grid

TABLES = ("history.csv", "speed.csv", "selection.csv", "selection_speed.csv")


class History:
    """Rows of interval means; can go back to an earlier step.

    Args:
        folder: where the files live.
        images_per_step: batch size. chain_steps: Langevin steps per image and training step; 0 without chains.
    """

    def __init__(self, folder: Path, images_per_step: int, chain_steps: int = 0) -> None:
        self.folder = folder
        self.images_per_step, self.chain_steps = images_per_step, chain_steps
        self.sums: dict[str, float] = {}
        self.count = 0
        self._writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
        self._since: Optional[tuple[float, int]] = None

    def add(self, measured: Mapping[str, float]) -> None:
        """Take in the measurements of one step."""
        for name, value in measured.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    @property
    def begun(self) -> bool:
        """Whether anything was measured yet."""
        return self.count > 0 or (self.folder / "history.csv").exists()

    def close(self, step: int) -> None:
        """End the interval that is open after `step` steps, if one is: the run stops before its time."""
        if self.count:
            self.write_row(step)

    def write_row(self, step: int) -> dict[str, float]:
        """Close the interval that ends after `step` steps; returns its means."""
        means = {name: total / self.count for name, total in self.sums.items()}
        self.sums, self.count = {}, 0
        _append(self.folder / "history.csv", {"step": step, **means})
        speed = self._speed(step)
        if speed:
            _append(self.folder / "speed.csv", {"step": step, **speed})
        with self._writer.as_default(step):
            for name, value in {**means, **speed}.items():
                tf.summary.scalar(name, value)
        return means

    def write_grid(self, step: int, samples: np.ndarray) -> None:
        """A picture of uint8 samples [n, H, W, C]."""
        grids = self.folder / "grids"
        grids.mkdir(exist_ok=True)
        save_grid(samples[:64], grids / f"step-{step:08d}.png", columns=16)
        with self._writer.as_default(step):
            tf.summary.image("samples", samples, max_outputs=16)

    def write_evaluation(self, step: int, values: Mapping[str, float], seconds: float) -> None:
        """Metrics of an evaluation after `step` steps, whose seconds are not counted as training."""
        _append(self.folder / "selection.csv", {"step": step, **values})
        _append(self.folder / "selection_speed.csv", {"step": step, "seconds": seconds})
        if self._since is not None:
            self._since = (self._since[0] + seconds, self._since[1])
        with self._writer.as_default(step):
            for name, value in {**values, "seconds": seconds}.items():
                tf.summary.scalar(f"selection/{name}", value)

    def flush(self) -> None:
        """Hand everything to the disk's files."""
        self._writer.flush()

    def state(self) -> dict[str, Any]:
        """The sums of the open interval, for a checkpoint."""
        return {"sums": self.sums, "count": self.count}

    def rewind(self, step: int, state: Mapping[str, Any]) -> None:
        """Forget what was written after `step`, and take up the interval that was open then.

        TensorBoard's files cannot be shortened: there, steps that were run twice are drawn twice.
        """
        self.sums, self.count = dict(state["sums"]), int(state["count"])
        self._since = None
        for name in TABLES:
            _keep_until(self.folder / name, step)
        for picture in (self.folder / "grids").glob("step-*.png"):
            if int(picture.stem.split("-")[1]) > step:
                picture.unlink()

    def _speed(self, step: int) -> dict[str, float]:
        """Rates since the last row of this process; none for the first, which holds the compilation."""
        now, before = time.perf_counter(), self._since
        self._since = (now, step)
        if before is None:
            return {}
        rate = (step - before[1]) / (now - before[0])
        images = rate * self.images_per_step
        chains = {"chain_steps_per_second": images * self.chain_steps} if self.chain_steps else {}
        return {"steps_per_second": rate, "images_per_second": images, **chains}


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """Columns of a file that `History` wrote, float64; empty if there is no such file."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else ())}


def _append(path: Path, row: Mapping[str, float]) -> None:
    new = not path.exists() or path.stat().st_size == 0
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def _keep_until(path: Path, step: int) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    kept = [row for row in lines[1:] if row.endswith("\n") and int(row.split(",", 1)[0]) <= step]
    shortened = path.with_suffix(".unfinished")
    if kept:
        shortened.write_text("".join([lines[0], *kept]), encoding="utf-8")
        shortened.replace(path)
    else:
        path.unlink(missing_ok=True)
