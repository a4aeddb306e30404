"""Pictures: grids of images, film strips, neighbours, curves. One style for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

MARGIN, PAPER = 4, 96  # pixels; a grey that neither strokes nor backgrounds have much of
TITLE_SIZE = 13  # pixels


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


def title_font() -> ImageFont.FreeTypeFont:
    """What `save_rows` writes titles in."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), TITLE_SIZE)


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
        distances: [q, k], in pixels of 0..1 (L2). captions: further words per neighbour.
    """
    rows, columns = distances.shape
    figure, axes = plt.subplots(
        rows, columns + 1, figsize=(1.15 * (columns + 1), 1.45 * rows), squeeze=False, layout="constrained"
    )
    for row in range(rows):
        _show(axes[row, 0], queries[row], "sample")
        for column in range(columns):
            words = f"{distances[row, column]:.2f}\n{captions[row][column]}"
            _show(axes[row, column + 1], neighbours[row, column], words)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def save_curves(
    columns: Mapping[str, np.ndarray], panels: Mapping[str, Sequence[str]], path: Path, x: str = "step"
) -> None:
    """Curves over training, a panel per entry of `panels` (title to column names)."""
    rows = -(-len(panels) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(10, 2.6 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (title, names) in zip(axes.flat, panels.items()):
        for name in names:
            axis.plot(columns[x], columns[name], label=name.replace("_", " "), linewidth=1.2)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend(fontsize=8)
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
    figure.savefig(path, dpi=110)
    plt.close(figure)


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
    figure.savefig(path, dpi=110)
    plt.close(figure)


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


def _scale(images: np.ndarray) -> int:
    """Pixels per pixel that make images [n, H, W, C] about 48 wide."""
    return max(1, round(48 / images.shape[2]))


def _enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return colour.repeat(scale, axis=0).repeat(scale, axis=1)


def _show(axis: plt.Axes, image: np.ndarray, words: str) -> None:
    axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_xlabel(words, fontsize=7)
    axis.set_xticks([])
    axis.set_yticks([])
