"""Judging during training: which of the averaged weights draw the best samples.

Every `selection.every` steps and at the last one, fresh chains are drawn with the averaged (EMA) weights as they are
then, and judged. Chain i starts from and moves by the same random numbers in every evaluation, so that what changes
from one to the next is the weights alone (common random numbers). These follow from `selection.seed` and a kind of
their own: they are neither those of training, which goes on with the same bits as without evaluations, nor those of
GenerateSamples, whatever the seeds.

The least of many noisy numbers is too small a number: it was chosen for it. Hence what is published of the best
weights is measured on other samples, those of GenerateSamples; `best` in metrics.json says why they were chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Optional, Protocol

import numpy as np
import tensorflow as tf

from ebm_tf import config
from ebm_tf.grey_levels import Images, to_uint8
from ebm_tf.langevin import chain_settings
from ebm_tf.models.energy import build_energy_model
from ebm_tf.noise import uniform_rows
from ebm_tf.sampling import Kind, Method, Runner, Use, chain_seed
from ebm_tf.training.trainer import Trainer

PORTION = 25  # Langevin steps between two messages

Tell = Callable[[str], None]
"""Is told what is going on."""


class Judge(Protocol):
    """Uint8 images [n, H, W, C] to one number for each of `names`, always in that order."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics, `selection.metric` among them."""

    def __call__(self, images: Images) -> dict[str, float]:
        """The metrics of these images."""


@dataclass
class Standing:
    """What evaluations have found: their number, the last value of the metric, the least one and its step.

    A value that is not finite is None.
    """

    evaluations: int = 0
    last: Optional[float] = None
    best: Optional[float] = None
    best_step: Optional[int] = None


class Selection:
    """The evaluations of one run, and the best weights that they have seen.

    Its chains run on one device, also where training has several.

    Args:
        trainer: whose averaged weights are judged; they are read where they are, by a graph that is built once.
        judge: of the samples.
        settings: `selection`, with `every` above 0.

    Attributes:
        best: a network with the best weights, once there are some. Part of a checkpoint.
        standing: for the run's record beside the checkpoint.
    """

    def __init__(self, trainer: Trainer, judge: Judge, settings: config.Selection) -> None:
        self.average, self.levels = trainer.average, trainer.levels
        self.judge, self.settings = judge, settings
        self.standing = Standing()
        shape, classes = trainer.image_shape, trainer.classes
        with tf.device("/CPU:0"):
            self.best = build_energy_model(trainer.model_settings, shape, trainer.seed, classes)
        langevin = trainer.langevin_settings
        chain = chain_settings(
            settings.steps,
            langevin.step_size,
            langevin.noise_scale,
            anneal=langevin.anneal,
            gradient_clip=langevin.gradient_clip,
        )
        in_turn = np.resize(np.arange(classes, dtype=np.int32), settings.count) if classes else None
        method = Method(chain, lanes=trainer.lanes)
        self.chains = Runner(self.average, shape, method, settings.seed, Kind.SELECTION, in_turn)

    def due(self, step: int, last: bool) -> bool:
        """Whether there is an evaluation after this step; `last` of the run."""
        return last or step % self.settings.every == 0

    def evaluate(self, step: int, tell: Tell) -> dict[str, float]:
        """Judge the averaged weights as they are after `step` steps, and keep them if they are the best so far.

        Returns:
            The metrics; all not-a-number where a chain diverged, since what is left of such samples would flatter.
        """
        images = self._draw(tell)
        tell(f"judging {len(images)} samples of the averaged weights")
        if np.isfinite(images).all():
            values = self.judge(to_uint8(images, self.levels))
        else:
            values = dict.fromkeys(self.judge.names, math.nan)
        self._take(step, values[self.settings.metric])
        return values

    def summary(self) -> dict[str, Any]:
        """For metrics.json."""
        return {"metric": self.settings.metric, **asdict(self.standing)}

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs beside the best weights, for JSON."""
        return asdict(self.standing)

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.standing = Standing(**state)

    def _take(self, step: int, value: float) -> None:
        """Count an evaluation; of equal ones the earliest is the best, of those that are not finite none."""
        now, finite = self.standing, math.isfinite(value)
        now.evaluations += 1
        now.last = value if finite else None
        if finite and (now.best is None or value < now.best):
            now.best, now.best_step = value, step
            self.best.set_weights(self.average.get_weights())

    def _draw(self, tell: Tell) -> np.ndarray:
        """Ends of the chains, float32 [count, H, W, C]."""
        count, steps, shape = self.settings.count, self.settings.steps, self.chains.image_shape
        seed = chain_seed(self.settings.seed, Use.START, Kind.SELECTION)
        images = np.empty((count, *shape), np.float32)
        for row in range(0, count, self.settings.batch_size):
            end = min(row + self.settings.batch_size, count)
            state = self.chains.begin(uniform_rows(row, end - row, shape, seed), row)
            for first in range(0, steps, PORTION):
                tell(f"evaluating: chains {row + 1} to {end} of {count}, step {first} of {steps}")
                state = self.chains.advance(state, row, first, min(first + PORTION, steps))
            images[row:end] = self.chains.images(state).numpy()
        return images
