"""The uint8 store: a data set as plain .npy files that later stages map into memory and stream.

train.npy, test.npy                uint8 [n, H, W, C]
train_labels.npy, test_labels.npy  int64 [n]; -1 (no label) in a data set without classes
manifest.json                      counts, shape, classes, levels, sha256 of each file, files that were no use
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import tensorflow as tf

from ebm_tf.errors import MissingInput
from ebm_tf.files import UNREADABLE, inside

Split = Literal["train", "test"]
NO_LABEL = -1
"""Stands for the label of an image that has none."""


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        classes: their names; empty where images have no labels.
        unusable: of a user's own files, how many could not be read, and the first few with the reason.
    """

    dataset: str
    version: str
    shape: tuple[int, int, int]
    dtype: str
    levels: int
    classes: list[str]
    counts: dict[str, int]
    sha256: dict[str, str]
    licence: str
    unusable: dict[str, Any] = field(default_factory=dict)


class Store:
    """A finished store, opened without reading its images.

    Raises:
        MissingInput: no manifest there, or one that cannot be read, or names files outside of the folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = inside(self.folder, "manifest.json")
        if not manifest.is_file():
            raise MissingInput(f"no data set in {folder}: {manifest.name} is missing")
        try:
            values = json.loads(manifest.read_text(encoding="utf-8"))
            self.manifest = Manifest(**{**values, "shape": tuple(values["shape"])})
            names = list(self.manifest.sha256)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingInput(
                f"no data set in {folder}: {manifest.name} cannot be read ({error})"
            ) from error
        for name in names:
            inside(self.folder, name)

    def images(self, split: Split) -> np.ndarray:
        """uint8 [n, H, W, C], mapped from the file."""
        return self._load(f"{split}.npy")

    def labels(self, split: Split) -> np.ndarray:
        """int64 [n]; -1 for images without labels."""
        return self._load(f"{split}_labels.npy")

    def _load(self, name: str) -> np.ndarray:
        try:
            return np.load(inside(self.folder, name), mmap_mode="r", allow_pickle=False)
        except UNREADABLE as error:
            raise MissingInput(f"cannot read {self.folder / name}: {error}") from error


def training_batches(
    images: np.ndarray,
    batch_size: int,
    seed: int,
    first_step: int = 0,
    labels: Optional[np.ndarray] = None,
) -> tf.data.Dataset:
    """An endless stream of shuffled batches, uint8 [batch, H, W, C]; with labels, of pairs (images, int32 [batch]).

    Every pass is a new permutation that follows from (seed, pass); batches run across the end of a pass, so each
    image comes once a pass. Starting at `first_step` gives what an uninterrupted stream gives from there.
    """
    parts = images if labels is None else (images, labels.astype(np.int32))
    specs = tf.nest.map_structure(
        lambda part: tf.TensorSpec([batch_size, *part.shape[1:]], part.dtype), parts
    )

    def stream() -> Iterator[Any]:
        for chosen in _index_batches(len(images), batch_size, seed, first_step):
            rows = np.sort(chosen)  # in the order of the file
            yield tf.nest.map_structure(lambda part, rows=rows: part[rows], parts)

    return tf.data.Dataset.from_generator(stream, output_signature=specs).prefetch(4)


def _index_batches(count: int, batch_size: int, seed: int, first_step: int) -> Iterator[np.ndarray]:
    drawn = first_step * batch_size
    number, offset = divmod(drawn, count)
    waiting = _permutation(count, seed, number)[offset:]
    while True:
        while len(waiting) < batch_size:
            number += 1
            waiting = np.concatenate([waiting, _permutation(count, seed, number)])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def _permutation(count: int, seed: int, number: int) -> np.ndarray:
    return np.random.default_rng([seed, number]).permutation(count)
