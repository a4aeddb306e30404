"""Self-attention over the positions of a feature map (Zhang et al. 2019)."""

from __future__ import annotations

import keras
import tensorflow as tf

from ebm_tf.models.architectures import LayerOptions, attention_width
from ebm_tf.models.kernels import Convolution


class SelfAttention(keras.layers.Layer):
    """x + gamma * sum over positions of softmax(query . key) value: [B, H, W, C] to the same shape.

    Query and key are 1x1 convolutions to C/8 channels, the value one to C. gamma starts at 0, so that a new network
    is as if without attention. The key has no bias: it would cancel in the softmax.
    """

    def __init__(self, channels: int, options: LayerOptions, seed: int, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        narrow = attention_width(channels)
        self.query = Convolution(narrow, 1, options, seed, dtype=dtype)
        self.key = Convolution(narrow, 1, options, seed + 1, use_bias=False, dtype=dtype)
        self.value = Convolution(channels, 1, options, seed + 2, dtype=dtype)

    def kernel_layers(self) -> tuple[Convolution, ...]:
        """Its parts that have a kernel."""
        return (self.query, self.key, self.value)

    def build(self, input_shape: tf.TensorShape) -> None:
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="zeros")
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        query, key, value = (_positions(part(x)) for part in self.kernel_layers())
        weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True))
        gathered = tf.reshape(tf.matmul(weights, value), tf.shape(x))
        return x + self.gamma * gathered


def _positions(x: tf.Tensor) -> tf.Tensor:
    """[B, H, W, C] to [B, H*W, C]."""
    height, width, channels = x.shape[1:]
    return tf.reshape(x, [-1, height * width, channels])
