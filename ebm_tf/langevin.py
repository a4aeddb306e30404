"""The Langevin chain (method.md section 2):  x <- clip(x + sigma n - lambda dE/dx(x + sigma n), 0, 1),  n ~ N(0, I).

Pixels lie in [0, 1]; noise is added before the gradient is taken, as in the paper's pseudo-code. Every function
here is pure: tensors in, tensors out. Steps, step size and noise scale are tensors, so that changing them never
retraces a `tf.function`. Steps are counted from 0 here: step k = 0 .. K - 1 is k + 1 of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

import tensorflow as tf

from ebm_tf.noise import normal_rows

Energy = Callable[[tf.Tensor], tf.Tensor]
"""Images [B, H, W, C] to energies [B]."""
Noise = Callable[[tf.Tensor], tf.Tensor]
"""Number of a chain step (int32 scalar, from 0) to standard normal noise of the chain's shape."""


class Chain(NamedTuple):
    """Settings of a chain: scalar tensors, and what is decided when a graph is built.

    steps: K, int32. step_size: lambda, pixels per unit of energy gradient. noise_scale: sigma, pixels.
    anneal: whether the noise of step k fades as (K - 1 - k) / K. gradient_clip: largest size of a component of
    dE/dx, or None.
    """

    steps: tf.Tensor
    step_size: tf.Tensor
    noise_scale: tf.Tensor
    anneal: bool = False
    gradient_clip: Optional[tf.Tensor] = None


class Step(NamedTuple):
    """One Langevin step: where it came out, the energy gradient that moved it, which pixels were clipped."""

    images: tf.Tensor
    gradient: tf.Tensor
    clipped: tf.Tensor


def chain_settings(
    steps: int,
    step_size: float,
    noise_scale: float,
    dtype: tf.DType = tf.float32,
    anneal: bool = False,
    gradient_clip: float | None = None,
) -> Chain:
    """A `Chain` from Python numbers."""
    return Chain(
        tf.constant(steps, tf.int32),
        tf.constant(step_size, dtype),
        tf.constant(noise_scale, dtype),
        anneal,
        None if gradient_clip is None else tf.constant(gradient_clip, dtype),
    )


def chain_temperature(step_size: float, noise_scale: float) -> float:
    """T of the law exp(-E / T) that a Langevin chain of small steps has: sigma^2 / (2 lambda), units of energy."""
    return noise_scale**2 / (2 * step_size)


def row_noise(
    first: Any, count: Any, image_shape: Sequence[int], seed: tf.Tensor, dtype: tf.DType = tf.float32
) -> Noise:
    """Noise of the chains first .. first + count - 1: that of chain i at step k depends on (seed, k, i) alone.

    Args:
        first, count: int32 scalars, tensors or not.
        image_shape: height, width, channels.
        seed: int32 [2].
    """
    return lambda k: normal_rows(first, count, image_shape, seed + tf.stack([0, k]), dtype)


def energy_and_gradient(energy: Energy, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Energies [B], and dE/dx of the shape of `images`."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        energies = energy(images)
        total = tf.reduce_sum(energies)
    return energies, tape.gradient(total, images)


def energy_gradient(energy: Energy, images: tf.Tensor) -> tf.Tensor:
    """dE/dx, of the shape of `images`; the score of the model is its negative."""
    return energy_and_gradient(energy, images)[1]


def clip_gradient(gradient: tf.Tensor, chain: Chain) -> tf.Tensor:
    """The gradient with each component in [-gradient_clip, gradient_clip], where the chain has such a limit."""
    if chain.gradient_clip is None:
        return gradient
    return tf.clip_by_value(gradient, -chain.gradient_clip, chain.gradient_clip)


def noise_scale_of_step(chain: Chain, k: Any) -> tf.Tensor:
    """Sigma of step k: the chain's, or sigma (K - 1 - k) / K where it is annealed, 0 at the last step."""
    if not chain.anneal:
        return chain.noise_scale
    return chain.noise_scale * tf.cast((chain.steps - 1 - k) / chain.steps, chain.noise_scale.dtype)


def langevin_step(energy: Energy, images: tf.Tensor, noise: tf.Tensor, chain: Chain, k: Any) -> Step:
    """Step k (from 0) of a chain, from `images` [B, H, W, C] with the given standard normal `noise`."""
    noisy = images + noise_scale_of_step(chain, k) * noise
    gradient = clip_gradient(energy_gradient(energy, noisy), chain)
    moved = noisy - chain.step_size * gradient
    inside = tf.clip_by_value(moved, 0.0, 1.0)
    return Step(inside, gradient, tf.not_equal(moved, inside))


def langevin(
    energy: Energy, images: tf.Tensor, noise: Noise, chain: Chain, first: Any = 0, end: Any = None
) -> tf.Tensor:
    """The end of a chain, without a graph through it: one `tf.range` loop.

    Args:
        first, end: run the steps first .. end - 1 only, from where step `first` begins; by default all K. A chain
            that is run in such portions comes out the same.
    """
    for k in tf.range(first, chain.steps if end is None else end):
        images = langevin_step(energy, images, noise(k), chain, k).images
    return tf.stop_gradient(images)


def langevin_with_tail(energy: Energy, images: tf.Tensor, noise: Noise, chain: Chain, tail: int) -> Step:
    """The end of the same chain, with the graph through its last `tail` steps.

    The sample x-hat of method.md section 1: gradients reach the weights of `energy` through those steps only.
    `tail` is a Python number of at least 1 and at most `chain.steps`. The step returned is the last one; those
    before it are a loop that is differentiated through, so that the graph is no larger for a longer tail.
    """
    head = chain.steps - tail
    images = langevin(energy, images, noise, chain, end=head)
    if tail > 1:
        for ahead in tf.range(tail - 1):
            images = langevin_step(energy, images, noise(head + ahead), chain, head + ahead).images
    last = chain.steps - 1
    return langevin_step(energy, images, noise(last), chain, last)
