"""A user's own images as TFDS, already brought to one size and colour, so that records stay small."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from ebm_tf.config import Dataset
from ebm_tf.datasets.folder_listing import held_out, list_folder
from ebm_tf.datasets.image_files import Unusable, read_image
from ebm_tf.datasets.shaping import shaped
from ebm_tf.errors import ConfigError, MissingInput

REPORT_EVERY, NAMED = 20, 3


class Folder(tfds.core.GeneratorBasedBuilder):
    """Images of a user's folder.

    Attributes:
        report: called with (files read, files in all).
        unusable: files that are no images, are damaged, or are smaller than a tile, with the reason.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Layout, split and colours as docs/datasets.md says."}

    def __init__(self, dataset: Dataset, shape: tuple[int, int, int], **options: Any) -> None:
        self.dataset, self.shape = dataset, shape
        self.listing = list_folder(Path(str(dataset.path)))
        self.report: Callable[[int, int], None] = lambda done, total: None
        self.unusable: dict[str, str] = {}
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {"image": tfds.features.Image(shape=self.shape)}
        if self.listing.classes:
            features["label"] = tfds.features.ClassLabel(names=list(self.listing.classes))
        return tfds.core.DatasetInfo(
            builder=self, description=self.__doc__, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        splits = dict(self.listing.splits)
        if "all" in splits:
            everything = splits.pop("all")
            try:
                sides = held_out(everything, self.dataset.test_share, self._is_usable)
            except MissingInput as error:
                raise MissingInput(f"{self.listing.folder}: {error}{self._summary()}") from error
            splits["train"], splits["test"] = sides
        done = {"train": 0, "test": len(splits["train"])}
        total = len(splits["train"]) + len(splits["test"])
        return {
            name: self._generate_examples(name, files, done[name], total) for name, files in splits.items()
        }

    def _generate_examples(
        self, split: str, files: list[str], done: int, total: int
    ) -> Iterator[tuple[bytes, dict[str, Any]]]:
        written = 0
        for number, name in enumerate(files):
            try:
                for index, image in enumerate(self._images(name)):
                    label = {"label": self.listing.labels[name]} if self.listing.classes else {}
                    yield os.fsencode(f"{name}#{index}"), {"image": image, **label}
                    written += 1
            except Unusable as reason:
                self.unusable[_printable(name)] = _printable(str(reason))
            if (done + number) % REPORT_EVERY == 0:
                self.report(done + number, total)
        if not written:
            raise MissingInput(f"{self.listing.folder} gives no {split} image{self._summary()}")

    def _summary(self) -> str:
        """The first few unusable files with the reason."""
        few = [f"{name} ({reason})" for name, reason in sorted(self.unusable.items())[:NAMED]]
        return f"; cannot be used: {', '.join(few)}" if few else ""

    def _images(self, name: str) -> Iterator[Any]:
        whole = read_image(self.listing.folder / name, self.shape[2])
        found = list(shaped(whole, self.dataset, self.shape[2]))
        if not found:
            raise Unusable(f"{whole.shape[0]}x{whole.shape[1]}, smaller than a tile")
        if found[0].shape != self.shape:
            raise ConfigError(
                f"images of {self.listing.folder} differ in size ({name}: {whole.shape[0]}x{whole.shape[1]}, others: "
                f"{self.shape[0]}x{self.shape[1]}); give dataset.size, such as 32"
            )
        yield from found

    def _is_usable(self, name: str) -> bool:
        try:
            return next(self._images(name), None) is not None
        except Unusable as reason:
            self.unusable[_printable(name)] = _printable(str(reason))
            return False


def _printable(text: str) -> str:
    """Names of files may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
