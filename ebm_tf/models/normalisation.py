"""Normalisation inside residual blocks, and what a label does there.

Written out here because chains and the KL term need second derivatives: keras.layers.GroupNormalization takes its
variance from tf.nn.moments, which holds the mean fixed in its gradient, so that its own gradient is wrong.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from ebm_tf.models.architectures import LayerOptions, groups_of

EPSILON = 1e-5  # added to variances (Wu & He 2018)


class Normalisation(keras.layers.Layer):
    """Group, instance or no normalisation, then gain and bias per channel: [B, H, W, C] to the same shape.

    In a conditional network a label adds its own gain and bias to those (FiLM, Perez et al. 2018); all of a label's
    start at 0. Label -1 adds none: what is left is common to all classes. Training, in which every image has its
    label, fits that part by itself to no data.
    """

    def __init__(self, options: LayerOptions, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.kind, self.most_groups, self.classes = options.norm, options.groups, options.classes

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]
        if self.kind != "none":
            self.groups = channels if self.kind == "instance" else groups_of(channels, self.most_groups)
            self.gain = self.add_weight(name="gain", shape=(channels,), initializer="ones")
            self.bias = self.add_weight(name="bias", shape=(channels,), initializer="zeros")
        if self.classes:
            shape = (self.classes, channels)
            self.label_gain = self.add_weight(name="label_gain", shape=shape, initializer="zeros")
            self.label_bias = self.add_weight(name="label_bias", shape=shape, initializer="zeros")

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        """`condition` is the label as one-hot [B, classes], zeros for -1; None in unconditional networks."""
        if self.kind == "none":
            gain, bias = tf.ones([], x.dtype), tf.zeros([], x.dtype)
        else:
            x = normalised(x, self.groups)
            gain, bias = self.gain, self.bias
        if self.classes:
            gain = gain + (condition @ self.label_gain)[:, None, None, :]
            bias = bias + (condition @ self.label_bias)[:, None, None, :]
        return x * gain + bias


def normalised(x: tf.Tensor, groups: int) -> tf.Tensor:
    """x [B, H, W, C] with mean 0 and variance 1 over the positions and channels of each group of each image."""
    centred = x - _group_mean(x, groups)
    return centred * tf.math.rsqrt(_group_mean(tf.square(centred), groups) + EPSILON)


def _group_mean(x: tf.Tensor, groups: int) -> tf.Tensor:
    """Means over positions and the channels of a group, back at each channel: [B, H, W, C] to [B, 1, 1, C]."""
    channels = x.shape[-1]
    of_channels = tf.reshape(tf.reduce_mean(x, [1, 2]), [-1, groups, channels // groups])
    of_groups = tf.reduce_mean(of_channels, axis=2)
    return tf.repeat(of_groups, channels // groups, axis=1)[:, None, None, :]
