"""What is rounded to bfloat16, what is not, and how far that moves energies and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Model
from ebm_tf.langevin import energy_and_gradient
from ebm_tf.models.architectures import LayerOptions
from ebm_tf.models.energy import build_energy_model
from ebm_tf.models.kernels import Convolution
from tests.models.derivatives import shaken

ROUNDED = LayerOptions(precision="bfloat16")
BFLOAT16_STEP = 2.0**-8  # of numbers with 8 bits


def rounded(values):
    return tf.cast(tf.cast(values, tf.bfloat16), tf.float32)


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.default_rng(0).random((3, 16, 16, 2), dtype=np.float32))


def test_a_convolution_multiplies_rounded_inputs_by_a_rounded_kernel(images):
    layer = Convolution(5, 3, ROUNDED, seed=1)
    found = layer(images)
    products = tf.nn.conv2d(rounded(images), rounded(layer.kernel), 1, "SAME")
    np.testing.assert_array_equal(found, rounded(products))
    assert found.dtype == tf.float32
    assert np.abs(found - tf.nn.conv2d(images, layer.kernel, 1, "SAME")).max() > 0


def test_biases_are_not_rounded(images):
    layer = Convolution(5, 3, ROUNDED, seed=1)
    without = layer(images)
    layer.bias.assign(tf.fill([5], 1 + 2.0**-12))  # which bfloat16 would round to 1
    np.testing.assert_array_equal(layer(images), without + layer.bias)


@pytest.mark.parametrize("norm", ["none", "group"])
def test_energies_and_gradients_stay_near_those_of_float32(images, norm):
    settings = Model(
        architecture="mnist", width=0.125, norm=norm, groups=4, scales=2, weight_standardisation=True
    )
    exact, coarse = (
        shaken(build_energy_model(settings.model_copy(update={"precision": precision}), (16, 16, 2), 3))
        for precision in ("float32", "bfloat16")
    )
    (energy, gradient), (energy_16, gradient_16) = (
        energy_and_gradient(model, images) for model in (exact, coarse)
    )
    assert energy_16.dtype == gradient_16.dtype == tf.float32
    off = np.linalg.norm(gradient - gradient_16) / np.linalg.norm(gradient)
    assert 0 < off < 10 * BFLOAT16_STEP
    spread = np.std(energy) + np.abs(energy).mean()
    assert 0 < np.abs(energy - energy_16).max() < 10 * BFLOAT16_STEP * spread


def test_weights_and_their_gradients_are_float32_and_the_second_derivative_is_near(images):
    found = []
    for precision in ("float32", "bfloat16"):
        settings = Model(architecture="mnist", width=0.125, groups=4, precision=precision)
        model = shaken(build_energy_model(settings, (16, 16, 2), 3))
        with tf.GradientTape() as tape:
            steepness = tf.reduce_sum(energy_and_gradient(model, images)[1] ** 2)
        gradients = tape.gradient(steepness, model.trainable_variables, unconnected_gradients="zero")
        assert {weight.dtype for weight in model.trainable_variables} == {tf.float32}
        assert {gradient.dtype for gradient in gradients} == {tf.float32}
        found.append(np.concatenate([np.ravel(gradient) for gradient in gradients]))
    exact, coarse = found
    assert 0 < np.linalg.norm(exact - coarse) / np.linalg.norm(exact) < 20 * BFLOAT16_STEP
