"""Distances between two sets of features, and scores of predicted classes: FID, KID, IS, class shares.

Only the arithmetic, in float64. Which network made the features, from how many images, against which split,
and whether that is enough of them (FID is biased upwards by O(d^2 / n)) is for the caller to state beside the
number. Features and logits may be memory maps: what is read of them at once does not grow with n.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import numpy.typing as npt
from scipy.special import entr, rel_entr

from ebm_tf.evaluation.published import Published
from ebm_tf.evaluation.statistics import (
    FloatArray,
    Moments,
    block_length,
    check_finite,
    checked_features,
    checked_matrix,
    feature_blocks,
    mean_of,
)

Matrix = npt.NDArray[Any]
Gaussian = Union[Moments, Published, "FrechetTo"]
"""What has a mean and a covariance."""

_SUM_TOLERANCE = 1e-3
"""How far from 1 a sum of probabilities may be: float32 softmax over a thousand classes stays well within."""
_KERNEL_ROWS = 4096
"""Rows and columns of a tile of the kernel matrix: 128 MiB."""


class KernelDistance(NamedTuple):
    """KID. mean: over subsets. spread: standard deviation over subsets (divisor: the count)."""

    mean: float
    spread: float


class InceptionScore(NamedTuple):
    """IS, in 1..classes. mean: over splits. spread: standard deviation over splits (divisor: the count)."""

    mean: float
    spread: float


def check_same_dim(first: int, second: int) -> None:
    """ValueError unless two sets have the same number of features."""
    if first != second:
        raise ValueError(f"both sets must have the same number of features. Received: {first} and {second}")


def checked_pair(
    x: npt.ArrayLike, y: npt.ArrayLike, names: tuple[str, str] = ("x", "y")
) -> tuple[Matrix, Matrix]:
    """`x` [n, d] and `y` [m, d] as they are, maps unread but for a pass that looks for what is not finite.

    Raises ValueError when the numbers of features differ, a set has fewer than 2 vectors or values are not finite.
    """
    first, second = checked_matrix(x, names[0]), checked_matrix(y, names[1])
    check_same_dim(first.shape[1], second.shape[1])
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"each set must hold at least 2 feature vectors. Received: {len(first)} and {len(second)}"
        )
    check_finite(first, names[0])
    check_finite(second, names[1])
    return first, second


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians (Dowson, Landau 1982; Heusel et al. 2017).

    |mean_a - mean_b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2, in squared units of the features. Nothing is
    added to the covariances and the result is not clipped: rounding may leave equal sets at a number just
    below 0. With fewer vectors than features the covariances are singular and each null direction may add
    sqrt(2^-53) of the scale; `frechet_distance_from_features` does not have that loss.
    Raises ValueError when the numbers of features differ or a count is below 2.
    """
    check_same_dim(a.mean.size, b.mean.size)
    return frechet_to(a).distance(b)


class FrechetTo:
    """`frechet_distance` of one set to many: the square root of its covariance is taken once.

    Attributes:
        mean: float64 [d], of the one set.
        covariance: float64 [d, d].
        root: float64 [d, d], the symmetric square root of `covariance`.
    """

    def __init__(self, one: Gaussian) -> None:
        """Raises ValueError when `one` holds fewer than 2 vectors."""
        self.mean: FloatArray = one.mean
        self.covariance: FloatArray = _covariance(one)
        self.root = _square_root(self.covariance)

    def distance(self, other: Gaussian) -> float:
        """To `other`; ValueError when the numbers of features differ or its count is below 2."""
        check_same_dim(self.mean.size, other.mean.size)
        covariance = _covariance(other)
        product = self.root @ covariance @ self.root
        eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
        cross = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
        return _frechet(self.mean - other.mean, np.trace(self.covariance), np.trace(covariance), cross)

    def distance_from(self, features: npt.ArrayLike, moments: Optional[Moments] = None) -> float:
        """To `features` [n, d], n >= 2, accurate for any n; `moments` of them, where they are known already.

        Raises ValueError as `distance` and `distance_of_few`.
        """
        matrix = checked_matrix(features)
        if len(matrix) < matrix.shape[1]:
            return self.distance_of_few(matrix)
        return self.distance(Moments.of(matrix) if moments is None else moments)

    def distance_of_few(self, features: npt.ArrayLike) -> float:
        """To `features` [n, d], n >= 2, also accurate for n < d: for F = Xc / sqrt(n - 1), Xc the centred features,
        tr (R F^T F R)^1/2 is the sum of the singular values of F R, where R is the root.

        Raises ValueError when the numbers of features differ, n < 2 or values are not finite.
        """
        matrix = checked_matrix(features)
        check_same_dim(self.mean.size, matrix.shape[1])
        if len(matrix) < 2:
            raise ValueError(f"a covariance needs at least 2 feature vectors. Received: {len(matrix)}")
        mean, trace, factor = _factor(matrix)
        cross = np.linalg.svd(factor @ self.root, compute_uv=False).sum()
        return _frechet(self.mean - mean, np.trace(self.covariance), trace, cross)


def frechet_to(one: Gaussian) -> FrechetTo:
    """Distances to `one`: itself, if the square root of its covariance was taken before."""
    return one if isinstance(one, FrechetTo) else FrechetTo(one)


def frechet_distance_from_features(x: npt.ArrayLike, y: npt.ArrayLike) -> float:
    """`frechet_distance` of the features `x` [n, d] and `y` [m, d], n and m >= 2, accurate also for n < d.

    When a set has fewer vectors than features, tr (A^1/2 B A^1/2)^1/2 is the sum of the singular values of
    Xc Yc^T over sqrt((n - 1)(m - 1)), Xc and Yc the centred features: no square root of a null eigenvalue is
    taken. Raises ValueError when the numbers of features differ, a set is too small or values are not finite.
    """
    first, second = checked_pair(x, y)
    if min(len(first), len(second)) >= first.shape[1]:
        return frechet_distance(Moments.of(first), Moments.of(second))
    (mean_a, trace_a, factor_a), (mean_b, trace_b, factor_b) = map(_factor, (first, second))
    cross = np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum()
    return _frechet(mean_a - mean_b, trace_a, trace_b, cross)


def kernel_distance(
    x: npt.ArrayLike, y: npt.ArrayLike, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """KID: unbiased squared MMD of `x` [n, d] and `y` [m, d] under (x.y / d + 1)^3 (Binkowski et al. 2018).

    Averaged over `subsets` pairs of subsets of min(subset_size, n, m) vectors, each drawn without replacement
    by `seed`. When a subset would be all of both sets there is only one: the spread is then 0.0. May be
    negative. Beyond one pass that looks for values that are not finite, only the rows of subsets are read.
    Raises ValueError for subsets < 1, subset_size < 2, n or m < 2, different d or values that are not finite.
    """
    if subsets < 1 or subset_size < 2:
        raise ValueError(
            f"subsets must be at least 1 and subset_size at least 2. Received: {subsets} and {subset_size}"
        )
    first, second = checked_pair(x, y)
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
    _check_splits(splits, len(rows))
    scores = [
        np.exp(rel_entr(part, part.mean(axis=0)).sum(axis=1).mean()) for part in np.array_split(rows, splits)
    ]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def inception_score_from_logits(
    logits: npt.ArrayLike, splits: int = 10, seed: Optional[int] = None
) -> InceptionScore:
    """`inception_score` of the softmax of `logits` [n, C], in one pass over them.

    With p(y) the mean of the softmax over a split, the mean KL is the entropy of p(y) less the mean entropy of
    the rows. splits: in 1..n. seed: None makes each split a run of consecutive rows; an integer deals the rows
    to splits of the same sizes at random, for rows that may come sorted by class.
    Raises ValueError when logits are no real matrix, not finite, or splits is out of range.
    """
    matrix = checked_matrix(logits, "logits")
    split_of = splits_of_rows(len(matrix), splits, seed)
    summed, entropies = np.zeros((splits, matrix.shape[1])), np.zeros(splits)
    for rows, block in feature_blocks(matrix, "logits"):
        probabilities, entropy = softmax_and_entropy(block)
        for split in range(splits):
            own = split_of[rows] == split
            summed[split] += probabilities[own].sum(axis=0)
            entropies[split] += entropy[own].sum()
    sizes = np.bincount(split_of)
    scores = np.exp(entr(summed / sizes[:, None]).sum(axis=1) - entropies / sizes)
    return InceptionScore(float(scores.mean()), float(scores.std()))


def splits_of_rows(count: int, splits: int, seed: Optional[int]) -> npt.NDArray[np.int64]:
    """The split, 0..splits-1, of each of `count` rows, as `inception_score_from_logits` takes them."""
    _check_splits(splits, count)
    sizes = [len(run) for run in np.array_split(np.arange(count), splits)]
    in_runs = np.repeat(np.arange(splits), sizes)
    return in_runs if seed is None else np.random.default_rng(seed).permutation(in_runs)


def softmax_and_entropy(logits: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Softmax [n, C] of float64 `logits` [n, C], and the entropy of each row in nats [n]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    probabilities = np.exp(shifted)
    total = probabilities.sum(axis=1)
    probabilities /= total[:, None]
    return probabilities, np.log(total) - np.einsum("ij,ij->i", probabilities, shifted)


def kernel_tiles(x: Matrix, y: Matrix) -> Iterator[tuple[slice, slice, FloatArray]]:
    """The kernel of KID, (x.y / d + 1)^3, of `x` [n, d] and `y` [m, d], tile by tile.

    Yields rows, columns and a new float64 [rows, columns] that holds the kernel there.
    """
    length = min(_KERNEL_ROWS, block_length(x.shape[1]))
    for i in range(0, len(x), length):
        first = x[i : i + length].astype(np.float64)
        for j in range(0, len(y), length):
            second = first if x is y and i == j else y[j : j + length].astype(np.float64)
            base = first @ second.T / x.shape[1] + 1
            tile = base * base * base  # numpy raises to a power many times slower than it multiplies
            yield slice(i, i + len(first)), slice(j, j + len(second)), tile


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


def class_coverage(counts: npt.ArrayLike) -> float:
    """Share of the classes that occur at all, in 1/C..1, from how often each was predicted, `counts` [C].

    Grows with the number of images: compare only between sets of as many. It knows nothing of how evenly classes
    occur (that is `entropy_of` their shares). Raises ValueError unless counts are integers >= 0, not all 0.
    """
    array = np.asarray(counts)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"counts must be integers of shape [C], C >= 1. Received: shape {array.shape}, dtype {array.dtype}"
        )
    if array.min() < 0 or array.max() == 0:
        raise ValueError(f"counts must be >= 0 and not all 0. Received: {array.min()}..{array.max()}")
    return float(np.count_nonzero(array) / array.size)


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


def _factor(features: Matrix) -> tuple[FloatArray, float, FloatArray]:
    """Mean [d], trace of the covariance, and R [min(n, d), d] with R^T R the covariance, of `features` [n, d].

    Of more than a block of rows, R is that of the block's rows under the R so far: never more rows than that.
    """
    mean = mean_of(features)
    trace, factor = 0.0, np.empty((0, mean.size))
    for _, block in feature_blocks(features):
        deviations = (block - mean) / np.sqrt(len(features) - 1)
        trace += np.square(deviations).sum()
        factor = _at_most_square(np.concatenate([factor, deviations]))
    return mean, trace, factor


def _at_most_square(matrix: FloatArray) -> FloatArray:
    """R [min(n, d), d] with R^T R = M^T M for M [n, d]: same singular values of M N^T, without n rows."""
    tall = matrix.shape[0] > matrix.shape[1]
    return np.asarray(np.linalg.qr(matrix, mode="r")) if tall else matrix


def _subset(features: Matrix, size: int, rng: np.random.Generator) -> Matrix:
    return features[rng.choice(len(features), size, replace=False)]


def _squared_mmd(x: Matrix, y: Matrix) -> float:
    """Unbiased (U-statistic) squared MMD of `x` [n, d] and `y` [m, d] under the cubic kernel."""
    cross, _ = _kernel_sums(x, y)
    return _mean_off_diagonal(x) + _mean_off_diagonal(y) - 2 * (cross / (len(x) * len(y)))


def _mean_off_diagonal(x: Matrix) -> float:
    """Mean of the kernel over the pairs of different vectors of `x`."""
    total, diagonal = _kernel_sums(x, x)
    return (total - diagonal) / (len(x) * (len(x) - 1))


def _kernel_sums(x: Matrix, y: Matrix) -> tuple[float, float]:
    """Sum of the kernel over all pairs, and over the pairs (x_i, y_i)."""
    total = diagonal = 0.0
    for rows, columns, tile in kernel_tiles(x, y):
        total += tile.sum()
        diagonal += np.trace(tile) if rows == columns else 0.0
    return float(total), float(diagonal)


def _covariance(one: Gaussian) -> FloatArray:
    return one.covariance() if isinstance(one, Moments) else one.covariance


def _check_splits(splits: int, rows: int) -> None:
    if not 1 <= splits <= rows:
        raise ValueError(f"splits must be in 1..{rows}, the number of rows. Received: {splits}")


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
