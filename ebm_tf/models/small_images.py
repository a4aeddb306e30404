"""Convolutions of small images, whose derivative with respect to the image is one matrix product.

A convolution is linear, so it has a matrix: from all pixels and channels of an image to all of the outcome. Most of
it is zeros. Where images are small the product with it is faster all the same than the convolution that leads back to
them, which does badly with few channels: for grey images of 8x8 pixels it takes a third of the time. Forward, and for
the kernel, convolutions are faster; they need no gradient through the matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

MOST_INPUTS, MOST_OUTPUTS = 64, 1024
"""Pixels times channels up to which the product is faster, before and after the convolution."""

Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def is_small(image_shape: Sequence[int], kernel_shape: Sequence[int]) -> bool:
    """Whether the product is faster, for images [H, W, C] and a kernel [h, w, C, width]."""
    height, width, channels = image_shape
    pixels = height * width
    wide = kernel_shape[0] * kernel_shape[1] > 1  # one of 1x1 is a matrix product anyway
    return wide and pixels * channels <= MOST_INPUTS and pixels * kernel_shape[-1] <= MOST_OUTPUTS


def way_back(kernel: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
    """The transposed matrix, [H W width, H W C], of the zero-padded convolution of images [H, W, C] with a kernel.

    No gradient goes through it: see `convolved`.

    Args:
        kernel: [h, w, C, width], h and w odd.
    """
    height, width, channels = image_shape
    pixels, (rows, columns, _, outputs) = height * width, kernel.shape
    taps = tf.constant(_taps(height, width, rows, columns), kernel.dtype)
    flat = tf.reshape(tf.stop_gradient(kernel), [rows * columns, channels * outputs])
    between = tf.reshape(tf.matmul(taps, flat), [pixels, pixels, channels, outputs])
    return tf.reshape(tf.transpose(between, [0, 3, 1, 2]), [pixels * outputs, pixels * channels])


def convolved(images: tf.Tensor, kernel: tf.Tensor, back: tf.Tensor) -> tf.Tensor:
    """The zero-padded convolution, stride 1, of images [B, H, W, C] with a kernel [h, w, C, width].

    The function is `tf.nn.conv2d`; its derivatives are the same up to rounding, and can be differentiated as often.

    Args:
        back: `way_back` of this kernel and these images.
    """
    height, width, channels = images.shape[1:]

    @tf.custom_gradient
    def forward(images: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        return tf.nn.conv2d(images, kernel, 1, "SAME"), lambda upstream: (
            backward(upstream, kernel),
            _to_kernel(images, upstream, kernel),
        )

    @tf.custom_gradient
    def backward(upstream: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        flat = tf.reshape(upstream, [-1, height * width * kernel.shape[-1]])
        return tf.reshape(tf.matmul(flat, back), [-1, height, width, channels]), lambda direction: (
            forward(direction, kernel),
            _to_kernel(direction, upstream, kernel),
        )

    outcome: tf.Tensor = forward(images, kernel)
    return outcome


def _to_kernel(images: tf.Tensor, upstream: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The derivative of sum(upstream * convolution of images) with respect to the kernel."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=kernel.shape,
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding="SAME",
    )


def _taps(height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """[pixels out * pixels in, places of the kernel]: 1 where a pixel reaches an outcome through that place."""
    taps = np.zeros((height, width, height, width, rows, columns), np.float32)
    for y, x, row, column in np.ndindex(height, width, rows, columns):
        from_y, from_x = y + row - rows // 2, x + column - columns // 2
        if 0 <= from_y < height and 0 <= from_x < width:
            taps[y, x, from_y, from_x, row, column] = 1
    return taps.reshape(-1, rows * columns)
