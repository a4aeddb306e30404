"""How different the images of a set are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from ebm_tf.evaluation.statistics import checked_matrix

_PAIRS_AT_ONCE = 2**22
"""Distances that are held together: 32 MiB in float64."""


def mean_pairwise_distance(vectors: npt.ArrayLike) -> float:
    """The mean L2 distance of two different rows of `vectors` [n, d], n >= 2, of any real dtype: all n (n - 1) / 2.

    0 where all rows are equal. Each distance is taken of the differences in float64, so that copies are at 0 exactly.
    Time grows with n^2 d, memory does not.
    Raises ValueError for fewer than 2 rows, or values that are not finite.
    """
    matrix = np.asarray(checked_matrix(vectors, "vectors"), np.float64)
    count = len(matrix)
    if count < 2:
        raise ValueError(f"vectors must have 2 rows or more, to make a pair. Received: {count}")
    rows, total = max(1, _PAIRS_AT_ONCE // count), 0.0
    for first in range(0, count, rows):
        total += float(cdist(matrix[first : first + rows], matrix).sum())
    return total / (count * (count - 1))


def some(count: int, most: int, seed: int | Sequence[int]) -> npt.NDArray[Any]:
    """The numbers of at most `most` of `count` images, drawn by the seed, in their order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))
