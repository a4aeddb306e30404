"""Drawing images: batches, seeds, the film, and the way back to the data set's grey levels."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.langevin import chain_settings
from ebm_tf.replay import dequantise
from ebm_tf.sampling import film, run_chains, to_uint8, uniform_noise

SHAPE = (4, 4, 1)
CHAIN = chain_settings(6, step_size=0.1, noise_scale=0.05)
QUIET = chain_settings(6, step_size=0.1, noise_scale=0.0)


def bowl(images):
    """E(x) = sum (x - 1/4)^2: a step without noise takes x - 1/4 to (1 - 2 lambda) (x - 1/4)."""
    return tf.reduce_sum((images - 0.25) ** 2, axis=[1, 2, 3])


def no_report(done, total):
    pass


@pytest.fixture(scope="module")
def start():
    return uniform_noise(7, SHAPE, seed=5)


def run(start, chain=CHAIN, seed=3, batch_size=3, report=no_report):
    return run_chains(bowl, start, chain, seed, batch_size, report)


def test_noise_is_uniform_and_follows_from_its_seed():
    noise = uniform_noise(2000, SHAPE, seed=1)
    assert noise.shape == (2000, *SHAPE)
    assert noise.dtype == np.float32
    assert 0 <= noise.min() < 0.001
    assert 0.999 < noise.max() < 1
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.var() == pytest.approx(1 / 12, rel=0.02)
    np.testing.assert_array_equal(noise, uniform_noise(2000, SHAPE, seed=1))
    assert not np.array_equal(noise, uniform_noise(2000, SHAPE, seed=2))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_chain_is_run_to_its_end_whatever_the_batch(start, batch_size):
    """Without noise the end is known, also of the images of a smaller last batch."""
    ends = run(start, QUIET, batch_size=batch_size)
    assert ends.shape == start.shape
    np.testing.assert_allclose(ends, 0.25 + (1 - 2 * 0.1) ** 6 * (start - 0.25), rtol=1e-5)


def test_progress_counts_chains_up_to_the_partial_last_batch(start):
    reports = []
    run(start, report=lambda done, total: reports.append((done, total)))
    assert reports == [(3, 7), (6, 7), (7, 7)]


def test_the_same_seed_gives_the_same_images_and_another_seed_others(start):
    ends = run(start)
    np.testing.assert_array_equal(run(start), ends)
    assert not np.isclose(run(start, seed=4), ends).all(axis=(1, 2, 3)).any()


def test_each_batch_has_noise_of_its_own():
    ends = run(np.full((6, *SHAPE), 0.5, np.float32), batch_size=3)
    assert len(np.unique(ends.reshape(6, -1), axis=0)) == 6


def test_the_largest_seeds_that_a_config_allows_can_be_drawn_with(start):
    """GenerateSamples takes the seeds 2 s and 2 s + 1 of an experiment's seed s < 2^31."""
    even, odd = (run(start, seed=2 * (2**31 - 1) + kind) for kind in (0, 1))
    assert not np.array_equal(even, odd)
    assert film(bowl, start, CHAIN, 2 * (2**31 - 1), frames=2).shape == (2, 7, *SHAPE)


def test_a_film_goes_from_its_start_to_the_end_of_the_same_chains(start):
    strip = film(bowl, start, CHAIN, seed=3, frames=4)
    assert strip.shape == (4, 7, *SHAPE)
    np.testing.assert_array_equal(strip[0], start)
    np.testing.assert_allclose(strip[-1], run(start, batch_size=7), rtol=1e-5, atol=1e-6)


def test_the_frames_of_a_film_stand_ever_further_apart(start):
    strip = film(bowl, start, QUIET, seed=3, frames=4)
    for frame, step in zip(strip, (0, 1, 2, 6)):
        np.testing.assert_allclose(frame, 0.25 + 0.8**step * (start - 0.25), rtol=1e-5)


def test_a_film_has_no_more_frames_than_its_chains_have_states(start):
    assert len(film(bowl, start, CHAIN, seed=3, frames=100)) == 7


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
