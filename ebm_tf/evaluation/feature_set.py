"""Features of a set of images, kept on disk: written batch by batch, read block by block.

A folder: `features.npy` float32 [n, d], `logits.npy` float32 [n, classes] where the extractor classifies,
`moments.npz`, and last `features.json`, with the extractor's identity, n and the sha256 of the images: without it the
set is unfinished. What is read is mapped, not loaded, so that memory does not grow with the number of images.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from ebm_tf.datasets.image_sets import ImageSet
from ebm_tf.errors import EBMError, MissingInput
from ebm_tf.evaluation.extractors.base import FeatureExtractor, Identity
from ebm_tf.evaluation.statistics import Moments

Report = Callable[[int, int], None]
"""Is told the images done and those in all."""

CARD, BEGUN = "features.json", "begun.json"
FEATURES, LOGITS, MOMENTS = "features.npy", "logits.npy", "moments.npz"
FLOAT = "<f4"


@dataclass(frozen=True)
class FeatureSet:
    """A finished set of features.

    Attributes:
        identity: of the extractor.
        features: float32 [n, d], mapped from the file.
        logits: float32 [n, classes], mapped; None of an extractor that does not classify.
        moments: mean and scatter of all n.
        images_sha256: of the bytes of all images, in their order.
    """

    identity: Identity
    features: npt.NDArray[np.float32]
    logits: Optional[npt.NDArray[np.float32]]
    moments: Moments
    images_sha256: str

    @classmethod
    def open(cls, folder: Path) -> FeatureSet:
        """The set that a folder holds.

        Raises:
            MissingInput: it holds none, or an unfinished or damaged one.
        """
        try:
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            identity = Identity(**card["extractor"])
            features = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
            logits = None
            if identity.classes is not None:
                logits = np.load(folder / LOGITS, mmap_mode="r", allow_pickle=False)
            moments = Moments.load(folder / MOMENTS)
            return cls(identity, features, logits, moments, card["images_sha256"])
        except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
            raise MissingInput(f"no finished features in {folder}: {error}") from error

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def predicted(self) -> Optional[npt.NDArray[np.int64]]:
        """The class that each image is taken for, int64 [n]; None of an extractor that does not classify."""
        return None if self.logits is None else np.argmax(self.logits, axis=1).astype(np.int64)


def extract(
    extractor: FeatureExtractor,
    images: ImageSet,
    folder: Path,
    batch_size: int,
    report: Report = lambda done, total: None,
) -> FeatureSet:
    """Features of all images, in their order; goes on where an earlier call was cut off.

    Args:
        images: at least one, of a shape that the extractor takes.
        folder: made if it is not there; holds the set afterwards.
        batch_size: images at a time.

    Raises:
        EBMError: a feature is not finite.
    """
    identity, count = extractor.identity, len(images)
    begun = {"extractor": identity.as_json(), "images": count}
    done = _take_up(folder, begun)
    columns = {FEATURES: identity.features}
    if identity.classes is not None:
        columns[LOGITS] = identity.classes
    files = {name: GrowingArray(folder / name, (count, width)) for name, width in columns.items()}
    done = min(done, *(file.rows() for file in files.values()))
    for file in files.values():
        file.cut(done)
    report(done, count)
    digest, seen = hashlib.sha256(), 0
    for batch in images.batches(batch_size):
        digest.update(np.ascontiguousarray(batch).tobytes())
        seen += len(batch)
        if seen <= done:
            continue
        new = batch[done - seen :]
        found = extractor(new)
        for file, part in zip(files.values(), (found.features, found.logits)):
            assert part is not None  # an extractor that names its classes gives logits
            file.append(_finite(part, identity.name, done))
        done = seen
        report(done, count)
    _finish(folder, {**begun, "images_sha256": digest.hexdigest()})
    return FeatureSet.open(folder)


class GrowingArray:
    """An .npy file of a known number of rows that is written bit by bit; NumPy opens none that lacks rows."""

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape
        self.row_bytes = shape[1] * np.dtype(FLOAT).itemsize
        if not path.exists():
            with path.open("wb") as file:
                header = {"descr": FLOAT, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            self.head_bytes = file.tell()

    def rows(self) -> int:
        """Whole rows that are there."""
        return (self.path.stat().st_size - self.head_bytes) // self.row_bytes

    def cut(self, rows: int) -> None:
        """Forget what is beyond so many rows."""
        os.truncate(self.path, self.head_bytes + rows * self.row_bytes)

    def append(self, rows: npt.NDArray[np.float32]) -> None:
        """Rows [n, d] at the end."""
        if rows.shape[1:] != self.shape[1:]:
            raise EBMError(
                f"{self.path.name} takes rows of {self.shape[1]} numbers. Received: shape {rows.shape}"
            )
        with self.path.open("ab") as file:
            file.write(np.ascontiguousarray(rows, FLOAT).tobytes())


def _take_up(folder: Path, begun: dict[str, Any]) -> int:
    """The most images that can have been done before: none, if the folder is of other images or features."""
    try:
        if json.loads((folder / BEGUN).read_text(encoding="utf-8")) == begun:
            return int(begun["images"])
    except (OSError, ValueError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / BEGUN).write_text(json.dumps(begun), encoding="utf-8")
    return int(begun["images"])


def _finite(part: npt.NDArray[np.float32], extractor: str, first: int) -> npt.NDArray[np.float32]:
    bad = ~np.isfinite(part).all(axis=1)
    if bad.any():
        raise EBMError(
            f"the extractor {extractor} gives NaN or infinity for {int(bad.sum())} of {len(part)} images, the first "
            f"of them number {first + int(np.argmax(bad))} (from 0); use another extractor, or leave these images out"
        )
    return part


def _finish(folder: Path, card: dict[str, Any]) -> None:
    features = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
    Moments.of(features).save(folder / MOMENTS)
    unfinished = folder / f"{CARD}.unfinished"
    unfinished.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(folder / CARD)
