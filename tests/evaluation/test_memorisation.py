"""Shares, percentiles and intervals whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from ebm_tf.evaluation.intervals import wilson
from ebm_tf.evaluation.memorisation import Pair, closest_pairs, memorisation
from ebm_tf.evaluation.neighbours import Neighbours


def test_statistics_of_distances_known_by_heart():
    tests = np.arange(101.0)[::-1] / 10  # its percentile p is p / 10
    found = memorisation(np.array([0.1, 2.4, 2.5, 2.6, 7.4]), tests, percentile=25)
    assert (found.samples, found.tests, found.percentile) == (5, 101, 25)
    assert found.threshold == 2.5
    assert found.share == 0.4, "2.5 itself is not below 2.5"
    assert (found.sample_mean, found.sample_median) == (3.0, 2.5)
    assert (found.test_mean, found.test_median) == (pytest.approx(5), 5)
    assert found.ratio == 0.5
    assert found.interval == wilson(2, 5)
    assert found.tests_below == pytest.approx(25.25)


def test_test_images_compared_with_themselves_show_the_percentile():
    tests = np.random.default_rng(0).exponential(size=1000)
    for percentile in (1, 5, 50):
        found = memorisation(tests, tests, percentile)
        assert found.share == percentile / 100
        assert found.ratio == 1
    assert memorisation(tests, tests) == memorisation(tests, tests, 5)


def test_samples_of_the_law_of_the_test_images_have_an_interval_around_the_percentile():
    random = np.random.default_rng(1)
    found = memorisation(random.normal(9, 1, 4000), random.normal(9, 1, 400_000), 5)
    assert found.interval.low < 0.05 < found.interval.high
    assert found.interval.high - found.interval.low < 0.02


def test_copies_are_seen():
    tests = np.linspace(5, 9, 200)
    found = memorisation(np.concatenate([np.zeros(60), tests]), tests, 5)
    assert found.share == pytest.approx(70 / 260)
    assert found.interval.low > 0.05
    assert (found.copies, found.test_copies) == (60 / 260, 0)
    assert memorisation(np.zeros(10), tests).ratio == 0


def test_copies_are_near_even_where_test_images_are_copies_too():
    """The threshold is 0 then, below which there is nothing."""
    tests = np.concatenate([np.zeros(20), np.linspace(5, 9, 80)])
    found = memorisation(np.array([0.0, 0.0, 1e-300, 4.0]), tests, 5)
    assert found.threshold == 0
    assert (found.share, found.copies, found.test_copies) == (0.5, 0.5, 0.2)
    assert found.interval == wilson(2, 4)


def test_a_ratio_to_nothing_is_none():
    found = memorisation(np.ones(3), np.zeros(3))
    assert (found.ratio, found.share, found.test_copies) == (None, 0, 1)


def test_one_sample_and_one_test_image():
    found = memorisation(np.array([1.0]), np.array([2.0]))
    assert (found.threshold, found.share, found.tests_below) == (2.0, 1.0, 0.05)


def found_neighbours(squared, flipped=False):
    squared = np.asarray(squared)
    indices = np.arange(squared.size).reshape(squared.shape) + 100
    return Neighbours(indices, squared, np.full(squared.shape, flipped))


def test_the_closest_pairs_come_in_order_and_each_sample_once():
    found = found_neighbours([[4, 5], [1, 2], [9, 9], [1, 3]], flipped=True)
    pairs = closest_pairs(found, 3)
    assert pairs == [Pair(1, 102, 1, True), Pair(3, 106, 1, True), Pair(0, 100, 4, True)]
    assert [type(value) for value in pairs[0]] == [int, int, int, bool]
    assert len(closest_pairs(found, 10)) == 4
    assert closest_pairs(found_neighbours([[0.25]]), 1) == [Pair(0, 100, 0.25, False)]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: memorisation(np.ones(0), np.ones(1)), r"samples must be distances .* shape \(0,\)"),
        (lambda: memorisation(np.ones(1), np.ones((1, 1))), r"tests must be distances .* shape \(1, 1\)"),
        (
            lambda: memorisation(np.array([-1.0, 2]), np.ones(1)),
            r"finite distances >= 0. Received: -1.0..2.0",
        ),
        (lambda: memorisation(np.ones(1), np.array([np.nan])), "tests must be finite.* Received: nan..nan"),
        (lambda: memorisation(np.ones(1), np.ones(1), 101), r"percentile must be in 0\.\.100. Received: 101"),
        (lambda: closest_pairs(found_neighbours([[1]]), 0), "count must be at least 1. Received: 0"),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
