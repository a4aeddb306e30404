"""Streaming mean and covariance of features, in float64.

A batch at a time, in any grouping: replicas and resumed runs merge to what one pass over all features gives.
The sum of squares is kept about the mean. Kept about zero in float32, features of mean 30 and standard
deviation 0.05 lose every digit of their covariance.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
PathLike = Union[str, "os.PathLike[str]"]

_FIELDS = ("count", "mean", "scatter")


def checked_features(features: npt.ArrayLike, name: str = "features") -> FloatArray:
    """`features` as float64 [n, d].

    Raises ValueError when they are not a real matrix with at least one column, or hold NaN or infinity.
    """
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be real numbers of shape [n, d] with d >= 1. "
            f"Received: shape {array.shape}, dtype {array.dtype}"
        )
    matrix = array.astype(np.float64)
    bad = matrix.size - int(np.count_nonzero(np.isfinite(matrix)))
    if bad:
        raise ValueError(f"{name} must be finite. Received: {bad} of {matrix.size} values NaN or infinite")
    return matrix


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
        _check_count(self.count)
        if self.mean.ndim != 1 or self.mean.size == 0 or self.scatter.shape != self.mean.shape * 2:
            raise ValueError(
                "mean must have shape [d] and scatter [d, d], d >= 1. "
                f"Received: {self.mean.shape} and {self.scatter.shape}"
            )
        for name in ("mean", "scatter"):
            _check_float64(name, getattr(self, name))

    @classmethod
    def empty(cls, dim: int) -> Moments:
        """Moments of no vectors of `dim` >= 1 features: the neutral element of `merge`."""
        if dim < 1:
            raise ValueError(f"dim must be at least 1. Received: {dim}")
        return cls(0, np.zeros(dim), np.zeros((dim, dim)))

    @classmethod
    def of(cls, features: npt.ArrayLike) -> Moments:
        """Moments of `features` [n, d], n >= 0, of any real dtype; ValueError when some are not finite."""
        matrix = checked_features(features)
        if len(matrix) == 0:
            return cls.empty(matrix.shape[1])
        mean = matrix.mean(axis=0)
        centred = matrix - mean
        return cls(len(matrix), mean, centred.T @ centred)

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
        fields = _read_npz(path)
        return cls(fields["count"].item(), fields["mean"], fields["scatter"])


def _check_count(count: Any) -> None:
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 0:
        raise ValueError(f"count must be an integer >= 0. Received: {count!r}")


def _check_float64(name: str, array: npt.NDArray[Any]) -> None:
    if array.dtype != np.float64:
        raise ValueError(f"{name} must be float64. Received: {array.dtype}")
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ValueError(f"{name} must be finite. Received: {bad} of {array.size} values NaN or infinite")


def _read_npz(path: PathLike) -> dict[str, npt.NDArray[Any]]:
    """The fields of a moments file; ValueError naming the path when it is not one."""
    problem = f"a moments file is an .npz with {', '.join(_FIELDS)}. Received: {os.fspath(path)}"
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{problem}, which is no .npz file")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                fields = {name: archive[name] for name in archive.files}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{problem}, which cannot be read ({error})") from error
    if set(fields) != set(_FIELDS) or fields["count"].ndim != 0:
        raise ValueError(f"{problem}, which holds {', '.join(sorted(fields)) or 'nothing'}")
    return fields
