"""The Langevin chain (SPEC section 2):  x <- clip(x + sigma n - lambda dE/dx(x + sigma n), 0, 1),  n ~ N(0, I).

Pixels lie in [0, 1]; noise is added before the gradient is taken, as in the paper's pseudo-code. Every function
here is pure: tensors in, tensors out. Steps, step size and noise scale are tensors, so that changing them never
retraces a `tf.function`.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import tensorflow as tf

Energy = Callable[[tf.Tensor], tf.Tensor]
"""Images [B, H, W, C] to energies [B]."""
Noise = Callable[[tf.Tensor], tf.Tensor]
"""Number of a chain step (int32 scalar) to standard normal noise of the chain's shape."""


class Chain(NamedTuple):
    """Settings of a chain, as scalar tensors.

    steps: K, int32. step_size: lambda, pixels per unit of energy gradient. noise_scale: sigma, pixels.
    """

    steps: tf.Tensor
    step_size: tf.Tensor
    noise_scale: tf.Tensor


class Step(NamedTuple):
    """One Langevin step: where it came out, the energy gradient that moved it, which pixels were clipped."""

    images: tf.Tensor
    gradient: tf.Tensor
    clipped: tf.Tensor


def chain_settings(steps: int, step_size: float, noise_scale: float, dtype: tf.DType = tf.float32) -> Chain:
    """A `Chain` from Python numbers."""
    return Chain(tf.constant(steps, tf.int32), tf.constant(step_size, dtype), tf.constant(noise_scale, dtype))


def seeded_noise(shape: tf.Tensor, seed: tf.Tensor, dtype: tf.DType = tf.float32) -> Noise:
    """Noise that depends on the seed (int32 [2]) and the number of the step alone."""
    return lambda k: tf.random.stateless_normal(shape, seed + tf.stack([0, k]), dtype=dtype)


def energy_gradient(energy: Energy, images: tf.Tensor) -> tf.Tensor:
    """dE/dx, of the shape of `images`; the score of the model is its negative."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        total = tf.reduce_sum(energy(images))
    return tape.gradient(total, images)


def langevin_step(energy: Energy, images: tf.Tensor, noise: tf.Tensor, chain: Chain) -> Step:
    """One step from `images` [B, H, W, C] with the given standard normal `noise`."""
    noisy = images + chain.noise_scale * noise
    gradient = energy_gradient(energy, noisy)
    moved = noisy - chain.step_size * gradient
    inside = tf.clip_by_value(moved, 0.0, 1.0)
    return Step(inside, gradient, tf.not_equal(moved, inside))


def langevin(energy: Energy, images: tf.Tensor, noise: Noise, chain: Chain) -> tf.Tensor:
    """The end of a chain of `chain.steps` steps, without a graph through it: one `tf.range` loop."""
    for k in tf.range(chain.steps):
        images = langevin_step(energy, images, noise(k), chain).images
    return tf.stop_gradient(images)


def langevin_with_tail(energy: Energy, images: tf.Tensor, noise: Noise, chain: Chain, tail: int) -> Step:
    """The end of the same chain, with the graph through its last `tail` steps, which are unrolled.

    The sample x-hat of SPEC section 1: gradients reach the weights of `energy` through those steps only.
    `tail` is a Python number of at least 1 and at most `chain.steps`. The step returned is the last one.
    """
    head = chain.steps - tail
    images = langevin(energy, images, noise, chain._replace(steps=head))
    for k in range(tail):
        step = langevin_step(energy, images, noise(head + k), chain)
        images = step.images
    return step
