"""Hinge losses, and the compiled steps that train generator and discriminator against each other.

L_D = mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z)));  L_G = -mean D(G(z))    (Miyato et al. 2018, eq. 16, 17)

One discriminator step makes one power iteration: real and generated images go through one call. The generator's
step calls the discriminator with training=True as well, as the published code does, so that it is judged by
kernels that are normalised after their last update. Both networks' calls in training move the generator's
batch-norm statistics.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from ebm_tf.baselines.sngan import build_discriminator, build_generator
from ebm_tf.config import SNGAN
from ebm_tf.devices import demand_divisible, gathered, own_part, summed
from ebm_tf.replay import dequantise

Measurements = dict[str, tf.Tensor]
TRAINING = 2  # keeps the random numbers of training apart from those of sampling


def discriminator_loss(real: tf.Tensor, generated: tf.Tensor) -> tf.Tensor:
    """[B] of scores [B] of real and of generated images; its mean is L_D."""
    return tf.nn.relu(1 - real) + tf.nn.relu(1 + generated)


def generator_loss(generated: tf.Tensor) -> tf.Tensor:
    """[B] of scores [B] of generated images; its mean is L_G."""
    return -generated


class Adversaries:
    """Both networks, their optimisers, and the steps that change them.

    A step is a function of (seed, its number, state). The global batch is cut over the devices alike, and latents do
    not depend on their number; batch normalisation does, since each device normalises its own part.

    Args:
        strategy: how replicas work together.
        image_shape: height, width, channels.
        levels: number of different pixel values in the data set.
        seed: with the step number, the source of all random numbers.

    Raises:
        ConfigError: the batch does not divide over the devices, or there is no network for the image size.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        image_shape: tuple[int, int, int],
        levels: int,
        seed: int,
        settings: SNGAN,
    ) -> None:
        demand_divisible(strategy, "sngan.batch_size", settings.batch_size)
        self.strategy, self.levels, self.seed, self.settings = strategy, levels, seed, settings
        with strategy.scope():
            self.generator = build_generator(settings, image_shape, seed)
            self.discriminator = build_discriminator(settings, image_shape, seed)
            self.average = self.generator
            if settings.ema_decay:
                self.average = build_generator(settings, image_shape, seed)
            self.optimisers = [
                _adam(settings, self.generator.trainable_variables),
                _adam(settings, self.discriminator.trainable_variables),
            ]
        self.checkpoint = tf.train.Checkpoint(
            generator=self.generator,
            discriminator=self.discriminator,
            average=self.average,
            optimisers=self.optimisers,
        )

    @tf.function
    def discriminator_step(self, real: tf.Tensor, number: tf.Tensor, part: tf.Tensor) -> Measurements:
        """One step of the discriminator on the global batch.

        Args:
            real: uint8 images [batch, H, W, C].
            number: of the generator step that it leads up to, int32; part: which of the steps up to it, int32.

        Returns:
            Means over the global batch.
        """
        latent_seed, pixel_seed = _seeds(self.seed, number, part)
        images = dequantise(real, pixel_seed, self.levels)
        measured = self.strategy.run(self._discriminator_replica, args=(images, self._latents(latent_seed)))
        return summed(self.strategy, measured)

    @tf.function
    def generator_step(self, number: tf.Tensor) -> tuple[tf.Tensor, Measurements]:
        """The step of the generator that follows; returns its images [batch, H, W, C] in [0, 1], and means."""
        latent_seed, _ = _seeds(self.seed, number, tf.constant(self.settings.discriminator_steps))
        images, measured = self.strategy.run(self._generator_replica, args=(self._latents(latent_seed),))
        if self.settings.ema_decay:
            keep = self.settings.ema_decay
            for average, weight in zip(self.average.variables, self.generator.variables):
                average.assign(average + (1 - keep) * (weight - average))
        return gathered(self.strategy, images), summed(self.strategy, measured)

    def _discriminator_replica(self, real: tf.Tensor, latents: tf.Tensor) -> Measurements:
        real, latents = (own_part(whole, self.settings.batch_size) for whole in (real, latents))
        generated = self.generator(latents, training=True)
        with tf.GradientTape() as tape:
            scores = self.discriminator(tf.concat([real, generated], axis=0), training=True)
            on_real, on_generated = tf.split(scores, 2)
            loss = tf.reduce_sum(discriminator_loss(on_real, on_generated)) / self.settings.batch_size
        norm = self._descend(tape, loss, self.discriminator, self.optimisers[1])
        return {
            "loss_discriminator": loss,
            "score_real": tf.reduce_sum(on_real) / self.settings.batch_size,
            "score_generated": tf.reduce_sum(on_generated) / self.settings.batch_size,
            "gradient_norm_discriminator": norm,
        }

    def _generator_replica(self, latents: tf.Tensor) -> tuple[tf.Tensor, Measurements]:
        with tf.GradientTape() as tape:
            images = self.generator(own_part(latents, self.settings.batch_size), training=True)
            scores = self.discriminator(images, training=True)
            loss = tf.reduce_sum(generator_loss(scores)) / self.settings.batch_size
        norm = self._descend(tape, loss, self.generator, self.optimisers[0])
        return images, {"loss_generator": loss, "gradient_norm_generator": norm}

    def _descend(
        self,
        tape: tf.GradientTape,
        loss: tf.Tensor,
        network: keras.Model,
        optimiser: keras.optimizers.Optimizer,
    ) -> tf.Tensor:
        """Adam on the gradient of the whole batch; returns this replica's share of its norm."""
        context = tf.distribute.get_replica_context()
        weights = network.trainable_variables
        gradients = context.all_reduce("SUM", tape.gradient(loss, weights))
        optimiser.apply_gradients(zip(gradients, weights), skip_gradients_aggregation=True)
        return tf.linalg.global_norm(gradients) / context.num_replicas_in_sync

    def _latents(self, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([self.settings.batch_size, self.settings.latent_size], seed)


def _adam(settings: SNGAN, weights: list[tf.Variable]) -> keras.optimizers.Optimizer:
    optimiser = keras.optimizers.Adam(
        settings.learning_rate, settings.beta_1, settings.beta_2, epsilon=1e-8, jit_compile=False
    )
    optimiser.build(weights)
    return optimiser


def _seeds(seed: int, number: tf.Tensor, part: tf.Tensor) -> list[tf.Tensor]:
    """Seeds (int32 [2] each) of latents and of dequantisation."""
    of_step = tf.random.experimental.stateless_fold_in(tf.constant([seed, TRAINING]), number)
    of_part = tf.random.experimental.stateless_fold_in(of_step, part)
    return tf.unstack(tf.random.experimental.stateless_split(of_part, 2))
