"""Distances between two sets of features, and scores of predicted classes: FID, KID, IS, class shares.

Only the arithmetic, in float64. Which network made the features, from how many images, against which split,
and whether that is enough of them (FID is biased upwards by O(d^2 / n)) is for the caller to state beside the
number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import entr, rel_entr

from ebm_tf.evaluation.statistics import FloatArray, Moments, checked_features

_SUM_TOLERANCE = 1e-3
"""How far from 1 a sum of probabilities may be: float32 softmax over a thousand classes stays well within."""


class KernelDistance(NamedTuple):
    """KID. mean: over subsets. spread: standard deviation over subsets (divisor: the count)."""

    mean: float
    spread: float


class InceptionScore(NamedTuple):
    """IS, in 1..classes. mean: over splits. spread: standard deviation over splits (divisor: the count)."""

    mean: float
    spread: float


def frechet_distance(a: Moments, b: Moments) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians (Dowson, Landau 1982; Heusel et al. 2017).

    |mean_a - mean_b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2, in squared units of the features. Nothing is
    added to the covariances and the result is not clipped: rounding may leave equal sets at a number just
    below 0. With fewer vectors than features the covariances are singular and each null direction may add
    sqrt(2^-53) of the scale; `frechet_distance_from_features` does not have that loss.
    Raises ValueError when the numbers of features differ or a count is below 2.
    """
    _check_same_dim(a.dim, b.dim)
    first, second = a.covariance(), b.covariance()
    root = _square_root(first)
    product = root @ second @ root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    return _frechet(a.mean - b.mean, np.trace(first), np.trace(second), cross)


def frechet_distance_from_features(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """`frechet_distance` of the features `x` [n, d] and `y` [m, d], n and m >= 2, accurate also for n < d.

    When a set has fewer vectors than features, tr (A^1/2 B A^1/2)^1/2 is the sum of the singular values of
    Xc Yc^T over sqrt((n - 1)(m - 1)), Xc and Yc the centred features: no square root of a null eigenvalue is
    taken. Raises ValueError when the numbers of features differ, a set is too small or values are not finite.
    """
    first, second = _checked_pair(x, y, at_least=2)
    if min(len(first), len(second)) >= first.shape[1]:
        return frechet_distance(Moments.of(first), Moments.of(second))
    difference = first.mean(axis=0) - second.mean(axis=0)
    first, second = _scaled_deviations(first), _scaled_deviations(second)
    cross = np.linalg.svd(_at_most_square(first) @ _at_most_square(second).T, compute_uv=False).sum()
    return _frechet(difference, np.square(first).sum(), np.square(second).sum(), cross)


def kernel_distance(
    x: npt.ArrayLike, y: npt.ArrayLike, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """KID: unbiased squared MMD of `x` [n, d] and `y` [m, d] under (x.y / d + 1)^3 (Binkowski et al. 2018).

    Averaged over `subsets` pairs of subsets of min(subset_size, n, m) vectors, each drawn without replacement
    by `seed`. When a subset would be all of both sets there is only one: the spread is then 0.0. May be
    negative. Raises ValueError for subsets < 1, subset_size < 2, n or m < 2, different d or values that are
    not finite.
    """
    if subsets < 1 or subset_size < 2:
        raise ValueError(
            f"subsets must be at least 1 and subset_size at least 2. Received: {subsets} and {subset_size}"
        )
    first, second = _checked_pair(x, y, at_least=2)
    size = min(subset_size, len(first), len(second))
    if size == len(first) == len(second):
        return KernelDistance(_squared_mmd(first, second), 0.0)
    rng = np.random.default_rng(seed)
    values = [_squared_mmd(_subset(first, size, rng), _subset(second, size, rng)) for _ in range(subsets)]
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def inception_score(probabilities: npt.ArrayLike, splits: int = 1) -> InceptionScore:
    """IS: exp of the mean KL(p(y|x) || p(y)), in 1..C (Salimans et al. 2016).

    probabilities: [n, C], each row a distribution. splits: number of runs of consecutive rows scored apart,
    in 1..n; shuffle rows that come sorted by class. Raises ValueError when rows are no distributions or
    splits is out of range.
    """
    rows = checked_features(probabilities, "probabilities")
    _check_distributions(rows, "each row of probabilities")
    if not 1 <= splits <= len(rows):
        raise ValueError(f"splits must be in 1..{len(rows)}, the number of rows. Received: {splits}")
    scores = [
        np.exp(rel_entr(part, part.mean(axis=0)).sum(axis=1).mean()) for part in np.array_split(rows, splits)
    ]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def class_share(labels: npt.ArrayLike, classes: int) -> FloatArray:
    """Share of each class among integer `labels` [n] in 0..classes-1, n >= 1: float64 [classes], sums to 1.

    Raises ValueError for no labels, labels that are not integers or labels out of range.
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers of shape [n], n >= 1. "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    if array.min() < 0 or array.max() >= classes:
        raise ValueError(f"labels must be in 0..{classes - 1}. Received: {array.min()}..{array.max()}")
    return np.bincount(array.astype(np.int64), minlength=classes) / array.size


def entropy_of(shares: npt.ArrayLike) -> float:
    """Entropy of a distribution `shares` [C] in nats, 0..log C, where 0 log 0 = 0; ValueError if none."""
    array = np.asarray(shares)
    if array.ndim != 1:
        raise ValueError(f"shares must have shape [C]. Received: shape {array.shape}")
    row = checked_features(array[None], "shares")
    _check_distributions(row, "shares")
    return float(entr(row).sum())


def _square_root(covariance: FloatArray) -> FloatArray:
    """Symmetric square root of a positive semi-definite [d, d]; eigenvalues rounded below 0 count as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T


def _frechet(difference: FloatArray, first_trace: float, second_trace: float, cross: float) -> float:
    return float(difference @ difference + first_trace + second_trace - 2 * cross)


def _scaled_deviations(features: FloatArray) -> FloatArray:
    """D [n, d] with D^T D the covariance of `features` [n, d]."""
    return (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)


def _at_most_square(matrix: FloatArray) -> FloatArray:
    """R [min(n, d), d] with R^T R = M^T M for M [n, d]: same singular values of M N^T, without n rows."""
    tall = matrix.shape[0] > matrix.shape[1]
    return np.asarray(np.linalg.qr(matrix, mode="r")) if tall else matrix


def _subset(features: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    return features[rng.choice(len(features), size, replace=False)]


def _squared_mmd(x: FloatArray, y: FloatArray) -> float:
    """Unbiased (U-statistic) squared MMD of `x` [n, d] and `y` [m, d] under the cubic kernel."""
    return (
        _mean_off_diagonal(_kernel(x, x))
        + _mean_off_diagonal(_kernel(y, y))
        - 2 * float(_kernel(x, y).mean())
    )


def _kernel(x: FloatArray, y: FloatArray) -> FloatArray:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # numpy raises to a power many times slower than it multiplies


def _mean_off_diagonal(square: FloatArray) -> float:
    n = len(square)
    return float((square.sum() - np.trace(square)) / (n * (n - 1)))


def _check_same_dim(first: int, second: int) -> None:
    if first != second:
        raise ValueError(f"both sets must have the same number of features. Received: {first} and {second}")


def _checked_pair(x: npt.ArrayLike, y: npt.ArrayLike, at_least: int) -> tuple[FloatArray, FloatArray]:
    first, second = checked_features(x, "x"), checked_features(y, "y")
    _check_same_dim(first.shape[1], second.shape[1])
    if min(len(first), len(second)) < at_least:
        raise ValueError(
            f"each set must hold at least {at_least} feature vectors. "
            f"Received: {len(first)} and {len(second)}"
        )
    return first, second


def _check_distributions(rows: FloatArray, name: str) -> None:
    """ValueError unless every row of `rows` [n, C], n >= 1, is non-negative and sums to 1."""
    if len(rows) == 0:
        raise ValueError(f"{name} must be a distribution. Received: no rows")
    sums = rows.sum(axis=1)
    if rows.min() < 0 or np.abs(sums - 1).max() > _SUM_TOLERANCE:
        raise ValueError(
            f"{name} must be non-negative and sum to 1 within {_SUM_TOLERANCE}. "
            f"Received: least value {rows.min():.6g}, sums in {sums.min():.6g}..{sums.max():.6g}"
        )
