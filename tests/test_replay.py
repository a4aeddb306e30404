"""The replay buffer against plain Python, and the two policies against what they promise."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Replay
from ebm_tf.replay import Chains, ReplayBuffer, dequantise, quantise


def seed(n):
    return tf.constant([n, 17])


def chains(values, labels=None, ages=None):
    """Constant 2x2 images of the given grey values 0..255."""
    images = (
        (np.asarray(values, np.float32)[:, None, None, None] + 0.5) / 256 * np.ones((1, 2, 2, 1), np.float32)
    )
    count = len(values)
    return Chains(
        tf.constant(images),
        tf.constant(labels if labels is not None else [-1] * count, tf.int32),
        tf.constant(ages if ages is not None else [0] * count, tf.int32),
    )


def buffer(capacity, policy="fifo", restart=0.0):
    return ReplayBuffer(Replay(capacity=capacity, policy=policy, restart_probability=restart), (2, 2, 1))


def grey_values(replay):
    return replay.images.numpy()[: int(replay.fill), 0, 0, 0].tolist()


def test_dequantised_levels_come_back_and_fill_their_interval():
    levels = tf.range(256, dtype=tf.int32)[:, None, None, None] * tf.ones([1, 8, 8, 1], tf.int32)
    images = dequantise(tf.cast(levels, tf.uint8), seed(0))
    np.testing.assert_array_equal(quantise(images), levels)
    within = (images.numpy() * 256) % 1
    assert within.min() < 0.01
    assert within.max() > 0.99
    assert within.mean() == pytest.approx(0.5, abs=0.01)


def test_seventeen_levels_fill_their_wider_intervals():
    stored = np.round(np.arange(17) * 255 / 16).astype(np.uint8)[:, None, None, None] * np.ones(
        (1, 20, 20, 1), np.uint8
    )
    images = dequantise(tf.constant(stored), seed(0), levels=17).numpy()
    np.testing.assert_array_equal(np.floor(images * 17)[:, 0, 0, 0], np.arange(17))
    assert np.ptp(images[8]) > 0.9 / 17
    assert images.max() < 1


def test_quantise_keeps_the_ends():
    np.testing.assert_array_equal(quantise(tf.constant([0.0, 1.0, 0.999, 1 / 256])), [0, 255, 255, 1])


def test_fifo_replaces_the_oldest():
    replay = buffer(5)
    replay.add(chains([1, 2, 3]), seed(1))
    assert grey_values(replay) == [1, 2, 3]
    replay.add(chains([4, 5, 6, 7]), seed(2))
    assert sorted(grey_values(replay)) == [3, 4, 5, 6, 7]


def test_a_batch_larger_than_the_buffer_leaves_its_last_images():
    replay = buffer(3)
    replay.add(chains([1, 2, 3, 4, 5, 6, 7]), seed(1))
    assert sorted(grey_values(replay)) == [5, 6, 7]


def test_labels_and_ages_stay_with_their_images():
    for policy in ("fifo", "reservoir"):
        replay = buffer(4, policy)
        for start in range(0, 60, 6):
            values = list(range(start, start + 6))
            replay.add(chains(values, labels=values, ages=[10 * v for v in values]), seed(start))
        greys = np.array(grey_values(replay))
        np.testing.assert_array_equal(replay.labels, greys)
        np.testing.assert_array_equal(replay.ages, 10 * greys)
        drawn = replay.draw(50, seed(9))
        np.testing.assert_array_equal(quantise(drawn.images)[:, 0, 0, 0], drawn.labels)
        np.testing.assert_array_equal(drawn.ages, 10 * drawn.labels.numpy())


def test_reservoir_fills_first_and_then_keeps_every_image_with_the_same_probability():
    stream, capacity, runs = 40, 8, 200
    kept = np.zeros(stream)
    for run in range(runs):
        replay = buffer(capacity, "reservoir")
        for start in range(0, stream, 10):
            replay.add(chains(range(start, start + 10)), seed(1000 * run + start))
        assert int(replay.fill) == capacity
        kept[grey_values(replay)] += 1
    expected = runs * capacity / stream
    deviations = (kept - expected) / np.sqrt(expected * (1 - capacity / stream))
    assert np.abs(deviations).max() < 4.5, "some images are kept more often than others"
    assert (deviations**2).mean() < 2.0


def test_chains_restart_with_the_stated_probability_and_get_fresh_labels_and_ages():
    replay = buffer(10, restart=0.3)
    replay.add(chains([100] * 10, labels=[3] * 10, ages=[40] * 10), seed(0))
    started = replay.start(4000, seed(5), labels=tf.fill([4000], 7))
    restarted = started.labels.numpy() == 7
    assert restarted.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_array_equal(started.ages, np.where(restarted, 0, 40))
    noise = started.images.numpy()[restarted]
    assert noise.std() == pytest.approx(1 / np.sqrt(12), rel=0.02)
    np.testing.assert_array_equal(quantise(started.images)[:, 0, 0, 0].numpy()[~restarted], 100)


def test_an_empty_buffer_starts_all_chains_from_noise():
    started = buffer(10, restart=0.0).start(500, seed(5))
    assert started.images.numpy().std() == pytest.approx(1 / np.sqrt(12), rel=0.05)


def test_drawing_is_uniform_over_what_is_there():
    replay = buffer(100)
    replay.add(chains(range(10)), seed(0))
    drawn = quantise(replay.draw(5000, seed(4)).images).numpy()[:, 0, 0, 0]
    counts = np.bincount(drawn, minlength=100)
    assert counts[10:].sum() == 0
    assert np.abs(counts[:10] - 500).max() < 110
