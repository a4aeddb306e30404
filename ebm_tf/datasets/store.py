"""The uint8 store: a data set as plain .npy files that later stages map into memory and stream.

train.npy, test.npy                uint8 [n, H, W, C]
train_labels.npy, test_labels.npy  int64 [n]
manifest.json                      counts, shape, classes, levels, sha256 of each file
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from ebm_tf.datasets.registry import Source
from ebm_tf.errors import MissingInput
from ebm_tf.files import sha256_of

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Manifest:
    """What a store holds."""

    dataset: str
    version: str
    shape: tuple[int, int, int]
    dtype: str
    levels: int
    classes: list[str]
    counts: dict[str, int]
    sha256: dict[str, str]
    licence: str


class Store:
    """A finished store, opened without reading its images.

    Raises:
        MissingInput: no manifest there.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = self.folder / "manifest.json"
        if not manifest.is_file():
            raise MissingInput(f"no data set in {folder}: {manifest.name} is missing")
        values = json.loads(manifest.read_text(encoding="utf-8"))
        self.manifest = Manifest(**{**values, "shape": tuple(values["shape"])})

    def images(self, split: Split) -> np.ndarray:
        """uint8 [n, H, W, C], mapped from the file."""
        return self._load(f"{split}.npy")

    def labels(self, split: Split) -> np.ndarray:
        """int64 [n]."""
        return self._load(f"{split}_labels.npy")

    def _load(self, name: str) -> np.ndarray:
        try:
            return np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise MissingInput(f"cannot read {self.folder / name}: {error}") from error


def write_store(
    source: Source, name: str, tfds_folder: Path, out: Path, report: Callable[[int, int], None]
) -> Manifest:
    """Prepare a data set by TFDS and write it as a store, image by image.

    Args:
        source: its row in the registry. name: what the manifest calls it.
        tfds_folder: where TFDS keeps the prepared records.
        out: folder that receives the store.
        report: called with (images written, images in all).
    """
    builder = source.builder(str(tfds_folder))
    builder.download_and_prepare()
    splits = {"train": source.train, "test": source.test}
    counts = {split: builder.info.splits[wanted].num_examples for split, wanted in splits.items()}
    shape = tuple(builder.info.features["image"].shape)
    done = 0
    for split, wanted in splits.items():
        stored = (counts[split], *shape)
        images = np.lib.format.open_memmap(out / f"{split}.npy", "w+", np.uint8, stored)
        labels = np.lib.format.open_memmap(out / f"{split}_labels.npy", "w+", np.int64, stored[:1])
        for index, example in enumerate(tfds.as_numpy(builder.as_dataset(split=wanted))):
            images[index], labels[index] = example["image"], example["label"]
            if (done + index) % 1000 == 0:
                report(done + index, sum(counts.values()))
        done += counts[split]
        images.flush(), labels.flush()
    manifest = Manifest(
        dataset=name,
        version=str(builder.version),
        shape=shape,
        dtype="uint8",
        levels=source.levels,
        classes=list(builder.info.features["label"].names),
        counts=counts,
        sha256={path.name: sha256_of(path) for path in sorted(out.glob("*.npy"))},
        licence=source.licence,
    )
    (out / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    return manifest


def training_batches(images: np.ndarray, batch_size: int, seed: int, first_step: int = 0) -> tf.data.Dataset:
    """An endless stream of shuffled batches, uint8 [batch, H, W, C].

    Every pass is a new permutation that follows from (seed, pass); batches run across the end of a pass, so each
    image comes once a pass. Starting at `first_step` gives what an uninterrupted stream gives from there.
    """
    spec = tf.TensorSpec([batch_size, *images.shape[1:]], tf.uint8)

    def stream() -> Iterator[np.ndarray]:
        for chosen in _index_batches(len(images), batch_size, seed, first_step):
            yield images[np.sort(chosen)]  # in the order of the file

    batches = tf.data.Dataset.from_generator(stream, output_signature=spec)
    return batches.prefetch(4)


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
