"""TFDS records of the published sets, written without network: their real builders, fed with random smooth images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

VARIED = [(300, 256), (256, 341), (128, 129), (150, 400)]
"""Sizes for sets whose images differ in size."""
ONE_SPLIT, VALIDATION = {"celeb_a_hq/128"}, {"imagenet_resized/32x32", "lsun/bedroom"}
PUBLISHED = (
    "mnist", "fashion_mnist", "cifar10", "cifar100", "svhn_cropped", "dtd", "imagenet_resized/32x32",
    "celeb_a_hq/128", "lsun/bedroom",
)  # fmt: skip


def prepare(name: str, data_dir: Path, count: int = 12, test_count: int = 6) -> dict[str, list[dict]]:
    """Write a data set of so many images into a TFDS data folder; returns what was written, by TFDS split."""
    builder = tfds.builder(name, data_dir=str(data_dir))
    counts = {"train": count}
    if name not in ONE_SPLIT:
        counts["validation" if name in VALIDATION else "test"] = test_count
    random = np.random.default_rng(0)
    examples = {
        split: [example(builder.info.features, index, random) for index in range(number)]
        for split, number in counts.items()
    }
    builder._split_generators = lambda dl_manager: {
        split: iter(list(enumerate(many))) for split, many in examples.items()
    }
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return examples


def example(features: tfds.features.FeaturesDict, index: int, random: np.random.Generator) -> dict:
    """One example that fits the features: a random image, label index modulo the classes, the index as text."""
    values: dict = {}
    for key, feature in features.items():
        if isinstance(feature, tfds.features.Image):
            height, width, channels = feature.shape
            if height is None:
                height, width = VARIED[index % len(VARIED)]
            values[key] = smooth_image(height, width, channels, random)
        elif isinstance(feature, tfds.features.ClassLabel):
            values[key] = index % feature.num_classes
        else:
            values[key] = str(index)
    return values


def smooth_image(height: int, width: int, channels: int, random: np.random.Generator) -> np.ndarray:
    """Random colours that flow into one another, which JPEG keeps almost as they are."""
    colours = random.integers(0, 256, (channels, 4, 4), np.uint8)
    planes = [Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC) for plane in colours]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)
