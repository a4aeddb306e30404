"""Drawing images from a trained model: many chains, in batches, by a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ebm_tf.langevin import Chain, Energy, langevin, langevin_step, seeded_noise


def uniform_noise(count: int, image_shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Starts of fresh chains, float32 [count, H, W, C] uniform in [0, 1)."""
    return tf.random.stateless_uniform([count, *image_shape], [seed, 0]).numpy()


def run_chains(
    energy: Energy,
    start: np.ndarray,
    chain: Chain,
    seed: int,
    batch_size: int,
    report: Callable[[int, int], None],
) -> np.ndarray:
    """The ends of independent chains.

    Args:
        energy: of images.
        start: float32 [n, H, W, C] in [0, 1].
        chain: steps, step size, noise scale.
        seed: of the noise; each batch has noise of its own.
        batch_size: chains side by side (the last batch may be smaller).
        report: called with (chains done, chains in all).

    Returns:
        float32 [n, H, W, C] in [0, 1].
    """

    @tf.function(reduce_retracing=True)
    def run(images: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        return langevin(energy, images, seeded_noise(tf.shape(images), _batch_seed(seed, batch)), chain)

    ends = []
    for number, first in enumerate(range(0, len(start), batch_size)):
        ends.append(run(tf.constant(start[first : first + batch_size]), tf.constant(number)).numpy())
        report(min(first + batch_size, len(start)), len(start))
    return np.concatenate(ends)


def film(energy: Energy, start: np.ndarray, chain: Chain, seed: int, frames: int) -> np.ndarray:
    """Chains on their way: [frames, n, H, W, C], the first frame their start and the last their end.

    Frames stand ever further apart, since chains move most at first; of short chains there are fewer.
    """
    steps = int(chain.steps)
    shown = np.unique(np.geomspace(steps, 1, frames - 1).round().astype(int))
    noise = seeded_noise(tf.constant(start.shape), _batch_seed(seed, tf.constant(0)))

    @tf.function
    def step(images: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
        return langevin_step(energy, images, noise(k), chain).images

    images, strip = tf.constant(start), [start]
    for k in range(steps):
        images = step(images, tf.constant(k))
        if k + 1 in shown:
            strip.append(images.numpy())
    return np.stack(strip)


def to_uint8(images: np.ndarray, levels: int) -> np.ndarray:
    """Images in [0, 1] to the data set's own grey levels, spread over 0..255: undoes the dequantisation.

    Real images are seen in training as (level + u) / levels; the level is got back by rounding down.
    """
    level = np.clip(np.floor(images * levels), 0, levels - 1)
    return np.round(level * (255 / (levels - 1))).astype(np.uint8)


def _batch_seed(seed: int, batch: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(tf.constant([seed, 1]), batch)
