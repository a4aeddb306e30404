"""The Gaussian of the baseline row has the mean and the covariance of the images it is fitted to."""

import numpy as np
import pytest

from ebm_tf.grey_levels import to_uint8
from ebm_tf.stages import baseline_statistics
from ebm_tf.stages.baseline_statistics import gaussian_images, uniform_images


def grey_images(count, seed=0):
    """Correlated mid-greys, so that clipping plays no part: uint8 [count, 3, 3, 1]."""
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((9, 9)) / 3
    values = 0.5 + 0.05 * random.standard_normal((count, 9)) @ mixing
    return np.floor(values * 256).clip(0, 255).astype(np.uint8).reshape(count, 3, 3, 1)


def test_mean_and_covariance_are_those_of_the_images(monkeypatch):
    monkeypatch.setattr(baseline_statistics, "GAUSSIAN_BLOCK", 70)
    images = grey_images(300)
    flat = (images.reshape(300, 9) + 0.5) / 256
    drawn = gaussian_images(images, 40_000, 256, np.random.default_rng(1)).reshape(-1, 9)
    covariance = np.cov(flat, rowvar=False)
    spread = np.sqrt(np.diag(covariance))
    assert np.abs(drawn.mean(axis=0) - flat.mean(axis=0)).max() < 5 * spread.max() / np.sqrt(40_000)
    correlation = np.cov(drawn, rowvar=False) / np.outer(spread, spread)
    np.testing.assert_allclose(correlation, np.corrcoef(flat, rowvar=False), atol=0.03)


def test_pixels_are_on_the_scale_of_few_levels():
    white = np.full((5, 2, 2, 1), 255, np.uint8)
    drawn = gaussian_images(white, 3, 17, np.random.default_rng(0))
    np.testing.assert_allclose(drawn, 16.5 / 17, rtol=1e-6)


def test_of_many_images_some_are_drawn(monkeypatch):
    monkeypatch.setattr(baseline_statistics, "GAUSSIAN_FITTED", 50)
    drawn = gaussian_images(grey_images(400), 20, 256, np.random.default_rng(2))
    assert drawn.shape == (20, 3, 3, 1)
    assert np.linalg.matrix_rank(drawn.reshape(20, 9) - drawn.mean()) == 9


@pytest.mark.parametrize("block", [1, 7, 23, 1000])
def test_blocks_change_no_number(block, monkeypatch):
    """Numbers were published of images that were drawn and brought to grey levels all at once."""
    monkeypatch.setattr(baseline_statistics, "BLOCK", block)
    drawn = uniform_images((23, 3, 5, 1), 17, np.random.default_rng(3))
    expected = to_uint8(np.random.default_rng(3).random((23, 3, 5, 1)), 17)
    np.testing.assert_array_equal(drawn, expected)
    assert drawn.dtype == np.uint8
    assert len(np.unique(drawn)) == 17
    floats = gaussian_images(grey_images(60), 23, 17, np.random.default_rng(3))
    np.testing.assert_array_equal(baseline_statistics._on_levels(floats, 17), to_uint8(floats, 17))


def test_what_is_drawn_after_the_noise_is_what_it_was():
    """The Gaussian comes from the generator that has drawn the noise."""
    ours, theirs = np.random.default_rng(4), np.random.default_rng(4)
    uniform_images((2500, 2, 2, 1), 256, ours)
    theirs.random((2500, 2, 2, 1))
    assert ours.standard_normal() == theirs.standard_normal()
