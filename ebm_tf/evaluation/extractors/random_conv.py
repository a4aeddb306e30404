"""Features of a convolutional network that nobody trained: they see local structure, and need no file.

Three 3x3 convolutions with swish, 32, 64 and 128 channels wide, strides 1, 2 and 2, zero-padded, without biases; the
weights are He-normal draws that follow from the seed. The features are the mean and the mean square of each of the
last 128 maps over the image. Any size of image is taken, the smallest 1x1; a grey image is shown as a colour one of
three equal channels, so that grey and colour sets share one space.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity
from ebm_tf.evaluation.extractors.digests import arrays_sha256
from ebm_tf.evaluation.extractors.images import COLOUR, in_colour

WIDTHS, STRIDES, KERNEL = (32, 64, 128), (1, 2, 2), 3


def kernels(seed: int) -> list[npt.NDArray[np.float32]]:
    """The weights of each layer, float32 [3, 3, channels in, channels out], variance 2 / fan-in (He et al. 2015)."""
    random = np.random.default_rng(seed)
    layers, channels = [], COLOUR
    for width in WIDTHS:
        scale = np.sqrt(2 / (KERNEL * KERNEL * channels))
        drawn = scale * random.standard_normal((KERNEL, KERNEL, channels, width))
        layers.append(drawn.astype(np.float32))
        channels = width
    return layers


class RandomConv(FeatureExtractor):
    """256 features of an untrained network that follows from its seed."""

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.kernels = seed, kernels(seed)
        self.identity = Identity(
            name="random-conv",
            version=f"1, seed {seed}",
            sha256=arrays_sha256(self.kernels),
            input="uint8 RGB (grey repeated) at its own size, / 127.5 - 1",
            features=2 * WIDTHS[-1],
        )
        images = tf.TensorSpec([None, None, None, COLOUR], tf.uint8)
        self._features = tf.function(self._network, input_signature=[images])

    def __call__(self, images: npt.NDArray[np.uint8]) -> Extracted:
        return Extracted(self._features(in_colour(images)).numpy(), None)

    def save(self, folder: Path) -> dict[str, Any]:
        return {"seed": self.seed}

    def _network(self, images: tf.Tensor) -> tf.Tensor:
        x = tf.cast(images, tf.float32) / 127.5 - 1
        for kernel, stride in zip(self.kernels, STRIDES):
            x = tf.nn.silu(tf.nn.conv2d(x, kernel, stride, "SAME"))
        return tf.concat([tf.reduce_mean(x, [1, 2]), tf.reduce_mean(x * x, [1, 2])], axis=-1)
