"""Streaming mean and covariance of features, in float64, and the files in which the field exchanges them.

A batch at a time, in any grouping: replicas and resumed runs merge to what one pass over all features gives.
The sum of squares is kept about the mean. Kept about zero in float32, features of mean 30 and standard
deviation 0.05 lose every digit of their covariance. Features may be a memory map: a block is read at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.extractors.base import Identity

FloatArray = npt.NDArray[np.float64]
PathLike = Union[str, "os.PathLike[str]"]

_FIELDS = ("count", "mean", "scatter")
_VALUES_AT_ONCE = 2**24
"""Values of a block: 128 MiB as float64, 8192 vectors of 2048 features."""
_ASYMMETRY = 1e-5
"""How far a published covariance may be from symmetric, as a share of its largest entry: float32 stays within."""


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
        fields = _read_npz(path, what, _FIELDS)
        if fields["count"].ndim != 0:
            raise ValueError(
                f"{what}. Received: {os.fspath(path)}, which holds a count of shape {fields['count'].shape}"
            )
        return cls(fields["count"].item(), fields["mean"], fields["scatter"])


@dataclass(frozen=True, eq=False)
class Published:
    """Mean and covariance of features as they are exchanged: an .npz with `mu` and `sigma`.

    mean: float64 [d]. covariance: float64 [d, d], symmetric. count: number of images, None where a file does not
    tell. identity: of the extractor, None where a file does not tell: then nothing shows that two files belong
    together. Raises ValueError when shapes, dtypes or values do not fit that description.
    """

    mean: FloatArray
    covariance: FloatArray
    count: Optional[int] = None
    identity: Optional[Identity] = None

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.mean.size == 0 or self.covariance.shape != self.mean.shape * 2:
            raise ValueError(
                "mean must have shape [d] and covariance [d, d], d >= 1. "
                f"Received: {self.mean.shape} and {self.covariance.shape}"
            )
        for name in ("mean", "covariance"):
            _check_float64(name, getattr(self, name))
        _check_covariance(self.covariance)
        if self.count is not None:
            _check_count(self.count)
        if self.identity is not None and self.identity.features != self.mean.size:
            raise ValueError(
                f"the extractor {self.identity.name} has {self.identity.features} features, and the mean must have "
                f"as many. Received: {self.mean.size}"
            )

    @classmethod
    def of(cls, moments: Moments, identity: Optional[Identity] = None) -> Published:
        """What is published of `moments` of at least 2 vectors."""
        return cls(moments.mean, moments.covariance(), moments.count, identity)

    @property
    def sha256(self) -> str:
        """Of the mean and the covariance, as little-endian float64: the same numbers, whatever the file."""
        digest = hashlib.sha256()
        for array in (self.mean, self.covariance):
            digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return digest.hexdigest()

    def save(self, path: PathLike) -> None:
        """Writes exactly `path`: `mu` and `sigma`, which every FID program reads, and what else is known.

        `count` is an int64, `extractor` the identity as JSON text.
        """
        known: dict[str, Any] = {} if self.count is None else {"count": np.int64(self.count)}
        if self.identity is not None:
            known["extractor"] = np.str_(json.dumps(self.identity.as_json()))
        with Path(path).open("wb") as file:
            np.savez(file, mu=self.mean, sigma=self.covariance, **known)

    @classmethod
    def load(cls, path: PathLike) -> Published:
        """What `save` or another program wrote; keys of others beside `mu` and `sigma` are left alone.

        Raises ValueError, naming the path, when the file is no such file; OSError when it is unreadable.
        """
        what = "published statistics are an .npz with mu [d] and sigma [d, d]"
        fields = _read_npz(path, what, ("mu", "sigma"), ("count", "extractor"))
        try:
            mean, covariance = (_as_float64(name, fields[name]) for name in ("mu", "sigma"))
            count = _count_of(fields["count"]) if "count" in fields else None
            identity = _identity_of(fields["extractor"]) if "extractor" in fields else None
            return cls(mean, covariance, count, identity)
        except ValueError as error:
            raise ValueError(f"{what}. Received: {os.fspath(path)}, where {error}") from error


def _check_count(count: Any) -> None:
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 0:
        raise ValueError(f"count must be an integer >= 0. Received: {count!r}")


def _check_float64(name: str, array: npt.NDArray[Any]) -> None:
    if array.dtype != np.float64:
        raise ValueError(f"{name} must be float64. Received: {array.dtype}")
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ValueError(f"{name} must be finite. Received: {bad} of {array.size} values NaN or infinite")


def _check_covariance(covariance: FloatArray) -> None:
    largest = np.abs(covariance).max()
    apart = np.abs(covariance - covariance.T).max()
    if apart > _ASYMMETRY * largest:
        raise ValueError(
            f"covariance must be symmetric. Received: entries {apart:.6g} apart, the largest {largest:.6g}"
        )
    least = np.diag(covariance).min()
    if least < 0:
        raise ValueError(f"covariance must have variances >= 0 on its diagonal. Received: {least:.6g}")


def _refuse_non_finite(matrix: npt.NDArray[Any], name: str) -> None:
    """Always raises: ValueError with the number of values that are not finite, counted a block at a time."""
    length = block_length(matrix.shape[1])
    blocks = (matrix[start : start + length] for start in range(0, len(matrix), length))
    bad = matrix.size - sum(int(np.count_nonzero(np.isfinite(block))) for block in blocks)
    raise ValueError(f"{name} must be finite. Received: {bad} of {matrix.size} values NaN or infinite")


def _as_float64(name: str, array: npt.NDArray[Any]) -> FloatArray:
    if array.dtype.kind != "f":
        raise ValueError(f"{name} must be floating-point numbers. Received: {array.dtype}")
    return array.astype(np.float64)


def _count_of(field: npt.NDArray[Any]) -> int:
    if field.ndim != 0 or field.dtype.kind not in "iu":
        raise ValueError(f"count must be one integer. Received: shape {field.shape}, dtype {field.dtype}")
    return int(field)


def _identity_of(field: npt.NDArray[Any]) -> Identity:
    if field.ndim != 0 or field.dtype.kind != "U":
        raise ValueError(f"extractor must be one text. Received: shape {field.shape}, dtype {field.dtype}")
    try:
        return Identity(**json.loads(str(field)))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"extractor must be an extractor's identity as JSON. Received: {error}") from error


def _read_npz(
    path: PathLike, what: str, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, npt.NDArray[Any]]:
    """The required and optional fields of a file; ValueError, with `what` it should be, when it is not that."""
    problem = f"{what}. Received: {os.fspath(path)}"
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{problem}, which is no .npz file")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                held = sorted(archive.files)
                fields = {name: archive[name] for name in (*required, *optional) if name in held}
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{problem}, which cannot be read ({error})") from error
    if not set(required) <= set(fields):
        raise ValueError(f"{problem}, which holds {', '.join(held) or 'nothing'}")
    return fields
