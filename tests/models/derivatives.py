"""Derivatives of an energy against central finite differences, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.langevin import energy_gradient


def shaken(model, seed=0, scale=0.3):
    """The model with all trained weights moved at random, so that none is at a special value such as 0."""
    random = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        weight.assign_add(scale * random.standard_normal(weight.shape))
    return model


def check_all(model, images, labels=None):
    """Image gradient, Hessian-vector product, and the gradient of sum |dE/dx|^2 in every single weight tensor."""

    def energy(x):
        return model(x) if labels is None else model(x, labels)

    check_image_gradient(energy, images)
    check_hessian_product(energy, images)
    check_weight_gradients(energy, images, model.trainable_variables)


def check_image_gradient(energy, images, step=1e-5):
    """The slope of each image's energy along a random direction."""
    direction = np.random.default_rng(1).standard_normal(images.shape)
    slope = tf.reduce_sum(energy_gradient(energy, images) * direction, axis=[1, 2, 3])
    difference = (energy(images + step * direction) - energy(images - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-5, atol=1e-8)
    assert np.abs(difference).max() > 1e-4


def check_hessian_product(energy, images, step=1e-5):
    """v H w for two random directions, from the gradient of the gradient and from two gradients."""
    random = np.random.default_rng(2)
    along, probe = (tf.constant(random.standard_normal(images.shape)) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch(images)
        slope = tf.reduce_sum(energy_gradient(energy, images) * probe)
    curvature = tf.reduce_sum(tape.gradient(slope, images) * along)
    ahead, behind = (
        tf.reduce_sum(energy_gradient(energy, images + sign * step * along) * probe) for sign in (1, -1)
    )
    difference = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(curvature, difference, rtol=1e-5, atol=1e-7)
    assert abs(float(difference)) > 1e-4


def check_weight_gradients(energy, images, weights, step=1e-5):
    """d/dw sum |dE/dx|^2, the derivative that the KL term takes, along a random direction in each weight alone."""

    @tf.function
    def steepness(x):
        return tf.reduce_sum(tf.square(energy_gradient(energy, x)))

    @tf.function
    def gradients(x):
        with tf.GradientTape() as tape:
            value = steepness(x)
        return tape.gradient(value, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    random = np.random.default_rng(3)
    scale = float(steepness(images))
    for weight, gradient in zip(weights, gradients(images)):
        direction = random.standard_normal(weight.shape)
        before = weight.numpy()
        values = []
        for sign in (1, -1):
            weight.assign(before + sign * step * direction)
            values.append(float(steepness(images)))
        weight.assign(before)
        slope = float(tf.reduce_sum(gradient * direction))
        difference = (values[0] - values[1]) / (2 * step)
        assert slope == pytest.approx(difference, rel=1e-5, abs=1e-8 * scale), weight.name
