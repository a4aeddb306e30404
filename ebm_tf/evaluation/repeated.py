"""Intervals over trainings that differ in their seed alone.

What varies is all that a seed decides: first weights, order of the images, noise, samples. A number per training is
taken for a draw from a normal law (Student 1908; of two groups with variances of their own, Welch 1947). With three
seeds that is little to go by, and such intervals are wide: 2.5 standard deviations to either side at 95%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

import numpy as np
from scipy.special import stdtrit

from ebm_tf.evaluation.intervals import Interval


def over_seeds(values: Sequence[float], level: float = 0.95) -> Optional[Interval]:
    """Of the mean of one number per training; None for fewer than two.

    Raises ValueError for values that are not finite, or a level outside 0..1.
    """
    row = _checked(values, level)
    if len(row) < 2:
        return None
    return _around(float(row.mean()), float(row.var(ddof=1)) / len(row), len(row) - 1, level)


def of_difference(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> Optional[Interval]:
    """Of the mean of `first` less the mean of `second`, of one number per training each; None for fewer than two.

    The trainings of the two are not paired: that they share seeds only makes the interval too wide, if anything.
    Raises ValueError as `over_seeds`.
    """
    rows = [_checked(values, level) for values in (first, second)]
    if min(map(len, rows)) < 2:
        return None
    errors = [float(row.var(ddof=1)) / len(row) for row in rows]
    square = sum(errors)
    freedom = (
        square**2 / sum(error**2 / (len(row) - 1) for error, row in zip(errors, rows)) if square else 1.0
    )
    return _around(float(rows[0].mean() - rows[1].mean()), square, freedom, level)


def _around(middle: float, squared_error: float, freedom: float, level: float) -> Interval:
    half = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(squared_error)
    return Interval(middle - half, middle + half, level)


def _checked(values: Sequence[float], level: float) -> np.ndarray:
    row = np.asarray(values, np.float64)
    if row.ndim != 1 or not np.isfinite(row).all():
        raise ValueError(f"values must be one finite number for each training. Received: {list(values)}")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1. Received: {level}")
    return row
