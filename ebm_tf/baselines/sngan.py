"""The networks of SNGAN (Miyato et al. 2018; the baseline of S A.2), and images from a trained generator.

Start values, the order within blocks and the constants of batch normalisation are those of the published code.
Pixels lie in [0, 1] outside; inside, the networks see 2x - 1.

The generator's batch normalisation: with training=True by the batch's own mean and variance (on several devices, by
those of each device's part), which also move the kept statistics by a tenth; with training=False, as in
sampling, by the kept ones, so that an image depends on its latent alone. Averaged weights have averaged statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from ebm_tf.baselines.plan import Plan, plan
from ebm_tf.baselines.spectral_normalisation import SpectralNormalisation
from ebm_tf.config import SNGAN
from ebm_tf.eager import int32
from ebm_tf.errors import MissingInput
from ebm_tf.noise import normal_rows

GENERATOR_FILE = "generator.weights.h5"
RESIDUAL_GAIN = 2**0.5  # of kernels within residual branches; 1 elsewhere
SAMPLING = 3  # keeps the latents of sampling apart from those of training


class Generator(keras.Model):
    """Latents [B, latent_size] to images [B, H, W, C] in [0, 1].

    Args:
        widths: base size and channels, see `plan.py`.
        channels: of the images.
        latent_size: numbers that an image is made from.
        seed: of the first kernels.
        dtype: of weights and images (float64 is for checking gradients).
    """

    def __init__(
        self, widths: Plan, channels: int, latent_size: int, seed: int = 0, dtype: str = "float32"
    ) -> None:
        super().__init__(name="generator", dtype=dtype)
        self.latent_size = latent_size
        (height, width), (first, *rest) = widths.base, widths.generator
        self.start = keras.layers.Dense(
            height * width * first, kernel_initializer=_kernel(1.0, 1000 * seed), dtype=dtype
        )
        self.to_image = keras.layers.Reshape((height, width, first), dtype=dtype)
        self.blocks = [
            UpBlock(before, after, 1000 * seed + 10 * index, dtype)
            for index, (before, after) in enumerate(zip(widths.generator, rest), start=1)
        ]
        self.norm = _batch_norm(dtype)
        self.end = _convolution(channels, 3, 1.0, 1000 * seed + 1, dtype)
        self(tf.zeros([1, latent_size], dtype))  # creates the weights

    def call(self, latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Images of standard normal latents."""
        x = self.to_image(self.start(latents))
        for block in self.blocks:
            x = block(x, training=training)
        x = self.end(tf.nn.relu(self.norm(x, training=training)))
        return (tf.tanh(x) + 1) / 2


class Discriminator(keras.Model):
    """Images [B, H, W, C] in [0, 1] to scores [B]: high for real ones. Every kernel is spectrally normalised.

    Called with training=True, each kernel first makes its power iteration (`spectral_normalisation.py`).
    """

    def __init__(
        self, widths: Plan, image_shape: tuple[int, int, int], seed: int = 0, dtype: str = "float32"
    ) -> None:
        super().__init__(name="discriminator", dtype=dtype)
        before = image_shape[-1]
        self.blocks = []
        for index, block in enumerate(widths.discriminator):
            number = 1000 * seed + 500 + 10 * index
            self.blocks.append(DownBlock(before, block.width, block.halves, index == 0, number, dtype))
            before = block.width
        dense = keras.layers.Dense(1, kernel_initializer=_kernel(1.0, 1000 * seed + 990), dtype=dtype)
        self.end = SpectralNormalisation(dense, 1000 * seed + 990)
        self(tf.zeros([1, *image_shape], dtype))  # creates the weights

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Scores [B]; sums over positions, not means."""
        x = 2 * images - 1
        for block in self.blocks:
            x = block(x, training=training)
        pooled = tf.reduce_sum(tf.nn.relu(x), axis=[1, 2])
        return self.end(pooled, training=training)[:, 0]


class UpBlock(keras.layers.Layer):
    """conv(relu(norm(conv(double(relu(norm(x))))))) + conv1x1(double(x)): [B, H, W, C] to [B, 2H, 2W, width]."""

    def __init__(self, before: int, width: int, seed: int, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.norms = [_batch_norm(dtype), _batch_norm(dtype)]
        self.first = _convolution(width, 3, RESIDUAL_GAIN, seed, dtype)
        self.second = _convolution(width, 3, RESIDUAL_GAIN, seed + 1, dtype)
        self.skip = _convolution(width, 1, 1.0, seed + 2, dtype)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        y = self.first(double(tf.nn.relu(self.norms[0](x, training=training))))
        y = self.second(tf.nn.relu(self.norms[1](y, training=training)))
        return y + self.skip(double(x))


class DownBlock(keras.layers.Layer):
    """conv(relu(conv(relu(x)))) + skip, then the mean of 2x2 where it halves: [B, H, W, C] to [B, H', W', width].

    The first block sees pixels, so has no relu in front and shrinks them before its skip's convolution.
    The skip is the identity where neither size nor width changes.
    """

    def __init__(self, before: int, width: int, halves: bool, first: bool, seed: int, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.halves, self.sees_pixels = halves, first

        def normalised(channels: int, size: int, gain: float, number: int) -> SpectralNormalisation:
            return SpectralNormalisation(_convolution(channels, size, gain, number, dtype), number)

        self.first = normalised(width if first else before, 3, RESIDUAL_GAIN, seed)
        self.second = normalised(width, 3, RESIDUAL_GAIN, seed + 1)
        self.skip = normalised(width, 1, 1.0, seed + 2) if halves or before != width else None
        self.shrink = keras.layers.AveragePooling2D(dtype=dtype)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        y = self.first(x if self.sees_pixels else tf.nn.relu(x), training=training)
        y = self.second(tf.nn.relu(y), training=training)
        if self.skip is None:
            return x + y
        if self.sees_pixels and self.halves:
            return self.skip(self.shrink(x), training=training) + self.shrink(y)
        y = self.skip(x, training=training) + y
        return self.shrink(y) if self.halves else y


def double(x: tf.Tensor) -> tf.Tensor:
    """Each pixel as 2x2: [B, H, W, C] to [B, 2H, 2W, C]; its gradient is a plain sum, the same bits each time."""
    _, height, width, channels = x.shape
    spread = tf.tile(x[:, :, None, :, None, :], [1, 1, 2, 1, 2, 1])
    return tf.reshape(spread, [-1, 2 * height, 2 * width, channels])


def build_generator(settings: SNGAN, image_shape: tuple[int, int, int], seed: int) -> Generator:
    """The generator that a config describes."""
    return Generator(plan(image_shape, settings.width), image_shape[-1], settings.latent_size, seed)


def build_discriminator(settings: SNGAN, image_shape: tuple[int, int, int], seed: int) -> Discriminator:
    """The discriminator that a config describes."""
    return Discriminator(plan(image_shape, settings.width), image_shape, seed)


def load_generator(settings: SNGAN, image_shape: tuple[int, int, int], folder: str | Path) -> Generator:
    """The generator that TrainSNGAN left in `folder`.

    Raises:
        MissingInput: its weights are not there, or are not of the network that `settings` describe.
    """
    generator = build_generator(settings, image_shape, seed=0)
    file = Path(folder) / GENERATOR_FILE
    try:
        generator.load_weights(file)
    except (OSError, ValueError, KeyError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingInput(
            f"cannot read {file} as the generator that the config describes: {first}"
        ) from error
    return generator


def generate(
    generator: Generator,
    count: int,
    seed: int,
    batch_size: int,
    report: Callable[[int, int], None],
    first: int = 0,
) -> Iterator[np.ndarray]:
    """Images first .. first + count - 1 of a seed, batch by batch; each depends on (seed, its number) alone.

    The latents are the same bits whatever `batch_size` is; of the pixels, the last bit may follow the order in which
    a matrix product of that size adds up. It does not where `first` is a multiple of `batch_size`.

    Args:
        report: called with (images done, images in all).

    Yields:
        float32 [n, H, W, C] in [0, 1].
    """

    @tf.function
    def draw(row: tf.Tensor) -> tf.Tensor:
        latents = normal_rows(row, batch_size, [generator.latent_size], [seed, SAMPLING])
        return generator(latents, training=False)

    for done in range(0, count, batch_size):
        yield draw(int32(first + done)).numpy()[: count - done]
        report(min(done + batch_size, count), count)


def _kernel(gain: float, seed: int) -> keras.initializers.Initializer:
    """Glorot's uniform start, `gain` times as wide."""
    return keras.initializers.VarianceScaling(gain**2, "fan_avg", "uniform", seed=seed)


def _convolution(channels: int, size: int, gain: float, seed: int, dtype: str) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        channels, size, padding="same", kernel_initializer=_kernel(gain, seed), dtype=dtype
    )


def _batch_norm(dtype: str) -> keras.layers.Layer:
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=2e-5, dtype=dtype)
