"""The compiled step: one trace, the average, the rate, several devices against one."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf import config
from ebm_tf.errors import ConfigError
from ebm_tf.langevin import chain_settings
from ebm_tf.models.architectures import Conv, Energy, Flatten, Pool
from ebm_tf.models.energy import EnergyModel
from ebm_tf.training.health import Guard
from ebm_tf.training.loop import Position, steps_from
from ebm_tf.training.step import Share
from ebm_tf.training.trainer import Trainer, learning_rate_at
from tests.held_memory import blocks_kept_by
from tests.on_devices import results_on


def make_trainer(strategy=None, **changes):
    settings = {
        "model": config.Model(),
        "langevin": config.Langevin(steps=4, step_size=0.1, noise_scale=0.02),
        "replay": config.Replay(capacity=40, restart_probability=0.2),
        "augmentation": config.Augmentation(),
        "loss": config.Loss(regularisation=0.01, entropy_images=10, entropy_minimum_fill=16),
        "optimiser": config.Optimiser(learning_rate=1e-3, beta_2=0.999),
        "training": config.Training(steps=10, batch_size=8, ema_decay=0.9),
        **changes,
    }
    return Trainer(strategy or tf.distribute.MirroredStrategy(["/cpu:0"]), (8, 8, 1), 17, 10, 3, **settings)


def labels_of_step(number, batch=8):
    return np.random.default_rng([number, 1]).integers(0, 10, batch).astype(np.int32)


def run_steps(trainer, count, first=0, shift=0):
    for number in range(first, first + count):
        batch = trainer.training_settings.batch_size
        real = (np.random.default_rng(number).integers(0, 17, (batch, 8, 8, 1)) * 15).astype(np.uint8)
        labels = (labels_of_step(number, batch) + shift) % 10
        result = trainer.step(tf.constant(real), tf.constant(labels), number, 0, 1e-3)
    return result


def test_one_trace_whatever_the_step_and_the_rate():
    trainer = make_trainer()
    run_steps(trainer, 6)
    assert trainer.compiled_step.experimental_get_tracing_count() == 1


def test_no_tensor_of_a_step_outlives_it():
    trainer = make_trainer(training=config.Training(steps=1000, batch_size=8))
    images = (np.random.default_rng(0).integers(0, 17, (20, 8, 8, 1)) * 15).astype(np.uint8)
    guard = Guard(config.Health(patience=1000))
    steps = steps_from(Position(), trainer, images, np.zeros(20, np.int64), guard)
    assert blocks_kept_by(lambda: next(steps)) < 2


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    first, second = make_trainer(), make_trainer()
    run_steps(first, 4), run_steps(second, 4)
    for a, b in zip(first.model.get_weights(), second.model.get_weights()):
        np.testing.assert_array_equal(a, b)
    other = make_trainer()
    other.seed = 4
    run_steps(other, 4)
    assert not np.array_equal(first.model.get_weights()[0], other.model.get_weights()[0])


def test_the_average_follows_its_formula():
    trainer = make_trainer()
    before = trainer.average.get_weights()
    run_steps(trainer, 1)
    for old, average, now in zip(before, trainer.average.get_weights(), trainer.model.get_weights()):
        np.testing.assert_allclose(average, 0.9 * old + 0.1 * now, rtol=1e-5, atol=1e-7)


def test_the_first_step_of_adam_moves_each_weight_by_the_rate():
    trainer = make_trainer()
    before = trainer.model.get_weights()
    run_steps(trainer, 1)
    moved = np.abs(trainer.model.get_weights()[0] - before[0])
    assert moved.max() == pytest.approx(1e-3, rel=1e-2)


def test_samples_go_to_the_buffer_with_their_ages():
    trainer = make_trainer()
    _, measured = run_steps(trainer, 3)
    assert int(trainer.buffer.fill) == 24
    assert set(np.unique(trainer.buffer.ages.numpy()[:24])) <= {4, 8, 12}
    assert float(measured["buffer_fill"]) == pytest.approx(24 / 40)
    assert float(measured["buffer_age"]) == pytest.approx(trainer.buffer.ages.numpy()[:24].mean())


def test_chains_from_noise_use_no_buffer_image():
    trainer = make_trainer(langevin=config.Langevin(steps=4, step_size=0.1, noise_scale=0.02, init="noise"))
    run_steps(trainer, 4)
    assert set(np.unique(trainer.buffer.ages.numpy()[:32])) == {4}


def test_chains_keep_their_labels_and_restarts_take_those_of_real_images():
    trainer = make_trainer(
        model=config.Model(conditional=True), replay=config.Replay(capacity=8, restart_probability=0.0)
    )
    run_steps(trainer, 1)  # all from noise, since there is nothing to draw from yet
    first = trainer.buffer.labels.numpy()
    np.testing.assert_array_equal(first, labels_of_step(0))
    stored = {tuple(image.ravel()): label for image, label in zip(trainer.buffer.images.numpy(), first)}
    drawn = trainer.buffer.start(8, tf.constant([1, 2]), tf.fill([8], 7))
    levels = np.floor(drawn.images.numpy() * 256).astype(np.uint8)
    assert [stored[tuple(image.ravel())] for image in levels] == drawn.labels.numpy().tolist()
    run_steps(trainer, 1, first=1)
    assert set(trainer.buffer.labels.numpy()) <= set(first), "no chain goes on under another label"


def test_without_classes_labels_mean_nothing():
    plain, other = make_trainer(), make_trainer()
    run_steps(plain, 2)
    run_steps(other, 2, shift=1)
    np.testing.assert_array_equal(plain.model.get_weights()[0], other.model.get_weights()[0])
    assert set(plain.buffer.labels.numpy()) == {-1}


AUGMENTED = {"augmentation": config.Augmentation(crop_area=0.5, flip=True)}


def test_starts_are_augmented_one_step_ahead():
    """What step 1 begins with was drawn before step 0 was added: from an empty buffer, so from noise."""
    trainer = make_trainer(**AUGMENTED, replay=config.Replay(capacity=16, restart_probability=0.0))
    run_steps(trainer, 2)
    assert set(trainer.buffer.ages.numpy()) == {4}
    run_steps(trainer, 1, first=2)
    assert set(trainer.buffer.ages.numpy()) == {4, 8}


def test_entropy_waits_for_the_buffer_that_its_images_were_drawn_from():
    """Step 1 of an augmented run has a full buffer, but its b_j were drawn while there was none."""
    loss = config.Loss(regularisation=0.01, entropy_images=10, entropy_minimum_fill=8, kl=0)
    trainer = make_trainer(**AUGMENTED, loss=loss)
    norms = [float(run_steps(trainer, 1, first=number)[1]["gradient_norm_kl"]) for number in range(3)]
    assert norms[0] == norms[1] == 0
    assert norms[2] > 0


def test_with_augmentation_a_restored_run_goes_on_with_the_same_bits(tmp_path):
    whole, part = make_trainer(**AUGMENTED), make_trainer(**AUGMENTED)
    run_steps(whole, 4)
    run_steps(part, 2)
    part.checkpoint.write(str(tmp_path / "state"))
    resumed = make_trainer(**AUGMENTED)
    resumed.checkpoint.read(str(tmp_path / "state")).assert_consumed()
    run_steps(resumed, 2, first=2)
    np.testing.assert_array_equal(whole.buffer.images.numpy(), resumed.buffer.images.numpy())
    for a, b in zip(whole.model.get_weights(), resumed.model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_augmentation_takes_part():
    plain, augmented = make_trainer(), make_trainer(**AUGMENTED)
    run_steps(plain, 5), run_steps(augmented, 5)
    assert not np.array_equal(plain.buffer.images.numpy(), augmented.buffer.images.numpy())
    assert augmented.compiled_step.experimental_get_tracing_count() == 1


def test_spectral_vectors_move_once_a_step_and_the_average_has_its_own():
    trainer = make_trainer(model=config.Model(spectral_norm=True))

    def vectors(model):
        return [weight.numpy().copy() for weight in model.non_trainable_variables]

    before, before_average = vectors(trainer.model), vectors(trainer.average)
    assert before
    expected = make_trainer(model=config.Model(spectral_norm=True)).model
    expected.update_spectral_vectors()
    run_steps(trainer, 1)
    for moved, once in zip(vectors(trainer.model), vectors(expected)):
        np.testing.assert_allclose(moved, once, atol=1e-6)
    assert any(not np.array_equal(a, b) for a, b in zip(before_average, vectors(trainer.average)))


def test_without_kl_terms_none_reaches_the_weights_and_no_entropy_is_measured():
    trainer = make_trainer(loss=config.Loss(kl=0, entropy=0, entropy_images=4))
    _, measured = run_steps(trainer, 2)
    assert float(measured["gradient_norm_kl"]) == 0
    assert float(measured["loss_entropy"]) == 0
    assert float(measured["gradient_norm_cd_reg"]) > 0


def test_the_rate_warms_up_stays_and_falls():
    settings = config.Optimiser(learning_rate=0.1, warmup_steps=10, decay_start=0.5, final_fraction=0.01)
    rates = [learning_rate_at(step, 1000, settings) for step in (0, 9, 10, 500, 750, 1000)]
    np.testing.assert_allclose(rates, [0.01, 0.1, 0.1, 0.1, 0.1 * 0.505, 0.001])


def test_without_decay_the_rate_stays():
    assert learning_rate_at(999, 1000, config.Optimiser(learning_rate=0.1)) == 0.1


ON_DEVICES = """
import sys
import numpy as np
from ebm_tf import config, devices
devices.configure(config.Compute(logical_cpus=int(sys.argv[1])))
from tests.training.test_trainer import SETTINGS, make_trainer, run_steps
strategy = devices.mirrored_strategy()
assert strategy.num_replicas_in_sync == int(sys.argv[1])
trainer = make_trainer(strategy, **SETTINGS[sys.argv[3]])
_, measured = run_steps(trainer, 3)
np.savez(sys.argv[2], *trainer.model.get_weights(), *trainer.average.get_weights(),
    buffer=trainer.buffer.images.numpy(), measured=[float(v) for v in measured.values()])
"""


SETTINGS = {
    "plain": {},
    "whole method": {
        "model": config.Model(conditional=True, norm="group", groups=4, scales=2, spectral_norm=True),
        "augmentation": config.Augmentation(crop_area=0.5, flip=True),
        "langevin": config.Langevin(steps=4, step_size=0.1, noise_scale=0.02, anneal=True, gradient_clip=0.5),
    },
    "long tail": {
        "langevin": config.Langevin(steps=4, step_size=0.1, noise_scale=0.02, backprop_steps=3),
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "settings"),
    [
        (2, "plain"),
        (2, "long tail"),
        (4, "plain"),
        (2, "whole method"),
    ],
)
def test_several_devices_do_what_one_does(tmp_path, devices, settings):
    one, several = results_on((1, devices), ON_DEVICES, tmp_path, settings)
    np.testing.assert_array_equal(one.pop("buffer"), several.pop("buffer"))
    for name in one:
        np.testing.assert_allclose(one[name], several[name], rtol=1e-4, atol=1e-5)  # a hundredth of a step


CUTS = [{"lanes": 3}, {"portions": 4}, {"lanes": 2, "portions": 2}]


@pytest.mark.parametrize(
    ("settings", "cut"),
    [
        # Of the whole method, which takes its time, the cut that has both is tried at each run of the tests.
        pytest.param(name, cut, marks=[pytest.mark.slow] if name == "whole method" and len(cut) == 1 else [])
        for name in SETTINGS
        for cut in CUTS
    ],
    ids=str,
)
def test_a_batch_may_be_cut_in_lanes_and_in_portions(settings, cut):
    outcomes = []
    for options in ({}, cut):
        trainer = make_trainer(**SETTINGS[settings], **options)
        samples, measured = run_steps(trainer, 3)
        outcomes.append((trainer, samples, measured))
    (one, samples, told), (several, samples_of_several, told_by_several) = outcomes
    np.testing.assert_allclose(samples, samples_of_several, atol=1e-5)
    np.testing.assert_array_equal(one.buffer.images, several.buffer.images)
    for a, b in zip(one.model.get_weights(), several.model.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for name in told:
        np.testing.assert_allclose(told[name], told_by_several[name], rtol=1e-3, atol=1e-5, err_msg=name)


def gradients_in_float64(portions):
    """Of one batch, in the portions of the trainer, but with a network and chains of double precision."""
    trainer = make_trainer(portions=portions, training=config.Training(steps=10, batch_size=16))
    trainer.model = EnergyModel((Conv(8), Pool(), Flatten(), Energy()), (8, 8, 1), seed=2, dtype="float64")
    trainer.chain = chain_settings(4, 0.3, 0.05, tf.float64)
    random = np.random.default_rng(3)
    real, start, others = (random.random((count, 8, 8, 1)) for count in (16, 16, 10))
    share = Share(tf.constant(real), tf.constant(start), tf.constant(others), tf.constant(True))
    result = trainer._in_portions(share, 0, 16, trainer.model.trainable_variables, tf.constant([5, 0]))
    return [*result.contrastive, *result.kl], result.samples


@pytest.mark.parametrize("portions", [2, 8])
def test_in_double_precision_portions_add_up_to_the_gradients_of_the_whole(portions):
    (whole, samples), (cut, samples_of_cut) = gradients_in_float64(1), gradients_in_float64(portions)
    np.testing.assert_allclose(samples, samples_of_cut, rtol=1e-12)
    for one, several in zip(whole, cut):
        assert np.linalg.norm(one) > 0
        assert np.linalg.norm(one - several) / np.linalg.norm(one) < 1e-12


def test_portions_that_are_not_equal_are_refused():
    with pytest.raises(
        ConfigError,
        match="batch_size is 8, which does not divide over 1 devices in 3 portions each; give a multiple of 3",
    ):
        make_trainer(portions=3)


def test_a_batch_that_does_not_divide_is_refused():
    class TwoDevices:
        num_replicas_in_sync = 2

    with pytest.raises(ConfigError, match="batch_size is 9, which does not divide over 2 devices"):
        make_trainer(TwoDevices(), training=config.Training(batch_size=9))
