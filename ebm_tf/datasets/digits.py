"""The embedded data set: scikit-learn's copy of the UCI optical recognition of handwritten digits, as TFDS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

TEST_IMAGES = 500
LEVELS = 17  # the scans hold 0 to 16
STROKES = ("thin", "medium", "thick")


class Digits(tfds.core.GeneratorBasedBuilder):
    """1797 grey 8x8 scans of handwritten digits with their labels; needs no download."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "Fixed stratified split, 1297 to train and 500 to test."
    }
    CLASSES: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1)),
                    "label": tfds.features.ClassLabel(names=list(self.CLASSES)),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            citation="@misc{alpaydin1998optical, title={Optical Recognition of Handwritten Digits}, "
            "author={Alpaydin, E. and Kaynak, C.}, year={1998}, publisher={UCI}, doi={10.24432/C50P49}}",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        from sklearn.datasets import load_digits

        scans = load_digits()
        images = np.round(scans.images * (255 / (LEVELS - 1))).astype(np.uint8)[..., None]
        test = _stratified(scans.target, TEST_IMAGES)
        train = np.setdiff1d(np.arange(len(images)), test)
        labels = self._labels(scans, train)
        return {
            name: self._generate_examples(images, labels, chosen)
            for name, chosen in (("train", train), ("test", test))
        }

    def _labels(self, scans: Any, train: np.ndarray) -> np.ndarray:
        return scans.target

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, chosen: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in chosen.tolist():
            yield index, {"image": images[index], "label": int(labels[index])}


class DigitsStroke(Digits):
    """The same scans in the same split, labelled by how much ink they have.

    The two bounds are the tertiles of total ink over the training images, so that a model of these labels can be
    put together with one of the digits' own (ComposeModels).
    """

    CLASSES = STROKES

    def _labels(self, scans: Any, train: np.ndarray) -> np.ndarray:
        ink = scans.images.sum(axis=(1, 2))
        return np.searchsorted(np.quantile(ink[train], [1 / 3, 2 / 3]), ink)


def _stratified(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` images, each class by its share (largest remainders first); the same for ever."""
    random = np.random.RandomState(0)  # its stream is frozen, unlike a Generator's
    classes, sizes = np.unique(labels, return_counts=True)
    exact = sizes * (count / len(labels))
    quota = np.floor(exact).astype(int)
    quota[np.argsort(quota - exact, kind="stable")[: count - quota.sum()]] += 1
    chosen = [random.permutation(np.flatnonzero(labels == c))[:n] for c, n in zip(classes, quota)]
    return np.sort(np.concatenate(chosen))
