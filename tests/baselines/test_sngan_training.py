"""The loop: stopped and resumed against undisturbed, bit for bit; a budget of seconds; a run that diverges."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.baselines.adversarial import Adversaries
from ebm_tf.baselines.training import Loop
from ebm_tf.config import SNGAN
from ebm_tf.datasets.store import training_batches
from ebm_tf.errors import EBMError
from ebm_tf.training.history import read_csv
from tests.damage import flip

IMAGES = (np.random.default_rng(0).integers(0, 17, (30, 8, 8, 1)) * 15).astype(np.uint8)


class Stopped(Exception):
    """What a kill is here."""


def make_loop(work, clock=None, **changes):
    settings = SNGAN(**{
        "steps": 7, "width": 0.1, "latent_size": 6, "batch_size": 8, "discriminator_steps": 2, "ema_decay": 0.9,
        "log_every": 1, "grid_every": 3, "checkpoint_every": 2, **changes,
    })  # fmt: skip
    adversaries = Adversaries(tf.distribute.get_strategy(), (8, 8, 1), 17, 5, settings)
    return Loop(adversaries, IMAGES, work, **({} if clock is None else {"clock": clock}))


def ticking(seconds=10.0):
    """A clock that `seconds` pass on at each look."""
    return itertools.count(0.0, seconds).__next__


def silent(done, total, message):
    """A report that nobody reads."""


def stop_at(step):
    def report(done, total, message):
        if done >= step:
            raise Stopped

    return report


def everything(loop):
    """All that training changes."""
    adversaries = loop.adversaries
    networks = adversaries.generator, adversaries.discriminator, adversaries.average
    weights = [weight.numpy() for network in networks for weight in network.variables]
    return weights + [variable.numpy() for each in adversaries.optimisers for variable in each.variables]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    loop = make_loop(tmp_path_factory.mktemp("undisturbed"))
    loop.run(silent)
    return loop


def test_a_whole_run_leaves_its_record(undisturbed):
    history = read_csv(undisturbed.record / "history.csv")
    np.testing.assert_array_equal(history["step"], range(1, 8))
    for name in ("loss_discriminator", "loss_generator", "score_real", "score_generated",
                 "gradient_norm_discriminator", "gradient_norm_generator"):  # fmt: skip
        assert np.isfinite(history[name]).all()
    assert sorted(path.name for path in (undisturbed.record / "grids").iterdir()) == [
        "step-00000003.png",
        "step-00000006.png",
        "step-00000007.png",
    ]
    assert "chain_steps_per_second" not in read_csv(undisturbed.record / "speed.csv")


def test_the_history_begins_with_the_loss_of_the_first_step(tmp_path, undisturbed):
    """L_G = -mean D(G(z)), worked out from that step's images and the kernels as that step divided them."""
    adversaries = make_loop(tmp_path).adversaries
    batches = iter(training_batches(IMAGES, 8, adversaries.seed, 0))
    for part in range(2):
        adversaries.discriminator_step(next(batches), tf.constant(0), tf.constant(part))
    images, _ = adversaries.generator_step(tf.constant(0))
    scores = adversaries.discriminator(images, training=False).numpy()
    assert abs(scores.mean()) > 0.01
    first = read_csv(undisturbed.record / "history.csv")["loss_generator"][0]
    assert first == pytest.approx(-scores.mean(), rel=1e-4)


def test_no_hinge_loss_is_below_that_of_the_mean_scores(undisturbed):
    """Jensen's inequality, at every step."""
    history = read_csv(undisturbed.record / "history.csv")
    real, generated = history["score_real"], history["score_generated"]
    assert abs(real - generated).max() > 0.01
    bound = np.maximum(1 - real, 0) + np.maximum(1 + generated, 0)
    assert (history["loss_discriminator"] >= bound - 1e-5).all()


def test_stopped_and_resumed_gives_the_same_bits(tmp_path, undisturbed):
    with pytest.raises(Stopped):
        make_loop(tmp_path).run(stop_at(5))
    resumed, told = make_loop(tmp_path), []
    resumed.run(lambda done, total, message: told.append(message))
    assert told[0] == "resumed at step 4"
    for want, got in zip(everything(undisturbed), everything(resumed)):
        np.testing.assert_array_equal(want, got)
    for file in ("history.csv", "grids/step-00000006.png"):
        assert (resumed.record / file).read_bytes() == (undisturbed.record / file).read_bytes()


def test_with_a_damaged_checkpoint_it_goes_on_from_the_one_before(tmp_path, undisturbed, capsys):
    with pytest.raises(Stopped):
        make_loop(tmp_path).run(stop_at(5))
    flip(tmp_path / "checkpoints" / "step-00000004" / "state.data-00000-of-00001")
    resumed, told = make_loop(tmp_path), []
    resumed.run(lambda done, total, message: told.append(message))
    assert told[0] == "resumed at step 2"
    assert "the checkpoint of step 4 is damaged (state.data-00000-of-00001 " in capsys.readouterr().err
    for want, got in zip(everything(undisturbed), everything(resumed)):
        np.testing.assert_array_equal(want, got)
    for file in ("history.csv", "grids/step-00000003.png", "grids/step-00000006.png"):
        assert (resumed.record / file).read_bytes() == (undisturbed.record / file).read_bytes()


@pytest.mark.slow
def test_without_a_whole_checkpoint_it_starts_over_and_says_so(tmp_path, undisturbed):
    with pytest.raises(Stopped):
        make_loop(tmp_path).run(stop_at(5))
    for step in (2, 4):
        (tmp_path / "checkpoints" / f"step-{step:08d}" / "files.json").unlink()
    resumed, told = make_loop(tmp_path), []
    resumed.run(lambda done, total, message: told.append(message))
    assert told[0] == "every checkpoint is damaged: starting from the beginning"
    history = (resumed.record / "history.csv").read_bytes()
    assert history == (undisturbed.record / "history.csv").read_bytes()


@pytest.mark.slow
def test_an_open_interval_of_the_history_survives(tmp_path):
    whole = make_loop(tmp_path / "whole", log_every=3)
    whole.run(silent)
    with pytest.raises(Stopped):
        make_loop(tmp_path / "cut", log_every=3).run(stop_at(6))
    resumed = make_loop(tmp_path / "cut", log_every=3)
    resumed.run(silent)
    assert (resumed.record / "history.csv").read_bytes() == (whole.record / "history.csv").read_bytes()


def test_training_stops_at_the_first_step_after_so_many_seconds(tmp_path):
    loop = make_loop(tmp_path, ticking(10), seconds=35, steps=1000)
    told = []
    loop.run(lambda done, total, message: told.append((done, total)))
    assert loop.position.step == 4
    assert loop.position.seconds == 40
    np.testing.assert_array_equal(read_csv(loop.record / "history.csv")["step"], [1, 2, 3, 4])
    assert loop.checkpoints.steps()[-1] == 4
    assert told[0] == (285, 1000)  # 10 of 35 seconds
    assert told[-1] == (1000, 1000)


@pytest.mark.slow
def test_seconds_of_several_processes_add_up(tmp_path):
    with pytest.raises(Stopped):
        make_loop(tmp_path, ticking(10), seconds=35, steps=9).run(stop_at(7))  # 3 of the 4 steps
    resumed = make_loop(tmp_path, ticking(10), seconds=35, steps=9)
    resumed.run(silent)
    assert resumed.position.step == 4
    assert resumed.position.seconds == 40


def test_a_finished_run_does_nothing_more(tmp_path):
    make_loop(tmp_path, ticking(10), seconds=15).run(silent)
    again = make_loop(tmp_path, ticking(10), seconds=15)
    again.run(silent)
    assert again.position.step == 2


def test_not_a_number_ends_the_run_with_one_line(tmp_path):
    loop = make_loop(tmp_path)
    weight = loop.adversaries.generator.trainable_variables[0]
    weight.assign(tf.fill(weight.shape, np.nan))
    with pytest.raises(EBMError, match=r"the training of the SNGAN diverged: .* is nan at step 0") as stop:
        loop.run(silent)
    assert "try a smaller sngan.learning_rate" in str(stop.value)
    assert "\n" not in str(stop.value)
    assert loop.checkpoints.steps() == []
