"""Squared distances that a float32 matrix product gives up to a known error, and exact ones of single pairs.

What is compared is centred first: distances do not change, and u (query) and v (store) are small where float32 is
finest. D = |u|^2 + |v|^2 - 2 u.v, with the norms, the doubling and the sum in float64 and the product in float32.
With e = 2^-24, in any order of summation, fused or not, over d values

    |fl(u.v) - u.v| <= g_d sum |u_i v_i| <= g_d |u| |v|,   g_d = d e / (1 - d e)

(Higham 2002, section 3.1, then Cauchy-Schwarz), so the product is wrong by at most 2 g_d |u| |v| in D.

Pixels. Their centre c is of integers in 0..255: u and v are integers of at most 255, exact in float32, as is each
product u_i v_i <= 2^16. The norms are integers below 2^53, and exact. Since the products are exact, d - 1 roundings
would do: the d-th covers the float64 roundings of the bound itself. When |u| |v| <= 2^24 every partial sum is an
integer that float32 holds, and the error is 0.

Features. Here u and v are rounded to float32 as well, each value by a share of 1.001 e at most, so that the distance
|u - v| is off by 1.001 e (|u| + |v|), and D by 2.01 e (|u| + |v|)^2. The float64 norms, and the float64 distance
of a pair that D stands for, are off by 2^-29 (|u| + |v|)^2 together for d <= 2^22. So 4 e (|u| + |v|)^2 covers them
all; d 2^-120 covers products that underflow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

MOST_VALUES = 2**22
"""Largest image or feature vector: keeps d e at most 1/4 in the bound."""
LARGEST_FEATURE = 2.0**55
"""Largest |value| of a feature: squares and their sums stay far from float32's largest number."""
_EPSILON = 2.0**-24
_VALUES_AT_ONCE = 2**20
_EXACT_SUM = 256
"""Squares of so many pixel differences that float32 adds without rounding: 256 x 255^2 < 2^24."""


class Centred(NamedTuple):
    """Vectors about the centre: values float32 [n, d] and their squared norms float64 [n]."""

    values: npt.NDArray[np.float32]
    squared_norms: Floats


class Bounded(NamedTuple):
    """Squared distances float64 [q, b], and what each may be off by."""

    squared: Floats
    error: Floats


class Measure(ABC):
    """Squared L2 between vectors [n, d] of one kind, which a subclass names.

    Attributes:
        exact_dtype: of exact squared distances.
        furthest: a squared distance beyond all others, of that type.
    """

    exact_dtype: type[np.generic]
    furthest: float

    @abstractmethod
    def centred(self, vectors: Array) -> Centred:
        """Vectors [n, d] about the centre, in float32; ValueError where they are out of range."""

    @abstractmethod
    def error(self, query_norms: Floats, norms: Floats, values: int) -> Floats:
        """What `bounded` may be off by, float64 [q, b], from norms [q] and [b] of vectors of so many values."""

    @abstractmethod
    def _squared(self, first: Array, second: Array) -> Array:
        """Exact squared distances [n] of the rows of two [n, d]."""

    def bounded(self, queries: Centred, block: Centred) -> Bounded:
        """Squared distances of all pairs, by one matrix product, with their bounds."""
        dots = block.values @ queries.values.T  # this way round, because a block is longer than the queries
        squared = np.multiply(dots.T, -2.0, order="C", dtype=np.float64)
        squared += queries.squared_norms[:, None] + block.squared_norms
        norms = np.sqrt(queries.squared_norms), np.sqrt(block.squared_norms)
        return Bounded(squared, self.error(*norms, queries.values.shape[1]))

    def exact(self, queries: Array, vectors: Array, rows: Rows, columns: Rows) -> Array:
        """Exact squared distance of queries[rows[i]] and vectors[columns[i]] for every i."""
        squared = np.empty(len(rows), dtype=self.exact_dtype)
        length = max(1, _VALUES_AT_ONCE // vectors.shape[1])
        for start in range(0, len(rows), length):
            pairs = slice(start, start + length)
            squared[pairs] = self._squared(queries[rows[pairs]], vectors[columns[pairs]])
        return squared


class PixelMeasure(Measure):
    """Between uint8 images: exact distances are int64, in squared grey levels.

    some: uint8 [n, d], images whose rounded mean is the centre.
    """

    exact_dtype = np.int64
    furthest = np.iinfo(np.int64).max

    def __init__(self, some: Array) -> None:
        self.centre = np.rint(some.mean(axis=0)).astype(np.float32)

    def centred(self, vectors: Array) -> Centred:
        values = vectors.astype(np.float32)
        values -= self.centre
        return Centred(values, _integer_norms(values))

    def error(self, query_norms: Floats, norms: Floats, values: int) -> Floats:
        products = np.outer(query_norms, norms)
        products[products <= 2.0**24] = 0
        products *= _product_share(values)
        return products

    def _squared(self, first: Array, second: Array) -> Array:
        difference = first.astype(np.int64) - second
        return np.einsum("ij,ij->i", difference, difference)


class FeatureMeasure(Measure):
    """Between float32 or float64 features: exact distances are sums of squared differences in float64.

    They depend on the two vectors alone, and not on where these lie, so that copies are equally far from anything.

    some: [n, d], features whose mean is the centre.
    """

    exact_dtype = np.float64
    furthest = np.inf

    def __init__(self, some: Array) -> None:
        self.centre = _in_range(some).mean(axis=0, dtype=np.float64)

    def centred(self, vectors: Array) -> Centred:
        values = np.subtract(_in_range(vectors), self.centre).astype(np.float32)
        return Centred(values, np.einsum("ij,ij->i", values, values, dtype=np.float64))

    def error(self, query_norms: Floats, norms: Floats, values: int) -> Floats:
        rounded = np.square(query_norms[:, None] + norms)
        rounded *= 4 * _EPSILON
        rounded += _product_share(values) * np.outer(query_norms, norms)
        rounded += values * 2.0**-120
        return rounded

    def _squared(self, first: Array, second: Array) -> Array:
        difference = np.subtract(first, second, dtype=np.float64)
        return np.square(difference, out=difference).sum(axis=1)


def _product_share(values: int) -> float:
    """2 g_d."""
    share = values * _EPSILON
    return 2 * share / (1 - share)


def _integer_norms(values: npt.NDArray[np.float32]) -> Floats:
    """|u|^2 of integers of at most 255 [n, d], exact: float32 adds runs that it adds exactly, float64 these."""
    count, width = values.shape
    whole = width - width % _EXACT_SUM
    runs = values[:, :whole].reshape(count, -1, _EXACT_SUM)
    rest = values[:, whole:]
    squared = np.einsum("ijk,ijk->ij", runs, runs).sum(axis=1, dtype=np.float64)
    squared += np.einsum("ij,ij->i", rest, rest)
    return squared


def _in_range(vectors: Array) -> Array:
    """Features [n, d]; ValueError if a value is not finite or beyond the range in which the bound holds."""
    largest = max(vectors.max(initial=0), -vectors.min(initial=0))
    if not largest <= LARGEST_FEATURE:
        raise ValueError(
            f"features must be finite and of at most 2^55 in size. Received: {np.abs(vectors).max()} in size"
        )
    return vectors
