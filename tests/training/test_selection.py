"""Evaluations on the way: what is drawn, what becomes the best, and that a run is the same with and without them."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf import config
from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError
from ebm_tf.grey_levels import to_uint8
from ebm_tf.langevin import chain_settings
from ebm_tf.models.energy import build_energy_model
from ebm_tf.noise import uniform_rows
from ebm_tf.sampling import Kind, Method, Use, chain_noise, chain_seed, stream_chains, uniform_noise
from ebm_tf.training.history import read_csv
from ebm_tf.training.loop import Loop
from ebm_tf.training.selection import Selection
from tests.on_devices import results_on
from tests.training.test_loop import FINE
from tests.training.test_trainer import make_trainer

SHAPE, LEVELS, STEPS = (8, 8, 1), 17, 24
NO_TROUBLE = config.Health(grace_steps=STEPS, rollbacks=0)
DATA = np.random.default_rng(0)
IMAGES = (DATA.integers(0, LEVELS, (50, *SHAPE)) * 15).astype(np.uint8)
LABELS = DATA.integers(0, 10, 50)


class Rising:
    """A trainer without training: after n steps, each of the averaged weights is n.

    From step `trouble` on its energies part, until the run has been rolled back.
    """

    def __init__(self, classes=0, trouble=10**9):
        self.training_settings = config.Training(steps=STEPS, batch_size=2, checkpoint_every=3, log_every=5)
        self.model_settings = config.Model(conditional=bool(classes))
        self.langevin_settings = config.Langevin(step_size=0.1, noise_scale=0.03, anneal=True)
        self.optimiser_settings = config.Optimiser()
        self.seed, self.levels, self.image_shape, self.classes = 0, LEVELS, SHAPE, classes
        self.average = build_energy_model(self.model_settings, SHAPE, 5, classes)
        self.checkpoint = tf.train.Checkpoint(average=self.average)
        self.trouble, self.attempts, self.lanes = trouble, 0, 1

    def step(self, real, labels, number, attempt, rate):
        self.attempts = int(attempt)
        for weight in self.average.weights:
            weight.assign(tf.fill(weight.shape, float(number) + 1))
        parted = int(number) >= self.trouble and not self.attempts
        measured = {**FINE, "energy_real": 40.0 if parted else 0.0}
        return tf.zeros_like(real, tf.float32), measured


class Judge:
    """Takes down the images that it is given, and tells what `metric` says of their number among these."""

    names = ("frechet_distance", "kid")

    def __init__(self, metric=lambda call: 0.0):
        self.metric, self.seen = metric, []

    def __call__(self, images):
        self.seen.append(images)
        return {"frechet_distance": self.metric(len(self.seen) - 1), "kid": float(images.mean())}


def judged_by(trainer, metric):
    """A judge of a `Rising` trainer: `metric` of the steps that its weights have seen."""
    return Judge(lambda _: metric(int(trainer.average.weights[0].numpy().flat[0])))


def settings(**changes):
    return config.Selection(**{"every": 5, "count": 500, "steps": 1, "batch_size": 200, **changes})


def train(trainer, work, selection=None, health=NO_TROUBLE, report=lambda *_: None):
    loop = Loop(trainer, IMAGES, LABELS, health, work, selection)
    loop.run(report)
    return loop


def column(work, name="frechet_distance"):
    return read_csv(work / "record" / "selection.csv")[name].tolist()


def test_there_is_an_evaluation_every_so_many_steps_and_at_the_end(tmp_path):
    trainer, said = Rising(), []
    selection = Selection(trainer, judged_by(trainer, lambda step: step / 2), settings())
    train(trainer, tmp_path, selection, report=lambda *event: said.append(event))
    assert column(tmp_path, "step") == [5, 10, 15, 20, 24]
    assert column(tmp_path) == [2.5, 5, 7.5, 10, 12]
    assert read_csv(tmp_path / "record" / "selection_speed.csv")["step"].tolist() == [5, 10, 15, 20, 24]
    summary = {"metric": "frechet_distance", "evaluations": 5, "last": 12.0, "best": 2.5, "best_step": 5}
    assert selection.summary() == summary
    assert (5, STEPS, "evaluating: chains 401 to 500 of 500, step 0 of 1") in said
    assert (5, STEPS, "judging 500 samples of the averaged weights") in said
    assert any(event[2].startswith("evaluation: frechet distance 5  kid ") for event in said)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_weights_are_those_of_the_least_value_that_is_finite(tmp_path, seed):
    chosen = np.random.default_rng(seed)
    values = dict(zip((5, 10, 15, 20, 24), chosen.permutation([3.0, -math.inf, 7.0, math.nan, 3.0]).tolist()))
    trainer = Rising()
    selection = Selection(trainer, judged_by(trainer, values.get), settings())
    train(trainer, tmp_path, selection)
    np.testing.assert_array_equal(column(tmp_path), list(values.values()))
    best = min(step for step, value in values.items() if value == 3.0)
    assert (selection.standing.best, selection.standing.best_step) == (3.0, best)
    for weight in selection.best.get_weights():
        np.testing.assert_array_equal(weight, best)
    assert selection.standing.last == (values[24] if math.isfinite(values[24]) else None)


def test_the_metric_is_that_of_the_settings(tmp_path):
    trainer = Rising()
    selection = Selection(trainer, judged_by(trainer, float), settings(metric="kid"))
    train(trainer, tmp_path, selection)
    kid = column(tmp_path, "kid")
    assert len(set(kid)) > 1
    assert selection.standing.best == min(kid)
    assert selection.standing.best_step == column(tmp_path, "step")[int(np.argmin(kid))]


def test_chains_that_diverge_are_not_judged_and_never_best():
    trainer, judge = Rising(), Judge()
    selection = Selection(trainer, judge, settings())
    trainer.average.weights[0].assign(tf.fill(trainer.average.weights[0].shape, math.nan))
    values = selection.evaluate(5, lambda _: None)
    assert list(values) == ["frechet_distance", "kid"]
    assert all(map(math.isnan, values.values()))
    assert not judge.seen
    assert selection.summary() == {
        "metric": "frechet_distance", "evaluations": 1, "last": None, "best": None, "best_step": None,
    }  # fmt: skip


class Killed(Exception):
    """In place of a signal."""


def killed_after(messages):
    """A report that ends the run at its so manyth message."""
    left = iter(range(messages))

    def report(*_):
        if next(left, None) is None:
            raise Killed

    return report


def test_killed_at_any_step_and_resumed_finds_the_same(tmp_path):
    values = np.random.default_rng(1).random(STEPS + 1)
    whole = Rising()
    undisturbed = Selection(whole, judged_by(whole, lambda step: values[step]), settings(every=2))
    train(whole, tmp_path / "whole", undisturbed)
    for attempt in range(2):
        work, killed_at = tmp_path / str(attempt), random.SystemRandom().randrange(1, 60)

        trainer = Rising()
        selection = Selection(trainer, judged_by(trainer, lambda step: values[step]), settings(every=2))
        with pytest.raises(Killed):
            train(trainer, work, selection, report=killed_after(killed_at))
        trainer = Rising()
        resumed = Selection(trainer, judged_by(trainer, lambda step: values[step]), settings(every=2))
        train(trainer, work, resumed)
        for name in ("selection.csv", "history.csv"):
            expected = (tmp_path / "whole" / "record" / name).read_bytes()
            assert (work / "record" / name).read_bytes() == expected, f"killed at message {killed_at}"
        assert resumed.summary() == undisturbed.summary()
        for a, b in zip(resumed.best.get_weights(), undisturbed.best.get_weights()):
            np.testing.assert_array_equal(a, b)


def test_a_run_that_had_ended_is_not_judged_again(tmp_path):
    trainer = Rising()
    train(trainer, tmp_path, Selection(trainer, judged_by(trainer, lambda step: -step), settings()))
    trainer, judge = Rising(), Judge()
    again = Selection(trainer, judge, settings())
    train(trainer, tmp_path, again)
    assert not judge.seen
    assert again.summary() == {
        "metric": "frechet_distance", "evaluations": 5, "last": -24.0, "best": -24.0, "best_step": 24,
    }  # fmt: skip
    np.testing.assert_array_equal(again.best.get_weights()[0], 24)


def test_a_roll_back_gives_up_a_best_of_the_steps_that_it_gives_up(tmp_path):
    """Energies part at step 10; step 12 looks best before the roll-back, and after it no step does."""
    trainer = Rising(trouble=10)
    judge = judged_by(trainer, lambda step: (100.0 if trainer.attempts else 50.0) - step * (step <= 12))
    selection = Selection(trainer, judge, settings(every=4))
    health = config.Health(patience=5, grace_steps=0)
    loop = train(trainer, tmp_path, selection, health)
    (event,) = loop.position.rollbacks
    assert (event["step"], event["back_to"]) == (14, 6)
    assert column(tmp_path, "step") == [4, 8, 12, 16, 20, 24]
    assert column(tmp_path) == [46, 92, 88, 100, 100, 100]
    assert selection.summary() == {
        "metric": "frechet_distance", "evaluations": 6, "last": 100.0, "best": 46.0, "best_step": 4,
    }  # fmt: skip
    np.testing.assert_array_equal(selection.best.get_weights()[0], 4)


@pytest.mark.parametrize("classes", [0, 10])
def test_the_samples_are_fresh_chains_of_the_averaged_weights(classes):
    """Against the chains that GenerateSamples would draw of this kind; of a conditional model, classes in turn."""
    trainer, judge = Rising(classes), Judge()
    if classes:  # of a new model, labels change nothing yet
        for weight in trainer.average.weights:
            weight.assign_add(0.1 * np.random.default_rng(2).standard_normal(weight.shape).astype(np.float32))
    selection = Selection(trainer, judge, settings(steps=30, seed=7))
    selection.evaluate(5, lambda _: None)
    langevin = trainer.langevin_settings
    chain = chain_settings(30, langevin.step_size, langevin.noise_scale, anneal=True)
    labels = (np.arange(500) % 10).astype(np.int32) if classes else None

    def starts(first, count):
        return uniform_rows(first, count, SHAPE, chain_seed(7, Use.START, Kind.SELECTION))

    drawn = np.concatenate([
        batch.images
        for batch in stream_chains(trainer.average, starts, 500, Method(chain), 7, 200, lambda *_: None,
                                   labels, Kind.SELECTION)
    ])  # fmt: skip
    np.testing.assert_array_equal(judge.seen[0], to_uint8(drawn, LEVELS))
    assert drawn.std() > 0.1


def test_every_evaluation_has_the_same_noise_and_one_graph():
    trainer, judge = Rising(), Judge()
    selection = Selection(trainer, judge, settings(steps=30))
    before = trainer.average.get_weights()
    for number in range(3):
        changed = [weight * (1 + 0.5 * (number == 1)) for weight in before]
        trainer.average.set_weights(changed)
        selection.evaluate(number, lambda _: None)
    np.testing.assert_array_equal(judge.seen[0], judge.seen[2])
    assert not np.array_equal(judge.seen[0], judge.seen[1]), "weights are read where they are"
    assert selection.chains._advance.experimental_get_tracing_count() == 1


def test_its_chains_share_no_random_numbers_with_those_that_are_published():
    starts = uniform_rows(0, 1, SHAPE, chain_seed(3, Use.START, Kind.SELECTION))
    assert not np.all(starts == uniform_noise(0, 200, SHAPE, 3), axis=(1, 2, 3)).any()
    own, others = (
        {float(chain_noise(0, 1, SHAPE, 3, kind)(k)[0, 0, 0, 0]) for k in range(100)} for kind in (2, 0)
    )
    assert not own & others


def run_of(trainer, work, judge=None, **changes):
    """The files and the state that training leaves, bit by bit."""
    selection = None if judge is None else Selection(trainer, judge, settings(**changes))
    loop = train(trainer, work, selection)
    state = [*trainer.model.get_weights(), *trainer.average.get_weights()]
    state += [variable.numpy() for variable in trainer.optimiser.variables]
    buffer = trainer.buffer
    state += [part.numpy() for part in (buffer.images, buffer.labels, buffer.ages, buffer.added)]
    return (loop.record / "history.csv").read_bytes(), [part.tobytes() for part in state], selection


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_a_run_is_the_same_bit_for_bit_with_and_without(tmp_path, whole):
    """One trainer, brought back to where it began; `whole` with all that a model and its chains can have."""
    trainer = make_trainer(
        model=config.Model(conditional=whole, spectral_norm=whole),
        augmentation=config.Augmentation(crop_area=0.5 if whole else 1.0, flip=whole),
        training=config.Training(steps=STEPS, batch_size=8, log_every=5, ema_decay=0.9),
    )
    trainer.checkpoint.write(str(tmp_path / "begun"))
    without = run_of(trainer, tmp_path / "without")
    trainer.checkpoint.read(str(tmp_path / "begun")).assert_consumed()
    averages = []

    def latest_is_best(call):
        averages.append(trainer.average.get_weights())
        return -float(call if call < 4 else 0)

    judge = Judge(latest_is_best)
    judged = run_of(trainer, tmp_path / "with", judge, steps=5)
    assert judged[:2] == without[:2]
    assert len(averages) == 5
    for best, average in zip(judged[2].best.get_weights(), averages[3]):
        np.testing.assert_array_equal(best, average)
    assert trainer.compiled_step.experimental_get_tracing_count() == 1


ON_DEVICES = """
import sys
from pathlib import Path
import numpy as np
from ebm_tf import config, devices
devices.configure(config.Compute(logical_cpus=int(sys.argv[1])))
from tests.training.test_selection import Judge, run_of
from tests.training.test_trainer import make_trainer
trainer = make_trainer(devices.mirrored_strategy(), model=config.Model(conditional=True, spectral_norm=True),
    training=config.Training(steps=4, batch_size=8, ema_decay=0.5))
judge = Judge(float)
selection = run_of(trainer, Path(sys.argv[3]) / sys.argv[1], judge, every=2, steps=10)[2]
np.savez(sys.argv[2], *selection.best.get_weights(), images=judge.seen)
"""


@pytest.mark.slow
def test_several_devices_judge_what_one_does(tmp_path):
    one, two = results_on((1, 2), ON_DEVICES, tmp_path, str(tmp_path))
    images, others = one.pop("images"), two.pop("images")
    assert images.shape == (2, 500, *SHAPE)
    assert np.mean(images != others) < 1e-3, "but for pixels at the edge of a grey level"
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-5)


def test_best_weights_are_refused_where_none_are_kept():
    with pytest.raises(
        ConfigError, match=r"sampling\.weights is best, but selection\.every is 0, .* set selection"
    ):
        load_experiment("base", ["sampling.weights=best"])
    assert load_experiment("base", ["sampling.weights=best", "selection.every=500"]).selection.every == 500


def test_few_samples_are_refused():
    with pytest.raises(ConfigError, match=r"selection\.count received 128.*allowed: int, >= 500"):
        load_experiment("base", ["selection.count=128"])
