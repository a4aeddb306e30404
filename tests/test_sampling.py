"""Drawing images: batches, portions, seeds, labels, rounds, MALA, the film, and the way back to grey levels."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf import sampling
from ebm_tf.errors import EBMError
from ebm_tf.langevin import chain_settings
from ebm_tf.models.architectures import ARCHITECTURES
from ebm_tf.models.energy import EnergyModel
from ebm_tf.sampling import (
    Kind,
    Method,
    Rounds,
    Use,
    chain_noise,
    chain_seed,
    film,
    finite,
    stream_chains,
    uniform_noise,
)
from tests.chains import bowl, no_report, run_chains

SHAPE = (4, 4, 1)
CHAIN = chain_settings(6, step_size=0.1, noise_scale=0.05)
QUIET = chain_settings(6, step_size=0.1, noise_scale=0.0)
COLD = Method(CHAIN, temperature=tf.constant(0.01))


def bowls(images, labels):
    """A bowl around label / 4 for each label."""
    centre = tf.cast(labels, tf.float32)[:, None, None, None] / 4
    return tf.reduce_sum((images - centre) ** 2, axis=[1, 2, 3])


@pytest.fixture(scope="module")
def start():
    return uniform_noise(0, 7, SHAPE, seed=5).numpy()


def run(start, chain=CHAIN, seed=3, batch_size=3, report=no_report, **more):
    return run_chains(bowl, start, chain, seed, batch_size, report, **more)


def stream(method, energy=bowl, count=7, seed=3, batch_size=3, report=no_report, shape=SHAPE, **more):
    """The batches of fresh chains."""

    def starts(first, size):
        return uniform_noise(first, size, shape, seed)

    return list(stream_chains(energy, starts, count, method, seed, batch_size, report, **more))


def images_of(batches):
    return np.concatenate([batch.images for batch in batches])


def test_starts_are_uniform_and_follow_from_their_seed_and_number():
    noise = uniform_noise(0, 2000, SHAPE, seed=1).numpy()
    assert noise.shape == (2000, *SHAPE)
    assert noise.dtype == np.float32
    assert 0 <= noise.min() < 0.001
    assert 0.999 < noise.max() < 1
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.var() == pytest.approx(1 / 12, rel=0.02)
    np.testing.assert_array_equal(noise[100:103], uniform_noise(100, 3, SHAPE, seed=1))
    assert not np.array_equal(noise, uniform_noise(0, 2000, SHAPE, seed=2))


def test_every_use_of_a_seed_has_numbers_of_its_own():
    seeds = {
        tuple(chain_seed(s, use, kind).numpy()) for s in (0, 1, 2**31 - 1) for use in Use for kind in Kind
    }
    assert len(seeds) == 3 * len(Use) * len(Kind)


def test_images_that_are_no_numbers_are_refused():
    images = np.zeros((3, 2, 2, 1), np.float32)
    assert finite(images, "samples") is images
    images[1, 0, 0, 0] = np.nan
    with pytest.raises(EBMError, match="1 of 3 samples have pixels that are not numbers"):
        finite(images, "samples")


def test_no_kind_meets_the_noise_of_another_at_any_step():
    """The number of a step is added to a seed: seeds that lie side by side would share their noise, shifted."""
    steps = range(6)
    drawn = {
        chain_noise(0, 1, SHAPE, 3, kind)(tf.constant(k)).numpy().tobytes() for kind in Kind for k in steps
    }
    assert len(drawn) == len(Kind) * len(steps)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_chain_is_run_to_its_end_whatever_the_batch(start, batch_size):
    """Without noise the end is known, also of the images of a smaller last batch."""
    ends = run(start, QUIET, batch_size=batch_size)
    assert ends.shape == start.shape
    np.testing.assert_allclose(ends, 0.25 + (1 - 2 * 0.1) ** 6 * (start - 0.25), rtol=1e-5)


@pytest.mark.parametrize("method", [Method(CHAIN), COLD])
def test_the_batch_size_changes_no_image(method):
    """Every operation of this energy works on each image alone, so not even the last bit may differ."""
    whole = images_of(stream(method, batch_size=100))
    for batch_size in (1, 3, 7):
        np.testing.assert_array_equal(images_of(stream(method, batch_size=batch_size)), whole)
    np.testing.assert_array_equal(images_of(stream(method, count=4)), whole[:4])


def test_the_batch_size_changes_the_images_of_a_network_by_rounding_alone():
    """Convolutions may add up in another order for another batch size; starts and noise are the same bits."""
    model = EnergyModel(ARCHITECTURES["tiny"].blocks, (8, 8, 1), seed=1)
    method = Method(chain_settings(20, step_size=0.05, noise_scale=0.01))
    of = [images_of(stream(method, model, 16, batch_size=size, shape=(8, 8, 1))) for size in (1, 7, 16)]
    for ends in of[:2]:
        np.testing.assert_allclose(ends, of[2], atol=1e-5)


@pytest.mark.parametrize("method", [Method(CHAIN), COLD])
@pytest.mark.parametrize("lanes", [2, 5])  # in a batch of 3 some of 5 are empty
def test_chains_are_the_same_in_any_number_of_lanes(method, lanes):
    one, several = (list(stream(method._replace(lanes=number), batch_size=7)) for number in (1, lanes))
    np.testing.assert_allclose(images_of(one), images_of(several), atol=1e-6)
    for a, b in zip(one, several):
        assert (a.acceptance is None and b.acceptance is None) or np.array_equal(a.acceptance, b.acceptance)


@pytest.mark.parametrize("method", [Method(CHAIN), Method(CHAIN._replace(anneal=True)), COLD])
def test_portions_change_no_image(method, monkeypatch):
    """A chain that stops after every step to report is the chain that runs through."""
    through = images_of(stream(method))
    monkeypatch.setattr(sampling, "_next_portion", lambda steps, seconds: 1)
    np.testing.assert_array_equal(images_of(stream(method)), through)
    monkeypatch.setattr(sampling, "_next_portion", lambda steps, seconds: 4)
    np.testing.assert_array_equal(images_of(stream(method)), through)


@pytest.mark.parametrize("method", [Method(CHAIN), COLD])
def test_later_chains_alone_are_the_same_bits_in_whole_batches(method):
    """With the labels of their numbers."""
    labels = np.arange(11, dtype=np.int32) % 3
    more = {"energy": bowls, "labels": labels}
    whole, told = stream(method, count=11, **more), []
    alone = stream(method, count=5, first=6, report=lambda done, total: told.append((done, total)), **more)
    assert [batch.first for batch in alone] == [6, 9]
    np.testing.assert_array_equal(images_of(alone), images_of(whole)[6:])
    if method.temperature is not None:
        for one, other in zip(alone, whole[2:]):
            np.testing.assert_array_equal(one.acceptance, other.acceptance)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (5 * 6, 5 * 6), "of these chains"


def test_portions_grow_while_they_are_short_and_shrink_when_they_are_long():
    assert sampling._next_portion(1, 0.001) == 2
    assert sampling._next_portion(10, 4.0) == 5
    assert sampling._next_portion(1, 1000.0) == 1


def test_progress_counts_steps_up_to_the_partial_last_batch(start, monkeypatch):
    monkeypatch.setattr(sampling, "_next_portion", lambda steps, seconds: 5)
    reports = []
    run(start, report=lambda done, total: reports.append((done, total)))
    assert [total for _, total in reports] == [7 * 6] * len(reports)
    done = [done for done, _ in reports]
    assert done == sorted(set(done)), "nothing is told twice"
    assert {3, 18, 18 + 3 * 5, 36, 36 + 5, 42} <= set(done), "within batches and at their ends"
    assert done[-1] == 42


def test_chains_of_no_steps_end_where_they_start(start):
    reports = []
    none = chain_settings(0, 0.1, 0.05)
    ends = run(start, none, report=lambda done, total: reports.append((done, total)))
    np.testing.assert_array_equal(ends, start)
    assert reports == [(3, 7), (6, 7), (7, 7)]


def test_the_same_seed_gives_the_same_images_and_another_seed_or_kind_others(start):
    ends = run(start)
    np.testing.assert_array_equal(run(start), ends)
    assert not np.isclose(run(start, seed=4), ends).all(axis=(1, 2, 3)).any()
    assert not np.isclose(run(start, kind=Kind.REFINED), ends).all(axis=(1, 2, 3)).any()


def test_each_chain_has_noise_of_its_own():
    ends = run(np.full((6, *SHAPE), 0.5, np.float32), batch_size=3)
    assert len(np.unique(ends.reshape(6, -1), axis=0)) == 6


def test_the_largest_seed_that_a_config_allows_can_be_drawn_with(start):
    assert run(start, seed=2**31 - 1).shape == start.shape
    assert film(bowl, start, Method(CHAIN), 2**31 - 1, frames=2).shape == (2, 7, *SHAPE)


@pytest.mark.parametrize("batch_size", [2, 7])
def test_each_chain_moves_by_the_energy_of_its_label(start, batch_size):
    labels = np.array([3, 1, 2, 2, 4, 0, 1], np.int32)
    ends = run_chains(bowls, start, QUIET, 3, batch_size, no_report, labels)
    centre = labels[:, None, None, None] / 4
    np.testing.assert_allclose(ends, centre + 0.8**6 * (start - centre), rtol=1e-5, atol=1e-6)


def test_a_limit_on_the_gradient_holds_in_sampling(start):
    """Far from the centre, each step of a chain without noise is step size x limit."""
    chain = chain_settings(3, 0.1, 0.0, gradient_clip=0.05)
    far = np.full((2, *SHAPE), 0.9, np.float32)
    np.testing.assert_allclose(run(far, chain), 0.9 - 3 * 0.1 * 0.05, rtol=1e-6)


class TestRounds:
    """Chains that are augmented after every so many steps."""

    @staticmethod
    def mirror(images, seed, first):
        return 1 - images

    @pytest.mark.parametrize(("steps", "every", "times"), [(6, 2, 2), (6, 4, 1), (6, 6, 0), (6, 9, 0)])
    def test_images_are_augmented_after_each_round_but_the_last(self, steps, every, times):
        """Without energy and noise nothing else happens."""
        method = Method(chain_settings(steps, 0.1, 0.0), rounds=Rounds(every, self.mirror))
        ends = images_of(stream(method, lambda images: 0 * bowl(images)))
        start = uniform_noise(0, 7, SHAPE, 3)
        np.testing.assert_allclose(ends, start if times % 2 == 0 else 1 - start, atol=1e-6)

    def test_portions_and_batches_change_no_round(self, monkeypatch):
        """Each image gets its own draw, by its number."""

        def shift(images, seed, first):
            drawn = sampling.uniform_rows(first, tf.shape(images)[0], (1, 1, 1), seed)
            return (images + drawn) / 2

        method = Method(CHAIN, rounds=Rounds(2, shift))
        whole = images_of(stream(method, batch_size=7))
        assert not np.allclose(whole, images_of(stream(Method(CHAIN), batch_size=7)))
        for portion in (1, 4):
            monkeypatch.setattr(sampling, "_next_portion", lambda steps, seconds, portion=portion: portion)
            np.testing.assert_array_equal(images_of(stream(method, batch_size=2)), whole)

    def test_each_round_draws_anew(self):
        def seed_itself(images, seed, first):
            share = tf.cast(tf.math.floormod(seed[1], 1000), tf.float32) / 1000
            return images * 0 + share

        chain = chain_settings(4, 0.1, 0.0)
        drawn = [
            images_of(stream(Method(chain._replace(steps=tf.constant(steps)), rounds=Rounds(1, seed_itself))))
            for steps in (2, 3)
        ]
        assert not np.isclose(*drawn).any()


class TestMala:
    def test_it_tells_the_share_of_proposals_that_each_chain_accepted(self):
        shares = np.concatenate([batch.acceptance for batch in stream(COLD, count=50)])
        assert shares.shape == (50,)
        assert len(set(shares)) > 1
        assert set(np.round(shares * 6, 4)) <= set(range(7))

    def test_langevin_chains_tell_none(self):
        assert [batch.acceptance for batch in stream(Method(CHAIN))] == [None] * 3

    def test_its_images_have_the_variance_of_its_temperature(self):
        """p ~ exp(-(x - 1/4)^2 / T): variance T / 2, far enough from 0 to be no other."""
        method = Method(chain_settings(60, 0.05, 0.0), temperature=tf.constant(0.004))

        def starts(first, size):
            return np.full((size, *SHAPE), 0.25, np.float32)

        batches = list(stream_chains(bowl, starts, 1000, method, 3, 1000, no_report))
        ends = batches[0].images
        assert batches[0].acceptance.mean() > 0.5
        assert ends.mean() == pytest.approx(0.25, abs=0.002)
        assert ends.var() == pytest.approx(0.002, rel=0.05)

    def test_labels_reach_it(self):
        method = Method(chain_settings(100, 0.05, 0.0), temperature=tf.constant(0.001))
        labels = np.array([1, 3] * 5, np.int32)
        ends = images_of(stream(method, bowls, 10, labels=labels))
        np.testing.assert_allclose(ends.mean(axis=(1, 2, 3)), labels / 4, atol=0.05)


@pytest.mark.parametrize("method", [Method(CHAIN), COLD])
def test_a_film_goes_from_its_start_to_the_end_of_the_same_chains(method):
    start = uniform_noise(0, 7, SHAPE, seed=3).numpy()
    strip = film(bowl, start, method, seed=3, frames=4)
    assert strip.shape == (4, 7, *SHAPE)
    np.testing.assert_array_equal(strip[0], start)
    np.testing.assert_array_equal(strip[-1], images_of(stream(method)))


def test_the_frames_of_a_film_stand_ever_further_apart(start):
    strip = film(bowl, start, Method(QUIET), seed=3, frames=4)
    for frame, step in zip(strip, (0, 1, 2, 6)):
        np.testing.assert_allclose(frame, 0.25 + 0.8**step * (start - 0.25), rtol=1e-5)


def test_a_film_has_no_more_frames_than_its_chains_have_states(start):
    assert len(film(bowl, start, Method(CHAIN), seed=3, frames=100)) == 7
