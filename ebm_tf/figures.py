"""Pictures: grids of images, film strips, neighbours, curves. One style for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

MARGIN, PAPER = 4, 96  # pixels; a grey that neither strokes nor backgrounds have much of


def save_grid(images: np.ndarray, path: Path, columns: int, scale: int | None = None) -> None:
    """Images side by side as a PNG, enlarged without smoothing.

    Args:
        images: uint8 [n, H, W, 1 or 3].
        columns: images per row.
        scale: pixels per pixel; by default such that an image is about 48 wide.
    """
    scale = scale or max(1, round(48 / images.shape[2]))
    tiles = [_enlarged(image, scale) for image in images]
    high, wide = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (high + MARGIN) + MARGIN, columns * (wide + MARGIN) + MARGIN, 3), PAPER, np.uint8)
    for index, tile in enumerate(tiles):
        top = MARGIN + (index // columns) * (high + MARGIN)
        left = MARGIN + (index % columns) * (wide + MARGIN)
        sheet[top : top + high, left : left + wide] = tile
    Image.fromarray(sheet).save(path)


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


def _enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    colour = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    return colour.repeat(scale, axis=0).repeat(scale, axis=1)


def _show(axis: plt.Axes, image: np.ndarray, words: str) -> None:
    axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_xlabel(words, fontsize=7)
    axis.set_xticks([])
    axis.set_yticks([])
