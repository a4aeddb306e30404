"""Group and instance norm against their definition, and what labels add."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.errors import ConfigError
from ebm_tf.models.architectures import LayerOptions, groups_of
from ebm_tf.models.normalisation import EPSILON, Normalisation, normalised


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(2, 3, (3, 4, 5, 6))


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_each_group_of_each_image_is_brought_to_mean_0_and_variance_1(x, groups):
    found = normalised(tf.constant(x), 1.0, 0.0, groups).numpy()
    size = 6 // groups
    for image, out in zip(x, found):
        for first in range(0, 6, size):
            part = image[..., first : first + size]
            expected = (part - part.mean()) / np.sqrt(part.var() + EPSILON)
            np.testing.assert_allclose(out[..., first : first + size], expected, rtol=1e-10)


@pytest.mark.parametrize(("norm", "groups"), [("group", 3), ("instance", 6)])
def test_gain_and_bias_are_per_channel(x, norm, groups):
    layer = Normalisation(LayerOptions(norm=norm, groups=3), dtype="float64")
    layer(x)
    gain, bias = np.arange(6.0), np.arange(6.0) ** 2
    layer.gain.assign(gain), layer.bias.assign(bias)
    np.testing.assert_allclose(
        layer(x), normalised(tf.constant(x), 1.0, 0.0, groups) * gain + bias, rtol=1e-12
    )


def test_there_is_at_most_one_group_per_channel():
    assert [groups_of(channels, 32) for channels in (8, 32, 64)] == [8, 32, 32]
    with pytest.raises(
        ConfigError, match=r"model.groups is 32, which does not divide a layer of 48 channels"
    ):
        groups_of(48, 32)


@pytest.mark.parametrize("norm", ["group", "none"])
def test_a_label_adds_its_own_gain_and_bias(x, norm):
    options = LayerOptions(norm=norm, groups=3, classes=2)
    layer = Normalisation(options, dtype="float64")
    condition = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], tf.float64)
    plain = normalised(tf.constant(x), 1.0, 0.0, 3).numpy() if norm == "group" else x
    np.testing.assert_allclose(layer(x, condition), plain, rtol=1e-12)  # at first, none
    random = np.random.default_rng(1)
    gains, biases = random.standard_normal((2, 6)), random.standard_normal((2, 6))
    layer.label_gain.assign(gains), layer.label_bias.assign(biases)
    found = layer(x, condition).numpy()
    for image in (0, 1):
        np.testing.assert_allclose(
            found[image], plain[image] * (1 + gains[image]) + biases[image], rtol=1e-10
        )
    np.testing.assert_allclose(found[2], plain[2], rtol=1e-12)
