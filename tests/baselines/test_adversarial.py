"""Hinge losses by hand and their gradients by finite differences; one step; several devices."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.baselines.adversarial import Adversaries, discriminator_loss, generator_loss
from ebm_tf.baselines.plan import plan
from ebm_tf.baselines.sngan import Discriminator, Generator
from ebm_tf.config import SNGAN
from ebm_tf.errors import ConfigError
from tests.on_devices import results_on

WIDTHS = plan((8, 8, 1), 0.05)


def make_adversaries(strategy=None, **changes):
    settings = SNGAN(**{"width": 0.1, "latent_size": 6, "batch_size": 8, "discriminator_steps": 2, **changes})
    return Adversaries(strategy or tf.distribute.get_strategy(), (8, 8, 1), 17, 3, settings)


def real_images(count):
    return tf.constant(np.random.default_rng(0).integers(0, 17, (count, 8, 8, 1)) * 15, tf.uint8)


def test_hinge_losses_by_hand():
    real, generated = tf.constant([2.0, 1.0, 0.25, -3.0]), tf.constant([-2.0, -1.0, -0.5, 3.0])
    np.testing.assert_allclose(discriminator_loss(real, generated), [0.0, 0.0, 0.75 + 0.5, 4.0 + 4.0])
    np.testing.assert_allclose(generator_loss(generated), [2.0, 1.0, 0.5, -3.0])


def test_scores_beyond_the_margin_have_no_gradient():
    real, generated = tf.constant([1.5, 0.5]), tf.constant([-1.5, -0.5])
    with tf.GradientTape() as tape:
        tape.watch([real, generated])
        loss = tf.reduce_sum(discriminator_loss(real, generated))
    on_real, on_generated = tape.gradient(loss, [real, generated])
    np.testing.assert_array_equal(on_real, [0, -1])
    np.testing.assert_array_equal(on_generated, [0, 1])


def test_the_two_losses_are_opposite_where_the_hinge_is_open():
    """There, the generator pulls a score as hard as the discriminator pushes it."""
    scores = tf.constant([-0.9, 0.0, 5.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        losses = discriminator_loss(tf.zeros(3), scores), generator_loss(scores)
    of_discriminator, of_generator = (tape.gradient(loss, scores) for loss in losses)
    np.testing.assert_array_equal(of_discriminator, -of_generator)


@pytest.mark.parametrize("of", ["discriminator", "generator"])
def test_gradients_of_the_losses_agree_with_finite_differences(of):
    """In float64, along random directions through all weights of the network that descends."""
    random = np.random.default_rng(4)
    discriminator = Discriminator(WIDTHS, (8, 8, 1), seed=1, dtype="float64")
    generator = Generator(WIDTHS, 1, 4, seed=1, dtype="float64")
    real, z = tf.constant(random.random((6, 8, 8, 1))), tf.constant(random.standard_normal((6, 4)))

    def loss():
        generated = discriminator(generator(z, training=True))
        if of == "generator":
            return tf.reduce_mean(generator_loss(generated))
        return tf.reduce_mean(discriminator_loss(discriminator(real), generated))

    weights = (discriminator if of == "discriminator" else generator).trainable_variables
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, weights)
    step = 1e-7  # so small that next to no relu changes sides in between
    for _ in range(5):
        directions = [random.standard_normal(weight.shape) for weight in weights]
        ends = []
        for sign in (1, -2):  # one step ahead, then two back
            for weight, direction in zip(weights, directions):
                weight.assign_add(sign * step * direction)
            ends.append(float(loss()))
        for weight, direction in zip(weights, directions):
            weight.assign_add(step * direction)
        slope = sum(float(np.sum(g * d)) for g, d in zip(gradients, directions))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=1e-6)


def test_a_step_changes_its_own_network_and_traces_once():
    adversaries = make_adversaries()
    generator, discriminator = adversaries.generator, adversaries.discriminator

    def trained(network):
        return [weight.numpy() for weight in network.trainable_variables]

    def same(before, after):
        return all(np.array_equal(old, new) for old, new in zip(before, after))

    for number in range(2):
        held, moved = trained(generator), trained(discriminator)
        for part in range(2):
            adversaries.discriminator_step(real_images(8), tf.constant(number), tf.constant(part))
        assert same(held, trained(generator))
        assert not same(moved, trained(discriminator))
        held = trained(generator)
        images, _ = adversaries.generator_step(tf.constant(number))
        assert images.shape == (8, 8, 8, 1)
        assert not same(held, trained(generator))
    assert adversaries.discriminator_step.experimental_get_tracing_count() == 1
    assert adversaries.generator_step.experimental_get_tracing_count() == 1


def test_the_average_is_the_geometric_one_of_weights_and_statistics():
    adversaries = make_adversaries(ema_decay=0.75)
    expected = [weight.numpy() for weight in adversaries.generator.variables]
    for number in range(3):
        adversaries.generator_step(tf.constant(number))
        expected = [
            0.75 * old + 0.25 * w.numpy() for old, w in zip(expected, adversaries.generator.variables)
        ]
    for want, average in zip(expected, adversaries.average.variables):
        np.testing.assert_allclose(average, want, atol=1e-6)


def test_without_a_decay_the_average_is_the_generator_itself():
    adversaries = make_adversaries()
    assert adversaries.average is adversaries.generator


def test_the_first_steps_of_adam_move_every_weight_by_the_learning_rate():
    """With beta_1 = 0 and beta_2 = b, Adam's first step is lr * sign(gradient) wherever there is one."""
    adversaries = make_adversaries(learning_rate=1e-3)
    before = [weight.numpy() for weight in adversaries.generator.trainable_variables]
    adversaries.generator_step(tf.constant(0))
    moved = np.concatenate([
        np.abs(weight.numpy() - old).ravel()
        for weight, old in zip(adversaries.generator.trainable_variables, before)
    ])  # fmt: skip
    assert np.median(moved) == pytest.approx(1e-3, rel=1e-2)
    assert moved.max() <= 1e-3 * 1.01


ON_DEVICES = """
import sys
import numpy as np
import tensorflow as tf
from ebm_tf import config, devices
devices.configure(config.Compute(logical_cpus=int(sys.argv[1])))
from tests.baselines.test_adversarial import make_adversaries, real_images
strategy = devices.mirrored_strategy()
adversaries = make_adversaries(strategy, ema_decay=0.5)
first = adversaries.discriminator_step(real_images(8), tf.constant(0), tf.constant(0))
adversaries.generator_step(tf.constant(0))
adversaries.discriminator_step(real_images(8), tf.constant(1), tf.constant(0))
networks = adversaries.generator, adversaries.discriminator, adversaries.average
for network in networks[:2]:
    for weight in network.trainable_variables:
        copies = [copy.numpy() for copy in strategy.experimental_local_results(weight)]
        assert len(copies) == int(sys.argv[1])
        assert all(np.array_equal(copies[0], copy) for copy in copies), weight.name
for layer in adversaries.discriminator.submodules:
    if hasattr(layer, "u"):
        copies = [copy.numpy() for copy in strategy.experimental_local_results(layer.u)]
        assert all(np.array_equal(copies[0], copy) for copy in copies), layer.name
assert all(np.isfinite(weight).all() for network in networks for weight in network.get_weights())
np.savez(sys.argv[2], score=float(first["score_real"]), z=adversaries._latents(tf.constant([1, 2])).numpy())
"""


@pytest.mark.slow
def test_two_devices_stay_alike_and_score_real_images_as_one_does(tmp_path):
    """Real images pass no batch normalisation, so their first scores do not depend on the number of devices."""
    one, two = results_on((1, 2), ON_DEVICES, tmp_path)
    np.testing.assert_allclose(one["score"], two["score"], rtol=1e-5)
    np.testing.assert_array_equal(one["z"], two["z"])


def test_a_batch_that_does_not_divide_is_refused():
    class TwoDevices:
        num_replicas_in_sync = 2

    with pytest.raises(ConfigError, match=r"sngan\.batch_size is 9, which does not divide over 2 devices"):
        make_adversaries(TwoDevices(), batch_size=9)
