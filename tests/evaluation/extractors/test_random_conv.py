"""Random convolutional features against their definition in NumPy, for any size; they follow from the seed."""

from __future__ import annotations

import numpy as np
import pytest

from ebm_tf.evaluation.extractors.random_conv import RandomConv, kernels


@pytest.fixture(scope="module")
def extractor():
    return RandomConv(seed=3)


def images(count, height=8, width=8, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def convolution(x, kernel, stride):
    """Zero-padded 3x3 convolution of [n, H, W, C], float64; what SAME pads on the left and top is the lesser half."""
    size = [-(-length // stride) for length in x.shape[1:3]]
    pads = [max((new - 1) * stride + 3 - old, 0) for new, old in zip(size, x.shape[1:3])]
    x = np.pad(x, [(0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)])
    out = np.zeros((len(x), *size, kernel.shape[-1]))
    for row in range(size[0]):
        for column in range(size[1]):
            seen = x[:, row * stride : row * stride + 3, column * stride : column * stride + 3]
            out[:, row, column] = np.einsum("nijc,ijcd->nd", seen, kernel)
    return out


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)])
def test_features_are_what_their_definition_says(extractor, size):
    shown = images(2, *size)
    x = shown / 127.5 - 1
    for kernel, stride in zip(kernels(3), (1, 2, 2)):
        x = convolution(x, kernel.astype(np.float64), stride)
        x = x / (1 + np.exp(-x))
    expected = np.concatenate([x.mean(axis=(1, 2)), (x**2).mean(axis=(1, 2))], axis=1)
    features, logits = extractor(shown)
    assert logits is None
    assert features.dtype == np.float32
    assert features.shape == (2, 256) == (2, extractor.identity.features)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_weights_have_the_variance_of_he():
    for kernel, (fan_in, width) in zip(kernels(0), ((27, 32), (288, 64), (576, 128))):
        assert kernel.shape == (3, 3, fan_in // 9, width)
        deviation = np.sqrt(2 / fan_in)
        assert abs(kernel.std() / deviation - 1) < 4 / np.sqrt(2 * kernel.size)
        assert abs(kernel.mean()) < 4 * deviation / np.sqrt(kernel.size)


def test_features_and_identity_follow_from_the_seed(extractor):
    again, other = RandomConv(seed=3), RandomConv(seed=4)
    assert again.identity == extractor.identity
    assert other.identity.sha256 != extractor.identity.sha256
    assert (extractor.identity.version, other.identity.version) == ("1, seed 3", "1, seed 4")
    shown = images(2)
    np.testing.assert_array_equal(again(shown).features, extractor(shown).features)
    assert np.abs(other(shown).features - extractor(shown).features).max() > 0.01


def test_the_weights_of_seed_0_are_the_same_everywhere():
    assert RandomConv().identity.sha256 == "9f38c2307c8f70eb9f000deffddc19a459b86759c3c2338fbc214b135930b6dc"


def test_a_grey_image_is_a_colour_image_of_equal_channels(extractor):
    grey = images(3, channels=1)
    np.testing.assert_array_equal(extractor(grey).features, extractor(np.repeat(grey, 3, axis=-1)).features)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_features_do_not_depend_on_the_batch(extractor, count):
    shown = images(7)
    parts = [extractor(shown[i : i + count]).features for i in range(0, 7, count)]
    np.testing.assert_allclose(np.concatenate(parts), extractor(shown).features, rtol=1e-5, atol=1e-6)


def test_one_trace_serves_every_batch_and_size(extractor):
    for shown in (images(1), images(3, 12, 9), images(2, channels=1)):
        extractor(shown)
    assert extractor._features.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("wrong", [images(2) / 255, images(2, channels=2), images(2)[0]])
def test_other_images_are_refused(extractor, wrong):
    with pytest.raises(ValueError, match="images must be uint8"):
        extractor(wrong)
