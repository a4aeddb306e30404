"""Halving and attention against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.models.architectures import LayerOptions
from ebm_tf.models.attention import SelfAttention
from ebm_tf.models.layers import average_half, blurred_half
from tests.models.derivatives import shaken


def test_average_half_is_the_mean_of_what_each_square_holds():
    x = np.random.default_rng(0).random((2, 5, 4, 3))
    found = average_half(tf.constant(x)).numpy()
    assert found.shape == (2, 3, 2, 3)
    for row in range(3):
        for column in range(2):
            square = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_allclose(found[:, row, column], square.mean((1, 2)), rtol=1e-12)


@pytest.mark.parametrize("size", [2, 4, 5, 7])
def test_blurred_half_is_every_other_pixel_of_a_mirrored_binomial_blur(size):
    x = np.random.default_rng(0).random((2, size, size + 1, 3))
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    down = wide[:, :-2] / 4 + wide[:, 1:-1] / 2 + wide[:, 2:] / 4
    both = down[:, :, :-2] / 4 + down[:, :, 1:-1] / 2 + down[:, :, 2:] / 4
    np.testing.assert_allclose(blurred_half(tf.constant(x)), both[:, ::2, ::2], rtol=1e-12)


@pytest.mark.parametrize("halve", [average_half, blurred_half])
@pytest.mark.parametrize("size", [6, 7])
def test_a_flat_image_stays_flat_up_to_its_borders(halve, size):
    np.testing.assert_allclose(halve(tf.fill([1, size, size, 2], 0.7)), 0.7, rtol=1e-6)


def test_a_blur_hides_the_finest_stripes_wherever_they_lie():
    stripes = np.tile(np.arange(8) % 2, (1, 8, 1))[..., None].astype(np.float64)
    for shift in (0, 1):
        shown = blurred_half(tf.constant(np.roll(stripes, shift, axis=2))).numpy()
        np.testing.assert_allclose(shown, 0.5)


@pytest.fixture(scope="module")
def attention():
    layer = SelfAttention(16, LayerOptions(), seed=0, dtype="float64")
    layer(tf.zeros([1, 3, 4, 16], tf.float64))
    return layer


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((2, 3, 4, 16))


def test_attention_starts_as_the_identity(attention, x):
    np.testing.assert_array_equal(attention(x), x)


def test_attention_is_its_formula(x):
    layer = SelfAttention(16, LayerOptions(), seed=0, dtype="float64")
    layer(x)
    shaken(layer)

    def maps(part):
        bias = part.bias.numpy() if part.use_bias else 0
        return x.reshape(2, 12, 16) @ part.kernel.numpy()[0, 0] + bias

    query, key, value = maps(layer.query), maps(layer.key), maps(layer.value)
    assert query.shape == key.shape == (2, 12, 2)
    scores = np.exp(query @ key.transpose(0, 2, 1))
    gathered = scores / scores.sum(axis=2, keepdims=True) @ value
    expected = x + float(layer.gamma) * gathered.reshape(x.shape)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-9)
