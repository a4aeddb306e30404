"""Images to one size and colour: central square, stretched whole or tiles; shrunk by area; grey or RGB."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from ebm_tf.config import Dataset
from ebm_tf.errors import MissingInput


def shaped(image: np.ndarray, dataset: Dataset, channels: int) -> Iterator[np.ndarray]:
    """The images that a dataset section makes of one: one image, or with tiles any number of them.

    Args:
        image: uint8 [H, W, 1 or 3].
        channels: 1 or 3.

    Yields:
        uint8 [h, w, channels]; [size, size, channels] where dataset.size is given.

    Raises:
        MissingInput: the image has another number of channels.
    """
    image = coloured(image, channels)
    if dataset.size is None:
        yield image
    elif dataset.crop == "tiles":
        yield from tiles(image, dataset.size)
    elif dataset.crop == "centre":
        yield resized(central_square(image), dataset.size)
    else:
        yield resized(image, dataset.size)


def coloured(image: np.ndarray, channels: int) -> np.ndarray:
    """Grey repeated to RGB, or RGB to grey by its luma (ITU-R BT.601): uint8 [H, W, channels].

    Raises:
        MissingInput: the image has neither one nor three channels.
    """
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise MissingInput(f"an image has the shape {list(image.shape)}; give [height, width, 1 or 3]")
    if image.shape[2] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=2)
    return np.asarray(Image.fromarray(image).convert("L"))[..., None]


def central_square(image: np.ndarray) -> np.ndarray:
    """The largest square around the middle; half a pixel to the top or left where it cannot be exact."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """The whole image at another size: uint8 [size, size, C], rounded once.

    A side that shrinks is averaged over the area that each pixel covers, parts of pixels included (Pillow's BOX
    takes whole ones only). Where a side grows, that would give blocks of unequal width: it is interpolated linearly.
    """
    height, width, channels = image.shape
    if (height, width) == (size, size):
        return image
    rows = _weights(height, size) @ image.reshape(height, -1).astype(np.float32)
    columns = _weights(width, size) @ rows.reshape(size, width, channels)
    return np.round(columns).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def _weights(length: int, size: int) -> np.ndarray:
    """How much each of `length` pixels takes part in each of `size`: float32 [size, length], rows add up to 1."""
    pixels = np.arange(length)
    if size <= length:
        edges = np.arange(size + 1) * (length / size)
        overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return (overlap.clip(0) * (size / length)).astype(np.float32)
    centres = ((np.arange(size) + 0.5) * (length / size) - 0.5).clip(0, length - 1)
    return (1 - np.abs(centres[:, None] - pixels)).clip(0).astype(np.float32)


def tiles(image: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Every whole square from the top left on, row by row: uint8 [size, size, C] each; none of a smaller image."""
    height, width = image.shape[:2]
    for top in range(0, height - size + 1, size):
        for left in range(0, width - size + 1, size):
            yield image[top : top + size, left : left + size]
