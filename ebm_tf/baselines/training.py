"""The training loop of the SNGAN baseline: batches in, a finished run out, also after a kill.

The newest whole checkpoint brings back weights, the vectors u of spectral normalisation, batch-norm statistics,
optimisers and the seconds so far; history and pictures of later steps are forgotten; training goes on with the same
numbers as if it had never stopped, on one device: of several, each with batch-norm statistics of its own, the mean is
saved. Where every checkpoint is damaged it starts over.

With a budget of seconds the numbers of each step are the same again, but how many steps there are depends on the
machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ebm_tf.baselines.adversarial import Adversaries
from ebm_tf.datasets.store import training_batches
from ebm_tf.eager import int32
from ebm_tf.errors import EBMError
from ebm_tf.grey_levels import to_uint8
from ebm_tf.training.checkpoint import STARTS_OVER, CheckpointFolder
from ebm_tf.training.history import History

Report = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, a message)."""


@dataclass
class Position:
    """Where a run stands: generator steps done, and seconds that they took in all processes that ran it."""

    step: int = 0
    seconds: float = 0.0


class Loop:
    """One run over uint8 `images`, kept in `work` (checkpoints/, record/).

    Args:
        clock: seconds, rising; only differences count.
    """

    def __init__(
        self,
        adversaries: Adversaries,
        images: np.ndarray,
        work: Path,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.adversaries, self.images, self.clock = adversaries, images, clock
        self.settings = adversaries.settings
        self.record = work / "record"
        self.record.mkdir(parents=True, exist_ok=True)
        self.history = History(self.record, self.settings.batch_size)
        self.checkpoints = CheckpointFolder(work / "checkpoints", adversaries.checkpoint)
        self.position = Position()

    @property
    def done(self) -> bool:
        """All steps are done, or all seconds used."""
        budget = self.settings.seconds
        return self.position.step >= self.settings.steps or (
            budget is not None and self.position.seconds >= budget
        )

    def run(self, report: Report) -> None:
        """Train to the end, from the newest whole checkpoint if there is one.

        Raises:
            EBMError: a measurement is not a number.
        """
        saved = self.checkpoints.steps()
        step = self.checkpoints.first_whole(reversed(saved))
        if step is not None:
            run = self.checkpoints.restore(step)
            self.position = Position(**run["position"])
            self.history.rewind(step, run["history"])
            report(*self._progress(), f"resumed at step {step}")
        else:
            if saved:
                report(*self._progress(), STARTS_OVER)
            self.history.rewind(0, self.history.state())
        before, since = self.position.seconds, self.clock()
        batches = self._batches()
        while not self.done:
            samples, measured = self._step(batches)
            self.position.step += 1
            self.position.seconds = before + self.clock() - since
            self.history.add(measured)
            self._write_down(samples, report)
        self.history.flush()

    def _batches(self) -> Iterator[tf.Tensor]:
        first = self.position.step * self.settings.discriminator_steps
        return iter(training_batches(self.images, self.settings.batch_size, self.adversaries.seed, first))

    def _step(self, batches: Iterator[tf.Tensor]) -> tuple[tf.Tensor, dict[str, float]]:
        """The discriminator's steps (their measurements averaged), then the generator's."""
        number = int32(self.position.step)
        parts = [
            self.adversaries.discriminator_step(next(batches), number, int32(part))
            for part in range(self.settings.discriminator_steps)
        ]
        samples, measured = self.adversaries.generator_step(number)
        for name in parts[0]:
            measured[name] = tf.reduce_mean([part[name] for part in parts])
        values = dict(zip(measured, tf.stack(list(measured.values())).numpy().tolist()))
        for name, value in values.items():
            if not math.isfinite(value):
                raise EBMError(
                    f"the training of the SNGAN diverged: {name.replace('_', ' ')} is {value} at step "
                    f"{self.position.step}; try a smaller sngan.learning_rate or another seed"
                )
        return samples, values

    def _write_down(self, samples: tf.Tensor, report: Report) -> None:
        step, settings, last = self.position.step, self.settings, self.done
        if step % settings.log_every == 0 or last:
            means = self.history.write_row(step)
            report(*self._progress(), _message(step, means))
        if step % settings.grid_every == 0 or last:
            self.history.write_grid(step, to_uint8(samples.numpy(), self.adversaries.levels))
        if step % settings.checkpoint_every == 0 or last:
            run = {"position": asdict(self.position), "history": self.history.state()}
            self.checkpoints.save(step, run)

    def _progress(self) -> tuple[int, int]:
        """Steps done and in all; where the seconds will run out first, their share of all steps."""
        used = self.position.seconds / self.settings.seconds if self.settings.seconds else 0.0
        steps = self.settings.steps
        return max(self.position.step, int(steps * min(used, 1.0))), steps


def _message(step: int, means: dict[str, float]) -> str:
    return (
        f"step {step}  D(real) {means['score_real']:+.3f}  D(generated) {means['score_generated']:+.3f}  "
        f"loss {means['loss_discriminator']:.3f}"
    )
