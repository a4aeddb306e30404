"""Normalisation inside residual blocks, and what a label does there.

Written out here because chains and the KL term need second derivatives: keras.layers.GroupNormalization takes its
variance from tf.nn.moments, which holds the mean fixed in its gradient, so that its own gradient is wrong. The first
derivative is written out as well: it takes fewer passes over memory than the one that TensorFlow would derive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
        plain = self.kind == "none"
        gain, bias = (tf.ones([], x.dtype), tf.zeros([], x.dtype)) if plain else (self.gain, self.bias)
        if self.classes:
            gain = gain + (condition @ self.label_gain)[:, None, None, :]
            bias = bias + (condition @ self.label_bias)[:, None, None, :]
        return x * gain + bias if plain else normalised(x, gain, bias, self.groups)


def normalised(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, groups: int) -> tf.Tensor:
    """n gain + bias, where n is x with mean 0 and variance 1 over the positions and channels of each group.

    Args:
        x: [B, H, W, C].
        gain, bias: of each channel, [C], or of each image and channel, [B, 1, 1, C].
        groups: into which the channels of each image are cut.
    """

    @tf.custom_gradient
    def function(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        centred, scale = _centred(x, groups)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
            centred, scale = _centred(x, groups)  # again, so that this can be differentiated; computed once
            along = tf.reduce_mean(upstream * centred, [1, 2], keepdims=True) * scale
            level = tf.reduce_mean(upstream, [1, 2], keepdims=True)
            pull = _over_groups(along * gain, groups) * scale
            to_x = (
                upstream * (gain * scale)
                - centred * (pull * scale)
                - _over_groups(level * gain, groups) * scale
            )
            positions = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], x.dtype)
            return to_x, _summed(positions * along, gain), _summed(positions * level, bias)

        return centred * (scale * gain) + bias, gradient

    return function(x, *(tf.convert_to_tensor(each, x.dtype) for each in (gain, bias)))


def _centred(x: tf.Tensor, groups: int) -> tuple[tf.Tensor, tf.Tensor]:
    """x less the mean of its group, and one over its group's standard deviation, [B, 1, 1, C]."""
    centred = x - _over_groups(tf.reduce_mean(x, [1, 2], keepdims=True), groups)
    variance = _over_groups(tf.reduce_mean(tf.square(centred), [1, 2], keepdims=True), groups)
    return centred, tf.math.rsqrt(variance + EPSILON)


def _over_groups(of_channels: tf.Tensor, groups: int) -> tf.Tensor:
    """The mean over the channels of each group, back at each channel: [B, 1, 1, C] to the same shape."""
    channels = of_channels.shape[-1]
    if groups == channels:
        return of_channels
    means = tf.reduce_mean(tf.reshape(of_channels, [-1, groups, channels // groups]), axis=2)
    return tf.repeat(means, channels // groups, axis=1)[:, None, None, :]


def _summed(of_images: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """[B, 1, 1, C] as the gradient of what is `like` [C], which all images share, or [B, 1, 1, C]."""
    return tf.reduce_sum(of_images, [0, 1, 2]) if like.shape.rank == 1 else of_images
