"""A folder of IDX files as TFDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from ebm_tf.datasets import idx_files

REPORT_EVERY = 1000


class Idx(tfds.core.GeneratorBasedBuilder):
    """Images of a folder of IDX files."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "Images and labels as the files have them."}

    def __init__(self, path: Path, **options: Any) -> None:
        self.files = idx_files.find_files(path)
        self.shape, self.classes = idx_files.image_shape(self.files), idx_files.class_count(self.files)
        self.report: Callable[[int, int], None] = lambda done, total: None
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {"image": tfds.features.Image(shape=self.shape)}
        if self.files.labels:
            features["label"] = tfds.features.ClassLabel(num_classes=self.classes)
        return tfds.core.DatasetInfo(
            builder=self, description=self.__doc__, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in self.files.images}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        counts = {name: idx_files.dimensions(path)[0] for name, path in self.files.images.items()}
        before = counts["train"] if split == "test" else 0
        labels = idx_files.read_labels(self.files.labels[split]) if self.files.labels else None
        for index, image in enumerate(idx_files.read_images(self.files.images[split])):
            yield index, {"image": image, **({} if labels is None else {"label": int(labels[index])})}
            if (before + index) % REPORT_EVERY == 0:
                self.report(before + index, sum(counts.values()))
