"""Features of a set of images, kept on disk: written batch by batch or put together from parts, read block by block.

A folder: `features.npy` float32 [n, d], `logits.npy` float32 [n, classes] where the extractor classifies,
`moments.npz`, and last `features.json`, with the extractor's identity, n and the sha256 of the images: without it the
set is unfinished. What is read is mapped, not loaded, so that memory does not grow with the number of images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Optional

import numpy as np
import numpy.typing as npt

from ebm_tf.datasets.image_sets import ImageSet
from ebm_tf.errors import EBMError, MissingInput
from ebm_tf.evaluation.distances import FrechetTo
from ebm_tf.evaluation.extractors.base import FeatureExtractor, Identity
from ebm_tf.evaluation.growing_features import GrowingFeatures, ImagesDigest, write_json
from ebm_tf.evaluation.statistics import Moments, block_length
from ebm_tf.files import UNREADABLE, inside

Report = Callable[[int, int], None]
"""Is told the images done and those in all."""

BLOCK = 250
"""Images that are read, and held, at a time where nothing is made of them but their sha256."""
ANEW = "measure them anew with --force MeasureShard"
CARD = "features.json"
FEATURES, LOGITS, MOMENTS = "features.npy", "logits.npy", "moments.npz"


@dataclass(frozen=True)
class FeatureSet:
    """A finished set of features.

    Attributes:
        identity: of the extractor.
        features: float32 [n, d], mapped from the file.
        logits: float32 [n, classes], mapped; None of an extractor that does not classify.
        moments: mean and scatter of all n.
        images_sha256: of the shape of an image, and the bytes of all images in their order (`ImagesDigest`).
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
            MissingInput: it holds none, an unfinished or damaged one, or links that lead out of it.
        """
        try:
            card = json.loads(inside(folder, CARD).read_text(encoding="utf-8"))
            identity = Identity(**card["extractor"])
            count = int(card["images"])
            features = _mapped(inside(folder, FEATURES), (count, identity.features))
            logits = None
            if identity.classes is not None:
                logits = _mapped(inside(folder, LOGITS), (count, identity.classes))
            moments = Moments.load(inside(folder, MOMENTS))
            if (moments.count, moments.dim) != features.shape:
                raise ValueError(
                    f"{MOMENTS} is of {moments.count} vectors of {moments.dim}, {FEATURES} holds {features.shape}"
                )
            return cls(identity, features, logits, moments, str(card["images_sha256"]))
        except (*UNREADABLE, KeyError, TypeError) as error:
            raise MissingInput(f"no finished features in {folder}: {error}") from error

    def __len__(self) -> int:
        return len(self.features)

    @cached_property
    def gaussian(self) -> FrechetTo:
        """For distances to this set; the square root of its covariance is taken once."""
        return FrechetTo(self.moments)

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

    What an earlier call did with other images, or another extractor, is thrown away.

    Args:
        images: at least one, of a shape that the extractor takes.
        folder: made if it is not there; holds the set afterwards.
        batch_size: images at a time.

    Raises:
        EBMError: a feature is not finite.
    """
    count = len(images)
    growing, digest, seen = _growing(folder, extractor.identity, count), ImagesDigest(images.shape[1:]), 0
    if not growing.done:
        report(0, count)
    for batch in images.batches(batch_size):
        old = min(len(batch), growing.done - seen)
        seen += old
        images_sha256 = digest.add(batch[:old])
        if old and seen == growing.done:
            if images_sha256 != growing.images_sha256:
                growing.start_over()
                return extract(extractor, images, folder, batch_size, report)
            report(seen, count)
        new = batch[old:]
        if len(new):
            growing.append(_rows(extractor, new, seen), digest.add(new))
            seen += len(new)
            report(seen, count)
    features = np.load(folder / FEATURES, mmap_mode="r", allow_pickle=False)
    return _finished(growing, Moments.of(features))


def merge(parts: Sequence[FeatureSet], images: ImageSet, folder: Path) -> FeatureSet:
    """The features of images that were measured in parts, each of the images that follow those of the part before.

    Features and logits are those of the parts; the moments are the parts' merged (Chan, Golub, LeVeque 1979), which
    differ from those of one pass by no more than rounding in float64.

    Args:
        parts: at least one. images: all that they are of, which are read once to compare their sha256.
        folder: made, or emptied; holds the set afterwards.

    Raises:
        MissingInput: the parts are of several extractors, or of other images, or not of all of them.
    """
    identity, count = parts[0].identity, sum(map(len, parts))
    if any(part.identity != identity for part in parts) or count != len(images):
        raise MissingInput(
            f"the parts have features of {count} images by {_extractors(parts)}, and {images.name} are "
            f"{len(images)}; {ANEW}"
        )
    growing, digest = _growing(folder, identity, count), ImagesDigest(images.shape[1:])
    moments = Moments.empty(identity.features)
    growing.start_over()
    for part, own in zip(parts, _digests(images, [len(part) for part in parts])):
        if own.hexdigest() != part.images_sha256:
            raise MissingInput(
                f"features {growing.done} to {growing.done + len(part) - 1} are of other images than {images.name} "
                f"has there; {ANEW}"
            )
        images_sha256, length = digest.merge(own), block_length(identity.features)
        for first in range(0, len(part), length):
            growing.append(_some(part, slice(first, first + length)), images_sha256)
        moments = moments.merge(part.moments)
    return _finished(growing, moments)


def _growing(folder: Path, identity: Identity, count: int) -> GrowingFeatures:
    widths = {FEATURES: identity.features}
    if identity.classes is not None:
        widths[LOGITS] = identity.classes
    return GrowingFeatures(folder, widths, {"extractor": identity.as_json(), "images": count})


def _digests(images: ImageSet, lengths: Sequence[int]) -> Iterator[ImagesDigest]:
    """Of the first so many images, of the next so many, and so on."""
    batches = images.batches(BLOCK)
    batch = next(batches)
    for length in lengths:
        digest, left = ImagesDigest(images.shape[1:]), length
        while left:
            batch = batch if len(batch) else next(batches)
            digest.add(batch[:left])
            left, batch = left - len(batch[:left]), batch[left:]
        yield digest


def _some(part: FeatureSet, rows: slice) -> dict[str, npt.NDArray[np.float32]]:
    """Rows of a set, by the names of its files."""
    logits = {} if part.logits is None else {LOGITS: part.logits[rows]}
    return {FEATURES: part.features[rows], **logits}


def _extractors(parts: Sequence[FeatureSet]) -> str:
    """The extractors of some sets, in words."""
    found = dict.fromkeys(f"{part.identity.name} (sha256 {part.identity.sha256[:12]})" for part in parts)
    return " and ".join(found)


def _mapped(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Of a file; ValueError where it holds something else."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape or array.dtype != np.float32:
        raise ValueError(f"{path.name} holds {array.dtype} of shape {array.shape}, not float32 of {shape}")
    return array


def _rows(
    extractor: FeatureExtractor, images: npt.NDArray[np.uint8], first: int
) -> dict[str, npt.NDArray[np.float32]]:
    """What is appended of these images, of which the first has that number."""
    found = extractor(images)
    parts = {FEATURES: found.features}
    if extractor.identity.classes is not None:
        assert found.logits is not None  # an extractor that names its classes gives logits
        parts[LOGITS] = found.logits
    return {name: _finite(part, extractor.identity.name, first) for name, part in parts.items()}


def _finite(part: npt.NDArray[np.float32], extractor: str, first: int) -> npt.NDArray[np.float32]:
    bad = ~np.isfinite(part).all(axis=1)
    if bad.any():
        raise EBMError(
            f"the extractor {extractor} gives NaN or infinity for {int(bad.sum())} of {len(part)} images, the first "
            f"of them number {first + int(np.argmax(bad))} (from 0); use another extractor, or leave these images out"
        )
    return part


def _finished(growing: GrowingFeatures, moments: Moments) -> FeatureSet:
    moments.save(growing.folder / MOMENTS)
    write_json(growing.folder / CARD, {**growing.begun, "images_sha256": growing.images_sha256})
    return FeatureSet.open(growing.folder)
