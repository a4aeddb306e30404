"""Spectral normalisation against the singular values that NumPy finds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.baselines.plan import plan
from ebm_tf.baselines.sngan import Discriminator
from ebm_tf.baselines.spectral_normalisation import SpectralNormalisation


def wrappers(network):
    return [layer for layer in network.submodules if isinstance(layer, SpectralNormalisation)]


def largest_singular_value(kernel):
    return np.linalg.svd(kernel.numpy().reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def test_every_kernel_of_the_discriminator_comes_to_a_spectral_norm_of_one():
    network = Discriminator(plan((8, 8, 1), 0.2), (8, 8, 1))
    run = tf.function(lambda images: network(images, training=True))
    kernels = [weight for weight in network.trainable_variables if "kernel" in weight.name]
    assert len(kernels) == len(wrappers(network))
    for kernel in kernels:
        kernel.assign(3 * kernel)
    for _ in range(300):
        run(tf.zeros([1, 8, 8, 1]))
    for kernel in kernels:
        assert largest_singular_value(kernel) == pytest.approx(1, abs=2e-3)


def test_one_call_in_training_is_one_power_iteration_and_divides_the_kernel():
    layer = SpectralNormalisation(keras.layers.Dense(3, kernel_initializer="glorot_uniform"), seed=5)
    layer.build(tf.TensorShape([None, 4]))
    kernel, u = layer.layer.kernel.numpy(), layer.u.numpy()
    layer(tf.zeros([2, 4]), training=True)
    v = u @ kernel.T
    v /= np.linalg.norm(v)
    new = v @ kernel
    sigma = np.linalg.norm(new)
    np.testing.assert_allclose(layer.u.numpy(), new / sigma, rtol=1e-5)
    np.testing.assert_allclose(layer.layer.kernel.numpy(), kernel / sigma, rtol=1e-5)


def test_a_call_outside_training_changes_nothing():
    network = Discriminator(plan((8, 8, 1), 0.1), (8, 8, 1))
    before = network.get_weights()
    network(tf.ones([2, 8, 8, 1]), training=False)
    for old, new in zip(before, network.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_the_first_vector_follows_from_the_seed():
    vectors = []
    for seed in (1, 1, 2):
        layer = SpectralNormalisation(keras.layers.Dense(3), seed)
        layer.build(tf.TensorShape([None, 4]))
        vectors.append(layer.u.numpy())
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert np.abs(vectors[0] - vectors[2]).min() > 0
