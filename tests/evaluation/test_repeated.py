"""Intervals over seeds against published t quantiles and SciPy's tests."""

import numpy as np
import pytest
from scipy import stats

from ebm_tf.evaluation.repeated import of_difference, over_seeds

FIRST, SECOND = [3.0, 4.0, 8.0], [10.0, 10.5, 11.5, 14.0]


def test_three_seeds_have_the_quantile_of_the_tables():
    """t of 2 degrees of freedom at 97.5% is 4.303: mean 2, standard deviation 1."""
    low, high, level = over_seeds([1, 2, 3])
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)
    assert level == 0.95


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_are_scipys(level):
    mean = stats.t.interval(level, 2, np.mean(FIRST), stats.sem(FIRST))
    assert over_seeds(FIRST, level)[:2] == pytest.approx(mean)
    welch = stats.ttest_ind(FIRST, SECOND, equal_var=False).confidence_interval(level)
    assert of_difference(FIRST, SECOND, level)[:2] == pytest.approx((welch.low, welch.high))


def test_they_cover_as_often_as_they_say():
    random = np.random.default_rng(0)
    draws = random.normal(5, 2, (2000, 3))
    covered = [found.low <= 5 <= found.high for found in map(over_seeds, draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)
    others = random.normal(4, 0.5, (2000, 4))
    covered = [low <= 1 <= high for low, high, _ in map(of_difference, draws, others)]
    assert np.mean(covered) >= 0.93


def test_one_training_has_no_interval():
    assert over_seeds([1.0]) is None
    assert of_difference([1.0], [2.0, 3.0]) is None


def test_equal_numbers_have_an_interval_without_width():
    assert over_seeds([2, 2, 2])[:2] == (2, 2)
    assert of_difference([2, 2], [1, 1])[:2] == (1, 1)


@pytest.mark.parametrize("values", [[1, np.nan], [1, np.inf], [[1, 2]]])
def test_what_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match=r"one finite number for each training. Received"):
        over_seeds(values)


def test_a_level_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"level must be between 0 and 1. Received: 1"):
        of_difference([1, 2], [1, 2], 1)
