"""Composed energies: the densities that they stand for, in closed form, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.errors import ConfigError
from ebm_tf.langevin import chain_settings, chain_temperature, langevin
from ebm_tf.models.compose import (
    compose,
    conjunction,
    disjunction,
    negation,
    of_any_label,
    of_label,
    shifted,
)

OPERATIONS = ("and", "or", "not")


def gaussian(mean, precision):
    """E of images [B, 1, 1, 1] with exp(-E) a Gaussian."""
    return lambda images: 0.5 * precision * tf.square(images[:, 0, 0, 0] - mean)


def points(*values):
    return tf.reshape(tf.constant(values, tf.float64), [-1, 1, 1, 1])


X = points(*np.linspace(-3, 4, 29))
FIRST, SECOND = gaussian(-1.0, 2.0), gaussian(2.0, 0.5)


def rugged(shift):
    """An energy of images [B, 2, 2, 1] with curvature everywhere."""

    def energy(images):
        flat = tf.reshape(images, [-1, 4])
        return tf.reduce_sum(tf.sin(3 * flat + shift) + flat[:, ::-1] * flat**2, axis=1)

    return energy


def up_to_a_constant(energies):
    return energies - energies[0]


def test_and_of_gaussians_is_the_gaussian_of_added_precisions():
    """Precisions add; the mean is theirs, weighted by precision: (2 (-1) + 0.5 (2)) / 2.5 = -0.4."""
    np.testing.assert_allclose(
        up_to_a_constant(conjunction([FIRST, SECOND])(X)),
        up_to_a_constant(gaussian(-0.4, 2.5)(X)),
        atol=1e-12,
    )


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_or_is_the_sum_of_densities(temperature):
    composed = disjunction([FIRST, SECOND], temperature)(X)
    densities = [np.exp(-energy(X).numpy() / temperature) for energy in (FIRST, SECOND)]
    np.testing.assert_allclose(np.exp(-composed.numpy() / temperature), sum(densities), rtol=1e-12)


def test_or_of_an_energy_with_itself_is_that_energy_less_t_log_2():
    np.testing.assert_allclose(disjunction([FIRST, FIRST], 0.7)(X), FIRST(X) - 0.7 * np.log(2), rtol=1e-12)


def test_a_constant_on_a_member_of_or_is_its_weight_in_the_mixture():
    """exp(0.2 log 3 / 0.2) = 3."""
    composed = disjunction([FIRST, shifted(SECOND, 0.2 * np.log(3))], 0.2)(X)
    first, second = (np.exp(-energy(X).numpy() / 0.2) for energy in (FIRST, SECOND))
    np.testing.assert_allclose(np.exp(-composed.numpy() / 0.2), first + 3 * second, rtol=1e-12)


def test_or_is_the_smallest_energy_where_it_is_cold_without_overflow():
    far = points(-3000.0, 0.0, 3000.0)
    for dtype in (tf.float32, tf.float64):
        composed = disjunction([FIRST, SECOND], 1e-9)(tf.cast(far, dtype))
        smallest = tf.minimum(FIRST(tf.cast(far, dtype)), SECOND(tf.cast(far, dtype)))
        np.testing.assert_allclose(composed, smallest, rtol=1e-6)


def test_the_gradient_of_or_is_the_mean_of_gradients_by_responsibility():
    with tf.GradientTape() as tape:
        tape.watch(X)
        composed = tf.reduce_sum(disjunction([FIRST, SECOND], 0.4)(X))
    first, second = (np.exp(-energy(X).numpy() / 0.4) for energy in (FIRST, SECOND))
    x, share = X.numpy().ravel(), first / (first + second)
    expected = share * 2.0 * (x + 1) + (1 - share) * 0.5 * (x - 2)
    np.testing.assert_allclose(tape.gradient(composed, X).numpy().ravel(), expected, atol=1e-12)


def test_not_of_gaussians_is_the_gaussian_of_the_precisions_left():
    """2 - 0.8 (0.5) = 1.6; (2 (-1) - 0.4 (2)) / 1.6 = -1.75."""
    composed = negation(FIRST, [SECOND], 0.8)(X)
    np.testing.assert_allclose(
        up_to_a_constant(composed), up_to_a_constant(gaussian(-1.75, 1.6)(X)), atol=1e-12
    )


def test_not_takes_away_every_other_with_the_same_weight():
    composed = negation(FIRST, [SECOND, gaussian(0.0, 1.0)], 0.25)(X)
    expected = FIRST(X) - 0.25 * SECOND(X) - 0.25 * gaussian(0.0, 1.0)(X)
    np.testing.assert_allclose(composed, expected, atol=1e-12)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_against_finite_differences(operation):
    energy = compose(operation, [rugged(0.0), rugged(1.0), rugged(2.5)], 0.6, 0.4).energy
    images = tf.constant(np.random.default_rng(0).random((3, 2, 2, 1)))
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(energy(images))
    gradient, step = tape.gradient(total, images).numpy(), 1e-5
    for index in np.ndindex(3, 2, 2, 1):
        moved = np.zeros(images.shape)
        moved[index] = step
        difference = tf.reduce_sum(energy(images + moved)) - tf.reduce_sum(energy(images - moved))
        assert gradient[index] == pytest.approx(difference.numpy() / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_composition_is_an_energy_per_image_of_the_dtype_of_its_members(operation):
    for dtype in (tf.float32, tf.float64):
        energies = compose(operation, [rugged(0.0), rugged(1.0)], 0.5, 0.5).energy(
            tf.zeros([5, 2, 2, 1], dtype)
        )
        assert energies.shape == [5]
        assert energies.dtype == dtype


def test_the_step_size_is_shared_among_the_members_of_and_alone():
    members = [FIRST, SECOND, FIRST]
    assert compose("and", members, 1.0, 0.5).step_scale == pytest.approx(1 / 3)
    assert compose("or", members, 1.0, 0.5).step_scale == compose("not", members, 1.0, 0.5).step_scale == 1.0


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_energies_are_refused(operation, count):
    words = (
        f"compose.members has {count} of the at least 2 energies that {operation} puts together; give members"
    )
    with pytest.raises(ConfigError, match=words):
        compose(operation, [FIRST] * count, 1.0, 0.5)


def test_a_chain_of_and_has_the_law_that_its_step_size_and_noise_give():
    """On two Gaussians each step multiplies x + noise - mean by a = 1 - (lambda / 2)(p_1 + p_2): an AR(1) process.

    Its variance is a^2 sigma^2 / (1 - a^2); in small steps n T / (p_1 + p_2), n times the temperature.
    """
    low, high = gaussian(0.4, 200.0), gaussian(0.6, 600.0)
    step_size, noise_scale, chains = 2e-4, 0.002, 4000
    energy, scale = compose("and", [low, high], 1.0, 0.0)
    chain = chain_settings(150, step_size * scale, noise_scale, tf.float64)
    ends = langevin(
        energy,
        tf.fill([chains, 1, 1, 1], tf.constant(0.5, tf.float64)),
        lambda k: tf.random.stateless_normal([chains, 1, 1, 1], tf.stack([7, k]), dtype=tf.float64),
        chain,
    ).numpy()
    kept = 1 - step_size / 2 * 800
    variance = kept**2 * noise_scale**2 / (1 - kept**2)
    deviation = np.sqrt(variance)
    assert variance == pytest.approx(2 * chain_temperature(step_size, noise_scale) / 800, rel=0.15)
    assert ends.mean() == pytest.approx((200 * 0.4 + 600 * 0.6) / 800, abs=4 * deviation / np.sqrt(chains))
    assert ends.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / chains))


class OfLabels:
    """Stands in for a conditional model of three classes: E(x, y) = (x - y)^2."""

    classes = 3

    def __call__(self, images, labels):
        assert labels.dtype == tf.int32
        return tf.square(images[:, 0, 0, 0] - tf.cast(labels, images.dtype))


def test_a_conditional_model_closed_over_a_label():
    np.testing.assert_allclose(of_label(OfLabels(), 2)(X), gaussian(2.0, 2.0)(X), atol=1e-12)


def test_the_energy_of_any_label_is_that_of_the_label_that_fits_best_above_its_level():
    """Which is what the sum of densities over the labels comes to where it is cold."""
    levels = {0: 0.5, 2: -1.0}
    cold = disjunction([shifted(of_label(OfLabels(), label), level) for label, level in levels.items()], 1e-6)
    np.testing.assert_allclose(of_any_label(OfLabels(), levels)(X), cold(X), atol=3e-6)
