"""The images that an extractor takes: checked at its door, and grey ones made colour where the network wants that."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.extractors.base import ImageShape

Images = npt.NDArray[np.uint8]
GREY, COLOUR = 1, 3


def checked_images(images: npt.NDArray[Any], image_shape: Optional[ImageShape] = None) -> Images:
    """The images, if they are uint8 [n, H, W, C], n >= 1, of `image_shape`; where it is None, C is 1 or 3.

    Raises:
        ValueError: they are something else. Floats above all: their range would be a guess.
    """
    wanted = "x".join(map(str, image_shape)) if image_shape else "HxWx1 or HxWx3"
    fits = images.ndim == 4 and images.size > 0 and images.dtype == np.uint8
    if fits:
        fits = images.shape[1:] == image_shape if image_shape else images.shape[-1] in (GREY, COLOUR)
    if not fits:
        raise ValueError(
            f"images must be uint8 of shape [n, H, W, C], n >= 1, {wanted} each. "
            f"Received: shape {images.shape}, dtype {images.dtype}"
        )
    return images


def in_colour(images: npt.NDArray[Any]) -> Images:
    """uint8 [n, H, W, 3] of grey or colour images; grey ones have their one channel three times.

    Raises:
        ValueError: as `checked_images`.
    """
    images = checked_images(images)
    return np.repeat(images, COLOUR, axis=-1) if images.shape[-1] == GREY else images
