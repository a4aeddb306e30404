"""Layers of the energy networks. All are smooth: chains and the KL term need second derivatives."""

from __future__ import annotations

from typing import Callable

import keras
import tensorflow as tf

from ebm_tf.models.architectures import LayerOptions
from ebm_tf.models.kernels import Convolution
from ebm_tf.models.normalisation import Normalisation


@tf.custom_gradient
def swish(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """x s with s = sigmoid(x) (Ramachandran et al. 2018), any shape.

    Its slope is s + x s (1 - s), written out because that takes fewer passes over memory than the product rule. It is
    a function of x alone, so that it can be differentiated again; within one graph s is still computed once.
    """

    def slope(upstream: tf.Tensor) -> tf.Tensor:
        s = tf.sigmoid(x)
        return upstream * (s + tf.raw_ops.SigmoidGrad(y=s, dy=x))

    return x * tf.sigmoid(x), slope


class ConvSwish(keras.layers.Layer):
    """3x3 convolution, zero-padded to the same size, then swish: [B, H, W, C] to [B, H, W, width].

    Args:
        in_block: whether it stands in a residual block, where kernels may be standardised and a norm, with what the
            label does to it, comes before the swish.
    """

    def __init__(
        self, width: int, options: LayerOptions, seed: int, in_block: bool = False, dtype: str = "float32"
    ) -> None:
        super().__init__(dtype=dtype)
        self.convolution = Convolution(width, 3, options, seed, standardise=in_block, dtype=dtype)
        normalises = in_block and (options.norm != "none" or options.classes)
        self.norm = Normalisation(options, dtype) if normalises else None

    def kernel_layers(self) -> tuple[Convolution, ...]:
        """Its parts that have a kernel."""
        return (self.convolution,)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        x = self.convolution(x)
        return swish(x if self.norm is None else self.norm(x, condition))


class ResidualBlock(keras.layers.Layer):
    """x + swish(norm(conv(swish(norm(conv(x)))))): [B, H, W, C] to the same shape (method.md section 4).

    `condition` in the calls below is the label as one-hot [B, classes], or None in unconditional networks.
    """

    def __init__(self, channels: int, options: LayerOptions, seed: int, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.skip = options.skip
        self.first = ConvSwish(channels, options, seed, in_block=True, dtype=dtype)
        self.second = ConvSwish(channels, options, seed + 1, in_block=True, dtype=dtype)

    def kernel_layers(self) -> tuple[Convolution, ...]:
        """Its parts that have a kernel."""
        return self.first.kernel_layers() + self.second.kernel_layers()

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        branch = self.second(self.first(x, condition), condition)
        return x + branch if self.skip else branch


class ResidualDownBlock(keras.layers.Layer):
    """A residual block, 3x3 convolution, halving, swish: [B, H, W, C] to [B, ceil(H/2), ceil(W/2), width]."""

    def __init__(
        self, channels: int, width: int, options: LayerOptions, seed: int, dtype: str = "float32"
    ) -> None:
        super().__init__(dtype=dtype)
        self.residual = ResidualBlock(channels, options, seed, dtype)
        self.convolution = Convolution(width, 3, options, seed + 2, standardise=True, dtype=dtype)
        self.halve = Halving(options, dtype)

    def kernel_layers(self) -> tuple[Convolution, ...]:
        """Its parts that have a kernel."""
        return (*self.residual.kernel_layers(), self.convolution)

    def call(self, x: tf.Tensor, condition: tf.Tensor | None = None) -> tf.Tensor:
        return swish(self.halve(self.convolution(self.residual(x, condition))))


class Halving(keras.layers.Layer):
    """Half the height and width, odd ones rounded up, by the mean of 2x2 pixels or after a blur."""

    def __init__(self, options: LayerOptions, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.blur = options.downsample == "blur"

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return blurred_half(x) if self.blur else average_half(x)


class GlobalMean(keras.layers.Layer):
    """Swish, then the mean over positions: [B, H, W, C] to [B, C]."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(swish(x), [1, 2])


def average_half(x: tf.Tensor) -> tf.Tensor:
    """The mean of each 2x2 square; at the end of an odd height or width, of the pixels that there are."""
    return tf.nn.avg_pool2d(x, 2, 2, "SAME")


def blurred_half(x: tf.Tensor) -> tf.Tensor:
    """Every other pixel after a blur by [1, 2, 1]/4 both ways (Zhang 2019), mirrored at the borders.

    Mirrored rather than padded by zeros, which would darken the borders. The blur is two 2x2 means on end.
    """
    height, width = x.shape[1:3]
    mirrored = tf.pad(x, [[0, 0], [1, height % 2], [1, width % 2], [0, 0]], "REFLECT")
    return tf.nn.avg_pool2d(tf.nn.avg_pool2d(mirrored, 2, 1, "VALID"), 2, 2, "VALID")
