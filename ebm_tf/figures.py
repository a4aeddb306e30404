"""Pictures: grids of images, film strips, neighbours, curves. One style for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

MARGIN, PAPER = 4, 96  # pixels; a grey that neither strokes nor backgrounds have much of
TITLE_SIZE, CAPTION_SIZE = 13, 11  # pixels
CAPTIONED_WIDTH = 96  # pixels of an image with words under it, about


def save_grid(images: np.ndarray, path: Path, columns: int, scale: int | None = None) -> None:
    """Images side by side as a PNG, enlarged without smoothing.

    Args:
        images: uint8 [n, H, W, 1 or 3].
        columns: images per row.
        scale: pixels per pixel; by default such that an image is about 48 wide.
    """
    rows = [images[first : first + columns] for first in range(0, len(images), columns)]
    Image.fromarray(_sheet(rows, columns, scale or _scale(images))).save(path)


def save_rows(
    rows: Sequence[np.ndarray], path: Path, titles: Sequence[str], scale: int | None = None
) -> None:
    """Groups of images as a PNG: a row for each, with its title at the left.

    Args:
        rows: uint8 [n, H, W, 1 or 3] each; they may differ in n.
        titles: one per row, in one line.
        scale: as of `save_grid`.
    """
    sheet = Image.fromarray(_sheet(rows, max(map(len, rows)), scale or _scale(rows[0])))
    font = title_font()
    left = max(round(font.getlength(title)) for title in titles) + 2 * MARGIN
    page = Image.new("RGB", (left + sheet.width, sheet.height), (PAPER,) * 3)
    page.paste(sheet, (left, 0))
    pen, pitch = ImageDraw.Draw(page), (sheet.height - MARGIN) / len(rows)
    for index, title in enumerate(titles):
        middle = (left - MARGIN, MARGIN / 2 + (index + 0.5) * pitch)
        pen.text(middle, title, fill="white", font=font, anchor="rm")
    page.save(path)


def spread_over(images: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the images [n, H, W, C], n >= 1, evenly from all over them."""
    return np.asarray(images[np.unique(np.linspace(0, len(images) - 1, count).astype(int))])


def title_font(size: int = TITLE_SIZE) -> ImageFont.FreeTypeFont:
    """What `save_rows` writes titles in."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def save_film(strip: np.ndarray, path: Path) -> None:
    """Chains on their way, one row each, from their start at the left: uint8 [frames, n, H, W, C]."""
    frames, chains = strip.shape[:2]
    by_chain = strip.swapaxes(0, 1).reshape(frames * chains, *strip.shape[2:])
    save_grid(by_chain, path, columns=frames)


def save_neighbours(
    queries: np.ndarray,
    neighbours: np.ndarray,
    distances: np.ndarray,
    captions: Sequence[Sequence[str]],
    path: Path,
) -> None:
    """Each query at the left, its neighbours at its right with their distances under them (S figure 2).

    Args:
        queries: uint8 [q, H, W, C]. neighbours: uint8 [q, k, H, W, C].
        distances: [q, k], under each neighbour. captions: further words per neighbour, of a few lines.
    """
    scale = _scale(queries, CAPTIONED_WIDTH)
    tiles = [[_enlarged(image, scale) for image in (query, *row)] for query, row in zip(queries, neighbours)]
    words = [
        ["sample", *(f"{distance:.2f}\n{caption}" for distance, caption in zip(*row))]
        for row in zip(distances, captions)
    ]
    _captioned(tiles, words).save(path)


def save_pairs(
    above: np.ndarray, below: np.ndarray, captions: Sequence[str], path: Path, columns: int = 10
) -> None:
    """Images in pairs, one above the other, with words under each pair.

    Args:
        above, below: uint8 [n, H, W, C] each, n >= 1.
        captions: one per pair, of a few lines.
        columns: pairs side by side, at most.
    """
    scale = _scale(above, CAPTIONED_WIDTH)
    pairs = [np.stack([_enlarged(image, scale) for image in pair]) for pair in zip(above, below)]
    padded = np.pad(np.array(pairs), [(0, 0), (0, 0), (0, MARGIN), (0, 0), (0, 0)], constant_values=255)
    tiles = padded.reshape(len(pairs), -1, *padded.shape[3:])[:, :-MARGIN]
    starts = range(0, len(pairs), columns)
    _captioned(
        [list(tiles[start : start + columns]) for start in starts],
        [captions[start : start + columns] for start in starts],
    ).save(path)


def save_curves(
    columns: Mapping[str, np.ndarray], panels: Mapping[str, Sequence[str]], path: Path, x: str = "step"
) -> None:
    """Curves over training, a panel per entry of `panels` (title to column names)."""
    figure, axes = panel_grid(len(panels), 2, (5.0, 2.6))
    for axis, (title, names) in zip(axes, panels.items()):
        for name in names:
            axis.plot(columns[x], columns[name], label=name.replace("_", " "), linewidth=1.2)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend(fontsize=8)
    save_and_close(figure, path)


def panel_grid(count: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    """A figure, and the axes of so many panels in rows of `columns`, each of a width and height in inches."""
    rows = -(-count // columns)
    whole = (size[0] * columns, size[1] * rows)
    figure, axes = plt.subplots(rows, columns, figsize=whole, squeeze=False, layout="constrained")
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    return figure, list(axes.flat[:count])


def save_and_close(figure: Any, path: Path) -> None:
    """Write a figure; it is of no use afterwards."""
    figure.savefig(path, dpi=110)
    plt.close(figure)


def save_bars(labels: Sequence[str], groups: Mapping[str, Sequence[float]], title: str, path: Path) -> None:
    """Grouped bars: for each of `labels`, one bar per group."""
    figure, axis = plt.subplots(figsize=(8, 2.8), layout="constrained")
    width = 0.8 / len(groups)
    for index, (name, values) in enumerate(groups.items()):
        axis.bar(np.arange(len(labels)) + index * width, values, width, label=name)
    axis.set_xticks(np.arange(len(labels)) + 0.4 - width / 2, labels)
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    save_and_close(figure, path)


def save_histograms(
    reference: tuple[str, np.ndarray], sets: Mapping[str, np.ndarray], x: str, path: Path
) -> None:
    """How numbers are spread: a panel per set, each over the reference in grey, on an axis of its own.

    An axis spans the middle 99% of the set and of the reference; what lies beyond counts in its outermost bins.

    Args:
        reference: title and values [n]. sets: titles to values [m], one set at least.
        x: what the values are.
    """
    title, values = reference
    figure, axes = plt.subplots(
        len(sets), 1, figsize=(8, 0.4 + 0.9 * len(sets)), squeeze=False, layout="constrained"
    )
    for axis, (name, others) in zip(axes.flat, sets.items()):
        edges = _bins([values, others])
        for label, shown, style in (
            (title, values, {"color": "0.75", "histtype": "stepfilled"}),
            (name, others, {"color": "C0", "histtype": "step", "linewidth": 1.4}),
        ):
            share = np.full(len(shown), 1 / len(shown))
            axis.hist(np.clip(shown, edges[0], edges[-1]), edges, weights=share, label=label, **style)
        axis.set_yticks([])
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1.1), frameon=False)
    axes[-1, 0].set_xlabel(x, fontsize=9)
    save_and_close(figure, path)


def _bins(sets: Sequence[np.ndarray], count: int = 80) -> np.ndarray:
    """Edges [count + 1] of bins over the middle 99% of every set."""
    ends = np.array([np.percentile(values, [0.5, 99.5]) for values in sets])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    return np.linspace(low, high if high > low else low + 1, count + 1)


def _sheet(rows: Sequence[np.ndarray], columns: int, scale: int) -> np.ndarray:
    """Rows of enlarged images on paper, at most `columns` in each: uint8 [height, width, 3]."""
    high, wide = scale * rows[0].shape[1], scale * rows[0].shape[2]
    size = (len(rows) * (high + MARGIN) + MARGIN, columns * (wide + MARGIN) + MARGIN, 3)
    sheet = np.full(size, PAPER, np.uint8)
    for row, images in enumerate(rows):
        top = MARGIN + row * (high + MARGIN)
        for column, image in enumerate(images):
            left = MARGIN + column * (wide + MARGIN)
            sheet[top : top + high, left : left + wide] = _enlarged(image, scale)
    return sheet


def _captioned(tiles: Sequence[Sequence[np.ndarray]], captions: Sequence[Sequence[str]]) -> Image.Image:
    """Tiles uint8 [h, w, 3] of one size in rows on white, each with its words under it."""
    font = title_font(CAPTION_SIZE)
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    boxes = [pen.multiline_textbbox((0, 0), words, font) for row in captions for words in row]
    high, wide = tiles[0][0].shape[:2]
    pitch = max(wide, *(math.ceil(box[2]) for box in boxes)) + 2 * MARGIN
    drop = high + max(math.ceil(box[3]) for box in boxes) + 4 * MARGIN
    page = Image.new("RGB", (pitch * max(map(len, tiles)), drop * len(tiles)), "white")
    pen = ImageDraw.Draw(page)
    for row, (images, texts) in enumerate(zip(tiles, captions)):
        for column, (image, words) in enumerate(zip(images, texts)):
            left, top = column * pitch, row * drop + MARGIN
            page.paste(Image.fromarray(image), (left + (pitch - wide) // 2, top))
            below = (left + pitch / 2, top + high + MARGIN)
            pen.multiline_text(below, words, fill="black", font=font, anchor="ma", align="center")
    return page


def _scale(images: np.ndarray, width: int = 48) -> int:
    """Pixels per pixel that make images [n, H, W, C] about so wide."""
    return max(1, round(width / images.shape[2]))


def _enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return colour.repeat(scale, axis=0).repeat(scale, axis=1)


def save_marked_curves(
    panels: Mapping[str, tuple[np.ndarray, np.ndarray]], mark: float | None, words: str, path: Path
) -> None:
    """Curves of different rates over one axis of steps, one below the other, with a step marked in all of them.

    Args:
        panels: title to steps [n] and values [n], each with an n of its own; values that are not finite are gaps.
            Positive values that span a factor of 20 or more have a logarithmic axis.
        mark: the step; None marks none. words: what it is.
    """
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(8, 1.9 * len(panels)), sharex=True, squeeze=False, layout="constrained"
    )
    for axis, (title, (steps, values)) in zip(axes.flat, panels.items()):
        style = {"marker": ".", "markersize": 5} if len(steps) <= 50 else {}
        axis.plot(steps, values, linewidth=1.2, **style)
        finite = values[np.isfinite(values)]
        if len(finite) and finite.max() >= 20 * finite.min() > 0:
            axis.set_yscale("log")
        if mark is not None:
            axis.axvline(mark, color="C3", linestyle="--", linewidth=1, label=f"step {mark:g}: {words}")
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    if mark is not None:
        axes[0, 0].legend(fontsize=8)
    axes[-1, 0].set_xlabel("step", fontsize=9)
    save_and_close(figure, path)
