"""What augmentation costs a training step: without it, with it in front of the step, and with it beside the step.

Beside is what training does: the starts of the next step are augmented while this step's chains run. The executor can
do both at the same time if it has two threads for operations (--inter 2) and a core is free for the second: see that
the machine is idle. Then images are augmented alone, part by part, to see what takes the time.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import tensorflow as tf

from benchmarks.turns import milliseconds
from ebm_tf import config, devices
from ebm_tf.augment import Augmenter
from ebm_tf.training.trainer import Trainer

PAPER = config.Augmentation(crop_area=0.02, flip=True, colour_strength=1.0)  # of CIFAR-10 (S B.2)
PARTS = {
    "crop": config.Augmentation(crop_area=0.02),
    "flip": config.Augmentation(flip=True),
    "colours": config.Augmentation(colour_strength=1.0),
    "all": PAPER,
}
SHAPE = (32, 32, 3)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.augment", description=__doc__)
    parser.add_argument("--intra", type=int, default=1, help="threads in an operation")
    parser.add_argument("--inter", type=int, default=2, help="operations at the same time")
    parser.add_argument("--batch", type=int, default=128, help="chains")
    parser.add_argument("--langevin-steps", type=int, default=10, help="steps of a chain")
    parser.add_argument("--width", type=float, default=0.125, help="of the network mnist")
    parser.add_argument("--rounds", type=int, default=10, help="measured steps of each kind")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.intra)
    tf.config.threading.set_inter_op_parallelism_threads(options.inter)

    steps = {
        "step without": _step(options, config.Augmentation()),
        "step, augmentation in front": _step(options, PAPER, beside=False),
        "step, augmentation beside": _step(options, PAPER),
    }
    print(
        f"{options.batch} chains of {options.langevin_steps} steps, {options.intra} x {options.inter} threads"
    )
    _print(milliseconds(steps, options.rounds), per="step without")
    print(f"\naugmentation of {options.batch} images of 32 x 32 x 3")
    parts = {name: _augmentation(settings, options.batch) for name, settings in PARTS.items()}
    _print(milliseconds(parts, 3 * options.rounds), per="all")


def _step(
    options: argparse.Namespace, augmentation: config.Augmentation, beside: bool = True
) -> Callable[[], object]:
    """One step of a trainer of its own, whose buffer fills as it goes."""
    trainer = Trainer(
        devices.mirrored_strategy(),
        SHAPE,
        levels=256,
        classes=0,
        seed=0,
        model=config.Model(architecture="mnist", width=options.width, norm="none"),
        langevin=config.Langevin(steps=options.langevin_steps),
        replay=config.Replay(capacity=2000),
        augmentation=augmentation,
        loss=config.Loss(entropy_minimum_fill=100),
        optimiser=config.Optimiser(),
        training=config.Training(batch_size=options.batch),
    )
    if not beside:
        trainer.waiting = None  # the starts of a step are then augmented when it needs them
    images = np.random.default_rng(0).integers(0, 256, (options.batch, *SHAPE), np.uint8)
    real, labels = tf.constant(images), tf.zeros([options.batch], tf.int32)
    number = 0

    def step() -> None:
        nonlocal number
        samples, _ = trainer.step(real, labels, number, 0, 1e-4)
        samples.numpy()
        number += 1

    return step


def _augmentation(settings: config.Augmentation, count: int) -> Callable[[], object]:
    images = tf.random.stateless_uniform([count, *SHAPE], [0, 0])
    augment = tf.function(Augmenter(settings, SHAPE))
    return lambda: augment(images, tf.constant([0, 1])).numpy()


def _print(times: dict[str, float], per: str) -> None:
    for name, time in times.items():
        print(f"  {name:28} {time:8.1f} ms  x {time / times[per]:.3f}")


if __name__ == "__main__":
    main()
