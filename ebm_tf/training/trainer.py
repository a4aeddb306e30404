"""The state of a training run and the compiled step that advances it, on one device or several alike.

The step is a function of (seed, step number, state): which random numbers a chain gets does not depend on how many
devices the global batch is cut over.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import keras
import tensorflow as tf

from ebm_tf.config import Augmentation, Langevin, Loss, Model, Optimiser, Replay, Training
from ebm_tf.datasets.store import NO_LABEL
from ebm_tf.devices import demand_divisible, gathered, own_rows, parts, summed
from ebm_tf.eager import float32, int32, release
from ebm_tf.langevin import chain_settings, row_noise
from ebm_tf.models.energy import build_energy_model
from ebm_tf.replay import Augment, Chains, ReplayBuffer, dequantise
from ebm_tf.training.step import (
    Measurements,
    Result,
    Share,
    added,
    clip_by_global_norm,
    loss_gradients,
    total_loss,
    with_spreads,
)


class Seeds(NamedTuple):
    """Seeds (int32 [2]) of one step: chain starts, b_j, dequantisation of real images, chain noise, buffer slots."""

    start: tf.Tensor
    others: tf.Tensor
    real: tf.Tensor
    chain: tf.Tensor
    add: tf.Tensor


class Drawn(NamedTuple):
    """What a step draws from the buffer: chain starts, b_j [N, H, W, C], and how full the buffer was (int32)."""

    start: Chains
    others: tf.Tensor
    fill: tf.Tensor


class Waiting(tf.Module):
    """The next step's draw, made and augmented ahead. Part of a checkpoint."""

    def __init__(self, chains: int, others: int, image_shape: tuple[int, int, int]) -> None:
        super().__init__(name="waiting")
        images = tf.zeros([chains, *image_shape])
        start = Chains(images, tf.fill([chains], NO_LABEL), tf.zeros([chains], tf.int32))
        empty = Drawn(start, tf.zeros([others, *image_shape]), tf.constant(0))
        with tf.device("/CPU:0"):
            self.drawn = tf.nest.map_structure(lambda value: tf.Variable(value, trainable=False), empty)

    def take(self) -> Drawn:
        """What `put` was given last."""
        return tf.nest.map_structure(tf.identity, self.drawn)

    def put(self, drawn: Drawn) -> None:
        """Keep this for the next step."""
        for variable, value in zip(tf.nest.flatten(self.drawn), tf.nest.flatten(drawn)):
            variable.assign(value)


class Trainer:
    """Everything that training changes, and `step`, which changes it.

    Args:
        strategy: how replicas work together.
        image_shape: height, width, channels.
        levels: number of different pixel values in the data set.
        classes: number of labels, for a conditional model.
        seed: with the step number, the source of all random numbers.
        lanes: parts of each replica's share that are computed side by side. Like the number of replicas, it changes
            results by no more than rounding.
        portions: of each replica's share that are computed one after the other, to need less memory; likewise.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        image_shape: tuple[int, int, int],
        levels: int,
        classes: int,
        seed: int,
        model: Model,
        langevin: Langevin,
        replay: Replay,
        augmentation: Augmentation,
        loss: Loss,
        optimiser: Optimiser,
        training: Training,
        lanes: int = 1,
        portions: int = 1,
    ) -> None:
        demand_divisible(strategy, "training.batch_size", training.batch_size, portions)
        self.strategy, self.image_shape, self.levels, self.seed = strategy, image_shape, levels, seed
        self.lanes, self.portions = lanes, portions
        self.measured: tuple[str, ...] = ()
        self.model_settings, self.classes = model, classes if model.conditional else 0
        self.langevin_settings, self.loss_settings = langevin, loss
        self.optimiser_settings, self.training_settings = optimiser, training
        self.chain = chain_settings(
            langevin.steps,
            langevin.step_size,
            langevin.noise_scale,
            anneal=langevin.anneal,
            gradient_clip=langevin.gradient_clip,
        )
        self.tail = langevin.backprop_steps
        self.buffer = ReplayBuffer(replay, image_shape)
        self.augment = _augmenter(augmentation, image_shape)
        self.waiting = None
        if self.augment is not None:
            self.waiting = Waiting(training.batch_size, loss.entropy_images, image_shape)
        with strategy.scope():
            self.model = build_energy_model(model, image_shape, seed, self.classes)
            self.average = build_energy_model(model, image_shape, seed, self.classes)
            self.optimiser = keras.optimizers.Adam(
                optimiser.learning_rate, optimiser.beta_1, optimiser.beta_2, jit_compile=False
            )
            self.optimiser.build(self.model.trainable_variables)
        state = {"model": self.model, "average": self.average, "optimiser": self.optimiser}
        waiting = {} if self.waiting is None else {"waiting": self.waiting}
        self.checkpoint = tf.train.Checkpoint(**state, replay=self.buffer, **waiting)

    def step(
        self,
        real: tf.Tensor,
        labels: tf.Tensor,
        number: int,
        attempt: int,
        learning_rate: float,
    ) -> tuple[tf.Tensor, dict[str, float]]:
        """One step on the global batch.

        Args:
            real: uint8 images [batch, H, W, C]. labels: of the real images, int32 [batch]; what an unconditional
                model makes of them is nothing.
            number: of the step; attempt: how often the run was rolled back. Both seed the step.
            learning_rate: of this step.

        Returns:
            The samples x- [batch, H, W, C] in [0, 1], and the measurements, means over the global batch.
        """
        numbers = int32(number), int32(attempt), float32(learning_rate)
        samples, values = self.compiled_step(real, labels, *numbers)
        measured = dict(zip(self.measured, values.numpy().tolist()))
        release(*numbers, values)
        return samples, measured

    @tf.function
    def compiled_step(
        self,
        real: tf.Tensor,
        labels: tf.Tensor,
        number: tf.Tensor,
        attempt: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The same of tensors, with the measurements as one vector, whose names are then in `measured`.

        One transfer brings them all to the host.
        """
        seeds = _seeds(self.seed, number, attempt)
        start, others, fill = self._drawn(seeds, number, attempt, labels)
        share = Share(
            dequantise(real, seeds.real, self.levels),
            start.images,
            others,
            fill >= self.loss_settings.entropy_minimum_fill,
            labels if self.classes else None,
            start.labels if self.classes else None,
        )
        self.optimiser.learning_rate.assign(learning_rate)
        samples, measured = self.strategy.run(self._replica_step, args=(share, seeds.chain))
        samples = gathered(self.strategy, samples)
        self.update_average()
        ages = start.ages + self.chain.steps
        self.buffer.add(Chains(samples, start.labels, ages), seeds.add)

        measurements = with_spreads(summed(self.strategy, measured))
        measurements["loss"] = total_loss(measurements, self.loss_settings, share.entropy_active)
        measurements["buffer_fill"] = tf.cast(self.buffer.fill, tf.float32) / self.buffer.settings.capacity
        measurements["buffer_age"] = self.buffer.mean_age
        measurements["learning_rate"] = learning_rate
        self.measured = tuple(measurements)
        return samples, tf.stack(list(measurements.values()))

    def _drawn(self, now: Seeds, number: tf.Tensor, attempt: tf.Tensor, labels: tf.Tensor) -> Drawn:
        """What the step draws from the buffer.

        Augmentation takes its time. So the next step's draw is made and augmented beside this step's chains, from the
        buffer as it is now: what this step adds can be drawn from the step after next on. The first step after a
        roll-back takes the draw that waits in its checkpoint.
        """
        if self.waiting is None:
            return self._draw(now, labels)
        taken = tf.cond(tf.equal(number, 0), lambda: self._draw(now, labels), self.waiting.take)
        self.waiting.put(self._draw(_seeds(self.seed, number + 1, attempt), labels))
        return taken

    def _draw(self, seeds: Seeds, labels: tf.Tensor) -> Drawn:
        """From the buffer as it is, augmented; chains that restart get the labels of real images."""
        batch, images = self.training_settings.batch_size, self.loss_settings.entropy_images
        fresh_labels = labels if self.classes else None
        others = self.buffer.draw(images, seeds.others, self.augment).images
        if self.langevin_settings.init == "replay":
            start = self.buffer.start(batch, seeds.start, fresh_labels, self.augment)
            return Drawn(start, others, self.buffer.fill)
        noise = tf.random.stateless_uniform([batch, *self.image_shape], seeds.start)
        fresh_labels = tf.fill([batch], NO_LABEL) if fresh_labels is None else fresh_labels
        start = Chains(noise, fresh_labels, tf.zeros([batch], tf.int32))
        return Drawn(start, others, self.buffer.fill)

    def _replica_step(self, share: Share, chain_seed: tf.Tensor) -> tuple[tf.Tensor, Measurements]:
        """What each replica does; `share` is still the whole batch, of which it takes its own part."""
        context = tf.distribute.get_replica_context()
        first, count = own_rows(self.training_settings.batch_size)
        self.model.update_spectral_vectors()
        weights = self.model.trainable_variables
        result = self._in_portions(share, first, count, weights, chain_seed)
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

    def _in_portions(
        self, share: Share, first: Any, count: int, weights: list[tf.Variable], chain_seed: tf.Tensor
    ) -> Result:
        """The gradients of the rows first .. first + count - 1 of the global batch, portion after portion."""
        size = count // self.portions

        def portion(number: Any) -> Result:
            begin = first + number * size
            lanes = parts(size, self.lanes)
            return added([self._part(share, begin + ahead, of, weights, chain_seed) for ahead, of in lanes])

        total = portion(0)
        if self.portions == 1:
            return total
        images = tf.TensorArray(total.samples.dtype, self.portions).write(0, total.samples)

        def add_next(number: tf.Tensor, images: tf.TensorArray, sums: Any) -> tuple[Any, ...]:
            samples, *more = portion(number)
            return number + 1, images.write(number, samples), tf.nest.map_structure(tf.add, sums, more)

        _, images, sums = tf.while_loop(
            lambda number, *_: number < self.portions,
            add_next,
            (tf.constant(1), images, list(total[1:])),
            parallel_iterations=1,
        )
        return Result(tf.ensure_shape(images.concat(), [count, *self.image_shape]), *sums)

    def _part(
        self, share: Share, first: Any, count: int, weights: list[tf.Variable], chain_seed: tf.Tensor
    ) -> Result:
        """The gradients of the rows first .. first + count - 1 of the global batch."""

        def rows(whole: Optional[tf.Tensor]) -> Optional[tf.Tensor]:
            return None if whole is None else whole[first : first + count]

        return loss_gradients(
            self.model,
            weights,
            share._replace(
                real=rows(share.real),
                start=rows(share.start),
                real_labels=rows(share.real_labels),
                labels=rows(share.labels),
            ),
            row_noise(first, count, self.image_shape, chain_seed, share.start.dtype),
            self.chain,
            self.tail,
            self.loss_settings,
            self.training_settings.batch_size,
            self.model.kernels_computed_once,
        )

    def update_average(self) -> None:
        """Move the averaged weights towards those of the model."""
        keep = self.training_settings.ema_decay
        for average, weight in zip(self.average.trainable_variables, self.model.trainable_variables):
            self.strategy.extended.update(
                average, lambda old, new: old.assign_add((1 - keep) * (new - old)), args=(weight,)
            )
        if self.model_settings.spectral_norm:
            self.strategy.run(self.average.update_spectral_vectors)


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


def _seeds(seed: int, number: tf.Tensor, attempt: tf.Tensor) -> Seeds:
    """Independent seeds for the uses of one step."""
    of_attempt = tf.random.experimental.stateless_fold_in(tf.stack([seed, 0]), attempt)
    of_step = tf.random.experimental.stateless_fold_in(of_attempt, number)
    return Seeds(*tf.unstack(tf.random.experimental.stateless_split(of_step, len(Seeds._fields))))


def _augmenter(settings: Augmentation, image_shape: tuple[int, int, int]) -> Augment | None:
    """What is done to images of the buffer; None where nothing is. KerasCV is imported only for use."""
    if not settings.active:
        return None
    from ebm_tf.augment import Augmenter

    return Augmenter(settings, image_shape)
