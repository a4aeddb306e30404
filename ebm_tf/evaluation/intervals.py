"""Intervals for metrics: how far another draw of as many samples would move the number.

What varies is the draw of the samples; the reference, the network and the number of samples stay. (Of recall and
coverage it is the reference images: see `wilson`.) An interval so covers, with the probability `level`, the value
that draws of as many samples from the same generator give on average. That is not the value at infinitely many
samples: a bias that depends on the number (FID, IS) is inside both the estimate and what is covered. Samples must be
independent of each other: neighbours in one Markov chain are not, and make it too short.

KID, IS and means resample the samples with replacement (Efron 1979): image i counts w_i times, where w is
multinomial. Resampling is itself a draw from a finite set, which adds to a biased metric its bias once more, so that
it is the spread of resampled values about their own mean that is laid around the estimate, not their percentiles.

The Frechet distance is not resampled: sets with copies have covariances of fewer vectors, and unless n >> d their
distances spread too much. The infinitesimal jackknife (Jaeckel 1972) is the bootstrap to first order in w - 1, has
none of that, and costs one distance. Shares have the interval of Wilson, as resampled ones have no width at 0 and 1.

Where the samples are as good as the reference, FID and KID vary to second order only, and the intervals are too
wide, not too short.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt
from scipy.special import entr, ndtri

from ebm_tf.evaluation.distances import (
    Gaussian,
    check_same_dim,
    checked_pair,
    frechet_to,
    inception_score_from_logits,
    kernel_tiles,
    softmax_and_entropy,
    splits_of_rows,
)
from ebm_tf.evaluation.statistics import (
    FloatArray,
    Moments,
    check_finite,
    checked_matrix,
    feature_blocks,
)

Counts = npt.NDArray[np.int32]

_COUNTS_AT_ONCE = 2**25
"""How often each image is drawn in the replicates of one pass over the logits: 128 MiB."""


class Interval(NamedTuple):
    """low <= the value that is covered with probability `level` <= high."""

    low: float
    high: float
    level: float


def mean_interval(
    values: npt.ArrayLike, level: float = 0.95, replicates: int = 1000, seed: int = 0
) -> Interval:
    """Of the mean of one number per image, `values` [n], such as the balls that each sample lies in: percentiles.

    Of density the samples are resampled, and the reference balls stay as they are. A share is better given to
    `wilson`: resampled shares have no width at 0 and 1. Memory: n x 4 bytes.
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


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Of the share that `successes` of `trials` are an estimate of, in 0..1 (Wilson 1927).

    Those p for which successes / trials lies within z standard deviations sqrt(p (1 - p) / trials). It keeps its
    level also for shares near 0 and 1, where resampled shares have no width.

    Of precision the trials are the samples. Of recall and coverage they are the reference images: what is covered is
    then another draw of these, while the balls stay, those of the samples for recall and of the reference for
    coverage.
    Raises ValueError for trials below 1, successes outside 0..trials, level outside 0..1.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"successes must be in 0..trials, trials >= 1. Received: {successes} and {trials}")
    _check(level, 1)
    squared = ndtri((1 + level) / 2) ** 2
    total = trials + squared
    middle = (successes + squared / 2) / total
    half = np.sqrt(squared * (successes * (trials - successes) / trials + squared / 4)) / total
    low = 0.0 if successes == 0 else float(middle - half)
    high = 1.0 if successes == trials else float(middle + half)
    return Interval(low, high, level)


def frechet_interval(samples: npt.ArrayLike, reference: Gaussian, level: float = 0.95) -> Interval:
    """Of `frechet_distance` of the features `samples` [n, d], n > d, to `reference`: by the infinitesimal jackknife.

    Each image's influence on the distance, with D = mean - reference mean, z = x - mean and T the optimal transport
    from the samples' Gaussian to the reference's, is 2 D.z + z^T (I - T) z; the standard error is their standard
    deviation over sqrt(n), and the interval is normal. Two passes and n d^2 operations: the cost of one distance.
    Raises ValueError when n <= d, d differ, values are not finite or level is out of range.
    """
    matrix, to_reference = _checked_samples(samples, reference), frechet_to(reference)
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
    error: float = 0.0,
) -> Interval:
    """Of the KID of `samples` [n, d] to `reference` [m, d], resampled.

    around: the estimate that the spread is laid around, such as a mean over subsets; None is the KID of both sets
    whole. count: how many samples that estimate has, >= n, when `samples` are some of them, drawn at random: the
    spread is that of n times sqrt(n / count). None is n. error: the standard error, >= 0, that `around` has for other
    reasons than the draw of the samples; of a mean over k subsets, their standard deviation over sqrt(k). Either half
    width h becomes sqrt(h^2 + (z error)^2), with z of the normal law at `level`.

    Pairs of an image with itself are left out, also those of its copies in a replicate. Takes the kernel of all pairs
    once, (n^2 + n m + m^2) d operations, n (n + m) x replicates for the sums, and n x replicates x 8 bytes.
    Raises ValueError when n or m < 2, d differ, values are not finite, level or replicates are out of range.
    """
    x, y = checked_pair(samples, reference, ("samples", "reference"))
    _check(level, replicates)
    if count is not None and count < len(x):
        raise ValueError(f"count must be at least the {len(x)} samples given. Received: {count}")
    if not 0 <= error < np.inf:
        raise ValueError(f"error must be a standard error >= 0. Received: {error}")
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
    return _around(estimate, (narrower * values[1:]).tolist(), level, error)


def inception_score_interval(
    logits: npt.ArrayLike, level: float = 0.95, replicates: int = 200, seed: int = 0, splits: int = 10
) -> Interval:
    """Of `inception_score_from_logits(logits, splits, seed)`, `logits` [n, C]: each split is resampled by itself.

    n C x replicates operations, and a pass over the logits per 2^25 / n replicates: memory does not grow with n.
    Raises ValueError for splits not in 1..n, logits that are not finite, level or replicates out of range.
    """
    matrix = checked_matrix(logits, "logits")
    split_of = splits_of_rows(len(matrix), splits, seed)
    _check(level, replicates)
    estimate = inception_score_from_logits(matrix, splits, seed).mean
    draws = _resamples_of_splits(split_of, replicates, np.random.default_rng(seed))
    at_once = max(1, _COUNTS_AT_ONCE // max(len(matrix), splits * matrix.shape[1]))
    resampled: list[float] = []
    while batch := list(islice(draws, at_once)):
        resampled += _resampled_scores(matrix, split_of, np.array(batch))
    return _around(estimate, resampled, level)


def _resamples(count: int, replicates: int, rng: np.random.Generator) -> Iterator[Counts]:
    """How often each of `count` images is drawn in `count` draws with replacement, for every replicate."""
    for _ in range(replicates):
        yield np.bincount(rng.integers(0, count, count), minlength=count).astype(np.int32)


def _weights(count: int, replicates: int, rng: np.random.Generator) -> FloatArray:
    """float64 [1 + replicates, count]: the set itself, then how often each replicate draws each image.

    A replicate of copies of one image, which has no pair, is drawn again; that is one of count^(count - 1).
    """
    weights = np.ones((1 + replicates, count))
    for row in weights[1:]:
        row[:] = next(_resamples(count, 1, rng))
        while row.max() == count:
            row[:] = next(_resamples(count, 1, rng))
    return weights


def _transport(covariance: FloatArray, root: FloatArray) -> FloatArray:
    """R (R A R)^-1/2 R [d, d]: the map that takes N(0, A) to N(0, R R), A and R [d, d]; null directions to 0."""
    product = root @ covariance @ root
    values, vectors = np.linalg.eigh((product + product.T) / 2)
    kept = values > values.max() * len(values) * np.finfo(np.float64).eps
    scaled = root @ vectors[:, kept] / values[kept] ** 0.25
    return scaled @ scaled.T


def _resamples_of_splits(
    split_of: npt.NDArray[np.int64], replicates: int, rng: np.random.Generator
) -> Iterator[Counts]:
    """`_resamples` within each split, for the split of each image [n]."""
    members = [np.flatnonzero(split_of == split) for split in range(split_of.max() + 1)]
    for _ in range(replicates):
        counts = np.empty(len(split_of), np.int32)
        for own in members:
            counts[own] = next(_resamples(len(own), 1, rng))
        yield counts


def _resampled_scores(
    logits: npt.NDArray[Any], split_of: npt.NDArray[np.int64], counts: Counts
) -> list[float]:
    """The Inception Score for each of `counts` [r, n], how often each image is drawn, in one pass over the logits."""
    sizes = np.bincount(split_of)[:, None]
    summed = np.zeros((len(sizes), len(counts), logits.shape[1]))
    entropies = np.zeros((len(sizes), len(counts)))
    for rows, block in feature_blocks(logits, "logits"):
        probabilities, entropy = softmax_and_entropy(block)
        for split in range(len(sizes)):
            own = np.flatnonzero(split_of[rows] == split)
            times = counts[:, rows.start + own].astype(np.float64)
            summed[split] += times @ probabilities[own]
            entropies[split] += times @ entropy[own]
    scores = np.exp(entr(summed / sizes[..., None]).sum(axis=2) - entropies / sizes)
    return [float(score) for score in scores.mean(axis=0)]


def _around(estimate: float, resampled: list[float], level: float, error: float = 0.0) -> Interval:
    """The spread of the replicates about their mean, around the estimate, which has a standard error of its own."""
    low, high = np.quantile(resampled, _tails(level)) - np.mean(resampled)
    own = error * ndtri((1 + level) / 2)
    return Interval(float(estimate - np.hypot(low, own)), float(estimate + np.hypot(high, own)), level)


def _tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _check(level: float, replicates: int) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1. Received: {level}")
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1. Received: {replicates}")


def _checked_samples(samples: npt.ArrayLike, reference: Gaussian) -> npt.NDArray[Any]:
    matrix = checked_matrix(samples, "samples")
    check_same_dim(matrix.shape[1], reference.mean.size)
    if len(matrix) <= matrix.shape[1]:
        raise ValueError(
            f"samples must be more than their features, for a covariance that can be inverted. "
            f"Received: {len(matrix)} of {matrix.shape[1]} features"
        )
    return matrix
