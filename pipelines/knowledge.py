"""What an experiment's settings tell of its images before any were prepared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Optional

from ebm_tf.config import Dataset, Model
from ebm_tf.datasets.registry import classes_of, image_shape_of


class Images(NamedTuple):
    """Height, width, channels; number of classes, 0 without labels."""

    shape: tuple[int, int, int]
    classes: int


def images_of(dataset: Mapping[str, Any]) -> Optional[Images]:
    """Of a dataset section; None where only files could tell that are not there.

    A user's folder may hold many files, and every task asks: it is looked at once.

    Raises:
        ConfigError, MissingInput: the section or its files will not do.
    """
    return _images_of(Dataset(**dataset))


@lru_cache(maxsize=64)
def _images_of(section: Dataset) -> Optional[Images]:
    classes = classes_of(section)
    return None if classes is None else Images(image_shape_of(section), classes)


def as_the_own(dataset: Mapping[str, Any], own: Optional[Images]) -> dict[str, Any]:
    """Another dataset section, brought to the size and colour of the experiment's images where it names none."""
    if own is None:
        return dict(dataset)
    height, width, channels = own.shape
    size = dataset["size"] or (height if height == width else None)
    native = dataset["colour"] == "native"
    colour = ("grey" if channels == 1 else "rgb") if native else dataset["colour"]
    return {**dataset, "size": size, "colour": colour}


def labels_known(experiment: Mapping[str, Any], images: Images) -> int:
    """How many labels the experiment's energy model takes."""
    return images.classes if Model(**experiment["model"]).conditional else 0
