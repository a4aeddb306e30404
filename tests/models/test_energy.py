"""The energy network: shape, size, derivatives, independence of the batch."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.errors import ConfigError
from ebm_tf.langevin import energy_gradient
from ebm_tf.models.architectures import ARCHITECTURES, architecture
from ebm_tf.models.energy import EnergyModel


@pytest.fixture(scope="module")
def model():
    return EnergyModel(ARCHITECTURES["tiny"], (8, 8, 1), seed=1, dtype="float64")


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.default_rng(0).random((6, 8, 8, 1)))


def test_the_parameters_are_those_counted_by_hand(model):
    stem = 9 * 1 * 8 + 8
    first = 2 * (9 * 8 * 8 + 8)
    wider = 9 * 8 * 16 + 16
    second = 2 * (9 * 16 * 16 + 16)
    last = 9 * 16 * 32 + 32
    head = 2 * 2 * 32 * 128 + 128 + 128
    assert model.count_params() == stem + first + wider + second + last + head == 28_336


def test_one_energy_per_image(model, images):
    assert model(images).shape == (6,)


def test_the_energy_of_an_image_does_not_depend_on_its_batch(model, images):
    one_by_one = tf.concat([model(images[i : i + 1]) for i in range(6)], axis=0)
    np.testing.assert_allclose(model(images), one_by_one, rtol=1e-12)


def test_image_gradient_against_finite_differences(model, images):
    direction = np.random.default_rng(1).standard_normal(images.shape)
    slope = tf.reduce_sum(energy_gradient(model, images) * direction, axis=[1, 2, 3])
    step = 1e-6
    difference = (model(images + step * direction) - model(images - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-9)


def test_second_derivative_against_finite_differences(model, images):
    random = np.random.default_rng(2)
    along, probe = (tf.constant(random.standard_normal(images.shape)) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch(images)
        slope = tf.reduce_sum(energy_gradient(model, images) * probe)
    curvature = tf.reduce_sum(tape.gradient(slope, images) * along)
    step = 1e-5
    ahead, behind = (
        tf.reduce_sum(energy_gradient(model, images + sign * step * along) * probe) for sign in (1, -1)
    )
    np.testing.assert_allclose(curvature, (ahead - behind) / (2 * step), rtol=1e-6)


def test_kernels_start_with_the_stated_spread():
    wide = EnergyModel(ARCHITECTURES["tiny"], (8, 8, 1), init_gain=1.4, seed=3)
    kernels = [
        w.numpy() for w in wide.trainable_variables if w.shape.rank > 1 and w.shape.num_elements() > 1000
    ]
    for kernel in kernels:
        fan_in = np.prod(kernel.shape[:-1])
        assert kernel.std() == pytest.approx(1.4 / np.sqrt(fan_in), rel=0.1)
    assert not np.allclose(kernels[0][..., 0], kernels[0][..., 1])


def test_the_seed_decides_the_weights():
    first, same, other = (
        EnergyModel(ARCHITECTURES["tiny"], (8, 8, 1), seed=s).get_weights() for s in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, same))
    assert not np.array_equal(first[0], other[0])


def test_an_image_that_cannot_be_halved_is_refused():
    with pytest.raises(ConfigError, match=r"multiples of 4; received images of 10x8"):
        EnergyModel(ARCHITECTURES["tiny"], (10, 8, 1))


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no architecture 'huge'; there are: tiny"):
        architecture("huge")
