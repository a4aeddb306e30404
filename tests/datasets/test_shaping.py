"""Resizing against plain means and integrals; crops and tiles by position; colours by the standard's weights."""

from __future__ import annotations

import numpy as np
import pytest

from ebm_tf.config import Dataset
from ebm_tf.datasets.shaping import central_square, coloured, resized, shaped, tiles
from ebm_tf.errors import MissingInput


@pytest.fixture
def random():
    return np.random.default_rng(0)


def area_mean(image, size):
    """The mean over each target pixel's area: of the image with each pixel repeated `size` times, whole blocks."""
    height, width, channels = image.shape
    fine = image.astype(float).repeat(size, axis=0).repeat(size, axis=1)
    return fine.reshape(size, height, size, width, channels).mean(axis=(1, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factor", [2, 3, 4, 7])
def test_a_shrink_by_an_integer_is_the_mean_of_blocks_to_rounding(random, factor, channels):
    image = random.integers(0, 256, (12 * factor, 12 * factor, channels), np.uint8)
    blocks = image.reshape(12, factor, 12, factor, channels).mean(axis=(1, 3))
    assert np.abs(resized(image, 12) - blocks).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("shape", [(100, 100, 3), (37, 53, 3), (45, 16, 1), (128, 255, 1)], ids=str)
def test_any_shrink_is_the_mean_over_areas_to_rounding(random, shape):
    image = random.integers(0, 256, shape, np.uint8)
    small = resized(image, 16)
    assert small.shape == (16, 16, shape[2])
    assert np.abs(small - area_mean(image, 16)).max() <= 0.5 + 1e-3
    assert abs(small.mean() - image.mean()) < 0.1


@pytest.mark.parametrize("size", [5, 11, 40])
@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_flat_image_stays_flat_smaller_and_larger(size, value):
    assert np.all(resized(np.full((13, 9, 3), value, np.uint8), size) == value)


def test_an_enlarged_ramp_stays_a_ramp():
    ramp = np.tile(np.arange(0, 80, 10, dtype=np.uint8)[None, :, None], (8, 1, 1))
    large = resized(ramp, 32)[..., 0].astype(int)
    assert np.all(np.diff(large, axis=1) >= 0)
    np.testing.assert_allclose(np.diff(large[:, 4:-4], axis=1), 2.5, atol=0.51)


def test_the_native_size_is_left_alone(random):
    image = random.integers(0, 256, (8, 8, 1), np.uint8)
    for crop in ("centre", "stretch", "tiles"):
        (same,) = shaped(image, Dataset(size=8, crop=crop), 1)
        np.testing.assert_array_equal(same, image)


def test_the_square_is_the_middle_of_either_orientation(random):
    image = random.integers(0, 256, (4, 10, 3), np.uint8)
    np.testing.assert_array_equal(central_square(image), image[:, 3:7])
    np.testing.assert_array_equal(central_square(image.swapaxes(0, 1)), image.swapaxes(0, 1)[3:7])
    assert central_square(image[:, :9]).shape == (4, 4, 3)


def test_tiles_are_disjoint_and_leave_only_margins(random):
    image = random.integers(0, 256, (11, 17, 3), np.uint8)
    cut = list(tiles(image, 5))
    assert len(cut) == 2 * 3
    rows = [np.concatenate(cut[row * 3 : row * 3 + 3], axis=1) for row in range(2)]
    np.testing.assert_array_equal(np.concatenate(rows), image[:10, :15])
    assert not list(tiles(image, 12))


def test_stretch_takes_the_whole_and_centre_the_middle():
    image = np.zeros((10, 30, 1), np.uint8)
    image[:, :10] = 240  # outside of the central square
    (centre,) = shaped(image, Dataset(size=5, crop="centre"), 1)
    (stretch,) = shaped(image, Dataset(size=5, crop="stretch"), 1)
    assert centre.max() == 0
    assert stretch.mean() == pytest.approx(80, abs=1)


def test_grey_is_the_luma_of_the_standard_and_rgb_repeats(random):
    image = random.integers(0, 256, (6, 6, 3), np.uint8)
    luma = image @ [0.299, 0.587, 0.114]
    assert np.abs(coloured(image, 1)[..., 0] - luma).max() <= 0.51
    grey = coloured(image, 1)
    np.testing.assert_array_equal(coloured(coloured(grey, 3), 1), grey)
    assert coloured(image, 3) is image


def test_another_number_of_channels_is_refused():
    with pytest.raises(
        MissingInput, match=r"an image has the shape \[4, 4, 2\]; give \[height, width, 1 or 3\]"
    ):
        coloured(np.zeros((4, 4, 2), np.uint8), 3)
