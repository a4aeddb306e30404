"""Mean and covariance of features in the files in which the field exchanges them."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.extractors.base import Identity
from ebm_tf.evaluation.extractors.digests import arrays_sha256
from ebm_tf.evaluation.statistics import (
    FloatArray,
    Moments,
    PathLike,
    check_count,
    check_mean_and,
    read_npz,
)

_ASYMMETRY = 1e-5
"""How far a covariance may be from symmetric, as a share of its largest entry: float32 stays within."""
_NEGATIVE = 1e-4
"""How far below 0 an eigenvalue of a covariance may be, as a share of the largest: float32 stays within."""


@dataclass(frozen=True, eq=False)
class Published:
    """Mean and covariance of features as they are exchanged: an .npz with `mu` and `sigma`.

    mean: float64 [d]. covariance: float64 [d, d], symmetric and positive semi-definite but for what float32 rounds.
    What a file does not tell is None: count, the number of images; identity, of the extractor, without which nothing
    shows that two files belong together; images_sha256, of the images that were measured.
    Raises ValueError when shapes, dtypes or values do not fit that description.
    """

    mean: FloatArray
    covariance: FloatArray
    count: Optional[int] = None
    identity: Optional[Identity] = None
    images_sha256: Optional[str] = None

    def __post_init__(self) -> None:
        check_mean_and("covariance", self.mean, self.covariance)
        _check_covariance(self.covariance)
        if self.count is not None:
            check_count(self.count)
        if self.identity is not None and self.identity.features != self.mean.size:
            raise ValueError(
                f"the extractor {self.identity.name} has {self.identity.features} features, and the mean must have "
                f"as many. Received: {self.mean.size}"
            )

    @classmethod
    def of(
        cls, moments: Moments, identity: Optional[Identity] = None, images_sha256: Optional[str] = None
    ) -> Published:
        """What is published of `moments` of at least 2 vectors."""
        return cls(moments.mean, moments.covariance(), moments.count, identity, images_sha256)

    @property
    def sha256(self) -> str:
        """Of the mean and the covariance, as little-endian float64: the same numbers, whatever the file."""
        return arrays_sha256(array.astype("<f8", copy=False) for array in (self.mean, self.covariance))

    def save(self, path: PathLike) -> None:
        """Writes exactly `path`: `mu` and `sigma`, which every FID program reads, and what else is known.

        `count` is an int64, `extractor` the identity as JSON text, `images_sha256` text.
        """
        known: dict[str, Any] = {} if self.count is None else {"count": np.int64(self.count)}
        if self.identity is not None:
            known["extractor"] = np.str_(json.dumps(self.identity.as_json()))
        if self.images_sha256 is not None:
            known["images_sha256"] = np.str_(self.images_sha256)
        whole = io.BytesIO()  # a disk that fills would leave NumPy with a file that it cannot close
        np.savez(whole, mu=self.mean, sigma=self.covariance, **known)
        Path(path).write_bytes(whole.getvalue())

    @classmethod
    def load(cls, path: PathLike) -> Published:
        """What `save` or another program wrote; keys of others beside `mu` and `sigma` are left alone.

        Raises ValueError, naming the path, when it is no such file or damaged; OSError when it cannot be opened.
        """
        what = "published statistics are an .npz with mu [d] and sigma [d, d]"
        fields = read_npz(path, what, ("mu", "sigma"), ("count", "extractor", "images_sha256"))
        try:
            mean, covariance = (_as_float64(name, fields[name]) for name in ("mu", "sigma"))
            count = _count_of(fields["count"]) if "count" in fields else None
            identity = _identity_of(fields["extractor"]) if "extractor" in fields else None
            digest = _text_of("images_sha256", fields["images_sha256"]) if "images_sha256" in fields else None
            return cls(mean, covariance, count, identity, digest)
        except ValueError as error:
            raise ValueError(f"{what}. Received: {os.fspath(path)}, where {error}") from error


def _check_covariance(covariance: FloatArray) -> None:
    largest = np.abs(covariance).max()
    apart = np.abs(covariance - covariance.T).max()
    if apart > _ASYMMETRY * largest:
        raise ValueError(
            f"covariance must be symmetric. Received: entries {apart:.6g} apart, the largest {largest:.6g}"
        )
    eigenvalues = np.linalg.eigvalsh(covariance)
    if eigenvalues[0] < -_NEGATIVE * eigenvalues[-1]:
        raise ValueError(
            "covariance must be positive semi-definite. "
            f"Received: eigenvalues in {eigenvalues[0]:.6g}..{eigenvalues[-1]:.6g}"
        )


def _as_float64(name: str, array: npt.NDArray[Any]) -> FloatArray:
    if array.dtype.kind != "f":
        raise ValueError(f"{name} must be floating-point numbers. Received: {array.dtype}")
    return array.astype(np.float64)


def _count_of(field: npt.NDArray[Any]) -> int:
    if field.ndim != 0 or field.dtype.kind not in "iu":
        raise ValueError(f"count must be one integer. Received: shape {field.shape}, dtype {field.dtype}")
    return int(field)


def _text_of(name: str, field: npt.NDArray[Any]) -> str:
    if field.ndim != 0 or field.dtype.kind != "U":
        raise ValueError(f"{name} must be one text. Received: shape {field.shape}, dtype {field.dtype}")
    return str(field)


def _identity_of(field: npt.NDArray[Any]) -> Identity:
    try:
        return Identity(**json.loads(_text_of("extractor", field)))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"extractor must be an extractor's identity as JSON. Received: {error}") from error
