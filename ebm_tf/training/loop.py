"""The training loop: batches in, a finished run out, whatever happens on the way.

Resuming, in order: (1) the newest whole checkpoint brings back weights, average, optimiser, buffer, with augmentation
what was drawn from it ahead for the next step, with selection the best weights, and the guard's memory; (2) history,
evaluations and pictures of later steps are forgotten; (3) the stream of batches is opened at that step; (4) training
goes on with the same numbers as if it had never stopped. Where every checkpoint is damaged it starts over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ebm_tf.config import Health
from ebm_tf.datasets.store import training_batches
from ebm_tf.eager import release
from ebm_tf.errors import EBMError
from ebm_tf.grey_levels import to_uint8
from ebm_tf.training.checkpoint import STARTS_OVER, CheckpointFolder
from ebm_tf.training.health import Guard, Problem
from ebm_tf.training.history import History
from ebm_tf.training.selection import Selection
from ebm_tf.training.trainer import Trainer, learning_rate_at

Report = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, a message)."""
Share = Callable[[int, Sequence[Path]], None]
"""Called with a number of steps, and the files of the checkpoint after so many."""


@dataclass
class Position:
    """Where a run stands; `diverged` tells of a run that ended early (health.on_divergence) when and why."""

    step: int = 0
    learning_rate_factor: float = 1.0
    rollbacks: list[dict[str, Any]] = field(default_factory=list)
    diverged: dict[str, Any] | None = None


class Loop:
    """One run of `trainer` over uint8 `images` and their `labels`, kept in `work` (checkpoints/, record/).

    Args:
        selection: judges the averaged weights on the way; without it there are no evaluations.
        share: is given each state from which training goes on, at the beginning and after a roll-back, where other
            workers are to go on from it, too.

    Raises:
        EBMError: the run diverged more often than `health.rollbacks` allows, and `health.on_divergence` is fail, or
            with nothing to go back to.
    """

    def __init__(
        self,
        trainer: Trainer,
        images: np.ndarray,
        labels: np.ndarray,
        health: Health,
        work: Path,
        selection: Selection | None = None,
        share: Share = lambda step, files: None,
    ) -> None:
        self.trainer, self.images, self.labels, self.health = trainer, images, labels, health
        self.selection, self._share = selection, share
        self.record = work / "record"
        self.record.mkdir(parents=True, exist_ok=True)
        training = trainer.training_settings
        self.steps = training.steps
        self.history = History(self.record, training.batch_size, trainer.langevin_settings.steps)
        self.guard = Guard(health)
        state = trainer.checkpoint
        if selection is not None:
            state = tf.train.Checkpoint(training=state, best=selection.best)
        self.checkpoints = CheckpointFolder(work / "checkpoints", state)
        self.position = Position()

    def run(self, report: Report) -> None:
        """Train to the end, from the newest whole checkpoint if there is one."""
        saved = self.checkpoints.steps()
        step = self.checkpoints.first_whole(reversed(saved))
        if step is not None:
            self._go_to(step)
            report(step, self.steps, f"resumed at step {step}")
        else:
            if saved:
                report(0, self.steps, STARTS_OVER)
            self.history.rewind(0, self.history.state())
            self._save()
        self._share_state()
        while self.position.step < self.steps and self.position.diverged is None:
            problem = self._advance(report)
            if problem:
                self._roll_back(problem, report)
        self.history.flush()

    def _advance(self, report: Report) -> Problem | None:
        """Train until the end (None) or until something is wrong (what)."""
        settings, at = self.trainer.training_settings, self.position
        for samples, measured, problem in steps_from(at, self.trainer, self.images, self.labels, self.guard):
            if problem:
                return problem
            self.history.add(measured)
            last = at.step == self.steps
            if at.step % settings.log_every == 0 or last:
                means = self.history.write_row(at.step)
                report(at.step, self.steps, in_short(means))
            if at.step % settings.grid_every == 0 or last:
                self.history.write_grid(at.step, to_uint8(samples.numpy(), self.trainer.levels))
            if self.selection is not None and self.selection.due(at.step, last):
                self._evaluate(self.selection, report)  # before the checkpoint, so that a resume repeats none
            # None of a troubled state: a roll-back needs one from before the trouble among the few that are kept.
            if last or (at.step % settings.checkpoint_every == 0 and self.guard.bad_steps == 0):
                self._save()
        return None

    def _evaluate(self, selection: Selection, report: Report) -> None:
        step, begun = self.position.step, time.perf_counter()
        values = selection.evaluate(step, lambda message: report(step, self.steps, message))
        self.history.write_evaluation(step, values, time.perf_counter() - begun)
        told = "  ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items())
        report(step, self.steps, f"evaluation: {told}; best at step {selection.standing.best_step}")

    def _roll_back(self, problem: Problem, report: Report) -> None:
        """Return to a checkpoint from before the trouble, with a smaller learning rate, or give up, or end early."""
        told, at_step = self.position.rollbacks, self.position.step
        spent = len(told) >= self.health.rollbacks
        if spent and not (self.health.on_divergence == "keep" and self.history.begun):
            raise EBMError(
                f"training diverged: {problem.said}, after {len(told)} roll-backs each with "
                f"{self.health.learning_rate_factor:g} times the learning rate; {problem.remedy}"
            )
        step = self._before_the_trouble(problem.said)
        if spent:
            self._end_early(problem.said, step, report)
            return
        factor = self.position.learning_rate_factor * self.health.learning_rate_factor
        self._go_to(step)
        event = {"step": at_step, "problem": problem.said, "back_to": step, "learning_rate_factor": factor}
        self.position.rollbacks, self.position.learning_rate_factor = [*told, event], factor
        self.guard.bad_steps = 0
        self._save()
        self._share_state()
        report(step, self.steps, f"rolled back to step {step}: {problem.said}")

    def _before_the_trouble(self, problem: str) -> int:
        """The step of the checkpoint to go back to."""
        every = self.trainer.training_settings.checkpoint_every
        settled = self.position.step - self.health.patience - every // 2
        saved = self.checkpoints.steps()
        good = [step for step in saved if step <= settled]
        step = self.checkpoints.first_whole([*reversed(good), *saved[len(good) :]])
        if step is None:
            raise EBMError(
                f"training diverged: {problem}, and every checkpoint to go back to is damaged; run again, which "
                "starts from the beginning"
            )
        return step

    def _end_early(self, problem: str, step: int, report: Report) -> None:
        """Take the weights of a checkpoint, and leave what was measured since then as it is."""
        self._restored(step)
        at = self.position
        at.diverged = {"step": at.step, "problem": problem, "weights_of_step": step}
        self.history.close(at.step)
        report(at.step, self.steps, f"diverged, which ends the training: {problem}")

    def _restored(self, step: int) -> dict[str, Any]:
        """Bring the state of a checkpoint back, and return what `_save` wrote beside it."""
        run = self.checkpoints.restore(step)
        if self.selection is not None:
            self.selection.restore(run["selection"])
        return run

    def _go_to(self, step: int) -> None:
        run = self._restored(step)
        self.checkpoints.drop_after(step)
        self.position = Position(**run["position"])
        self.guard.restore(run["guard"])
        self.history.rewind(step, run["history"])

    def _share_state(self) -> None:
        """That of the checkpoint which has just been written or read."""
        self._share(self.position.step, self.checkpoints.files(self.position.step))

    def _save(self) -> None:
        run: dict[str, Any] = {
            "position": asdict(self.position),
            "guard": self.guard.state(),
            "history": self.history.state(),
        }
        if self.selection is not None:
            run["selection"] = self.selection.state()
        self.checkpoints.save(self.position.step, run)


def steps_from(
    at: Position, trainer: Trainer, images: np.ndarray, labels: np.ndarray, guard: Guard
) -> Iterator[tuple[tf.Tensor, dict[str, float], Problem | None]]:
    """Train from a position to the end of the run, and move it along.

    Yields:
        After each step its samples, its measurements, and what is wrong. Something wrong is the last thing that
        comes, and such a step is not counted.
    """
    settings = trainer.training_settings
    batches = training_batches(images, settings.batch_size, trainer.seed, at.step, labels=labels)
    for real, real_labels in batches.take(settings.steps - at.step):
        rate = learning_rate_at(at.step, settings.steps, trainer.optimiser_settings)
        samples, measured = trainer.step(
            real,
            real_labels,
            at.step,
            len(at.rollbacks),
            rate * at.learning_rate_factor,
        )
        problem = guard.check(at.step, measured)
        at.step += 0 if problem else 1
        yield samples, measured, problem
        if problem:
            return
        release(real, real_labels, samples)


def in_short(means: dict[str, float]) -> str:
    """Measurements as a message."""
    return (
        f"E(real) {means['energy_real']:+.3f}  E(samples) {means['energy_sample']:+.3f}  "
        f"gradient {means['gradient_norm']:.2f}"
    )
