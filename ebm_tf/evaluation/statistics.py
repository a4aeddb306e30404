"""Streaming mean and covariance of features, in float64.

A batch at a time, in any grouping: replicas and resumed runs merge to what one pass over all features gives.
The sum of squares is kept about the mean. Kept about zero in float32, features of mean 30 and standard
deviation 0.05 lose every digit of their covariance. Features may be a memory map: a block is read at a time.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt

from ebm_tf.files import UNREADABLE

FloatArray = npt.NDArray[np.float64]
PathLike = Union[str, "os.PathLike[str]"]

_FIELDS = ("count", "mean", "scatter")
_VALUES_AT_ONCE = 2**24
"""Values of a block: 128 MiB as float64, 8192 vectors of 2048 features."""


def checked_matrix(features: npt.ArrayLike, name: str = "features") -> npt.NDArray[Any]:
    """`features` as an array [n, d], unread if they are a memory map; ValueError for no real matrix with d >= 1."""
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be real numbers of shape [n, d] with d >= 1. "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    return array


def checked_features(features: npt.ArrayLike, name: str = "features") -> FloatArray:
    """`features` as float64 [n, d], a copy of all of them.

    Raises ValueError when they are not a real matrix with at least one column, or hold NaN or infinity.
    """
    matrix = checked_matrix(features, name).astype(np.float64)
    if not np.isfinite(matrix).all():
        _refuse_non_finite(matrix, name)
    return matrix


def block_length(dim: int) -> int:
    """How many vectors of `dim` features are read at once."""
    return max(1, _VALUES_AT_ONCE // dim)


def feature_blocks(features: npt.ArrayLike, name: str = "features") -> Iterator[tuple[slice, FloatArray]]:
    """The rows of `features` [n, d] in order, as (their place, float64 [b, d]), b <= `block_length(d)`.

    Raises ValueError as `checked_features` does; what is not finite is met, and counted, while reading.
    """
    matrix = checked_matrix(features, name)
    length = block_length(matrix.shape[1])
    for start in range(0, len(matrix), length):
        rows = slice(start, min(start + length, len(matrix)))
        block = matrix[rows].astype(np.float64)
        if not np.isfinite(block).all():
            _refuse_non_finite(matrix, name)
        yield rows, block


def mean_of(features: npt.ArrayLike, name: str = "features") -> FloatArray:
    """Mean of `features` [n, d], n >= 1, block by block: float64 [d]; ValueError as `checked_features`."""
    mean = np.zeros(checked_matrix(features, name).shape[1])
    for rows, block in feature_blocks(features, name):
        mean = mean + (block.mean(axis=0) - mean) * (len(block) / rows.stop)
    return mean


def check_finite(features: npt.NDArray[Any], name: str = "features") -> None:
    """ValueError, with their number, if some of `features` [n, d] are NaN or infinite; read block by block."""
    for _ in feature_blocks(features, name):
        pass


def check_count(count: Any) -> None:
    """ValueError unless `count` is an integer >= 0."""
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 0:
        raise ValueError(f"count must be an integer >= 0. Received: {count!r}")


def check_float64(name: str, array: npt.NDArray[Any]) -> None:
    """ValueError unless `array`, of any shape, is float64 and finite."""
    if array.dtype != np.float64:
        raise ValueError(f"{name} must be float64. Received: {array.dtype}")
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ValueError(f"{name} must be finite. Received: {bad} of {array.size} values NaN or infinite")


def check_mean_and(name: str, mean: npt.NDArray[Any], square: npt.NDArray[Any]) -> None:
    """ValueError unless `mean` is float64 [d] and `square`, of that name, float64 [d, d], d >= 1, both finite."""
    if mean.ndim != 1 or mean.size == 0 or square.shape != mean.shape * 2:
        raise ValueError(
            f"mean must have shape [d] and {name} [d, d], d >= 1. Received: {mean.shape} and {square.shape}"
        )
    check_float64("mean", mean)
    check_float64(name, square)


def read_npz(
    path: PathLike, what: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, npt.NDArray[Any]]:
    """The required and optional fields of an .npz, without pickles; of the optional ones those that it holds.

    Raises ValueError, with `what` the file should be and its path, when it is not that or damaged; OSError when it
    cannot be opened.
    """
    problem = f"{what}. Received: {os.fspath(path)}"
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{problem}, which is no .npz file")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                held = sorted(archive.files)
                fields = {name: archive[name] for name in (*required, *optional) if name in held}
        except UNREADABLE as error:
            raise ValueError(f"{problem}, which cannot be read ({error})") from error
    if not set(required) <= set(fields):
        raise ValueError(f"{problem}, which holds {', '.join(held) or 'nothing'}")
    return fields


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter of a set of feature vectors.

    count: number of vectors, n >= 0. mean: float64 [d], in units of the features.
    scatter: float64 [d, d], sum over the vectors of (x - mean)(x - mean)^T, in squared units.
    Raises ValueError when shapes, dtypes or values do not fit that description.

    Example:
        moments = Moments.empty(2048)
        for batch in batches:
            moments = moments.update(batch)
    """

    count: int
    mean: FloatArray
    scatter: FloatArray

    def __post_init__(self) -> None:
        check_count(self.count)
        check_mean_and("scatter", self.mean, self.scatter)

    @classmethod
    def empty(cls, dim: int) -> Moments:
        """Moments of no vectors of `dim` >= 1 features: the neutral element of `merge`."""
        if dim < 1:
            raise ValueError(f"dim must be at least 1. Received: {dim}")
        return cls(0, np.zeros(dim), np.zeros((dim, dim)))

    @classmethod
    def of(cls, features: npt.ArrayLike) -> Moments:
        """Moments of `features` [n, d], n >= 0, of any real dtype; ValueError when some are not finite.

        A memory map is read a block at a time: memory grows with d^2 and the block, not with n.
        """
        moments = cls.empty(checked_matrix(features).shape[1])
        for _, block in feature_blocks(features):
            mean = block.mean(axis=0)
            block -= mean
            moments = moments.merge(cls(len(block), mean, block.T @ block))
        return moments

    @property
    def dim(self) -> int:
        """Number of features, d."""
        return int(self.mean.size)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets together (Chan, Golub, LeVeque 1979); ValueError when the d differ."""
        if self.dim != other.dim:
            raise ValueError(
                f"moments of the same number of features can be merged. Received: {self.dim} and {other.dim}"
            )
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        total = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / total)
        between = np.outer(delta, delta) * (self.count * other.count / total)
        return Moments(total, mean, self.scatter + other.scatter + between)

    def update(self, batch: npt.ArrayLike) -> Moments:
        """Moments with `batch` [n, d] added, whatever its n: a last batch of one vector counts."""
        return self.merge(Moments.of(batch))

    def covariance(self) -> FloatArray:
        """Unbiased covariance, float64 [d, d] (divisor n - 1); ValueError when count < 2."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 feature vectors. Received: {self.count}")
        return self.scatter / (self.count - 1)

    def save(self, path: PathLike) -> None:
        """Writes exactly `path` (no suffix is added), in NumPy's .npz format."""
        with Path(path).open("wb") as file:
            np.savez(file, count=np.int64(self.count), mean=self.mean, scatter=self.scatter)

    @classmethod
    def load(cls, path: PathLike) -> Moments:
        """Moments that `save` wrote; ValueError when the file is no such file, OSError when unreadable."""
        what = f"a moments file is an .npz with {', '.join(_FIELDS)}"
        fields = read_npz(path, what, _FIELDS)
        if fields["count"].ndim != 0:
            raise ValueError(
                f"{what}. Received: {os.fspath(path)}, which holds a count of shape {fields['count'].shape}"
            )
        return cls(fields["count"].item(), fields["mean"], fields["scatter"])


def _refuse_non_finite(matrix: npt.NDArray[Any], name: str) -> None:
    """Always raises: ValueError with the number of values that are not finite, counted a block at a time."""
    length = block_length(matrix.shape[1])
    blocks = (matrix[start : start + length] for start in range(0, len(matrix), length))
    bad = matrix.size - sum(int(np.count_nonzero(np.isfinite(block))) for block in blocks)
    raise ValueError(f"{name} must be finite. Received: {bad} of {matrix.size} values NaN or infinite")
