"""A worker that follows the chief: the same steps from the same states; the trainers train nothing."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Health
from ebm_tf.errors import EBMError
from ebm_tf.files import sha256_of
from ebm_tf.training.following import follow
from ebm_tf.training.loop import Loop
from ebm_tf.workers.cluster import Cluster
from ebm_tf.workers.meeting import gather, join
from ebm_tf.workers.team import Team
from tests.training.test_loop import FINE, IMAGES, LABELS, Idle
from tests.workers.free_ports import free_addresses

HEALTH = Health(grace_steps=0, patience=3)


class Wandering(Idle):
    """A trainer whose one weight goes where all steps before have led it.

    Its energies are `trouble` at some steps, of every course before the second roll-back.
    """

    def __init__(self, trouble=()):
        super().__init__(checkpoint_every=2)
        self.trouble, self.taken = trouble, []

    def step(self, real, labels, number, attempt, rate):
        self.taken.append((int(number), int(attempt), float(rate)))
        pixels = tf.reduce_mean(tf.cast(real, tf.float32))
        self.value.assign(tf.sin(7 * self.value + tf.cast(number + 31 * attempt, tf.float32)) + pixels)
        bad = int(number) in self.trouble and int(attempt) < 2
        return tf.zeros_like(real, tf.float32), {**FINE, "energy_real": 40.0 if bad else 0.0}


@pytest.fixture
def teams(tmp_path):
    """The chief's side of a cluster of two, and the other's; files come to tmp_path / "incoming"."""
    addresses, incoming = tuple(free_addresses(2)), tmp_path / "incoming"
    incoming.mkdir()
    chief, other = (Cluster(addresses, index) for index in range(2))
    with ThreadPoolExecutor() as threads:
        come = threads.submit(gather, chief, {}, 20.0, lambda line: None)
        there = threads.submit(join, other, {}, 20.0, lambda line: None, incoming)
        return Team(chief, come.result(), pytest.fail), Team(other, {0: there.result()}, pytest.fail)


def lead(team, trainer, folder):
    with team:
        loop = Loop(trainer, IMAGES, LABELS, HEALTH, folder / "work", share=team.share)
        loop.run(lambda *told: None)
        team.finish()
    return loop.position


def take_part(team, trainer, folder):
    trainer.value.assign(99.0)  # the chief's state comes over it
    with team:
        return follow(
            trainer, IMAGES, LABELS, HEALTH, team.state, folder / "incoming", False, lambda *told: None
        )


def train_together(teams, chief, other, folder):
    """The chief's position at the end, and the steps that the other took part in."""
    with ThreadPoolExecutor() as threads:
        leads = threads.submit(lead, teams[0], chief, folder)
        follows = threads.submit(take_part, teams[1], other, folder)
        return leads.result(), follows.result()


def test_it_does_the_same_steps_from_every_state_that_the_chief_goes_on_from(tmp_path, teams):
    chief, other = (Wandering(trouble=range(10, 16)) for _ in range(2))
    position, steps = train_together(teams, chief, other, tmp_path)
    assert len(position.rollbacks) == 2
    assert other.taken == chief.taken
    assert steps == len(chief.taken) > 20
    np.testing.assert_array_equal(chief.value, other.value)


def test_it_judges_with_the_memory_of_the_chief(tmp_path, teams):
    """Two bad steps before the checkpoint and one after it: only together are they three in a row."""
    Loop(Wandering(), IMAGES, LABELS, HEALTH, tmp_path / "work")._save()
    folder = tmp_path / "work" / "checkpoints" / "step-00000000"
    run = json.loads((folder / "run.json").read_text())
    run["guard"]["bad_steps"] = 2
    (folder / "run.json").write_text(json.dumps(run))
    files = json.loads((folder / "files.json").read_text())
    (folder / "files.json").write_text(json.dumps({**files, "run.json": sha256_of(folder / "run.json")}))
    chief, other = (Wandering(trouble=[0]) for _ in range(2))
    train_together(teams, chief, other, tmp_path)
    assert other.taken == chief.taken
    assert [number for number, *_ in chief.taken[:3]] == [0, 0, 1], "rolled back at once, then on"


def test_an_error_of_the_chief_is_that_of_who_follows(tmp_path, teams):
    def fail(*told):
        raise EBMError("the coffee is cold")

    with ThreadPoolExecutor() as threads:
        other = threads.submit(take_part, teams[1], Wandering(), tmp_path)
        with pytest.raises(EBMError, match="the coffee is cold"), teams[0]:
            fail()
        error = other.exception()
    assert str(error) == f"the chief ({teams[0].cluster.chief}) ended: the coffee is cold"
