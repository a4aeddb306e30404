"""What a short training reads: random images like digits, of one class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.stores import write_store

SPLITS = ("train", "test")


def images_like_digits_in(folder: Path) -> Path:
    """A store of 90 images of 8x8 in 17 greys, the same in both splits."""
    images = (np.random.default_rng(0).integers(0, 17, (90, 8, 8, 1)) * 15).astype(np.uint8)
    labels = np.zeros(90, np.int64)
    return write_store(folder, dict.fromkeys(SPLITS, images), dict.fromkeys(SPLITS, labels))
