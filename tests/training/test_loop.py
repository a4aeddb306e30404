"""Where a diverging run goes back to, with a trainer that does nothing but diverge."""

import numpy as np
import tensorflow as tf

from ebm_tf.config import Health, Langevin, Optimiser, Training
from ebm_tf.training.loop import Loop

FINE = {
    "energy_real": 0.0, "energy_sample": 0.0, "energy_real_spread": 1.0, "energy_sample_spread": 1.0,
    "gradient_norm": 1.0,
}  # fmt: skip


class Diverging:
    """A trainer whose energies part at step 10, until the run has been rolled back."""

    def __init__(self, checkpoint_every):
        self.training_settings = Training(
            steps=20, batch_size=2, checkpoint_every=checkpoint_every, log_every=100
        )
        self.langevin_settings, self.optimiser_settings = Langevin(), Optimiser()
        self.seed, self.levels = 0, 256
        self.checkpoint = tf.train.Checkpoint(value=tf.Variable(0))

    def step(self, real, labels, number, attempt, rate):
        bad = int(number) >= 10 and int(attempt) == 0
        measured = {**FINE, "energy_real": 40.0 if bad else 0.0}
        return tf.zeros_like(real, tf.float32), {name: tf.constant(value) for name, value in measured.items()}


def test_a_roll_back_goes_to_a_step_before_the_trouble_however_often_there_are_checkpoints(tmp_path):
    images, labels = np.zeros((6, 4, 4, 1), np.uint8), np.zeros(6, np.int64)
    for checkpoint_every in (1, 2, 7):
        health = Health(patience=5, grace_steps=0)
        work = tmp_path / str(checkpoint_every)
        loop = Loop(Diverging(checkpoint_every), images, labels, health, work)
        loop.run(lambda *_: None)
        assert loop.position.step == 20
        (event,) = loop.position.rollbacks
        assert event["step"] == 14
        assert event["back_to"] <= 10, "energies part at step 10"
