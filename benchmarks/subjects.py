"""What is measured: trainers at the sizes of the authors' iteration and of the digits, ready to take steps.

`Size` has the options of the yardstick (torch_reference.py) and its defaults. Its network is table 1 at three scales,
the coarser ones without the last stages, with weight standardisation; all other settings are those of the released
code: 0.999 of the chains from a full buffer of 10,000, full augmentation, one of the last steps differentiated.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np
import tensorflow as tf

from ebm_tf import config, devices
from ebm_tf.config import Compute, Experiment
from ebm_tf.langevin import langevin, row_noise
from ebm_tf.training.trainer import Trainer

BUFFER_SIZE, AT_ONCE = 10_000, 500
PER_IMAGE = 128  # channels up to which the authors normalise each channel by itself
AUGMENTATION = config.Augmentation(
    crop_area=0.08, flip=True, colour_strength=1.0, hue=0.4, jitter_probability=0.8, grey_probability=0.2
)
SECTIONS = ("model", "langevin", "replay", "augmentation", "loss", "optimiser", "training")
DIGITS_SHAPE, DIGITS_LEVELS, DIGITS_CLASSES = (8, 8, 1), 17, 10


class Size(NamedTuple):
    """Of the authors' iteration: channels of the first layer, chains, pixels of a side, colours, K, precision."""

    filters: int = 32
    batch: int = 32
    size: int = 32
    channels: int = 3
    steps: int = 10
    precision: str = "float32"


def model_of(size: Size) -> config.Model:
    """The authors' network for CIFAR-10 at a width of so many filters.

    They normalise up to 128 channels each by itself, and more of them in 32 groups. Here one kind holds for the whole
    network: groups only where some layer is wider than that.
    """
    widest = 4 * size.filters  # of a layer that is normalised
    return config.Model(
        architecture="table1",
        width=size.filters / 64,
        scales=3,
        drop="last",
        norm="instance" if widest <= PER_IMAGE else "group",
        weight_standardisation=True,
        precision=size.precision,
    )


def authors_trainer(size: Size, compute: Compute) -> Trainer:
    """A trainer of the released code's settings with a full buffer.

    Like the two below it sets TensorFlow up as `compute` says, as a stage does, so it comes before any operation.
    """
    return full_trainer(
        compute,
        (size.size, size.size, size.channels),
        size.batch,
        size.steps,
        model_of(size),
        AUGMENTATION if size.channels == 3 else config.Augmentation(),
    )


def full_trainer(
    compute: Compute,
    shape: tuple[int, int, int],
    batch: int,
    steps: int,
    model: config.Model,
    augmentation: config.Augmentation,
) -> Trainer:
    """A trainer with the loss and the chain of the released code, whose buffer is full of random pixels."""
    devices.configure(compute)
    trainer = Trainer(
        devices.mirrored_strategy(),
        shape,
        levels=256,
        classes=0,
        seed=0,
        model=model,
        langevin=config.Langevin(steps=steps, step_size=100.0, noise_scale=0.001),
        replay=config.Replay(capacity=BUFFER_SIZE, policy="reservoir", restart_probability=0.001),
        augmentation=augmentation,
        loss=config.Loss(kl=1.0, entropy=0.3, entropy_images=100, regularisation=1.0),
        optimiser=config.Optimiser(learning_rate=2e-4, beta_1=0.0, beta_2=0.9, clip_norm=0.5),
        training=config.Training(batch_size=batch, ema_decay=0.99),
        lanes=compute.lanes,
    )
    fill(trainer)
    return trainer


def digits_trainer(experiment: Experiment) -> Trainer:
    """A trainer of an experiment on digits, whose buffer is full."""
    devices.configure(experiment.compute)
    trainer = Trainer(
        devices.mirrored_strategy(),
        DIGITS_SHAPE,
        DIGITS_LEVELS,
        DIGITS_CLASSES,
        experiment.seed,
        **{name: getattr(experiment, name) for name in SECTIONS},
        lanes=experiment.compute.lanes,
    )
    fill(trainer)
    return trainer


def digits() -> tuple[np.ndarray, np.ndarray]:
    """All scans of scikit-learn, uint8 [1797, 8, 8, 1], and their labels, int64."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    return (scans.images[..., None] * (255 / 16)).round().astype(np.uint8), scans.target.astype(np.int64)


def fill(trainer: Trainer) -> None:
    """Fill the buffer with random pixels, a part at a time, so that no peak of memory is that of filling it."""
    buffer, capacity = trainer.buffer, trainer.buffer.settings.capacity
    for first in range(0, capacity, AT_ONCE):
        end = min(first + AT_ONCE, capacity)
        buffer.images[first:end].assign(random_images(end - first, trainer.image_shape))
    buffer.added.assign(capacity)


def random_images(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 [count, *shape], always the same."""
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def iteration(trainer: Trainer) -> Callable[[], float]:
    """One whole training step, from images to the end of all that it changes; returns the loss.

    As in the training loop, the measurements are waited for.
    """
    batch = trainer.training_settings.batch_size
    real = tf.constant(random_images(batch, trainer.image_shape))
    labels, rate = tf.zeros([batch], tf.int32), trainer.optimiser_settings.learning_rate
    number = 0

    def step() -> float:
        nonlocal number
        _, measured = trainer.step(real, labels, number, 0, rate)
        number += 1
        return measured["loss"]

    return step


def chain(trainer: Trainer) -> Callable[[], object]:
    """The chain of a step alone, in its lanes: all K steps without a gradient through any, from the same start."""
    batch, shape = trainer.training_settings.batch_size, trainer.image_shape
    start = trainer.buffer.start(batch, tf.constant([0, 0]), None, trainer.augment).images

    @tf.function
    def run(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        ends = []
        for first, count in devices.parts(batch, trainer.lanes):
            with trainer.model.kernels_computed_once():
                noise = row_noise(first, count, shape, seed)
                ends.append(langevin(trainer.model, images[first : first + count], noise, trainer.chain))
        return tf.concat(ends, axis=0)

    return lambda: run(start, tf.constant([0, 1])).numpy()


def image_steps(trainer: Trainer) -> int:
    """Chain steps in one training step, over all chains."""
    return int(trainer.training_settings.batch_size * trainer.langevin_settings.steps)


def parameters_of(trainer: Trainer) -> int:
    """How many numbers training changes."""
    return sum(int(np.prod(weight.shape)) for weight in trainer.model.trainable_variables)


def sized(options: Any) -> Size:
    """The `Size` that a program's options name."""
    return Size(*(getattr(options, name) for name in Size._fields))
