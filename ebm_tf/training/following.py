"""Training on a worker that is not the chief: the same steps, of which it keeps nothing.

It goes where the chief goes. What a step measures is a sum over all workers that TensorFlow brings to each of them,
so the guard of each says the same of it; then all stop, and those who follow wait for the state from which the chief
goes on, or for its word that training is done.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Optional

import numpy as np
import tensorflow as tf

from ebm_tf.config import Health
from ebm_tf.training.checkpoint import read_checkpoint
from ebm_tf.training.health import Guard
from ebm_tf.training.loop import Position, Report, in_short, steps_from
from ebm_tf.training.trainer import Trainer

NextState = Callable[[], Optional[int]]


def follow(
    trainer: Trainer,
    images: np.ndarray,
    labels: np.ndarray,
    health: Health,
    next_state: NextState,
    incoming: Path,
    judged: bool,
    report: Report,
) -> int:
    """Take part in the chief's training until it is done.

    Args:
        images, labels: the chief's, uint8 [n, H, W, C] and int64 [n].
        next_state: waits for the chief's next state; returns its step, None when training is done.
        incoming: folder that the chief's states come to.
        judged: whether the chief has a selection, whose best weights are in its states, too.

    Returns:
        The steps that this worker took part in.

    Raises:
        EBMError: the chief ended or is gone.
    """
    state = tf.train.Checkpoint(training=trainer.checkpoint) if judged else trainer.checkpoint
    steps, taken, guard = trainer.training_settings.steps, 0, Guard(health)
    while next_state() is not None:
        run = read_checkpoint(incoming, state, whole=False)
        at = Position(**run["position"])
        guard.restore(run["guard"])
        report(at.step, steps, f"goes on from the chief's state of step {at.step}")
        for _, measured, problem in steps_from(at, trainer, images, labels, guard):
            taken += 1
            if at.step % trainer.training_settings.log_every == 0 or problem:
                report(at.step, steps, problem.said if problem else in_short(measured))
        report(at.step, steps, "waits for the chief")
    return taken
