"""One picture of a data set: a row for each class, with its name; without classes, the first images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ebm_tf.figures import MARGIN, PAPER, save_grid

ROWS, COLUMNS, FIRST = 20, 12, 20_000
"""Classes and images of each that are shown, sought among so many first images."""
UNLABELLED, CAPTION, LETTER = 64, 130, 13
"""Images shown without classes; greatest width in pixels of a class's name, and height of its letters."""


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
    rows = {name: np.flatnonzero(first == number)[:columns] for number, name in enumerate(classes[:ROWS])}
    blank = np.full(images.shape[1:], PAPER, np.uint8)
    shown = [
        images[chosen[i]] if i < len(chosen) else blank for chosen in rows.values() for i in range(columns)
    ]
    save_grid(np.stack(shown), path, columns=columns)
    _name_rows(path, list(rows))


def _name_rows(path: Path, names: list[str]) -> None:
    """Put a margin with the names at the left of a grid of as many rows."""
    font = ImageFont.load_default(LETTER)
    names = [_fitting(name, font) for name in names]
    margin = 4 * MARGIN + round(max(map(font.getlength, names)))
    with Image.open(path) as grid:
        sheet = Image.new("RGB", (margin + grid.width, grid.height), (PAPER,) * 3)
        sheet.paste(grid, (margin, 0))
    pen = ImageDraw.Draw(sheet)
    high = (sheet.height - MARGIN) / len(names)
    for row, name in enumerate(names):
        middle = MARGIN / 2 + (row + 0.5) * high
        pen.text((2 * MARGIN, middle), name, fill="white", font=font, anchor="lm")
    sheet.save(path)


def _fitting(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(name) <= CAPTION:
        return name
    while font.getlength(name + "...") > CAPTION:
        name = name[:-1]
    return name + "..."
