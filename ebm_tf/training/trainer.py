"""The state of a training run and the compiled step that advances it, on one device or several alike.

The step is a function of (seed, step number, state): which random numbers a chain gets does not depend on how many
devices the global batch is cut over.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from ebm_tf.config import Langevin, Loss, Model, Optimiser, Replay, Training
from ebm_tf.errors import ConfigError
from ebm_tf.langevin import chain_settings, seeded_noise
from ebm_tf.models.energy import build_energy_model
from ebm_tf.replay import NO_LABEL, Chains, ReplayBuffer, dequantise
from ebm_tf.training.step import (
    Measurements,
    Share,
    clip_by_global_norm,
    loss_gradients,
    total_loss,
    with_spreads,
)


class Trainer:
    """Everything that training changes, and `step`, which changes it.

    Args:
        strategy: how replicas work together.
        image_shape: height, width, channels.
        levels: number of different pixel values in the data set.
        seed: with the step number, the source of all random numbers.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        image_shape: tuple[int, int, int],
        levels: int,
        seed: int,
        model: Model,
        langevin: Langevin,
        replay: Replay,
        loss: Loss,
        optimiser: Optimiser,
        training: Training,
    ) -> None:
        if training.batch_size % strategy.num_replicas_in_sync:
            raise ConfigError(
                f"training.batch_size is {training.batch_size}, which does not divide over "
                f"{strategy.num_replicas_in_sync} devices; give a multiple of their number"
            )
        self.strategy, self.image_shape, self.levels, self.seed = strategy, image_shape, levels, seed
        self.langevin_settings, self.loss_settings = langevin, loss
        self.optimiser_settings, self.training_settings = optimiser, training
        self.chain = chain_settings(langevin.steps, langevin.step_size, langevin.noise_scale)
        self.tail = langevin.backprop_steps
        self.buffer = ReplayBuffer(replay, image_shape)
        with strategy.scope():
            self.model = build_energy_model(model, image_shape, seed)
            self.average = build_energy_model(model, image_shape, seed)
            self.optimiser = keras.optimizers.Adam(
                optimiser.learning_rate, optimiser.beta_1, optimiser.beta_2, jit_compile=False
            )
            self.optimiser.build(self.model.trainable_variables)
        self.checkpoint = tf.train.Checkpoint(
            model=self.model, average=self.average, optimiser=self.optimiser, replay=self.buffer
        )

    @tf.function
    def step(
        self, real: tf.Tensor, number: tf.Tensor, attempt: tf.Tensor, learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Measurements]:
        """One step on the global batch.

        Args:
            real: uint8 images [batch, H, W, C].
            number: of the step, int32; attempt: how often the run was rolled back, int32. Both seed the step.
            learning_rate: of this step, float32.

        Returns:
            The samples x- [batch, H, W, C] in [0, 1], and the measurements, means over the global batch.
        """
        batch = self.training_settings.batch_size
        seeds = _seeds(self.seed, number, attempt, 5)
        start = self._start(batch, seeds[0])
        others = self.buffer.draw(self.loss_settings.entropy_images, seeds[1]).images
        share = Share(
            dequantise(real, seeds[2], self.levels),
            start.images,
            others,
            self.buffer.fill >= self.loss_settings.entropy_minimum_fill,
        )
        self.optimiser.learning_rate.assign(learning_rate)
        samples, measured = self.strategy.run(self._replica_step, args=(share, seeds[3]))
        samples = tf.concat(self.strategy.experimental_local_results(samples), axis=0)
        self._update_average()
        ages = start.ages + self.chain.steps
        self.buffer.add(Chains(samples, start.labels, ages), seeds[4])

        measurements = with_spreads(
            {name: self.strategy.reduce("SUM", value, axis=None) for name, value in measured.items()}
        )
        measurements["loss"] = total_loss(measurements, self.loss_settings, share.entropy_active)
        measurements["buffer_fill"] = tf.cast(self.buffer.fill, tf.float32) / self.buffer.settings.capacity
        measurements["buffer_age"] = self.buffer.mean_age
        measurements["learning_rate"] = learning_rate
        return samples, measurements

    def _start(self, batch: int, seed: tf.Tensor) -> Chains:
        if self.langevin_settings.init == "replay":
            return self.buffer.start(batch, seed)
        noise = tf.random.stateless_uniform([batch, *self.image_shape], seed)
        return Chains(noise, tf.fill([batch], NO_LABEL), tf.zeros([batch], tf.int32))

    def _replica_step(self, share: Share, chain_seed: tf.Tensor) -> tuple[tf.Tensor, Measurements]:
        """What each replica does; `share` is still the whole batch, of which it takes its own part."""
        context = tf.distribute.get_replica_context()
        batch = self.training_settings.batch_size
        mine = batch // context.num_replicas_in_sync
        first = context.replica_id_in_sync_group * mine

        def part(whole: tf.Tensor) -> tf.Tensor:
            return whole if mine == batch else whole[first : first + mine]

        noise = seeded_noise([batch, *self.image_shape], chain_seed)
        weights = self.model.trainable_variables
        result = loss_gradients(
            self.model,
            weights,
            share._replace(real=part(share.real), start=part(share.start)),
            lambda k: part(noise(k)),
            self.chain,
            self.tail,
            self.loss_settings,
            batch,
        )
        contrastive, kl = (context.all_reduce("SUM", half) for half in (result.contrastive, result.kl))
        gradients = [a + b for a, b in zip(contrastive, kl)]
        norm = tf.linalg.global_norm(gradients)
        clipped = clip_by_global_norm(gradients, norm, self.optimiser_settings.clip_norm)
        self.optimiser.apply_gradients(zip(clipped, weights), skip_gradients_aggregation=True)
        norms = {
            "gradient_norm": norm,
            "gradient_norm_cd_reg": tf.linalg.global_norm(contrastive),
            "gradient_norm_kl": tf.linalg.global_norm(kl),
        }
        replicas = float(context.num_replicas_in_sync)  # every replica has the norms of the whole
        return result.samples, {**result.measurements, **{k: v / replicas for k, v in norms.items()}}

    def _update_average(self) -> None:
        keep = self.training_settings.ema_decay
        for average, weight in zip(self.average.trainable_variables, self.model.trainable_variables):
            self.strategy.extended.update(
                average, lambda old, new: old.assign_add((1 - keep) * (new - old)), args=(weight,)
            )


def learning_rate_at(step: int, steps: int, settings: Optimiser) -> float:
    """Adam's rate at a step (from 0) of `steps`: linear warm-up, constant, then linear decay."""
    rate = settings.learning_rate
    if step < settings.warmup_steps:
        return rate * (step + 1) / settings.warmup_steps
    decay_from = settings.decay_start * steps
    if step <= decay_from:
        return rate
    done = (step - decay_from) / max(steps - decay_from, 1)
    return rate * (1 + (settings.final_fraction - 1) * done)


def _seeds(seed: int, number: tf.Tensor, attempt: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Independent seeds (int32 [2] each) for the uses of one step."""
    of_attempt = tf.random.experimental.stateless_fold_in(tf.stack([seed, 0]), attempt)
    of_step = tf.random.experimental.stateless_fold_in(of_attempt, number)
    return tf.unstack(tf.random.experimental.stateless_split(of_step, count))
