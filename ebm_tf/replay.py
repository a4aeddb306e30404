"""The replay buffer: past samples, kept as uint8 with the label and the age of their chain (method.md section 3).

All randomness comes from seeds that the caller gives, so the buffer's state is its variables and nothing else.
It is kept on the host: one logical buffer, however many devices draw from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from ebm_tf.config import Replay
from ebm_tf.datasets.store import NO_LABEL
from ebm_tf.noise import uniform_rows

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Images [B, H, W, C] in [0, 1] and a seed (int32 [2]) to images of the same shape."""


class Chains(NamedTuple):
    """Where chains stand: images [B, H, W, C] in [0, 1], labels [B] int32, ages [B] int32 (Langevin steps)."""

    images: tf.Tensor
    labels: tf.Tensor
    ages: tf.Tensor


def quantise(images: tf.Tensor) -> tf.Tensor:
    """Images in [0, 1] to uint8: floor(256 x), so that `dequantise` may give the same value back."""
    return tf.cast(tf.clip_by_value(tf.floor(images * 256.0), 0.0, 255.0), tf.uint8)


def dequantise(
    images: tf.Tensor, seed: tf.Tensor, levels: int = 256, first: int | tf.Tensor = 0
) -> tf.Tensor:
    """uint8 images to [0, 1): (level + u) / levels with u ~ U(0, 1), spread evenly over each level's interval.

    Args:
        images: uint8; the levels stand evenly spaced over 0..255.
        seed: int32 [2].
        levels: how many different values the images take (17 for scans of 0..16, 256 for most).
        first: number of the first image, for a batch that is one of several: u of an image depends on (seed, its
            number) alone.
    """
    level = tf.round(tf.cast(images, tf.float32) * ((levels - 1) / 255.0))
    return (level + uniform_rows(first, tf.shape(images)[0], images.shape[1:], seed)) / float(levels)


class ReplayBuffer(tf.Module):
    """At most `capacity` images; the policies are those of `config.Replay`.

    Args:
        settings: capacity, policy, share of chains that restart from noise.
        image_shape: height, width, channels.
    """

    def __init__(self, settings: Replay, image_shape: tuple[int, int, int]) -> None:
        super().__init__(name="replay")
        self.settings = settings
        self.image_shape = tuple(image_shape)
        with tf.device("/CPU:0"):
            size = settings.capacity
            self.images = tf.Variable(tf.zeros([size, *image_shape], tf.uint8), trainable=False)
            self.labels = tf.Variable(tf.fill([size], NO_LABEL), trainable=False)
            self.ages = tf.Variable(tf.zeros([size], tf.int32), trainable=False)
            self.added = tf.Variable(0, trainable=False, dtype=tf.int64)

    @property
    def fill(self) -> tf.Tensor:
        """Images in the buffer, int32."""
        return tf.cast(tf.minimum(self.added, self.settings.capacity), tf.int32)

    @property
    def mean_age(self) -> tf.Tensor:
        """Langevin steps behind the images in the buffer, on average, float32."""
        total = tf.reduce_sum(tf.cast(self.ages, tf.float32))
        return total / tf.cast(tf.maximum(self.fill, 1), tf.float32)

    def draw(self, count: int, seed: tf.Tensor, augment: Augment | None = None) -> Chains:
        """`count` random stored images, dequantised and augmented. From an empty buffer: black images of age 0."""
        index_seed, pixel_seed = _split(seed, 2)
        with tf.device("/CPU:0"):
            slots = tf.random.stateless_uniform(
                [count], index_seed, 0, tf.maximum(self.fill, 1), dtype=tf.int32
            )
            images = dequantise(tf.gather(self.images, slots), pixel_seed)
            if augment is not None:
                images = augment(images, tf.random.experimental.stateless_fold_in(seed, 2))
            return Chains(images, tf.gather(self.labels, slots), tf.gather(self.ages, slots))

    def start(
        self,
        count: int,
        seed: tf.Tensor,
        labels: tf.Tensor | None = None,
        augment: Augment | None = None,
    ) -> Chains:
        """Starts of `count` chains: stored ones, or noise with the restart probability (all, while empty).

        Args:
            labels: [count] int32, the labels that restarted chains get; none by default.
            augment: what is done to stored images before their chains go on.
        """
        draw_seed, choice_seed, noise_seed = _split(seed, 3)
        stored = self.draw(count, draw_seed, augment)
        chance = tf.random.stateless_uniform([count], choice_seed)
        restart = (chance < self.settings.restart_probability) | (self.fill == 0)
        noise = tf.random.stateless_uniform([count, *self.image_shape], noise_seed)
        fresh_labels = tf.fill([count], NO_LABEL) if labels is None else labels
        return Chains(
            tf.where(restart[:, None, None, None], noise, stored.images),
            tf.where(restart, fresh_labels, stored.labels),
            tf.where(restart, 0, stored.ages),
        )

    def add(self, chains: Chains, seed: tf.Tensor) -> None:
        """Put the ends of chains into the buffer, in their order, as the policy says."""
        with tf.device("/CPU:0"):
            count = tf.shape(chains.labels)[0]
            order = self.added + tf.range(1, tf.cast(count, tf.int64) + 1)  # the n of the n-th image ever
            keep, slots = self._slots(order, seed)
            where = slots[keep][:, None]
            self.images.scatter_nd_update(where, quantise(chains.images)[keep])
            self.labels.scatter_nd_update(where, chains.labels[keep])
            self.ages.scatter_nd_update(where, chains.ages[keep])
            self.added.assign_add(tf.cast(count, tf.int64))

    def _slots(self, order: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Which images stay, and where; of several for one slot only the last stays."""
        capacity = tf.constant(self.settings.capacity, tf.int64)
        if self.settings.policy == "fifo":
            slots = (order - 1) % capacity
            accepted = tf.ones_like(order, tf.bool)
        else:
            chance = tf.random.stateless_uniform(tf.shape(order), seed, dtype=tf.float64)
            drawn = tf.cast(tf.floor(chance * tf.cast(order, tf.float64)), tf.int64)
            slots = tf.where(order <= capacity, order - 1, drawn)
            accepted = slots < capacity
        same = (slots[:, None] == slots[None, :]) & accepted[None, :]
        later = tf.range(tf.size(order))[None, :] > tf.range(tf.size(order))[:, None]
        return accepted & ~tf.reduce_any(same & later, axis=1), slots


def _split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    return tf.unstack(tf.random.experimental.stateless_split(seed, count))
