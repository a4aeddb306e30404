"""Shares, percentiles and intervals whose values are known, and SciPy's interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from ebm_tf.evaluation.memorisation import Pair, closest_pairs, memorisation, wilson
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
    assert memorisation(np.zeros(10), tests).ratio == 0


def test_a_ratio_to_nothing_is_none():
    assert memorisation(np.ones(3), np.zeros(3)).ratio is None
    assert memorisation(np.zeros(3), np.zeros(3)).share == 0


def test_one_sample_and_one_test_image():
    found = memorisation(np.array([1.0]), np.array([2.0]))
    assert (found.threshold, found.share, found.tests_below) == (2.0, 1.0, 0.05)


@pytest.mark.parametrize("trials", [1, 7, 1000])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_that_of_scipy(trials, level):
    for successes in {0, 1, trials // 2, trials}:
        expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
        np.testing.assert_allclose(
            wilson(successes, trials, level), [expected.low, expected.high, level], atol=1e-12
        )


def test_of_no_success_the_interval_ends_where_the_closed_form_says():
    """z^2 / (n + z^2), with z = 1.959964."""
    assert wilson(0, 100).low == 0
    assert wilson(0, 100).high == pytest.approx(3.8414588 / 103.8414588, rel=1e-7)
    assert wilson(100, 100).high == 1


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_interval_holds_the_true_share_about_as_often_as_it_says(share):
    """Summed over all outcomes of 200 draws, not simulated; 95% is met on average, not for each share."""
    intervals = [wilson(successes, 200) for successes in range(201)]
    covered = [interval.low <= share <= interval.high for interval in intervals]
    assert 0.93 < binom.pmf(np.arange(201), 200, share)[covered].sum() < 0.97


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
        (lambda: wilson(3, 2), r"successes must be in 0\.\.trials.* Received: 3 and 2"),
        (lambda: wilson(0, 0), "Received: 0 and 0"),
        (lambda: wilson(1, 2, 1.0), "level must be between 0 and 1. Received: 1.0"),
        (lambda: closest_pairs(found_neighbours([[1]]), 0), "count must be at least 1. Received: 0"),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
