"""The energy model: one scalar per image, low where images are likely."""

from __future__ import annotations

from pathlib import Path

import keras
import tensorflow as tf

from ebm_tf.config import Model
from ebm_tf.errors import ConfigError
from ebm_tf.models import architectures
from ebm_tf.models.layers import ConvSwish, ResidualBlock, normal_kernel, swish


class EnergyModel(keras.Model):
    """E(x), built from an architecture given as data.

    Example:
        >>> model = EnergyModel(ARCHITECTURES["tiny"], image_shape=(8, 8, 1))
        >>> model(tf.zeros([5, 8, 8, 1])).shape
        TensorShape([5])

    Args:
        blocks: the network, see `architectures.py`.
        image_shape: height, width, channels.
        init_gain: kernels start as N(0, init_gain^2 / fan-in).
        seed: of the initial kernels.
        dtype: of weights and energies (float64 is for checking gradients).

    Raises:
        ConfigError: the image is too small, or does not divide, for the network's pooling.
    """

    def __init__(
        self,
        blocks: architectures.Architecture,
        image_shape: tuple[int, int, int],
        init_gain: float = 1.4,
        seed: int = 0,
        dtype: str = "float32",
    ) -> None:
        super().__init__(name="energy", dtype=dtype)
        _check_pooling(blocks, image_shape)
        self.image_shape = tuple(image_shape)
        self.blocks: list[keras.layers.Layer] = []
        width = image_shape[-1]
        for index, block in enumerate(blocks):
            self.blocks.append(_layer(block, width, init_gain, 1000 * seed + 10 * index, dtype))
            width = getattr(block, "width", width)
        self(tf.zeros([1, *image_shape], dtype))  # creates the weights

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """Energies [B] of images [B, H, W, C] with pixels in [0, 1]."""
        x = 2 * images - 1
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


def build_energy_model(settings: Model, image_shape: tuple[int, int, int], seed: int) -> EnergyModel:
    """The energy model that a config describes."""
    blocks = architectures.architecture(settings.architecture)
    return EnergyModel(blocks, image_shape, settings.init_gain, seed)


def load_energy_model(settings: Model, image_shape: tuple[int, int, int], weights_file: Path) -> EnergyModel:
    """The same, with weights that a training run saved."""
    model = build_energy_model(settings, image_shape, seed=0)
    model.load_weights(weights_file)
    return model


def _layer(block: architectures.Block, width: int, gain: float, seed: int, dtype: str) -> keras.layers.Layer:
    """The Keras layer of one block whose input is `width` channels wide."""
    if isinstance(block, architectures.Conv):
        return ConvSwish(block.width, gain, seed, dtype=dtype)
    if isinstance(block, architectures.Residual):
        return ResidualBlock(width, gain, seed, dtype=dtype)
    if isinstance(block, architectures.Pool):
        return keras.layers.AveragePooling2D(dtype=dtype)
    if isinstance(block, architectures.Flatten):
        return keras.layers.Flatten(dtype=dtype)
    if isinstance(block, architectures.Dense):
        return keras.layers.Dense(
            block.width, activation=swish, kernel_initializer=normal_kernel(gain, seed), dtype=dtype
        )
    return keras.layers.Dense(1, use_bias=False, kernel_initializer=normal_kernel(gain, seed), dtype=dtype)


def _check_pooling(blocks: architectures.Architecture, image_shape: tuple[int, int, int]) -> None:
    shrinking = 2 ** sum(isinstance(block, architectures.Pool) for block in blocks)
    height, width, _ = image_shape
    if height % shrinking or width % shrinking:
        raise ConfigError(
            f"the network halves its images {shrinking.bit_length() - 1} times, so height and width must be "
            f"multiples of {shrinking}; received images of {height}x{width}"
        )
