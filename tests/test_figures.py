"""Pictures: the exact pixels of grids and films; the other figures as files that can be read."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from ebm_tf.figures import (
    MARGIN,
    PAPER,
    save_bars,
    save_curves,
    save_film,
    save_grid,
    save_histograms,
    save_neighbours,
    save_rows,
)


def read(path):
    """The pixels of a PNG, [height, width, 3]."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def tile(sheet, row, column, high, wide):
    top, left = MARGIN + row * (high + MARGIN), MARGIN + column * (wide + MARGIN)
    return sheet[top : top + high, left : left + wide]


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape, dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_of_a_grid(tmp_path, channels):
    images = random_images(5, 2, 4, channels)
    save_grid(images, tmp_path / "grid.png", columns=3, scale=2)
    sheet = read(tmp_path / "grid.png")
    assert sheet.shape == (2 * (4 + MARGIN) + MARGIN, 3 * (8 + MARGIN) + MARGIN, 3)
    rest = sheet.copy()
    for index, image in enumerate(images):
        shown = tile(sheet, index // 3, index % 3, 4, 8)
        expected = np.kron(np.broadcast_to(image, (2, 4, 3)), np.ones((2, 2, 1), np.uint8))
        np.testing.assert_array_equal(shown, expected)
        tile(rest, index // 3, index % 3, 4, 8)[:] = PAPER
    assert np.all(rest == PAPER), "the margins and the empty place are paper"


@pytest.mark.parametrize(("width", "shown"), [(8, 48), (28, 56), (32, 64), (48, 48), (64, 64), (200, 200)])
def test_images_are_enlarged_to_about_48_pixels_and_never_made_smaller(tmp_path, width, shown):
    save_grid(random_images(1, width, width, 1), tmp_path / "grid.png", columns=1)
    assert read(tmp_path / "grid.png").shape[:2] == (shown + 2 * MARGIN, shown + 2 * MARGIN)


def test_a_film_has_a_row_per_chain_and_its_start_at_the_left(tmp_path):
    frames, chains = 3, 2
    strip = np.arange(frames * chains, dtype=np.uint8).reshape(frames, chains, 1, 1, 1)
    save_film(strip * np.ones((1, 1, 8, 8, 1), np.uint8), tmp_path / "film.png")
    sheet = read(tmp_path / "film.png")
    assert sheet.shape[:2] == (chains * (48 + MARGIN) + MARGIN, frames * (48 + MARGIN) + MARGIN)
    for chain in range(chains):
        for frame in range(frames):
            assert np.all(tile(sheet, chain, frame, 48, 48) == strip[frame, chain, 0, 0, 0])


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_of_rows_and_their_titles_at_the_left(tmp_path, channels):
    rows = [random_images(3, 8, 8, channels), random_images(1, 8, 8, channels, seed=1)]
    save_rows(rows, tmp_path / "rows.png", ["a", "a longer title"], scale=2)
    page = read(tmp_path / "rows.png")
    width, pitch = 3 * (16 + MARGIN) + MARGIN, 16 + MARGIN
    assert page.shape[0] == 2 * pitch + MARGIN
    titles, sheet = page[:, :-width], page[:, -width:].copy()
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            expected = np.kron(np.broadcast_to(image, (8, 8, 3)), np.ones((2, 2, 1), np.uint8))
            np.testing.assert_array_equal(tile(sheet, row, column, 16, 16), expected)
            tile(sheet, row, column, 16, 16)[:] = PAPER
    assert np.all(sheet == PAPER), "the margins and the empty places are paper"
    inked = [np.count_nonzero(titles[row * pitch : (row + 1) * pitch] != PAPER) for row in range(2)]
    assert 0 < inked[0] < inked[1], "each row has its own title"
    assert np.all(titles[:, :MARGIN] == PAPER), "the longest title is whole"


def is_a_picture(path):
    """Readable, of a sensible size, and more than blank paper."""
    pixels = read(path)
    return min(pixels.shape[:2]) > 50 and len(np.unique(pixels)) > 2


@pytest.mark.parametrize("channels", [1, 3])
def test_neighbours(tmp_path, channels):
    queries, neighbours = random_images(2, 8, 8, channels), random_images(2, 3, 8, 8, channels)
    captions = [["#1, zero", "#2, one", "#3, two"]] * 2
    save_neighbours(queries, neighbours, np.ones((2, 3)), captions, tmp_path / "neighbours.png")
    assert is_a_picture(tmp_path / "neighbours.png")


def test_one_query_with_one_neighbour(tmp_path):
    images = random_images(1, 8, 8, 1)
    save_neighbours(images, images[:, None], np.zeros((1, 1)), [["#0, zero"]], tmp_path / "neighbours.png")
    assert is_a_picture(tmp_path / "neighbours.png")


@pytest.mark.parametrize("panels", [1, 2, 3])
def test_curves(tmp_path, panels):
    """Also over values that are not numbers, such as measurements that are not taken at every step."""
    columns = {"step": np.arange(5.0), "a": np.array([1.0, np.nan, 2.0, np.nan, 3.0]), "b_c": np.arange(5.0)}
    wanted = {f"Panel {index}": ("a", "b_c")[: index + 1] for index in range(panels)}
    save_curves(columns, wanted, tmp_path / "curves.png")
    assert is_a_picture(tmp_path / "curves.png")


def test_bars(tmp_path):
    groups = {"fresh": [0.5, 0.5, 0.0], "real": [0.3, 0.3, 0.4]}
    save_bars(["0", "1", "2"], groups, "Share", tmp_path / "bars.png")
    assert is_a_picture(tmp_path / "bars.png")


@pytest.mark.parametrize("spread", [0.0, 1.0, 1e6])
def test_histograms(tmp_path, spread):
    """Also of values that are all the same, or far apart."""
    values = np.random.default_rng(0).normal(size=200) * spread
    sets = {"near": values + 1, "far": values * 3, "one image": np.zeros(1)}
    save_histograms(("own", values), sets, "energy", tmp_path / "histograms.png")
    assert is_a_picture(tmp_path / "histograms.png")


def test_the_figures_are_closed_behind_them(tmp_path):
    images = random_images(1, 8, 8, 1)
    save_neighbours(images, images[:, None], np.zeros((1, 1)), [["x"]], tmp_path / "a.png")
    save_curves({"step": np.arange(3), "a": np.arange(3)}, {"A": ("a",)}, tmp_path / "b.png")
    save_bars(["0"], {"g": [1.0]}, "T", tmp_path / "c.png")
    save_histograms(("own", np.arange(3)), {"other": np.arange(3)}, "x", tmp_path / "d.png")
    assert plt.get_fignums() == []
