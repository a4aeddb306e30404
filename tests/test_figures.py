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
    save_pairs,
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


def enlarged(image, scale):
    return np.kron(np.broadcast_to(image, (*image.shape[:2], 3)), np.ones((scale, scale, 1), np.uint8))


def places_of(tile, page):
    """Where a tile stands in a page, pixel by pixel, as (top, left)."""
    windows = np.lib.stride_tricks.sliding_window_view(page, tile.shape[:2], axis=(0, 1))
    corners = np.argwhere(np.all(windows[..., 0, 0] == tile[0, 0], axis=2))
    high, wide = tile.shape[:2]
    return [
        (top, left)
        for top, left in corners.tolist()
        if np.array_equal(page[top : top + high, left : left + wide], tile)
    ]


@pytest.mark.parametrize(("width", "scale"), [(8, 12), (32, 3), (128, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_neighbour_stands_in_the_row_of_its_query(tmp_path, channels, width, scale):
    shape = (width, width, channels)
    queries, neighbours = random_images(2, *shape), random_images(2, 3, *shape, seed=1)
    captions = [["#1, zero", "#2, one\nmirrored", "#3, two"]] * 2
    save_neighbours(queries, neighbours, np.ones((2, 3)), captions, tmp_path / "neighbours.png")
    page, rest = read(tmp_path / "neighbours.png"), read(tmp_path / "neighbours.png").copy()
    corners = []
    for query, row in zip(queries, neighbours):
        found = [places_of(enlarged(image, scale), page) for image in (query, *row)]
        assert [len(places) for places in found] == [1, 1, 1, 1], "each once"
        corners.append([places[0] for places in found])
        for top, left in corners[-1]:
            rest[top : top + scale * width, left : left + scale * width] = 255
    tops, lefts = np.moveaxis(np.array(corners), 2, 0)
    assert np.all(np.diff(tops, axis=1) == 0) and tops[1, 0] - tops[0, 0] > scale * width
    assert np.all(lefts[0] == lefts[1]) and np.all(np.diff(lefts[0]) > scale * width)
    assert rest.min() < 100 and rest.max() == 255, "words on white"
    inked = np.flatnonzero((rest < 128).any(axis=(1, 2)))
    assert not np.isin(inked, np.arange(tops[0, 0], tops[0, 0] + scale * width)).any(), (
        "below the images alone"
    )
    assert inked.max() < len(page) - 1 and (rest[:, [0, -1]] == 255).all(), "no words are cut off"


def test_words_that_are_wider_than_their_image_do_not_run_into_others(tmp_path):
    image = random_images(1, 8, 8, 1)
    widths = []
    for words in ("#1, a", "#1, a very long name of a class of images"):
        save_neighbours(image, image[:, None], np.zeros((1, 1)), [[words]], tmp_path / "neighbours.png")
        page = read(tmp_path / "neighbours.png")
        widths.append(page.shape[1])
        assert (page[:, [0, 1, -2, -1]] == 255).all()
    assert widths[0] == 2 * (96 + 2 * MARGIN) < widths[1]


@pytest.mark.parametrize("channels", [1, 3])
def test_pairs_stand_one_above_the_other_and_go_on_in_a_new_row(tmp_path, channels):
    above, below = random_images(5, 32, 32, channels), random_images(5, 32, 32, channels, seed=1)
    save_pairs(above, below, ["sample 1: 0.50\n#7, dog"] * 5, tmp_path / "closest.png", columns=3)
    page = read(tmp_path / "closest.png")
    corners = []
    for pair in zip(above, below):
        (first,), (second,) = (places_of(enlarged(image, 3), page) for image in pair)
        assert second == (first[0] + 96 + MARGIN, first[1])
        corners.append(first)
    assert corners[0][0] == corners[1][0] == corners[2][0] < corners[3][0] == corners[4][0]
    assert corners[0][1] == corners[3][1] < corners[1][1] == corners[4][1] < corners[2][1]


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
    save_curves({"step": np.arange(3), "a": np.arange(3)}, {"A": ("a",)}, tmp_path / "b.png")
    save_bars(["0"], {"g": [1.0]}, "T", tmp_path / "c.png")
    save_histograms(("own", np.arange(3)), {"other": np.arange(3)}, "x", tmp_path / "d.png")
    assert plt.get_fignums() == []
