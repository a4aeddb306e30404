"""What an experiment's settings tell of its images before any were prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ebm_tf.config import Dataset, Model
from ebm_tf.datasets.registry import classes_of, image_shape_of


class Images(NamedTuple):
    """Height, width, channels; number of classes, 0 without labels."""

    shape: tuple[int, int, int]
    classes: int


def images_of(dataset: Mapping[str, Any]) -> Optional[Images]:
    """Of a dataset section; None where only files could tell that are not there.

    Raises:
        ConfigError, MissingInput: the section or its files will not do.
    """
    section = Dataset(**dataset)
    classes = classes_of(section)
    return None if classes is None else Images(image_shape_of(section), classes)


def labels_known(experiment: Mapping[str, Any], images: Images) -> int:
    """How many labels the experiment's energy model takes."""
    return images.classes if Model(**experiment["model"]).conditional else 0
