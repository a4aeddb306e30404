"""Intervals for metrics: how far another draw of as many samples would move the number.

What varies is the draw of the samples; the reference, the network and the number of samples stay. An interval so
covers, with the probability `level`, the value that draws of as many samples from the same generator give on
average. That is not the value at infinitely many samples: a bias that depends on the number (FID, IS) is inside
both the estimate and what is covered. Samples must be independent of each other: neighbours in one Markov chain are
not, and make it too short.

The samples are resampled with replacement (Efron 1979): image i counts w_i times, where w is multinomial.
Resampling is itself a draw from a finite set, which adds to a biased metric its bias once more: resampled FIDs lie
above the FID. So it is their spread about their own mean that is laid around the estimate, not their
percentiles. Where the samples are as good as the reference, FID and KID vary to second order only, and the
intervals are too wide, not too short.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt
from scipy.special import entr, ndtri

from ebm_tf.evaluation.distances import FrechetTo, Gaussian, kernel_tiles, softmax_and_entropy, splits_of_rows
from ebm_tf.evaluation.statistics import (
    FloatArray,
    Moments,
    check_finite,
    checked_matrix,
    feature_blocks,
    mean_of,
)

Counts = npt.NDArray[np.int32]

_SCATTER_VALUES = 2**25
"""Values of the scatters that one pass over the features sums up: 256 MiB."""


class Interval(NamedTuple):
    """low <= the value that is covered with probability `level` <= high."""

    low: float
    high: float
    level: float


def mean_interval(
    values: npt.ArrayLike, level: float = 0.95, replicates: int = 1000, seed: int = 0
) -> Interval:
    """Of the mean of one number per image, `values` [n], such as the indicators of `Manifold`: percentiles.

    For precision and density [m] the reference balls stay as they are, for recall and coverage [n] the balls of the
    samples: what another draw would change in the balls themselves is not covered. Memory: n x 4 bytes.
    Raises ValueError for fewer than 2 values, values that are no finite row, level or replicates out of range.
    """
    row = np.asarray(values)
    if row.ndim != 1 or len(row) < 2 or row.dtype.kind not in "fiub":
        raise ValueError(
            f"values must be real numbers of shape [n], n >= 2. Received: shape {row.shape}, dtype {row.dtype}"
        )
    row = row.astype(np.float64)
    check_finite(row[:, None], "values")
    _check(level, replicates)
    means = [
        float(counts @ row) / len(row)
        for counts in _resamples(len(row), replicates, np.random.default_rng(seed))
    ]
    low, high = np.quantile(means, _tails(level))
    return Interval(float(low), float(high), level)


def frechet_interval(
    samples: npt.ArrayLike, reference: Gaussian, level: float = 0.95, replicates: int = 200, seed: int = 0
) -> Interval:
    """Of `frechet_distance` of the features `samples` [n, d], n > d, to `reference`: resampled.

    A replicate takes n d^2 operations and the eigenvalues of a [d, d] matrix: at n 50,000, d 2048 some seconds
    each, and `frechet_interval_by_influence` is meant for that. Features are read once per 2^25 / d^2 replicates.
    Raises ValueError when n <= d, d differ, values are not finite, level or replicates are out of range.
    """
    matrix, to_reference = _checked_samples(samples, reference), FrechetTo(reference)
    _check(level, replicates)
    centre = mean_of(matrix, "samples")
    resampled: list[float] = []
    at_once = max(1, _SCATTER_VALUES // centre.size**2)
    counts = _resamples(len(matrix), replicates, np.random.default_rng(seed))
    while batch := [drawn for _, drawn in zip(range(at_once), counts)]:
        resampled += [to_reference.distance(moments) for moments in _resampled_moments(matrix, centre, batch)]
    return _around(to_reference.distance(Moments.of(matrix)), resampled, level)


def frechet_interval_by_influence(
    samples: npt.ArrayLike, reference: Gaussian, level: float = 0.95
) -> Interval:
    """`frechet_interval` to first order: of the infinitesimal jackknife (Jaeckel 1972), no replicates.

    Each image's influence on the distance, with D = mean - reference mean, z = x - mean and T the optimal transport
    from the samples' Gaussian to the reference's, is 2 D.z + z^T (I - T) z; the standard error is their standard
    deviation over sqrt(n), and the interval is normal. Two passes and n d^2 operations: the cost of one distance.
    Raises ValueError when n <= d, d differ, values are not finite or level is out of range.
    """
    matrix, to_reference = _checked_samples(samples, reference), FrechetTo(reference)
    _check(level, 1)
    moments = Moments.of(matrix)
    estimate = to_reference.distance(moments)
    difference = moments.mean - to_reference.mean
    slope = np.eye(moments.dim) - _transport(moments.covariance(), to_reference.root)
    influence = Moments.empty(1)
    for _, block in feature_blocks(matrix, "samples"):
        block -= moments.mean
        influence = influence.update((block * (2 * difference + block @ slope)).sum(axis=1)[:, None])
    error = float(np.sqrt(influence.covariance()[0, 0] / len(matrix)))
    low, high = (estimate + error * ndtri(tail) for tail in _tails(level))
    return Interval(float(low), float(high), level)


def kernel_interval(
    samples: npt.ArrayLike,
    reference: npt.ArrayLike,
    level: float = 0.95,
    replicates: int = 200,
    seed: int = 0,
    around: Optional[float] = None,
    count: Optional[int] = None,
) -> Interval:
    """Of the KID of `samples` [n, d] to `reference` [m, d], resampled.

    around: the estimate that the spread is laid around, such as a mean over subsets; None is the KID of both sets
    whole. count: how many samples that estimate has, >= n, when `samples` are some of them, drawn at random: the
    spread is that of n times sqrt(n / count). None is n.

    Pairs of an image with itself are left out, also those of its copies in a replicate. Takes the kernel of all pairs
    once, (n^2 + n m + m^2) d operations, n (n + m) x replicates for the sums, and n x replicates x 8 bytes.
    Raises ValueError when n or m < 2, d differ, values are not finite, level or replicates are out of range.
    """
    x, y = checked_matrix(samples, "samples"), checked_matrix(reference, "reference")
    _check_pair(x, y)
    _check(level, replicates)
    if count is not None and count < len(x):
        raise ValueError(f"count must be at least the {len(x)} samples given. Received: {count}")
    weights = _weights(len(x), replicates, np.random.default_rng(seed))
    within, cross, among = np.zeros(len(weights)), np.zeros(len(weights)), 0.0
    for rows, columns, tile in kernel_tiles(x, x):
        if rows == columns:
            np.fill_diagonal(tile, 0)
        within += np.einsum("ri,ri->r", weights[:, rows] @ tile, weights[:, columns])
    for rows, _, tile in kernel_tiles(x, y):
        cross += weights[:, rows] @ tile.sum(axis=1)
    for rows, columns, tile in kernel_tiles(y, y):
        among += tile.sum() - (np.trace(tile) if rows == columns else 0)
    n, m = len(x), len(y)
    pairs = n**2 - np.square(weights).sum(axis=1)
    values = within / pairs - 2 * cross / (n * m) + among / (m * (m - 1))
    estimate = float(values[0]) if around is None else around
    narrower = np.sqrt(n / (n if count is None else count))
    return _around(estimate, (narrower * values[1:]).tolist(), level)


def inception_score_interval(
    logits: npt.ArrayLike, level: float = 0.95, replicates: int = 200, seed: int = 0, splits: int = 10
) -> Interval:
    """Of `inception_score_from_logits(logits, splits, seed)`, `logits` [n, C]: each split is resampled by itself.

    One pass, n C x replicates operations and n x replicates x 8 bytes.
    Raises ValueError for splits not in 1..n, logits that are not finite, level or replicates out of range.
    """
    matrix = checked_matrix(logits, "logits")
    split_of = splits_of_rows(len(matrix), splits, seed)
    _check(level, replicates)
    rng = np.random.default_rng(seed)
    weights = np.empty((1 + replicates, len(matrix)))
    for split in range(splits):
        own = split_of == split
        weights[:, own] = _weights(np.count_nonzero(own), replicates, rng)
    summed, entropies = np.zeros((splits, len(weights), matrix.shape[1])), np.zeros((splits, len(weights)))
    for rows, block in feature_blocks(matrix, "logits"):
        probabilities, entropy = softmax_and_entropy(block)
        for split in range(splits):
            own = split_of[rows] == split
            summed[split] += weights[:, rows][:, own] @ probabilities[own]
            entropies[split] += weights[:, rows][:, own] @ entropy[own]
    sizes = np.bincount(split_of)[:, None]
    scores = np.exp(entr(summed / sizes[..., None]).sum(axis=2) - entropies / sizes).mean(axis=0)
    return _around(float(scores[0]), scores[1:].tolist(), level)


def _resamples(count: int, replicates: int, rng: np.random.Generator) -> Iterator[Counts]:
    """How often each of `count` images is drawn in `count` draws with replacement, for every replicate."""
    for _ in range(replicates):
        yield np.bincount(rng.integers(0, count, count), minlength=count).astype(np.int32)


def _weights(count: int, replicates: int, rng: np.random.Generator) -> FloatArray:
    """float64 [1 + replicates, count]: the set itself, then how often each replicate draws each image."""
    weights = np.ones((1 + replicates, count))
    for row, counts in zip(weights[1:], _resamples(count, replicates, rng)):
        row[:] = counts
    return weights


def _resampled_moments(
    matrix: npt.NDArray[Any], centre: FloatArray, batch: list[Counts]
) -> Iterator[Moments]:
    """Moments of the features [n, d] for each of `batch`, counts [n] that sum to n, in one pass."""
    sums, scatters = np.zeros((len(batch), centre.size)), np.zeros((len(batch), *centre.shape * 2))
    for rows, block in feature_blocks(matrix, "samples"):
        block -= centre
        for number, counts in enumerate(batch):
            drawn = np.flatnonzero(counts[rows])
            times = counts[rows][drawn].astype(np.float64)
            sums[number] += times @ block[drawn]
            rooted = block[drawn] * np.sqrt(times)[:, None]
            scatters[number] += rooted.T @ rooted
    n = len(matrix)
    for total, scatter in zip(sums, scatters):
        yield Moments(n, centre + total / n, scatter - np.outer(total, total) / n)


def _transport(covariance: FloatArray, root: FloatArray) -> FloatArray:
    """R (R A R)^-1/2 R [d, d]: the map that takes N(0, A) to N(0, R R), A and R [d, d]; null directions to 0."""
    product = root @ covariance @ root
    values, vectors = np.linalg.eigh((product + product.T) / 2)
    kept = values > values.max() * len(values) * np.finfo(np.float64).eps
    scaled = root @ vectors[:, kept] / values[kept] ** 0.25
    return scaled @ scaled.T


def _around(estimate: float, resampled: list[float], level: float) -> Interval:
    """The spread of the replicates about their mean, around the estimate."""
    low, high = estimate + np.quantile(resampled, _tails(level)) - np.mean(resampled)
    return Interval(float(low), float(high), level)


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _check(level: float, replicates: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1. Received: {level}")
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1. Received: {replicates}")


def _checked_samples(samples: npt.ArrayLike, reference: Gaussian) -> npt.NDArray[Any]:
    matrix = checked_matrix(samples, "samples")
    if matrix.shape[1] != reference.mean.size:
        raise ValueError(
            "both sets must have the same number of features. "
            f"Received: {matrix.shape[1]} and {reference.mean.size}"
        )
    if len(matrix) <= matrix.shape[1]:
        raise ValueError(
            f"samples must be more than their features, for a covariance that can be inverted. "
            f"Received: {len(matrix)} of {matrix.shape[1]} features"
        )
    return matrix


def _check_pair(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> None:
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"both sets must have the same number of features. Received: {x.shape[1]} and {y.shape[1]}"
        )
    if min(len(x), len(y)) < 2:
        raise ValueError(f"each set must hold at least 2 feature vectors. Received: {len(x)} and {len(y)}")
    check_finite(x, "samples")
    check_finite(y, "reference")
