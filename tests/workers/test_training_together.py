"""Real processes that train together on the loopback: what one trains alone, and one line when one is gone."""

import hashlib
import os
import signal

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ebm_tf.training.history import read_csv
from tests.stages.small_models import features_in
from tests.stores import write_store
from tests.training.short_runs import images_like_digits_in
from tests.workers.processes import Worker, finish, finish_well, together

pytestmark = pytest.mark.slow
AGAIN = "start every worker again, and training goes on from the last checkpoint"
DEADLINE_SECONDS = 60
ONE_STEP = ("training.steps=1", "training.batch_size=16", "optimiser.clip_norm=1e6", "langevin.steps=20")
"""With Adam's beta_1 at 0 its first moment is the gradient."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Random images like digits, and what samples are judged by: a classifier that nobody trained."""
    folder = tmp_path_factory.mktemp("inputs")
    store = images_like_digits_in(folder / "store")
    return {"PrepareDataset": store, **features_in(folder, store)}


@pytest.fixture(scope="module")
def one_step(tmp_path_factory, inputs):
    """The state after one step of one process on one device."""
    return state_of([Worker(tmp_path_factory.mktemp("alone"), inputs, *ONE_STEP)])


def state_of(workers):
    finish_well(workers)
    return workers[0].state(1)


def assert_same_step(one, several):
    """Gradients and weights to 1e-5, the buffer to the bit."""
    assert one.keys() == several.keys()
    largest = 0.0
    for name, value in one.items():
        if name.startswith("replay/"):
            np.testing.assert_array_equal(value, several[name], err_msg=name)
        elif np.linalg.norm(value) > 0:
            largest = max(largest, float(np.linalg.norm(value - several[name]) / np.linalg.norm(value)))
    print(f"largest relative difference {largest:.2g}")
    assert largest < 1e-5


@pytest.mark.parametrize("cut", ["logical_cpus=2", "logical_cpus=4", "portions=4", "devices=[CPU:0]"])
def test_a_step_is_the_same_however_its_batch_is_cut(tmp_path, inputs, one_step, cut):
    assert_same_step(one_step, state_of([Worker(tmp_path, inputs, *ONE_STEP, f"compute.{cut}")]))


@pytest.mark.parametrize("count", [2, 3])
def test_a_step_of_several_processes_is_that_of_one(tmp_path, inputs, one_step, count):
    batch = () if count == 2 else ("training.batch_size=18",)
    one = one_step if count == 2 else state_of([Worker(tmp_path / "alone", inputs, *ONE_STEP, *batch)])
    assert_same_step(one, state_of(together(tmp_path, inputs, *ONE_STEP, *batch, count=count)))


LONG = (
    "training.steps=200", "training.batch_size=64", "training.log_every=50", "training.checkpoint_every=250",
    "langevin.steps=20", "replay.capacity=10000", "loss.entropy_minimum_fill=1000",
)  # fmt: skip


def last_row(worker):
    finish_well([worker])
    return {name: column[-1] for name, column in read_csv(worker.out / "history.csv").items()}


@pytest.mark.timeout(900)
def test_after_200_steps_devices_differ_by_far_less_than_seeds(tmp_path):
    digits = load_digits()
    images = np.round(digits.images[..., None] * 255 / 16).astype(np.uint8)
    labels = dict.fromkeys(("train", "test"), digits.target)
    store = write_store(tmp_path / "store", dict.fromkeys(("train", "test"), images), labels)
    inputs = {"PrepareDataset": store}
    seeds = [last_row(Worker(tmp_path / f"seed {seed}", inputs, *LONG, f"seed={seed}")) for seed in range(3)]
    for count in (2, 4):
        found = last_row(Worker(tmp_path / f"{count}", inputs, *LONG, f"compute.logical_cpus={count}"))
        for name, value in found.items():
            of_seeds = [row[name] for row in seeds]
            assert abs(value - seeds[0][name]) <= 0.05 * (max(of_seeds) - min(of_seeds)), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, inputs):
    workers = together(tmp_path_factory.mktemp("undisturbed"), inputs, *JUDGED)
    finish_well(workers)
    return results(workers[0])


JUDGED = (
    "selection.every=10", "selection.count=500", "selection.batch_size=500", "selection.steps=3",
    "augmentation.flip=true",
)  # fmt: skip


def results(chief):
    """Sha256 of what must not depend on interruptions."""
    names = ("history.csv", "selection.csv", "last.weights.h5", "average.weights.h5", "best.weights.h5")
    arrays = dict(np.load(chief.out / "replay.npz", allow_pickle=False))
    files = {name: (chief.out / name).read_bytes() for name in names}
    return {
        name: hashlib.sha256(content).hexdigest()
        for name, content in {**files, **{name: array.tobytes() for name, array in arrays.items()}}.items()
    }


@pytest.mark.parametrize(
    ("victim", "number"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGSTOP)]
)
def test_when_one_is_gone_the_other_says_so_and_all_go_on_exactly(
    tmp_path, inputs, undisturbed, victim, number
):
    workers = together(tmp_path, inputs, *JUDGED)
    for worker in workers:
        worker.start()
    workers[victim].reach(24)
    os.kill(workers[victim].process.pid, number)
    ending = workers[1 - victim].end()
    assert ending.code == 3
    assert ending.seconds < DEADLINE_SECONDS
    who = "worker 1" if victim else "the chief"
    assert ending.line.startswith(f"{who} (127.0.0.1:")
    assert "is gone" in ending.line
    assert ending.line.endswith(AGAIN)
    workers[victim].process.kill()
    workers[victim].end()
    finish_well(workers)
    assert results(workers[0]) == undisturbed


def test_a_chief_that_evaluates_for_long_ends_when_a_worker_is_gone(tmp_path, inputs):
    long = (
        "selection.every=2",
        "selection.count=5000",
        "selection.batch_size=5000",
        "selection.steps=100000",
    )
    chief, other = together(tmp_path, inputs, *long)
    for worker in (chief, other):
        worker.start()
    chief.say("evaluating")
    other.process.kill()
    other.end()
    ending = chief.end()
    assert ending.code == 3
    assert ending.seconds < DEADLINE_SECONDS
    assert ending.line.startswith("worker 1 (127.0.0.1:")


def test_an_error_of_one_is_told_by_all(tmp_path, inputs):
    diverges = (
        "optimiser.learning_rate=1",
        "health.rollbacks=0",
        "health.grace_steps=0",
        "health.patience=1",
    )
    chief, other = finish(together(tmp_path, inputs, *diverges))
    assert (chief.code, other.code) == (3, 3)
    assert chief.line.startswith("training diverged: ")
    assert other.line.startswith("the chief (127.0.0.1:")
    assert f"ended: {chief.line}" in other.line


def test_all_go_back_together(tmp_path, inputs):
    wild = (
        "optimiser.learning_rate=0.05",
        "health.grace_steps=10",
        "health.patience=2",
        "health.max_energy=3",
    )
    workers = together(tmp_path, inputs, *wild, "health.learning_rate_factor=0.01")
    chief, other = finish_well(workers)
    back = [event["message"] for event in chief.events if "rolled back to step" in event.get("message", "")]
    assert back
    states = [event for event in other.events if "goes on from the chief's state" in event.get("message", "")]
    assert len(states) == 1 + len(back)


def test_other_settings_are_refused_on_every_side(tmp_path, inputs):
    endings = finish(
        together(tmp_path, inputs, "compute.wait_seconds=25", count=3, differing=["training.batch_size=16"])
    )
    line = "training.batch_size is 8 on the chief and 16 on worker 2; start all workers with the same program"
    assert line in endings[0].line
    assert all(ending.code == 2 and ending.seconds < DEADLINE_SECONDS for ending in (endings[0], endings[2]))


def test_a_batch_that_does_not_divide_over_all_is_refused_by_all(tmp_path, inputs):
    endings = finish(together(tmp_path, inputs, "training.batch_size=9"))
    for ending in endings:
        assert (
            "training.batch_size is 9, which does not divide over 2 devices; give a multiple of 2"
            in ending.line
        )
        assert ending.code == 2


def test_what_is_trained_to_its_last_step_needs_nobody(tmp_path, inputs):
    chief, other = together(tmp_path, inputs)
    finish_well([chief, other])
    (chief.out / "last.weights.h5").unlink()
    finish_well([chief])
    assert (chief.out / "last.weights.h5").exists()
