"""Where a diverging run goes back to, and one that finds its checkpoints damaged; the trainers train nothing."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Health, Langevin, Optimiser, Training
from ebm_tf.errors import EBMError
from ebm_tf.training.loop import Loop
from tests.damage import DAMAGES, cut

FINE = {
    "energy_real": 0.0, "energy_sample": 0.0, "energy_real_spread": 1.0, "energy_sample_spread": 1.0,
    "gradient_norm": 1.0,
}  # fmt: skip


class Idle:
    """What a trainer has beside its step."""

    def __init__(self, checkpoint_every, log_every=100, steps=20, grid_every=6):
        self.training_settings = Training(
            steps=steps,
            batch_size=2,
            checkpoint_every=checkpoint_every,
            log_every=log_every,
            grid_every=grid_every,
        )
        self.langevin_settings, self.optimiser_settings = Langevin(), Optimiser()
        self.seed, self.levels = 0, 256
        self.value = tf.Variable(1.0)
        self.checkpoint = tf.train.Checkpoint(value=self.value)


class Diverging(Idle):
    """A trainer whose energies part at step 10, until the run has been rolled back."""

    def at_trouble(self):
        """What else happens then."""

    def step(self, real, labels, number, attempt, rate):
        bad = int(number) >= 10 and int(attempt) == 0
        if bad and int(number) == 10:
            self.at_trouble()
        measured = {**FINE, "energy_real": 40.0 if bad else 0.0}
        return tf.zeros_like(real, tf.float32), measured


class Wandering(Idle):
    """A trainer whose one weight goes where all steps before have led it."""

    def step(self, real, labels, number, attempt, rate):
        self.value.assign(
            tf.sin(7 * self.value + tf.cast(number, tf.float32)) + tf.reduce_mean(tf.cast(real, tf.float32))
        )
        samples = tf.fill(real.shape, tf.abs(self.value))
        return samples, {**FINE, "value": float(self.value)}


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
LABELS = np.zeros(6, np.int64)


class Killed(Exception):
    """What a kill is here."""


def wandering(work, killed_at=None):
    """A run to its end, or to where it is killed; returns it and what it said."""
    loop = Loop(Wandering(checkpoint_every=4, log_every=3), IMAGES, LABELS, Health(), work)
    told = []

    def report(done, total, message):
        told.append(message)
        if killed_at is not None and done >= killed_at:
            raise Killed

    if killed_at is None:
        loop.run(report)
    else:
        with pytest.raises(Killed):
            loop.run(report)
    return loop, told


def results(loop):
    files = sorted(path for path in loop.record.rglob("*") if path.suffix in (".csv", ".png"))
    kept = {path.name: path.read_bytes() for path in files if path.name != "speed.csv"}
    return {**kept, "value": loop.trainer.value.numpy().tobytes()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    found = results(wandering(tmp_path_factory.mktemp("undisturbed"))[0])
    assert {"history.csv", "step-00000006.png", "step-00000018.png", "step-00000020.png"} <= set(found)
    return found


@pytest.mark.parametrize("harm", DAMAGES)
@pytest.mark.parametrize("name", ["files.json", "run.json", "state.index", "state.data-00000-of-00001"])
def test_with_a_damaged_checkpoint_a_run_goes_on_from_the_one_before(
    tmp_path, undisturbed, harm, name, capsys
):
    """With rows and pictures after it that it makes again, and the same numbers to the end."""
    wandering(tmp_path, killed_at=18)
    harm(tmp_path / "checkpoints" / "step-00000016" / name)
    loop, told = wandering(tmp_path)
    assert told[0] == "resumed at step 12"
    assert "the checkpoint of step 16 is damaged" in capsys.readouterr().err
    assert results(loop) == undisturbed
    assert loop.checkpoints.steps() == [12, 16, 20]


def test_without_a_whole_checkpoint_a_run_starts_over_and_says_so(tmp_path, undisturbed, capsys):
    wandering(tmp_path, killed_at=18)
    for folder in (tmp_path / "checkpoints").iterdir():
        (folder / "run.json").write_text("{")
    loop, told = wandering(tmp_path)
    assert told[0] == "every checkpoint is damaged: starting from the beginning"
    assert capsys.readouterr().err.count("is damaged (run.json is not as files.json has it), set aside") == 3
    assert results(loop) == undisturbed


@pytest.mark.parametrize("damaged, back_to", [((), 8), ((8,), 6), ((6, 8), 10)])
def test_a_roll_back_passes_over_damaged_checkpoints(tmp_path, damaged, back_to):
    """Those of 6 and 8 are from before the trouble, that of 10 is the only other one."""
    assert diverging(tmp_path, damaged)["back_to"] == back_to


def test_a_roll_back_without_a_whole_checkpoint_gives_up_with_one_line(tmp_path):
    with pytest.raises(
        EBMError, match="every checkpoint to go back to is damaged; run again, which"
    ) as error:
        diverging(tmp_path, (6, 8, 10))
    assert "\n" not in str(error.value)


def diverging(work, damaged):
    """A run of which these checkpoints are damaged just before it rolls back; returns the roll-back."""
    trainer = Diverging(checkpoint_every=2)
    loop = Loop(trainer, IMAGES, LABELS, Health(patience=2, grace_steps=0), work)

    def harm():
        assert loop.checkpoints.steps() == [6, 8, 10]
        for step in damaged:
            cut(work / "checkpoints" / f"step-{step:08d}" / "state.index")

    trainer.at_trouble = harm
    loop.run(lambda *_: None)
    assert loop.position.step == 20
    return loop.position.rollbacks[0]


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
