"""health.on_divergence=keep: a run that diverges for good ends with what was measured; no trainer trains anything."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Health
from ebm_tf.errors import EBMError
from ebm_tf.training.history import read_csv
from ebm_tf.training.loop import Loop
from tests.training.test_loop import FINE, IMAGES, LABELS, Idle


class Breaking(Idle):
    """A trainer whose one weight counts its steps, and whose energies part for good at a step."""

    def __init__(self, at, energy=40.0):
        super().__init__(checkpoint_every=4, log_every=3, steps=40, grid_every=100)
        self.value.assign(0.0)
        self.at, self.energy, self.steps = at, energy, 0

    def step(self, real, labels, number, attempt, rate):
        self.value.assign_add(1.0)
        self.steps += 1
        bad = int(number) >= self.at
        return tf.zeros_like(real, tf.float32), {**FINE, "energy_real": self.energy if bad else 0.0}


class Evaluated:
    """What a loop needs of a selection; its standing is the number of evaluations."""

    def __init__(self):
        self.best, self.standing = tf.Variable(0.0), self
        self.best_step, self.evaluations = None, 0

    def due(self, step, last):
        return step % 5 == 0

    def evaluate(self, step, tell):
        self.evaluations += 1
        return {"frechet_distance": float(step)}

    def state(self):
        return {"evaluations": self.evaluations}

    def restore(self, state):
        self.evaluations = state["evaluations"]


def run(work, trainer, selection=None, **health):
    kept = Health(**{"patience": 2, "grace_steps": 0, "rollbacks": 0, "on_divergence": "keep", **health})
    loop, told = Loop(trainer, IMAGES, LABELS, kept, work, selection), []
    loop.run(lambda *said: told.append(said))
    return loop, told


def test_it_ends_with_its_rows_and_the_weights_from_before_the_trouble(tmp_path):
    trainer = Breaking(at=20)
    loop, told = run(tmp_path, trainer)
    assert loop.position.diverged == {
        "step": 21,
        "problem": "E(real) - E(samples) is 40, 40.0 spreads of E(real) (limit 3) at step 21",
        "weights_of_step": 16,
    }
    assert (loop.position.step, loop.position.rollbacks, trainer.steps) == (21, [], 22)
    assert trainer.value.numpy() == 16
    assert told[-1] == (21, 40, f"diverged, which ends the training: {loop.position.diverged['problem']}")
    rows = read_csv(tmp_path / "record" / "history.csv")
    assert rows["step"].tolist() == [3, 6, 9, 12, 15, 18, 21]
    assert rows["energy_real"][-1] == pytest.approx(40 / 3), "the first bad step is in it"


def test_an_open_interval_gets_a_row_of_its_own(tmp_path):
    run(tmp_path, Breaking(at=18))
    rows = read_csv(tmp_path / "record" / "history.csv")
    assert rows["step"].tolist() == [3, 6, 9, 12, 15, 18, 19]
    assert rows["energy_real"].tolist() == [0, 0, 0, 0, 0, 0, 40]


def test_roll_backs_come_first(tmp_path):
    loop, _ = run(tmp_path, Breaking(at=20), rollbacks=2)
    assert len(loop.position.rollbacks) == 2
    assert loop.position.diverged["step"] == 21


def test_no_number_ends_it_at_once(tmp_path):
    loop, _ = run(tmp_path, Breaking(at=10, energy=np.nan), patience=50)
    assert loop.position.diverged["problem"] == "energy_real is nan at step 10"
    assert np.isfinite(read_csv(tmp_path / "record" / "history.csv")["energy_real"]).all()


def test_what_evaluations_have_found_is_that_of_the_weights(tmp_path):
    """Those of steps 5, 10 and 15; that of step 20 is of weights that are given up."""
    selection = Evaluated()
    run(tmp_path, Breaking(at=20), selection)
    assert selection.evaluations == 3
    assert read_csv(tmp_path / "record" / "selection.csv")["step"].tolist() == [5, 10, 15, 20]


def test_a_kill_after_the_end_changes_nothing_of_it(tmp_path):
    first, _ = run(tmp_path, Breaking(at=20))
    before = (tmp_path / "record" / "history.csv").read_bytes()
    again = Breaking(at=20)
    loop, told = run(tmp_path, again)
    assert told[0][2] == "resumed at step 20"
    assert loop.position.diverged == {**first.position.diverged, "weights_of_step": 16}
    assert (tmp_path / "record" / "history.csv").read_bytes() == before
    assert again.value.numpy() == 16


def test_what_breaks_before_anything_was_measured_is_an_error(tmp_path):
    with pytest.raises(EBMError, match="training diverged: energy_real is nan at step 0, after 0 roll-backs"):
        run(tmp_path, Breaking(at=0, energy=np.nan))


def test_without_the_setting_it_is_an_error(tmp_path):
    with pytest.raises(EBMError, match=r"training diverged: .* after 0 roll-backs"):
        run(tmp_path, Breaking(at=20), on_divergence="fail")
