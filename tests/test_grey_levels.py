"""Grey levels there and back, at their middle, and as what is drawn in [0, 1] is brought to them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.grey_levels import at_mid_level, from_levels, to_levels, to_uint8
from ebm_tf.replay import dequantise


def images_on(levels, count=20, size=6, channels=1):
    level = np.random.default_rng(1).integers(0, levels, (count, size, size, channels))
    return np.round(level * (255 / (levels - 1))).astype(np.uint8)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_levels_there_and_back(levels):
    images = images_on(levels)
    np.testing.assert_array_equal(from_levels(to_levels(images, levels), levels), images)
    assert to_levels(images, levels).max() == levels - 1


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_mid_levels_are_the_mean_of_what_training_sees(levels):
    pixels = at_mid_level(from_levels(np.arange(levels), levels), levels)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, (np.arange(levels) + 0.5) / levels, rtol=1e-6)


def test_images_of_256_greys_are_brought_to_17():
    pixels = at_mid_level(np.arange(256, dtype=np.uint8), 17)
    assert len(np.unique(pixels)) == 17
    nearest = np.abs(np.arange(256)[:, None] - np.linspace(0, 255, 17)).argmin(axis=1)
    np.testing.assert_allclose(pixels, (nearest + 0.5) / 17, rtol=1e-6)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_to_uint8_undoes_dequantisation(levels):
    """Up to one pixel in some 10^5, where u so near to 1 that level + u rounds to the next level in float32."""
    values = np.round(np.linspace(0, 255, levels)).astype(np.uint8)
    stored = np.tile(values[:, None, None, None], (1, 20, 20, 1))
    images = dequantise(tf.constant(stored), tf.constant([1, 2]), levels).numpy()
    assert np.ptp(images[0]) > 0.9 / levels
    np.testing.assert_array_equal(to_uint8(images, levels), stored)


@pytest.mark.parametrize("levels", [17, 256])
def test_to_uint8_keeps_the_ends_and_gives_each_level_an_equal_share(levels):
    assert to_uint8(np.array([0.0, 1.0]), levels).tolist() == [0, 255]
    spread = to_uint8((np.arange(10 * levels) + 0.5) / (10 * levels), levels)
    assert spread.dtype == np.uint8
    values, counts = np.unique(spread, return_counts=True)
    assert len(values) == levels
    assert set(counts) == {10}
