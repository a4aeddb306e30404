"""Each loss term by hand, and the sign of the KL term on a Gaussian whose gradients are known."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf import losses
from ebm_tf.langevin import chain_settings, energy_gradient, langevin_with_tail


def test_contrastive_divergence_and_regularisation_by_hand():
    real, sample = tf.constant([1.0, -2.0]), tf.constant([0.5, 3.0])
    np.testing.assert_allclose(losses.contrastive_divergence(real, sample), [0.5, -5.0])
    np.testing.assert_allclose(losses.regularisation(real, sample), [1.25, 13.0])


def test_entropy_by_hand_and_against_all_pairs():
    random = np.random.default_rng(0)
    samples, others = random.random((5, 4, 4, 2)), random.random((9, 4, 4, 2))
    pairs = np.sqrt(((samples[:, None] - others[None]) ** 2).sum(axis=(2, 3, 4)))
    found = losses.entropy(tf.constant(samples), tf.constant(others), epsilon=0.01)
    np.testing.assert_allclose(found, -np.log(pairs.min(axis=1) + 0.01), rtol=1e-12)


def test_entropy_of_a_sample_that_is_in_the_buffer_is_finite_and_so_is_its_gradient():
    samples = tf.constant(np.random.default_rng(1).random((3, 4, 4, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(samples)
        value = losses.entropy(samples, tf.identity(samples), epsilon=0.01)
    np.testing.assert_allclose(value, -np.log(0.01 + 1e-6), rtol=1e-3)
    np.testing.assert_array_equal(tape.gradient(value, samples), np.zeros(samples.shape))


def test_entropy_is_exact_where_a_matrix_product_would_cancel():
    base = np.full((1, 8, 8, 3), 0.9, np.float32)
    near = base.copy()
    near[0, 0, 0, 0] += 1e-3
    value = losses.entropy(tf.constant(near), tf.constant(base), epsilon=0.01)
    np.testing.assert_allclose(
        value, [-np.log(np.float64(near[0, 0, 0, 0] - base[0, 0, 0, 0]) + 0.01)], rtol=1e-5
    )


def test_the_sampler_term_has_the_gradient_of_a_frozen_energy():
    """d/dtheta of E_sg(theta)(x-hat(theta)), with x-hat = theta * y and E = theta x^2 / 2, is theta^2 x-hat y."""
    y = np.random.default_rng(2).random((6, 2, 2, 1))
    theta = tf.Variable(1.3, dtype=tf.float64)
    with tf.GradientTape() as tape:
        samples = theta * y
        slope = energy_gradient(
            lambda x: tf.reduce_sum(theta * x**2 / 2, axis=[1, 2, 3]), tf.stop_gradient(samples)
        )
        loss = tf.reduce_sum(losses.sampler_energy(samples, slope))
    np.testing.assert_allclose(tape.gradient(loss, theta), (1.3 * 1.3 * y * y).sum(), rtol=1e-12)


class TestGaussian:
    """E = theta x^2 / 2, p_D = N(0, 2), one step of size .1 and noise variance .05, theta = 1 (method.md section 1).

    The noise is added after the gradient here: one step turns N(0, v) into N(0, w), w = (1 - .1 theta)^2 v + .05.
    All KL divergences are closed forms.
    """

    V, STEP, NOISE = 2.0, 0.1, 0.05

    def sampled_variance(self, theta):
        return (1 - self.STEP * theta) ** 2 * self.V + self.NOISE

    def exact(self):
        """d/dtheta [KL(p_D || p) - KL(q || p)] at 1, by central differences of the closed form."""

        def objective(theta):
            def divergence(variance):
                return 0.5 * (theta * variance - 1 - np.log(theta * variance))

            return divergence(self.V) - divergence(self.sampled_variance(theta))

        return (objective(1 + 1e-6) - objective(1 - 1e-6)) / 2e-6

    def by_the_terms(self):
        """The two gradients, by the product's own functions; quantiles of start and noise stand for Gaussians."""
        from scipy.stats import norm

        def gaussian(count, variance):
            points = norm.ppf((np.arange(count) + 0.5) / count)
            return points * np.sqrt(variance) / points.std()

        start = tf.constant(np.repeat(gaussian(2000, self.V), 200)[:, None, None, None])
        added = tf.constant(np.tile(gaussian(200, self.NOISE), 2000)[:, None, None, None])
        theta = tf.Variable(1.0, dtype=tf.float64)

        def energy(x):
            return theta * tf.reduce_sum(x**2, axis=[1, 2, 3]) / 2

        still = chain_settings(1, self.STEP, 0.0, tf.float64)
        with tf.GradientTape(persistent=True) as tape:
            samples = _unclipped_step(energy, start, still) + added
            detached = tf.stop_gradient(samples)
            contrastive = tf.reduce_mean(losses.contrastive_divergence(energy(start), energy(detached)))
            slope = energy_gradient(energy, detached)
            low_energy = tf.reduce_mean(losses.sampler_energy(samples, slope))
            # the entropy of a Gaussian in place of its nearest-neighbour estimate
            spread = -0.5 * tf.math.log(tf.reduce_mean(samples**2))
        kl = tape.gradient(low_energy, theta) + tape.gradient(spread, theta)
        return float(tape.gradient(contrastive, theta)), float(kl)

    def test_terms_and_the_identity_with_its_minus_sign(self):
        contrastive, kl = self.by_the_terms()
        assert contrastive == pytest.approx(0.1650, abs=1e-3)
        assert kl == pytest.approx(-0.0722, abs=1e-3)
        assert self.exact() == pytest.approx(0.2372, abs=1e-3)
        assert contrastive - kl == pytest.approx(self.exact(), abs=1e-3)
        assert abs(contrastive + kl - self.exact()) > 0.1


def _unclipped_step(energy, start, settings):
    """`langevin_with_tail` on pixels far from 0 and 1: shifted and shrunk so that clipping never acts."""
    scale = 1 / 40

    def shrunk(pixels):
        return energy((pixels - 0.5) / scale)

    # the gradient grows by 1 / scale and the space shrinks by scale: the step shrinks by scale squared
    settings = settings._replace(step_size=settings.step_size * scale**2)
    end = langevin_with_tail(shrunk, start * scale + 0.5, lambda k: tf.zeros_like(start), settings, tail=1)
    assert not end.clipped.numpy().any()
    return (end.images - 0.5) / scale
