"""One row per data set: how it is built or fetched through TFDS, and what its images are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import tensorflow_datasets as tfds

from ebm_tf.datasets import digits
from ebm_tf.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        builder: TFDS builder for a data folder.
        levels: different pixel values, evenly spaced over 0..255.
        train, test: TFDS splits.
        licence: of the data, for the model card.
    """

    builder: Callable[[str], tfds.core.DatasetBuilder]
    levels: int
    train: str
    test: str
    licence: str


SOURCES: dict[str, Source] = {
    "digits": Source(
        lambda folder: digits.Digits(data_dir=folder),
        digits.LEVELS,
        "train",
        "test",
        "CC BY 4.0 (UCI, doi 10.24432/C50P49)",
    ),
}


def source(name: str) -> Source:
    """The row of a data set.

    Raises:
        ConfigError: no data set has this name.
    """
    if name not in SOURCES:
        raise ConfigError(f"no data set {name!r}; there are: {', '.join(SOURCES)}")
    return SOURCES[name]
