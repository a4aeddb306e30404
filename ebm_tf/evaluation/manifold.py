"""Precision, recall, density and coverage: which images lie in whose balls.

Around every image of a set lies a ball that reaches to its k-th nearest image of the same set.

    precision  share of samples in the ball of some reference image      (Kynkaanniemi et al. 2019)
    recall     share of reference images in the ball of some sample      (Kynkaanniemi et al. 2019)
    density    reference balls that hold a sample, over k, on average    (Naeem et al. 2020)
    coverage   share of reference balls that hold some sample            (Naeem et al. 2020)

Ties. An image is not its own neighbour, but a duplicate of it is one, at distance 0. The balls of precision and
recall are closed, as in the paper's equation 1. Those of density and coverage are open, as in its authors' program,
which makes the density of a set against itself 1 and not (k + 1) / k. The two differ where a distance equals a
radius: a reference image that occurs more than k times has an empty open ball, and is not covered even by itself.

The squared distance D of x and y is the float64 sum of (x_i - y_i)^2: equal differences give equal distances. It is
taken only of pairs that a bound leaves undecided. With c a centre, s a power of two, e = 2^-24, u and v the float32
roundings of (x - c) / s and (y - c) / s, and r = |u| + |v|, the float32 product of (u, 1) and (v, -|v|^2 / 2) is
(|u|^2 - D / s^2) / 2 but for

    rounding of u and v: |u - v| moves by at most e r, and D / s^2 by at most (2 e + e^2) r^2;
    rounding of the product: at most g (|u| |v| + |v|^2 / 2) <= g r^2 / 2, g = (d + 1) e / (1 - (d + 1) e), in any
        order of summation (Higham 2002, section 3.1), so at most g r^2 in D / s^2;
    rounding of |u|^2, |v|^2, a squared radius R^2 and sums of these: at most 6 e r^2 + 4 e R^2 in D / s^2.

So D / s^2 is known within (g + 9 e) r^2 + 4 e R^2. s, for which no vector is longer than 1, prevents overflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.distances import check_same_dim
from ebm_tf.evaluation.statistics import FloatArray, block_length, checked_matrix, feature_blocks, mean_of

Matrix = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 4096
"""Most rows and columns of a tile of distances: 64 MiB in float32."""
_VALUES_AT_ONCE = 2**21
"""Features of the pairs that are measured together: 16 MiB in float64."""
_MOST_FEATURES = 2**22
"""Keeps (d + 1) e at most about 1/4 in the bound."""
_EPSILON = 2.0**-24
_UNDERFLOW = 2.0**-100
"""More than what float32 may lose to underflow where no vector is longer than 1."""
_MANY = 16
"""Undecided pairs per row and neighbour above which the k that look nearest are measured first."""


class Manifold(NamedTuple):
    """How two sets of images lie in each other's balls, and what each image adds to the four numbers.

    precision, recall, coverage: in 0..1. density: >= 0, and may pass 1.
    inside: bool [m], samples that lie in a reference ball; precision is its mean.
    balls: int64 [m], reference balls that each sample lies in; density is its mean over k.
    reached: bool [n], reference images that lie in a sample's ball; recall is its mean.
    covered: bool [n], reference images whose ball holds a sample; coverage is its mean.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    inside: Flags
    balls: Integers
    reached: Flags
    covered: Flags


def manifold(reference: npt.ArrayLike, samples: npt.ArrayLike, k: int = 5) -> Manifold:
    """Precision, recall, density and coverage of `samples` [m, d] against `reference` [n, d], of any real dtype.

    k: the neighbour that a ball reaches to, in 1..min(n, m) - 1; Kynkaanniemi et al. take 3, Naeem et al. 5. Memory
    grows with n + m and a block, time with (n + m)^2 d. All four numbers depend on n, m and k: compare only where
    these are equal. The module says what ties do, and why the result is exact.
    Raises ValueError when the numbers of features differ, values are not finite or k is out of range.
    """
    real, fake = checked_matrix(reference, "reference"), checked_matrix(samples, "samples")
    _check(real, fake, k)
    a, b = _scaled(real, fake)
    real_radii, fake_radii = _squared_radii(a, k), _squared_radii(b, k)
    inside, balls = np.zeros(len(fake), bool), np.zeros(len(fake), np.int64)
    reached, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in _runs(b):
        for columns in _runs(a):
            tile = _Tile(b, rows, a, columns)
            held = tile.in_balls_of_rows(fake_radii[rows])
            reached[columns] |= held.any(axis=0)
            closed, opened = tile.in_balls_of_columns(real_radii[columns])
            inside[rows] |= closed.any(axis=1)
            balls[rows] += np.count_nonzero(opened, axis=1)
            covered[columns] |= opened.any(axis=0)
    return Manifold(
        precision=float(inside.mean()),
        recall=float(reached.mean()),
        density=float(balls.mean() / k),
        coverage=float(covered.mean()),
        inside=inside,
        balls=balls,
        reached=reached,
        covered=covered,
    )


class _Scaled(NamedTuple):
    """A set in the units of the bound: its vectors are (features - centre) / scale, its lengths theirs [n]."""

    features: Matrix
    centre: Float32Array
    scale: float
    lengths: FloatArray

    def vectors(self, rows: slice) -> Float32Array:
        """[b, d], each rounded once: a float32 difference is the true one rounded, and the scale is a power of 2."""
        block = self.features[rows]
        scale: Any = np.asarray(self.scale, np.float32 if block.dtype == np.float32 else np.float64)
        return np.asarray(block / scale - self.centre / scale, np.float32)


class _Tile:
    """The distances of some rows of one set to some of another (the columns), known within a bound."""

    def __init__(self, one: _Scaled, rows: slice, other: _Scaled, columns: slice) -> None:
        u, v = one.vectors(rows), other.vectors(columns)
        self.features = one.features[rows], other.features[columns]
        self.unit = one.scale**2
        self.half_norms = _squared_norms(u) / 2
        ones = np.ones((len(u), 1), np.float32)
        shifts = (-_squared_norms(v) / 2).astype(np.float32)[:, None]
        self.closeness: Any = np.hstack([u, ones]) @ np.hstack([v, shifts]).T
        """float32 [r, c]: (|u|^2 - D) / 2, where D is the squared distance over `unit`."""
        share = (u.shape[1] + 1) * _EPSILON
        longest = np.square(one.lengths[rows] + other.lengths[columns].max())
        self.error = (share / (1 - share) + 9 * _EPSILON) * longest / 2 + _UNDERFLOW
        """float64 [r]: how far `closeness` may be off, but for a radius."""

    def in_balls_of_rows(self, radii: FloatArray) -> Flags:
        """Which columns lie in the closed balls of the rows, of squared radii [r]: bool [r, c]."""
        radii = radii / self.unit
        sure, rows, columns = _decide(self.closeness, self.half_norms - radii / 2, self.error + _slack(radii))
        sure[rows, columns] = self.measure(rows, columns) <= radii[rows] * self.unit
        return sure

    def in_balls_of_columns(self, radii: FloatArray) -> tuple[Flags, Flags]:
        """Which rows lie in the closed, and in the open, balls of the columns, of squared radii [c]: bool [r, c]."""
        scaled = radii / self.unit
        raised = self.closeness + (scaled / 2).astype(np.float32)
        closed, rows, columns = _decide(raised, self.half_norms, self.error + _slack(scaled.max()))
        opened = closed.copy()
        squared = self.measure(rows, columns)
        closed[rows, columns] = squared <= radii[columns]
        opened[rows, columns] = squared < radii[columns]
        return closed, opened

    def may_be_nearer(self, squared: FloatArray) -> Flags:
        """Which columns may be nearer to the rows than the squared distances [r]: bool [r, c]."""
        scaled = squared / self.unit
        least = self.half_norms - scaled / 2 - self.error - _slack(np.where(np.isinf(scaled), 0, scaled))
        least[squared == 0] = np.inf
        return self.closeness > least.astype(np.float32)[:, None]

    def measure(self, rows: Integers, columns: Integers) -> FloatArray:
        """Squared distances in float64 of pairs of a row and a column, [p] each: [p]."""
        one, other = self.features
        squared = np.empty(len(rows))
        length = max(1, _VALUES_AT_ONCE // one.shape[1])
        for start in range(0, len(rows), length):
            pairs = slice(start, start + length)
            difference = one[rows[pairs]].astype(np.float64) - other[columns[pairs]]
            squared[pairs] = np.square(difference).sum(axis=1)
        return squared


def _decide(
    closeness: Float32Array, least: FloatArray, error: FloatArray
) -> tuple[Flags, Integers, Integers]:
    """Where `closeness` [r, c] is above `least` [r] for sure, and the rows and columns that `error` leaves open."""
    sure = closeness > (least + error).astype(np.float32)[:, None]
    possible = closeness >= (least - error).astype(np.float32)[:, None]
    return sure, *_pairs(possible ^ sure)


def _pairs(flags: Flags) -> tuple[Integers, Integers]:
    """Rows and columns of what is true in [r, c]; NumPy finds few of many faster in one dimension than in two."""
    rows, columns = np.divmod(np.flatnonzero(flags), flags.shape[1])
    return rows, columns


def _slack(squared_radius: Any) -> Any:
    """What a squared radius adds to the error of `closeness`."""
    return 2 * _EPSILON * squared_radius


def _squared_radii(own: _Scaled, k: int) -> FloatArray:
    """Squared distance of each vector to its k-th nearest other one of the set: float64 [n]."""
    radii = np.empty(len(own.features))
    runs = list(_runs(own))
    for number, rows in enumerate(runs):
        nearest = np.full((rows.stop - rows.start, k), np.inf)
        for columns in runs[number:] + runs[:number]:  # its own rows first: sets often come sorted by class
            tile = _Tile(own, rows, own, columns)
            if rows == columns:
                np.fill_diagonal(tile.closeness, -np.inf)
            nearest = _nearer(tile, nearest)
        radii[rows] = nearest[:, -1]
    return radii


def _nearer(tile: _Tile, nearest: FloatArray) -> FloatArray:
    """`nearest` [r, k], the least squared distances of each row so far, with those of the tile taken in."""
    k = nearest.shape[1]
    undecided = tile.may_be_nearer(nearest[:, -1])
    if np.count_nonzero(undecided) > _MANY * k * len(nearest):
        width = min(k, undecided.shape[1])
        looks_near = np.argpartition(tile.closeness, -width, axis=1)[:, -width:]
        rows, columns = np.repeat(np.arange(len(nearest)), width), looks_near.ravel()
        others = tile.closeness[rows, columns] > -np.inf
        rows, columns = rows[others], columns[others]
        nearest = _merge(nearest, rows, tile.measure(rows, columns))
        tile.closeness[rows, columns] = -np.inf
        undecided = tile.may_be_nearer(nearest[:, -1])
    rows, columns = _pairs(undecided)
    return _merge(nearest, rows, tile.measure(rows, columns))


def _merge(nearest: FloatArray, rows: Integers, squared: FloatArray) -> FloatArray:
    """The k least of each row, of `nearest` [r, k] and new (row, squared distance)."""
    count, k = nearest.shape
    order = np.lexsort((squared, rows))
    rows, squared = rows[order], squared[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    best = np.full((count, k), np.inf)
    best[rows[rank < k], rank[rank < k]] = squared[rank < k]
    return np.sort(np.hstack([nearest, best]), axis=1)[:, :k]


def _scaled(real: Matrix, fake: Matrix) -> tuple[_Scaled, _Scaled]:
    """Both sets about the mean of the first, in float32, over a power of 2 that makes no vector longer than 1."""
    centre = mean_of(real, "reference").astype(np.float32)
    lengths = [
        np.concatenate(
            [np.linalg.norm(block - centre, axis=1) for _, block in feature_blocks(features, name)]
        )
        for features, name in ((real, "reference"), (fake, "samples"))
    ]
    longest = max(length.max() for length in lengths)
    scale = 2.0 ** np.ceil(np.log2(longest)) if longest > 0 else 1.0
    first, second = (length / scale for length in lengths)
    return _Scaled(real, centre, scale, first), _Scaled(fake, centre, scale, second)


def _squared_norms(vectors: Float32Array) -> FloatArray:
    return np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)


def _runs(own: _Scaled) -> Iterator[slice]:
    """The rows of a set, cut into runs."""
    count, dim = own.features.shape
    length = min(_ROWS_AT_ONCE, block_length(dim))
    return (slice(start, min(start + length, count)) for start in range(0, count, length))


def _check(real: Matrix, fake: Matrix, k: int) -> None:
    check_same_dim(real.shape[1], fake.shape[1])
    if real.shape[1] > _MOST_FEATURES:
        raise ValueError(f"features must be at most {_MOST_FEATURES}. Received: {real.shape[1]}")
    most = min(len(real), len(fake)) - 1
    if not 1 <= k <= most:
        raise ValueError(
            f"k must be at least 1 and below the images of the smaller set. "
            f"Received: k {k}, {len(real)} reference images and {len(fake)} samples"
        )
