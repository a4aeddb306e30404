"""FID-infinity: what the Frechet distance of samples would be without the bias of their number.

The Frechet distance of n samples is too large by c / n to first order, with a c that depends on the generator, so
that two generators cannot be compared fairly at any n. Measured at several n, it is a line in 1 / n, whose
intercept is the distance at infinitely many samples (Chong, Forsyth 2020). What is left is O((d / n)^2), the
curvature of that line, and the bias of the reference. KID needs none of this: its estimate has no bias at any n.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.distances import Gaussian, frechet_to
from ebm_tf.evaluation.statistics import Moments, block_length, checked_matrix

Integers = npt.NDArray[np.int64]

SMALLEST_SHARE = 2
"""The smallest subset is one in so many.

Chong, Forsyth (2020) take 5000 of 50,000, a tenth. But the line bends: the second-order term of the bias,
O((d / n)^2), is a hundred times as large at n / 10 as at n, and tilts the line. Samples of N(m, I) against N(0, I)
with |m| = 1, whose distance is 1, give on average (standard deviation)

    d  64, n 1000    from n / 10   0.82 (0.11)    from n / 2  0.99 (0.12)
    d 256, n 3000    from n / 10  -0.42 (0.09)    from n / 2  0.84 (0.08)

so that half is nine times less biased, or better, at about the same spread.
"""


class Extrapolation(NamedTuple):
    """Frechet distances at growing numbers of samples, and the line through them.

    value: at infinitely many samples; may be negative by noise. slope: of the distance against 1 / n, >= 0 where the
    bias is seen. sizes: the numbers of samples, growing. distances: at these, the last that of all samples.
    """

    value: float
    slope: float
    sizes: tuple[int, ...]
    distances: tuple[float, ...]


def frechet_distance_at_infinity(
    samples: npt.ArrayLike, reference: Gaussian, points: int = 15, seed: int = 0
) -> Extrapolation:
    """FID-infinity of the features `samples` [n, d] to `reference` (Chong, Forsyth 2020).

    Args:
        samples: of any real dtype; a memory map is read once, a block at a time.
        reference: as it is: the bias of its own number of images stays.
        points: number of sizes, >= 2, evenly spaced from n / 2 to n. A subset holds all smaller ones.
        seed: of the order in which samples enter.

    Raises:
        ValueError: fewer samples than `samples_needed`, different d, values that are not finite, points < 2.
    """
    matrix = checked_matrix(samples, "samples")
    sizes = _sizes(matrix, points)
    to_reference = frechet_to(reference)
    distances = [to_reference.distance(moments) for moments in _nested_moments(matrix, sizes, seed)]
    slope, value = np.polyfit(1 / np.array(sizes), distances, 1)
    return Extrapolation(float(value), float(slope), tuple(sizes), tuple(distances))


def samples_needed(dim: int, points: int) -> int:
    """How many samples of `dim` features `frechet_distance_at_infinity` takes at least, for `points` sizes.

    So many that even the smallest subset has twice as many vectors as its covariance needs, and all sizes differ.
    """
    return SMALLEST_SHARE * max(2 * (dim + 1), points - 1)


def _sizes(matrix: npt.NDArray[Any], points: int) -> list[int]:
    count, dim = matrix.shape
    if points < 2:
        raise ValueError(f"points must be at least 2. Received: {points}")
    needed = samples_needed(dim, points)
    if count < needed:
        raise ValueError(
            f"{points} sizes of samples of {dim} features need at least {needed} samples. Received: {count}"
        )
    return [int(size) for size in np.linspace(-(-count // SMALLEST_SHARE), count, points)]


def _nested_moments(matrix: npt.NDArray[Any], sizes: list[int], seed: int) -> Iterator[Moments]:
    """Moments of the first `sizes` vectors in an order by `seed`, each from the one before."""
    order = np.random.default_rng(seed).permutation(len(matrix))
    moments = Moments.empty(matrix.shape[1])
    length = block_length(matrix.shape[1])
    for start, end in zip([0, *sizes], sizes):
        for first in range(start, end, length):
            rows = np.sort(order[first : min(first + length, end)])  # a disk is read forwards
            moments = moments.update(matrix[rows])
        yield moments
