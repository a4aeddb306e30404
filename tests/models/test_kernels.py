"""Kernels in the form they are used: standardised against their definition, spectral norms against an SVD."""

from contextlib import nullcontext

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.langevin import energy_gradient
from ebm_tf.models.architectures import Conv, Energy, GlobalMean, LayerOptions, Residual, ResidualDown
from ebm_tf.models.energy import EnergyModel
from ebm_tf.models.kernels import (
    Convolution,
    Dense,
    power_iteration,
    spectral_estimate,
    standardised,
)

SPECTRAL = LayerOptions(spectral_norm=True)
BLOCKS = (Conv(4), ResidualDown(6), GlobalMean(), Energy())


def largest_singular_value(kernel):
    return np.linalg.svd(np.reshape(kernel, (-1, kernel.shape[-1])), compute_uv=False)[0]


def test_a_standardised_kernel_has_mean_0_and_variance_1_over_fan_in():
    kernel = standardised(tf.constant(np.random.default_rng(0).normal(3, 5, (3, 3, 7, 4)))).numpy()
    np.testing.assert_allclose(kernel.mean((0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(kernel.var((0, 1, 2)), 1 / (3 * 3 * 7), rtol=1e-6)


def test_only_kernels_of_residual_blocks_are_standardised():
    model = EnergyModel(BLOCKS, (4, 4, 2), LayerOptions(weight_standardisation=True))
    assert [getattr(layer, "standardise", False) for layer in model.kernel_layers()] == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_power_iterations_find_the_largest_singular_value():
    random = np.random.default_rng(1)
    kernel = tf.constant(random.standard_normal((3, 3, 5, 8)))
    vector = tf.constant(random.standard_normal(8))
    vector /= tf.norm(vector)
    estimates = []
    for _ in range(300):
        estimates.append(float(spectral_estimate(kernel, vector)))
        vector = power_iteration(kernel, vector)
    assert estimates[-1] == pytest.approx(largest_singular_value(kernel.numpy()), rel=1e-9)
    assert np.all(np.diff(estimates) > -1e-12)  # from below, never past it


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Convolution(5, 3, SPECTRAL, seed=0), (1, 4, 4, 3)),
        (lambda: Convolution(5, 3, LayerOptions(spectral_norm=True, weight_standardisation=True), 0, True),
         (1, 4, 4, 3)),
        (lambda: Dense(6, SPECTRAL, seed=0), (1, 9)),
        (lambda: Dense(1, SPECTRAL, seed=0, use_bias=False), (1, 9)),
    ],
    ids=["convolution", "standardised convolution", "dense", "energy"],
)  # fmt: skip
def test_the_kernel_in_use_has_spectral_norm_1(make, shape):
    layer = make()
    layer(tf.zeros(shape))
    for _ in range(300):
        layer.update_spectral_vector()
    assert largest_singular_value(layer.form().numpy()) == pytest.approx(1, rel=1e-4)


def test_a_new_network_starts_near_its_spectral_norms():
    model = EnergyModel(BLOCKS, (4, 4, 2), SPECTRAL, seed=4)
    for layer in model.kernel_layers():
        assert 0.999 < largest_singular_value(layer.form().numpy()) < 1.2


@pytest.fixture
def model():
    return EnergyModel(BLOCKS, (4, 4, 2), SPECTRAL, seed=4)


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.default_rng(0).random((5, 4, 4, 2), dtype=np.float32))


def change_kernels(model):
    random = np.random.default_rng(7)
    for weight in model.trainable_variables:
        weight.assign_add(random.standard_normal(weight.shape).astype(np.float32))


def test_the_energy_changes_with_updates_alone_and_not_with_use(model, images):
    change_kernels(model)
    evaluate = tf.function(model)
    first = evaluate(images).numpy()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(images))
    tape.gradient(total, model.trainable_variables)
    for _ in range(5):
        np.testing.assert_array_equal(evaluate(images), first)
    model.update_spectral_vectors()
    assert np.abs(evaluate(images) - first).max() > 1e-4


def test_updates_do_nothing_without_spectral_normalisation():
    model = EnergyModel(BLOCKS, (4, 4, 2))
    before = model.get_weights()
    model.update_spectral_vectors()
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_spectral_vectors_are_saved_with_the_weights_but_not_trained(model, images, tmp_path):
    assert len(model.non_trainable_variables) == len(model.kernel_layers()) == 5
    change_kernels(model)
    model.update_spectral_vectors()
    model.save_weights(tmp_path / "some.weights.h5")
    tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    for restore in (
        lambda other: other.load_weights(tmp_path / "some.weights.h5"),
        lambda other: tf.train.Checkpoint(model=other).read(str(tmp_path / "checkpoint")).assert_consumed(),
    ):
        other = EnergyModel(BLOCKS, (4, 4, 2), SPECTRAL, seed=5)
        restore(other)
        np.testing.assert_array_equal(other(images), model(images))


BOTH = LayerOptions(spectral_norm=True, weight_standardisation=True)


def test_within_computed_once_kernels_keep_their_form(images):
    model = EnergyModel((Conv(4), Residual(), GlobalMean(), Energy()), (4, 4, 2), BOTH, seed=4)
    before = model(images)
    with model.kernels_computed_once():
        np.testing.assert_array_equal(model(images), before)
        change_kernels(model)
        biases_moved = model(images)
        for layer in model.kernel_layers():
            layer.kernel.assign(tf.zeros_like(layer.kernel))
        np.testing.assert_array_equal(model(images), biases_moved)
    assert not np.allclose(model(images), biases_moved)


def test_only_the_named_layers_keep_their_form(images):
    one, other = (EnergyModel(BLOCKS, (4, 4, 2), SPECTRAL, seed=seed) for seed in (4, 5))
    with one.kernels_computed_once(), other.kernels_computed_once():
        first = one(images)
    with one.kernels_computed_once():
        change_kernels(other)
        np.testing.assert_array_equal(one(images), first)
        inside = other(images)
    np.testing.assert_array_equal(other(images), inside)


def test_gradients_through_it_are_those_without(images):
    model = EnergyModel((Conv(4), Residual(), GlobalMean(), Energy()), (4, 4, 2), BOTH, seed=4)
    change_kernels(model)

    @tf.function
    def gradients(once):
        with tf.GradientTape() as tape, model.kernels_computed_once() if once else nullcontext():
            total = tf.zeros([])
            for _ in tf.range(3):  # as a chain does
                total += tf.reduce_sum(energy_gradient(model, images + total) ** 2)
        return tape.gradient(total, model.trainable_variables, unconnected_gradients="zero")

    for with_it, without in zip(gradients(True), gradients(False)):
        np.testing.assert_allclose(with_it, without, rtol=1e-4, atol=1e-6)


def test_a_loop_within_it_computes_no_kernel(images):
    model = EnergyModel((Conv(4), Residual(), GlobalMean(), Energy()), (4, 4, 2), BOTH, seed=4)

    @tf.function
    def walk(images):
        with model.kernels_computed_once():
            for _ in tf.range(3):
                images = images - energy_gradient(model, images)
        return images

    graph = walk.get_concrete_function(images).graph.as_graph_def()
    in_loops = [node.op for function in graph.library.function for node in function.node_def]
    assert "Conv2D" in in_loops and "Rsqrt" not in in_loops  # Rsqrt: of the standardisation
