"""MALA: its law against closed forms, detailed balance against an independent density, and its acceptance."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from ebm_tf.langevin import chain_settings, energy_and_gradient, row_noise
from ebm_tf.mala import State, begin, log_acceptance_ratio, mala, mala_step
from ebm_tf.noise import uniform_rows

SHAPE = (2, 2, 1)
CENTRE = np.array([0.1, 0.5, 0.9, 1.3]).reshape(SHAPE)
WIDTH = np.array([0.1, 0.4, 0.3, 0.6]).reshape(SHAPE)
TEMPERATURE = 0.25


def gauss(images):
    """T sum (x - centre)^2 / (2 width^2): its law at temperature T is a Gaussian cut off at 0 and 1."""
    return TEMPERATURE * tf.reduce_sum((images - CENTRE) ** 2 / (2 * WIDTH**2), axis=[1, 2, 3])


def wave(images):
    """An energy whose gradient is no linear function."""
    return tf.reduce_sum(tf.sin(7 * images), axis=[1, 2, 3]) + tf.reduce_prod(1 + images, axis=[1, 2, 3])


def settings(steps, step_size, gradient_clip=None):
    return chain_settings(steps, step_size, 0.0, tf.float64, gradient_clip=gradient_clip)


def run(energy, start, chain, temperature=TEMPERATURE, seed=1, first=0, end=None):
    """The chains from `start`, or from the state `start`, compiled."""

    @tf.function
    def compiled(state):
        count = tf.shape(state.images)[0]
        noise = row_noise(0, count, SHAPE, tf.constant([seed, 0]), tf.float64)

        def chances(k):
            return uniform_rows(0, count, (), [seed + 100, k], tf.float64)

        return mala(energy, state, noise, chances, chain, tf.constant(temperature, tf.float64), first, end)

    return compiled(start if isinstance(start, State) else begin(energy, start, chain))


def uniform(count):
    return tf.constant(np.random.default_rng(0).random((count, *SHAPE)))


@pytest.mark.parametrize("gradient_clip", [None, 0.3])
def test_its_law_is_the_truncated_gaussian(gradient_clip):
    """Mean, variance and distribution of every pixel, from 4000 chains; the drift may be clipped, the law stays."""
    end = run(gauss, uniform(4000), settings(400, 0.05, gradient_clip))
    rate = end.accepted.numpy().mean() / 400
    assert 0.1 < rate < 0.9, "the case is meant to refuse some and to accept some"
    for pixel, centre, width in zip(end.images.numpy().reshape(4000, -1).T, CENTRE.flat, WIDTH.flat):
        law = scipy.stats.truncnorm(-centre / width, (1 - centre) / width, centre, width)
        mean, spread = law.mean(), law.std()
        assert pixel.mean() == pytest.approx(mean, abs=4 * spread / np.sqrt(4000))
        fourth = (law.stats("k") + 3) * spread**4
        assert pixel.var() == pytest.approx(spread**2, abs=4 * np.sqrt((fourth - spread**4) / 4000))
        assert scipy.stats.kstest(pixel, law.cdf).pvalue > 1e-4


def proposals(energy, start, step_size, count=50):
    """Chains at x, proposals x', both as states, and log p(x) q(x' | x) and log p(x') q(x | x') by SciPy."""
    here = begin(energy, start, settings(1, step_size))
    there = begin(energy, uniform(2 * count)[count:], settings(1, step_size))

    def log_flow(of, to):
        deviation = np.sqrt(2 * step_size * TEMPERATURE)
        centre = of.images - step_size * energy_and_gradient(energy, of.images)[1]
        density = scipy.stats.norm.logpdf(to.images, centre, deviation).sum(axis=(1, 2, 3))
        return density - energy(of.images).numpy() / TEMPERATURE

    return here, there, log_flow(here, there), log_flow(there, here)


@pytest.mark.parametrize("energy", [gauss, wave])
@pytest.mark.parametrize("step_size", [0.001, 0.05, 1.0])
def test_detailed_balance(energy, step_size):
    """p(x) q(x'|x) a(x, x') = p(x') q(x|x') a(x', x), with p and q from elsewhere."""
    here, there, forth, back = proposals(energy, uniform(50), step_size)
    numbers = [tf.constant(n, tf.float64) for n in (step_size, TEMPERATURE)]
    accept_forth = np.minimum(log_acceptance_ratio(here, there, *numbers), 0)
    accept_back = np.minimum(log_acceptance_ratio(there, here, *numbers), 0)
    np.testing.assert_allclose(forth + accept_forth, back + accept_back, rtol=1e-9, atol=1e-9)
    assert (accept_forth < 0).any()
    assert (accept_back < 0).any()


def test_acceptance_tends_to_one_with_smaller_steps():
    """At a fixed temperature, for a law that lies well inside the box."""

    def inside(images):
        return TEMPERATURE * tf.reduce_sum((images - 0.5) ** 2, axis=[1, 2, 3]) / (2 * 0.05**2)

    start = tf.fill([500, *SHAPE], tf.constant(0.5, tf.float64))
    rates = [
        run(inside, start, settings(50, step_size)).accepted.numpy().mean() / 50
        for step_size in (3e-2, 3e-3, 3e-4, 3e-5)
    ]
    assert rates == sorted(rates)
    assert rates[0] < 0.8
    assert rates[-1] > 0.999


def test_a_step_takes_the_proposal_or_stays():
    start = uniform(200)
    chain, temperature = settings(1, 0.05), tf.constant(TEMPERATURE, tf.float64)
    noise = np.random.default_rng(1).standard_normal(start.shape)
    state = begin(gauss, start, chain)
    after = mala_step(
        gauss, state, noise, np.zeros(200), chain, temperature
    )  # log 0: whatever is inside is accepted
    gradient = TEMPERATURE * (start.numpy() - CENTRE) / WIDTH**2
    proposed = start.numpy() - 0.05 * gradient + np.sqrt(2 * 0.05 * TEMPERATURE) * noise
    inside = ((proposed >= 0) & (proposed <= 1)).all(axis=(1, 2, 3))
    assert 0 < inside.sum() < 200
    np.testing.assert_array_equal(after.accepted, inside)
    np.testing.assert_allclose(after.images.numpy()[inside], proposed[inside], rtol=1e-12)
    np.testing.assert_array_equal(after.images.numpy()[~inside], start.numpy()[~inside])
    energies, gradients = energy_and_gradient(gauss, after.images)
    np.testing.assert_allclose(after.energies, energies, rtol=1e-12)
    np.testing.assert_allclose(after.gradient, gradients, rtol=1e-12)


def test_an_energy_that_is_no_number_is_refused():
    start = uniform(20)
    chain = settings(1, 1e-6)
    state = begin(gauss, start, chain)

    def broken(images):
        return gauss(images) * np.nan

    after = mala_step(
        broken, state, np.zeros(start.shape), np.full(20, 0.5), chain, tf.constant(1.0, tf.float64)
    )
    np.testing.assert_array_equal(after.images, start)
    np.testing.assert_array_equal(after.accepted, np.zeros(20))


def test_a_chain_in_portions_is_the_same_chain():
    chain = settings(30, 0.05)
    whole = run(gauss, uniform(40), chain)
    half = run(gauss, uniform(40), chain, end=11)
    again = run(gauss, half, chain, first=11)
    for name, value in whole._asdict().items():
        np.testing.assert_allclose(getattr(again, name), value, rtol=1e-12, err_msg=name)


def test_pixels_stay_in_the_box():
    end = run(gauss, uniform(500), settings(100, 0.2)).images.numpy()
    assert end.min() >= 0
    assert end.max() <= 1
    assert not np.isin(end, (0, 1)).any(), "unlike the paper's chain it puts no mass on the ends"
