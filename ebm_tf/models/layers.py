"""Layers of the energy networks. All are smooth: chains and the KL term need second derivatives."""

from __future__ import annotations

import keras
import tensorflow as tf


def swish(x: tf.Tensor) -> tf.Tensor:
    """x * sigmoid(x) (Ramachandran et al. 2018), any shape."""
    return x * tf.sigmoid(x)


def normal_kernel(gain: float, seed: int) -> keras.initializers.Initializer:
    """Kernels from N(0, gain^2 / fan-in)."""
    return keras.initializers.VarianceScaling(
        gain**2, mode="fan_in", distribution="untruncated_normal", seed=seed
    )


class ConvSwish(keras.layers.Layer):
    """3x3 convolution, zero-padded to the same size, then swish: [B, H, W, C] to [B, H, W, width]."""

    def __init__(self, width: int, gain: float, seed: int, **options: object) -> None:
        super().__init__(**options)
        self.convolution = keras.layers.Conv2D(
            width, 3, padding="same", kernel_initializer=normal_kernel(gain, seed), dtype=self.dtype
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return swish(self.convolution(x))


class ResidualBlock(keras.layers.Layer):
    """x + swish(conv(swish(conv(x)))): [B, H, W, C] to the same shape (SPEC section 4, without norm)."""

    def __init__(self, width: int, gain: float, seed: int, **options: object) -> None:
        super().__init__(**options)
        self.first = ConvSwish(width, gain, seed, dtype=self.dtype)
        self.second = ConvSwish(width, gain, seed + 1, dtype=self.dtype)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return x + self.second(self.first(x))
