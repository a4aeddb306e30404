"""Metropolis-adjusted Langevin (Roberts and Tweedie 1996): a chain whose law is exp(-E(x) / T) on [0, 1]^d exactly.

    x' = x - lambda dE/dx(x) + sqrt(2 lambda T) n,  n ~ N(0, I)
    accepted with probability min(1, exp(-(E(x') - E(x)) / T) q(x | x') / q(x' | x)),  0 outside the box,
    where q(x' | x) is the density of the proposal; a refused chain stays where it is for that step.

How the paper's chain (`langevin.py`) relates. Its x + sigma n moves by these very proposals with
T = sigma^2 / (2 lambda), but all are accepted, so its law is off by an error of the order of lambda; and it clips,
which puts point masses on the pixel values 0 and 1 where the density exp(-E / T) has none. At the paper's
settings (lambda 500, sigma 0.001) T is 1e-9: the chain is descent rather than a sampler of exp(-E). The acceptance
rate says how far it is from a correct one.

Everything here is pure; steps, step size and temperature are tensors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from ebm_tf.langevin import Chain, Energy, Noise, clip_gradient, energy_and_gradient


class State(NamedTuple):
    """Where chains stand: images [B, H, W, C], their energies [B] and dE/dx, and proposals accepted so far [B]."""

    images: tf.Tensor
    energies: tf.Tensor
    gradient: tf.Tensor
    accepted: tf.Tensor


def begin(energy: Energy, images: tf.Tensor, chain: Chain) -> State:
    """Chains at their start, `images` in [0, 1]."""
    energies, gradient = energy_and_gradient(energy, images)
    return State(images, energies, clip_gradient(gradient, chain), tf.zeros_like(energies, tf.int32))


def mala_step(
    energy: Energy, state: State, noise: tf.Tensor, chance: tf.Tensor, chain: Chain, temperature: tf.Tensor
) -> State:
    """One proposal, accepted or refused by each chain on its own.

    Args:
        noise: standard normal, of the shape of the images. chance: uniform in [0, 1), [B].
        chain: its step size and gradient clip count (the clipped gradient is a drift like any other, so the law is
            still exact); its noise scale does not.
        temperature: T, in units of energy, scalar.
    """
    moved = state.images - chain.step_size * state.gradient
    proposed = moved + tf.sqrt(2 * chain.step_size * temperature) * noise
    energies, gradient = energy_and_gradient(energy, proposed)
    there = State(proposed, energies, clip_gradient(gradient, chain), state.accepted + 1)
    log_ratio = log_acceptance_ratio(state, there, chain.step_size, temperature)
    inside = tf.reduce_all((proposed >= 0) & (proposed <= 1), axis=[1, 2, 3])
    accept = inside & (tf.math.log(chance) < log_ratio)
    return State(*(_choose(accept, new, old) for new, old in zip(there, state)))


def mala(
    energy: Energy,
    state: State,
    noise: Noise,
    chances: Noise,
    chain: Chain,
    temperature: tf.Tensor,
    first: Any = 0,
    end: Any = None,
) -> State:
    """The steps first .. end - 1 of a chain (by default all K), without a graph through it.

    Args:
        noise, chances: number of a step to what `mala_step` takes.
    """
    for k in tf.range(first, chain.steps if end is None else end):
        state = mala_step(energy, state, noise(k), chances(k), chain, temperature)
    return state


def log_acceptance_ratio(
    here: State, there: State, step_size: tf.Tensor, temperature: tf.Tensor
) -> tf.Tensor:
    """log of p(x') q(x | x') / (p(x) q(x' | x)) for chains at x = here and proposals x' = there, [B]."""
    forth = there.images - here.images + step_size * here.gradient
    back = here.images - there.images + step_size * there.gradient
    squares = tf.reduce_sum(forth**2 - back**2, axis=[1, 2, 3])
    return (here.energies - there.energies) / temperature + squares / (4 * step_size * temperature)


def _choose(accept: tf.Tensor, new: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """Row by row: `new` where accepted, else `old`."""
    return tf.where(tf.reshape(accept, [-1] + [1] * (new.shape.rank - 1)), new, old)
