"""The chain: one step by hand, the loop against steps, the tail, noise, no retracing."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.langevin import (
    chain_settings,
    energy_gradient,
    langevin,
    langevin_step,
    langevin_with_tail,
    seeded_noise,
)

SHAPE = (4, 3, 3, 1)


def bowl(images):
    """E(x) = sum (x - 1/4)^2, whose gradient is 2 (x - 1/4)."""
    return tf.reduce_sum((images - 0.25) ** 2, axis=[1, 2, 3])


@pytest.fixture
def start():
    return tf.constant(np.random.default_rng(0).random(SHAPE), tf.float64)


def chain(steps, step_size=0.1, noise_scale=0.05):
    return chain_settings(steps, step_size, noise_scale, tf.float64)


def noise(seed=3):
    return seeded_noise(tf.constant(SHAPE), tf.constant([seed, 0]), tf.float64)


def test_the_gradient_is_that_of_each_image_alone(start):
    np.testing.assert_allclose(energy_gradient(bowl, start), 2 * (start.numpy() - 0.25), rtol=1e-12)


def test_one_step_adds_noise_before_the_gradient_and_clips_after(start):
    drawn = noise()(tf.constant(0)).numpy()
    noisy = start.numpy() + 0.5 * drawn
    moved = noisy - 0.1 * 2 * (noisy - 0.25)
    step = langevin_step(bowl, start, drawn, chain(1, noise_scale=0.5))
    np.testing.assert_allclose(step.images, np.clip(moved, 0, 1), rtol=1e-12)
    np.testing.assert_array_equal(step.clipped, (moved < 0) | (moved > 1))
    assert step.clipped.numpy().any(), "the case is meant to clip"


def test_the_loop_equals_its_steps_one_by_one_and_graph_equals_eager(start):
    images = start
    for k in range(5):
        images = langevin_step(bowl, images, noise()(tf.constant(k)), chain(5)).images
    np.testing.assert_allclose(langevin(bowl, start, noise(), chain(5)), images, rtol=1e-12)
    compiled = tf.function(lambda x: langevin(bowl, x, noise(), chain(5)))
    np.testing.assert_allclose(compiled(start), images, rtol=1e-12)


@pytest.mark.parametrize("tail", [1, 2, 5])
def test_the_tail_changes_no_sample(start, tail):
    whole = langevin(bowl, start, noise(), chain(5))
    np.testing.assert_allclose(
        langevin_with_tail(bowl, start, noise(), chain(5), tail).images, whole, rtol=1e-12
    )


def test_no_gradient_passes_the_detached_part(start):
    with tf.GradientTape() as tape:
        tape.watch(start)
        end = langevin_with_tail(bowl, start, noise(), chain(5), tail=2).images
    assert tape.gradient(end, start) is None


@pytest.mark.parametrize("tail", [1, 3])
def test_the_gradient_through_the_tail_is_known_for_a_bowl(start, tail):
    """With E = theta (x - 1/4)^2 and no noise, x-hat - 1/4 = (1 - 2 lambda theta)^3 (x - 1/4)."""
    theta = tf.Variable(1.5, dtype=tf.float64)
    middle = start * 0.2 + 0.2
    with tf.GradientTape() as tape:
        settings = chain(3, noise_scale=0.0)
        end = langevin_with_tail(lambda x: theta * bowl(x), middle, noise(), settings, tail)
        total = tf.reduce_sum(end.images)
    shrinking = 1 - 2 * 0.1 * 1.5
    expected = tail * shrinking**2 * (-2 * 0.1) * (middle.numpy() - 0.25).sum()
    np.testing.assert_allclose(tape.gradient(total, theta), expected, rtol=1e-10)


def test_noise_follows_from_seed_and_step_alone():
    np.testing.assert_array_equal(noise(3)(tf.constant(2)), noise(3)(tf.constant(2)))
    assert not np.allclose(noise(3)(tf.constant(2)), noise(3)(tf.constant(1)))
    assert not np.allclose(noise(3)(tf.constant(2)), noise(4)(tf.constant(2)))


def test_other_settings_of_the_chain_do_not_retrace(start):
    @tf.function
    def run(images, settings):
        return langevin(bowl, images, noise(), settings)

    for steps, step_size in ((1, 0.1), (7, 0.2), (20, 0.3)):
        run(start, chain(steps, step_size))
    assert run.experimental_get_tracing_count() == 1


def test_a_long_chain_reaches_the_distribution_of_its_energy():
    """For E = (x - 1/2)^2 / (2 s), the stationary variance of x <- (1 - a)(x + sigma n) is known, a = lambda / s."""

    def narrow(images):
        return tf.reduce_sum((images - 0.5) ** 2, axis=[1, 2, 3]) / (2 * 0.01)

    shape = (20_000, 1, 1, 1)
    drawn = seeded_noise(tf.constant(shape), tf.constant([1, 1]), tf.float64)
    end = langevin(
        narrow, tf.fill(shape, tf.constant(0.5, tf.float64)), drawn, chain(60, 0.001, 0.03)
    ).numpy()
    keep = (1 - 0.1) ** 2
    assert end.mean() == pytest.approx(0.5, abs=0.003)
    assert end.var() == pytest.approx(keep * 0.03**2 / (1 - keep), rel=0.04)
