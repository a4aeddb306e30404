"""One picture of a data set: a row for each class, with its name; without classes, the first images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ImageFont

from ebm_tf.figures import save_grid, save_rows, title_font

ROWS, COLUMNS, FIRST = 20, 12, 20_000
"""Classes and images of each that are shown, sought among so many first images."""
UNLABELLED, CAPTION = 64, 130
"""Images shown without classes; greatest width in pixels of a class's name."""


def save_contact_sheet(images: np.ndarray, labels: np.ndarray, classes: list[str], path: Path) -> None:
    """Save a PNG of some images.

    Args:
        images: uint8 [n, H, W, 1 or 3], a mapped file perhaps: only those shown are read.
        labels: integers [n], numbers of classes.
        classes: their names; empty for images without labels.
    """
    columns = COLUMNS if images.shape[2] <= 64 else 8
    if not classes:
        save_grid(np.asarray(images[:UNLABELLED]), path, columns=columns)
        return
    first = np.asarray(labels[:FIRST])
    rows = [images[np.flatnonzero(first == number)[:columns]] for number in range(len(classes[:ROWS]))]
    save_rows(rows, path, [_fitting(name, title_font()) for name in classes[:ROWS]])


def _fitting(name: str, font: ImageFont.FreeTypeFont) -> str:
    if font.getlength(name) <= CAPTION:
        return name
    while font.getlength(name + "...") > CAPTION:
        name = name[:-1]
    return name + "..."
