"""Convolutions of small images: the function and all its derivatives are those of tf.nn.conv2d."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Model
from ebm_tf.langevin import energy_gradient
from ebm_tf.models.architectures import LayerOptions
from ebm_tf.models.energy import build_energy_model
from ebm_tf.models.kernels import Convolution
from ebm_tf.models.small_images import convolved, is_small, way_back

SHAPES = {  # images, kernel
    "grey, even": ((3, 8, 8, 1), (3, 3, 1, 5)),
    "colours, odd, not square": ((2, 3, 5, 3), (3, 3, 3, 4)),
    "smaller than the kernel": ((2, 2, 1, 4), (3, 3, 4, 6)),
    "another kernel": ((2, 4, 5, 2), (5, 3, 2, 3)),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def tensors(request):
    images, kernel = request.param
    random = np.random.default_rng(0)
    upstream = (*images[:3], kernel[-1])
    return [
        tf.constant(random.standard_normal(shape)) for shape in (images, kernel, upstream, images, kernel)
    ]


def as_it_is(images, kernel):
    return tf.nn.conv2d(images, kernel, 1, "SAME")


def by_matrix(images, kernel):
    return convolved(images, kernel, way_back(kernel, images.shape[1:]))


def derivatives(function, images, kernel, upstream, image_direction, kernel_direction):
    """The outcome, its first derivatives, and those of these along two directions."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([images, kernel, upstream])
        with tf.GradientTape(persistent=True) as inner:
            inner.watch([images, kernel])
            outcome = function(images, kernel)
            total = tf.reduce_sum(tf.tanh(outcome) * upstream)
        first = inner.gradient(total, [images, kernel])
        along = [
            tf.reduce_sum(each * direction)
            for each, direction in zip(first, (image_direction, kernel_direction))
        ]
    second = [outer.gradient(each, [images, kernel, upstream]) for each in along]
    return [outcome, *first, *tf.nest.flatten(second)]


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
def test_the_function_and_its_derivatives_are_those_of_the_convolution(tensors, compiled):
    found, wanted = (
        (tf.function(derivatives) if compiled else derivatives)(function, *tensors)
        for function in (by_matrix, as_it_is)
    )
    assert len(found) == 9
    for ours, theirs in zip(found, wanted):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_the_way_back_is_the_transposed_matrix_of_the_convolution():
    kernel = tf.constant(np.random.default_rng(1).standard_normal((3, 3, 2, 3)))
    units = tf.reshape(tf.eye(24, dtype=tf.float64), [24, 3, 4, 2])
    wanted = tf.reshape(as_it_is(units, kernel), [24, 36]).numpy().T
    np.testing.assert_allclose(way_back(kernel, (3, 4, 2)), wanted)


@pytest.mark.parametrize(
    ("image", "kernel", "small"),
    [
        ((8, 8, 1), (3, 3, 1, 16), True),
        ((2, 2, 16), (3, 3, 16, 32), True),
        ((4, 4, 16), (3, 3, 16, 16), False),
        ((8, 8, 1), (3, 3, 1, 17), False),
        ((2, 2, 16), (1, 1, 16, 32), False),
        ((32, 32, 3), (3, 3, 3, 64), False),
    ],
)
def test_what_is_small(image, kernel, small):
    assert is_small(image, kernel) is small


@pytest.mark.parametrize(("shape", "small"), [((1, 8, 8, 1), True), ((1, 9, 9, 1), False)])
def test_a_layer_multiplies_by_the_matrix_where_images_are_small(shape, small):
    layer = Convolution(4, 3, LayerOptions(), seed=0)
    layer(tf.zeros(shape))
    assert (layer.in_use().back is not None) is small


def test_the_matrices_of_digits_follow_the_weights():
    model = build_energy_model(Model(architecture="tiny"), (8, 8, 1), seed=0)
    images = tf.random.stateless_uniform([2, 8, 8, 1], [0, 0])

    for weight in model.trainable_variables:
        weight.assign(weight * 1.5)
    found = energy_gradient(model, images)
    small = 1e-2
    direction = tf.random.stateless_normal(images.shape, [0, 1])
    ahead, behind = (model(images + sign * small * direction) for sign in (1, -1))
    wanted = (ahead - behind) / (2 * small)
    np.testing.assert_allclose(tf.reduce_sum(found * direction, [1, 2, 3]), wanted, rtol=5e-3, atol=1e-2)
    convolutions = [layer for layer in model.kernel_layers() if isinstance(layer, Convolution)]
    assert [layer.in_use().back is not None for layer in convolutions] == [True, False, False, True]
