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
    row_noise,
)
from tests.chains import bowl

SHAPE = (4, 3, 3, 1)


@pytest.fixture
def start():
    return tf.constant(np.random.default_rng(0).random(SHAPE), tf.float64)


def chain(steps, step_size=0.1, noise_scale=0.05, **more):
    return chain_settings(steps, step_size, noise_scale, tf.float64, **more)


def noise(seed=3):
    return row_noise(0, SHAPE[0], SHAPE[1:], tf.constant([seed, 0]), tf.float64)


def still(k):
    return tf.zeros(SHAPE, tf.float64)


def test_the_gradient_is_that_of_each_image_alone(start):
    np.testing.assert_allclose(energy_gradient(bowl, start), 2 * (start.numpy() - 0.25), rtol=1e-12)


def test_one_step_adds_noise_before_the_gradient_and_clips_after(start):
    drawn = noise()(tf.constant(0)).numpy()
    noisy = start.numpy() + 0.5 * drawn
    moved = noisy - 0.1 * 2 * (noisy - 0.25)
    step = langevin_step(bowl, start, drawn, chain(1, noise_scale=0.5), 0)
    np.testing.assert_allclose(step.images, np.clip(moved, 0, 1), rtol=1e-12)
    np.testing.assert_array_equal(step.clipped, (moved < 0) | (moved > 1))
    assert step.clipped.numpy().any(), "the case is meant to clip"


def test_the_loop_equals_its_steps_one_by_one_and_graph_equals_eager(start):
    images = start
    for k in range(5):
        images = langevin_step(bowl, images, noise()(tf.constant(k)), chain(5), k).images
    np.testing.assert_allclose(langevin(bowl, start, noise(), chain(5)), images, rtol=1e-12)
    compiled = tf.function(lambda x: langevin(bowl, x, noise(), chain(5)))
    np.testing.assert_allclose(compiled(start), images, rtol=1e-12)


@pytest.mark.parametrize("tail", [1, 2, 5])
def test_the_tail_changes_no_sample(start, tail):
    whole = langevin(bowl, start, noise(), chain(5))
    np.testing.assert_allclose(
        langevin_with_tail(bowl, start, noise(), chain(5), tail).images, whole, rtol=1e-12
    )


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
@pytest.mark.parametrize("anneal", [False, True])
def test_a_chain_in_portions_is_the_same_chain(start, cut, anneal):
    settings = chain(5, anneal=anneal)
    half = langevin(bowl, start, noise(), settings, end=cut)
    whole = langevin(bowl, start, noise(), settings)
    np.testing.assert_array_equal(langevin(bowl, half, noise(), settings, first=cut), whole)


@pytest.mark.parametrize("tail", [None, 1, 3, 4])
def test_annealed_noise_fades_linearly_to_nothing(tail):
    """Without energy a chain only adds up its noise: sigma (K - k) / K in step k = 1 .. K of the paper."""
    middle, settings = tf.fill(SHAPE, tf.constant(0.5, tf.float64)), chain(4, noise_scale=0.04, anneal=True)

    def flat(images):
        return 0 * bowl(images)

    if tail is None:
        end = langevin(flat, middle, noise(), settings)
    else:
        end = langevin_with_tail(flat, middle, noise(), settings, tail).images
    drawn = [noise()(tf.constant(k)).numpy() for k in range(4)]
    expected = 0.5 + 0.04 * (0.75 * drawn[0] + 0.5 * drawn[1] + 0.25 * drawn[2])
    assert 0 < expected.min() < expected.max() < 1, "the case is meant to stay inside the box"
    np.testing.assert_allclose(end, expected, rtol=1e-12)


def test_the_clipped_gradient_moves_each_pixel_by_at_most_the_limit(start):
    """|dE/dx| = 2 |x - 1/4| is up to 1.5 here, and cut at 0.4 where it is larger, pixel by pixel."""
    step = langevin_step(bowl, start, still(0), chain(1, gradient_clip=0.4), 0)
    gradient = 2 * (start.numpy() - 0.25)
    assert (np.abs(gradient) > 0.4).any()
    assert (np.abs(gradient) < 0.4).any()
    np.testing.assert_allclose(step.gradient, np.clip(gradient, -0.4, 0.4), rtol=1e-12)
    np.testing.assert_allclose(step.images, start.numpy() - 0.1 * np.clip(gradient, -0.4, 0.4), rtol=1e-12)


def test_a_limit_beyond_every_gradient_changes_nothing(start):
    limited = langevin(bowl, start, noise(), chain(5, gradient_clip=100.0))
    np.testing.assert_array_equal(limited, langevin(bowl, start, noise(), chain(5)))


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


def waves(theta):
    """An energy with third derivatives and products of pixels, theta [2]."""

    def energy(images):
        products = images * tf.roll(images, 1, axis=1)
        return tf.reduce_sum(tf.sin(theta[0] * images) + theta[1] * products**2, axis=[1, 2, 3])

    return energy


WEIGHTS = np.random.default_rng(5).standard_normal(SHAPE)


@pytest.mark.parametrize("more", [{}, {"anneal": True}, {"gradient_clip": 0.7}])
@pytest.mark.parametrize("tail", [1, 2, 6])
@pytest.mark.parametrize("graph", [False, True])
def test_the_gradient_through_the_tail_equals_finite_differences(start, tail, more, graph):
    """Of a random combination of the pixels of x-hat, noise held fixed, in theta; the last case is all K steps."""
    settings, values = chain(6, step_size=0.05, noise_scale=0.02, **more), np.array([2.0, 1.5])

    def slope(theta):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            end = langevin_with_tail(waves(theta), start, noise(), settings, tail).images
            total = tf.reduce_sum(WEIGHTS * end)
        return tape.gradient(total, theta)

    # What the tail starts from does not move with theta.
    held = langevin(waves(values), start, noise(), settings, end=6 - tail)

    def total_at(theta):
        return tf.reduce_sum(
            WEIGHTS * langevin(waves(theta), held, noise(), settings, first=6 - tail)
        ).numpy()

    found = (tf.function(slope) if graph else slope)(tf.constant(values)).numpy()
    for index in range(2):
        step = 1e-5 * np.eye(2)[index]
        expected = (total_at(values + step) - total_at(values - step)) / 2e-5
        assert found[index] == pytest.approx(expected, rel=1e-6)


def test_a_longer_tail_makes_no_larger_graph(start):
    """The steps of a tail are a loop: 2 and 200 have the same graph."""

    def nodes(tail):
        @tf.function
        def slope(theta):
            with tf.GradientTape() as tape:
                tape.watch(theta)
                end = langevin_with_tail(waves(theta), start, noise(), chain(200), tail).images
            return tape.gradient(end, theta)

        definition = slope.get_concrete_function(tf.constant([2.0, 1.5], tf.float64)).graph.as_graph_def()
        return len(definition.node) + sum(len(function.node_def) for function in definition.library.function)

    assert nodes(2) == nodes(200)


def test_noise_follows_from_seed_and_step_alone():
    np.testing.assert_array_equal(noise(3)(tf.constant(2)), noise(3)(tf.constant(2)))
    assert not np.allclose(noise(3)(tf.constant(2)), noise(3)(tf.constant(1)))
    assert not np.allclose(noise(3)(tf.constant(2)), noise(4)(tf.constant(2)))


def test_the_noise_of_a_chain_does_not_depend_on_which_run_beside_it():
    whole = row_noise(0, 9, (7, 7, 1), tf.constant([3, 0]))(tf.constant(2)).numpy()
    part = row_noise(4, 3, (7, 7, 1), tf.constant([3, 0]))(tf.constant(2))
    np.testing.assert_array_equal(part, whole[4:7])


def test_other_settings_of_the_chain_do_not_retrace(start):
    @tf.function
    def run(images, settings):
        return langevin(bowl, images, noise(), settings)

    for more in ({}, {"anneal": True}, {"gradient_clip": 0.5}):
        before = run.experimental_get_tracing_count()
        for steps, step_size in ((1, 0.1), (7, 0.2), (20, 0.3)):
            run(start, chain(steps, step_size, **more))
        assert run.experimental_get_tracing_count() == before + 1


def test_a_long_chain_reaches_the_distribution_of_its_energy():
    """For E = (x - 1/2)^2 / (2 s), the stationary variance of x <- (1 - a)(x + sigma n) is known, a = lambda / s."""

    def narrow(images):
        return tf.reduce_sum((images - 0.5) ** 2, axis=[1, 2, 3]) / (2 * 0.01)

    shape = (20_000, 1, 1, 1)
    drawn = row_noise(0, shape[0], shape[1:], tf.constant([1, 1]), tf.float64)
    end = langevin(
        narrow, tf.fill(shape, tf.constant(0.5, tf.float64)), drawn, chain(60, 0.001, 0.03)
    ).numpy()
    keep = (1 - 0.1) ** 2
    assert end.mean() == pytest.approx(0.5, abs=0.003)
    assert end.var() == pytest.approx(keep * 0.03**2 / (1 - keep), rel=0.04)
