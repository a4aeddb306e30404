"""Exact nearest neighbours in pixel space, for sets that do not fit in memory.

The store is read once, in blocks. In each block a float32 matrix product gives every squared distance D up to
a known error; the images that this error allows among the k nearest are measured again in int64 from their
uint8 pixels.

The error bound. Take from every pixel an integer c in 0..255, the same for all images: distances do not
change, and the differences u (query) and v (store) are integers of at most 255, exact in float32, as is each
product u_i v_i <= 2^16. D = |u|^2 + |v|^2 - 2 u.v. The norms are integers below 2^53 and exact in float64; so
are the doubling and the sum of the three. Only the float32 product u.v is rounded. In any order of summation,
fused or not, over d pixels

    |fl(u.v) - u.v| <= g_d sum |u_i v_i| <= g_d |u| |v|,   g_d = d e / (1 - d e),   e = 2^-24

(Higham 2002, section 3.1, then Cauchy-Schwarz), so |fl(D) - D| <= 2 g_d |u| |v|. Since the products are
exact, d - 1 roundings would do: the d-th covers the float64 roundings of the bound itself. When |u| |v| <=
2^24 every partial sum is an integer that float32 holds, and the error is 0. The choice of c moves only the
size of the bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SPARE = 16
"""Images measured exactly per query and block beyond k, before the bound is asked for more."""
_QUERIES_AT_ONCE = 256
_PIXELS_AT_ONCE = 2**22
_MOST_PIXELS = 2**22
"""Largest image: keeps d e at most 1/4 in the bound."""
_UNKNOWN = np.iinfo(np.int64).max


class Neighbours(NamedTuple):
    """The k nearest store images of each query, nearest first, equal distances by lowest index.

    indices: int64 [q, k], rows of the store. squared_distances: int64 [q, k], exact, in squared grey levels
    (0..255).
    """

    indices: Integers
    squared_distances: Integers


def nearest(queries: Bytes, store: Bytes, k: int, block: int = 4096) -> Neighbours:
    """The exact k nearest images of `store` to each of `queries` in L2.

    queries: uint8 [q, ...]. store: uint8 [n, ...], an array or a memory map, of the same image shape. k:
    1..n. block: images of the store in memory at once, >= 1. Beyond queries and result, memory grows with
    `block` x (pixels + 256) and not with n. The module says why the result is exact.
    Raises ValueError for other dtypes, different image shapes, and k or block out of range.
    """
    _check(queries, store, k, block)
    found = _nothing_yet(len(queries), k)
    flat = queries.reshape(len(queries), prod(queries.shape[1:]))
    centre = _rounded_mean(_images(store, 0, block))
    for start in range(0, len(store), block):
        images = _images(store, start, block)
        centred = _centred(images, centre)
        for chosen in _runs(len(flat), _QUERIES_AT_ONCE):
            so_far = Neighbours(found.indices[chosen], found.squared_distances[chosen])
            approximate, error = _distances(_centred(flat[chosen], centre), centred)
            better = _search_block(flat[chosen], images, start, approximate, error, so_far)
            found.indices[chosen], found.squared_distances[chosen] = better
    return found


def _search_block(
    queries: Bytes, images: Bytes, start: int, approximate: Floats, error: Floats, so_far: Neighbours
) -> Neighbours:
    """`so_far` [q, k] with the block's `images` [b, d] taken in; `start` is the index of its first image.

    First the k + 16 that look nearest are measured; then whatever else the error allows at or below the k-th
    distance. At, not only below: an equal distance with a lower index ranks first.
    """
    lowest = approximate - error
    width = min(so_far.indices.shape[1] + _SPARE, len(images))
    looks_near = np.zeros(approximate.shape, dtype=bool)
    np.put_along_axis(looks_near, np.argpartition(approximate, width - 1, axis=1)[:, :width], True, axis=1)
    for group in (looks_near, ~looks_near):
        rows, columns = np.nonzero(group & (lowest <= so_far.squared_distances[:, -1:]))
        exact = _exact_distances(queries, images, rows, columns)
        so_far = _merge(so_far, rows, columns + start, exact)
    return so_far


def _distances(queries: npt.NDArray[np.float32], images: npt.NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Squared distances [q, b] of centred pixels [q, d] and [b, d], and a bound [q, b] on their error."""
    query_norms, image_norms = _squared_norms(queries), _squared_norms(images)
    dots = (queries @ images.T).astype(np.float64)
    squared = query_norms[:, None] + image_norms[None, :] - 2 * dots
    return squared, _error_bound(query_norms, image_norms, queries.shape[1])


def _error_bound(query_norms: Floats, image_norms: Floats, pixels: int) -> Floats:
    """2 g_d |u| |v|, or 0 where float32 is exact, from squared norms [q] and [b]: float64 [q, b]."""
    share = pixels * 2.0**-24
    products = np.outer(query_norms, image_norms)
    return np.where(products <= 2.0**48, 0.0, 2 * share / (1 - share) * np.sqrt(products))


def _squared_norms(centred: npt.NDArray[np.float32]) -> Floats:
    """|u|^2 of integers [b, d] held in float32: sums of integers below 2^53, exact in float64."""
    return np.einsum("ij,ij->i", centred, centred, dtype=np.float64)


def _exact_distances(queries: Bytes, images: Bytes, rows: Integers, columns: Integers) -> Integers:
    """Squared distance of queries[rows[i]] and images[columns[i]] for every i, in int64."""
    squared = np.empty(len(rows), dtype=np.int64)
    for pairs in _runs(len(rows), max(1, _PIXELS_AT_ONCE // queries.shape[1])):
        difference = queries[rows[pairs]].astype(np.int64) - images[columns[pairs]]
        squared[pairs] = np.einsum("ij,ij->i", difference, difference)
    return squared


def _merge(so_far: Neighbours, rows: Integers, indices: Integers, squared: Integers) -> Neighbours:
    """The k first of each row, by distance, then index, of `so_far` [q, k] and new (row, index, distance)."""
    if len(rows) == 0:
        return so_far
    count, k = so_far.indices.shape
    rows = np.concatenate([np.repeat(np.arange(count), k), rows])
    indices = np.concatenate([so_far.indices.ravel(), indices])
    squared = np.concatenate([so_far.squared_distances.ravel(), squared])
    order = np.lexsort((indices, squared, rows))
    first_of_row = np.searchsorted(rows[order], np.arange(count))
    kept = order[first_of_row[:, None] + np.arange(k)]
    return Neighbours(indices[kept], squared[kept])


def _nothing_yet(count: int, k: int) -> Neighbours:
    unknown = np.full((count, k), _UNKNOWN, dtype=np.int64)
    return Neighbours(unknown, unknown.copy())


def _images(store: Bytes, start: int, block: int) -> Bytes:
    images = np.asarray(store[start : start + block])
    return images.reshape(len(images), -1)


def _rounded_mean(images: Bytes) -> npt.NDArray[np.float32]:
    """Mean image of [b, d], rounded to integers."""
    return np.rint(images.mean(axis=0)).astype(np.float32)


def _centred(images: Bytes, centre: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return images.astype(np.float32) - centre


def _runs(count: int, length: int) -> Iterator[slice]:
    """Slices that cut 0..count into runs of at most `length`."""
    return (slice(start, start + length) for start in range(0, count, length))


def _check(queries: npt.NDArray[Any], store: npt.NDArray[Any], k: int, block: int) -> None:
    for name, images in (("queries", queries), ("store", store)):
        if images.dtype != np.uint8:
            raise ValueError(f"{name} must be uint8 images in 0..255. Received: {images.dtype}")
    if queries.ndim < 2 or queries.shape[1:] != store.shape[1:]:
        raise ValueError(
            f"queries [q, ...] and store [n, ...] must hold images of one shape. "
            f"Received: {queries.shape} and {store.shape}"
        )
    pixels = prod(queries.shape[1:])
    if not 1 <= pixels <= _MOST_PIXELS:
        raise ValueError(
            f"images must have 1..{_MOST_PIXELS} values. Received: {pixels}, shape {queries.shape}"
        )
    if not 1 <= k <= len(store):
        raise ValueError(f"k must be in 1..{len(store)}, the number of stored images. Received: {k}")
    if block < 1:
        raise ValueError(f"block must be at least 1. Received: {block}")
