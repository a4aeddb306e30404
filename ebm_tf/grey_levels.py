"""Grey levels: a data set of L levels holds them spread over 0..255, and training sees (level + u) / L, u ~ U(0, 1).

Scans of the digits have 17 levels, most images 256. `replay.dequantise` adds the u, by a seed and in TensorFlow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]


def to_levels(images: Images, levels: int) -> Images:
    """The nearest grey level, 0..levels-1, of uint8 pixels spread over 0..255."""
    return _nearest_level(levels)[images]


def from_levels(level: Images, levels: int) -> Images:
    """Grey levels spread over 0..255, as the stores hold them."""
    return np.round(np.arange(levels) * (255 / (levels - 1))).astype(np.uint8)[level]


def at_mid_level(images: Images, levels: int) -> npt.NDArray[np.float32]:
    """Pixels in 0..1 as the model knows them, without chance: (level + 1/2) / levels.

    Training adds U(0, 1) to the level. Here every set gets the mean of that, so that none differs by how it was
    dequantised; and images of another data set are brought to the same levels first, or else a model of 17 greys
    could tell them by the greys in between.
    """
    return ((_nearest_level(levels) + 0.5) / levels).astype(np.float32)[images]


def to_uint8(images: np.ndarray, levels: int) -> Images:
    """Images in [0, 1] to the data set's own grey levels, spread over 0..255: undoes the dequantisation.

    Real images are seen in training as (level + u) / levels; the level is got back by rounding down.
    """
    level = np.clip(np.floor(images * levels), 0, levels - 1)
    return from_levels(level.astype(np.uint8), levels)


def _nearest_level(levels: int) -> Images:
    """The level of each of the 256 pixel values; a table, since images are many and values few."""
    return np.rint(np.arange(256) * ((levels - 1) / 255)).astype(np.uint8)
