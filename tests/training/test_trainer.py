"""The compiled step: one trace, the average, the rate, several devices against one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf import config
from ebm_tf.errors import ConfigError
from ebm_tf.training.trainer import Trainer, learning_rate_at

REPOSITORY = Path(__file__).resolve().parents[2]


def make_trainer(strategy=None, **changes):
    settings = {
        "model": config.Model(),
        "langevin": config.Langevin(steps=4, step_size=0.1, noise_scale=0.02),
        "replay": config.Replay(capacity=40, restart_probability=0.2),
        "loss": config.Loss(regularisation=0.01, entropy_images=10, entropy_minimum_fill=16),
        "optimiser": config.Optimiser(learning_rate=1e-3, beta_2=0.999),
        "training": config.Training(steps=10, batch_size=8, ema_decay=0.9),
        **changes,
    }
    return Trainer(strategy or tf.distribute.MirroredStrategy(["/cpu:0"]), (8, 8, 1), 17, 3, **settings)


def run_steps(trainer, count):
    random = np.random.default_rng(0)
    batch = trainer.training_settings.batch_size
    for number in range(count):
        real = (random.integers(0, 17, (batch, 8, 8, 1)) * 15).astype(np.uint8)
        result = trainer.step(
            tf.constant(real), tf.constant(number), tf.constant(0), tf.constant(1e-3, tf.float32)
        )
    return result


def test_one_trace_whatever_the_step_and_the_rate():
    trainer = make_trainer()
    run_steps(trainer, 6)
    assert trainer.step.experimental_get_tracing_count() == 1


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
from tests.training.test_trainer import make_trainer, run_steps
strategy = devices.mirrored_strategy()
assert strategy.num_replicas_in_sync == int(sys.argv[1])
trainer = make_trainer(strategy)
_, measured = run_steps(trainer, 3)
np.savez(sys.argv[2], *trainer.model.get_weights(), *trainer.average.get_weights(),
    buffer=trainer.buffer.images.numpy(), measured=[float(v) for v in measured.values()])
"""


@pytest.mark.parametrize("devices", [2, 4])
def test_several_devices_do_what_one_does(tmp_path, devices):
    results = []
    for count in (1, devices):
        file = tmp_path / f"{count}.npz"
        command = [sys.executable, "-c", ON_DEVICES, str(count), str(file)]
        subprocess.run(command, cwd=REPOSITORY, check=True)
        results.append(dict(np.load(file, allow_pickle=False)))
    one, several = results
    np.testing.assert_array_equal(one.pop("buffer"), several.pop("buffer"))
    for name in one:
        np.testing.assert_allclose(one[name], several[name], rtol=1e-4, atol=1e-5)  # a hundredth of a step


def test_a_batch_that_does_not_divide_is_refused():
    class TwoDevices:
        num_replicas_in_sync = 2

    with pytest.raises(ConfigError, match="batch_size is 9, which does not divide over 2 devices"):
        make_trainer(TwoDevices(), training=config.Training(batch_size=9))
