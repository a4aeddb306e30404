"""Exact nearest neighbours among images or features, for sets that do not fit in memory.

The store is read once, in blocks. In each block one float32 matrix product gives every squared distance up to a known
error (bounded_distances.py says why); what this error allows among the k nearest is measured again, exactly. The
answer is that of measuring every pair exactly.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.bounded_distances import (
    MOST_VALUES,
    Array,
    Centred,
    FeatureMeasure,
    Floats,
    Measure,
    PixelMeasure,
    Rows,
)

Report = Callable[[int, int], None]
"""Is told the stored vectors that are searched and those in all."""

_SPARE = 16
"""Vectors measured exactly per query and block beyond k, before the bound is asked for more."""
_QUERIES_AT_ONCE = 256
_BLOCK_VALUES, _LEAST_BLOCK, _LARGEST_BLOCK = 2**21, 256, 8192


class Neighbours(NamedTuple):
    """The k nearest vectors of the store to each query, nearest first, equal distances by lowest index.

    indices: int64 [q, k], rows of the store. squared_distances: [q, k], of uint8 images int64 and exact, in squared
    grey levels (0..255); of features float64. flipped: bool [q, k], whether the query's mirrored form is the nearer;
    False where both are as near, and where there is none.
    """

    indices: Rows
    squared_distances: Array
    flipped: npt.NDArray[np.bool_]


def nearest(
    queries: Array,
    store: Array,
    k: int,
    block: Optional[int] = None,
    mirrored: Optional[Array] = None,
    report: Report = lambda done, total: None,
) -> Neighbours:
    """The exact k nearest vectors of `store` to each of `queries` in L2.

    Each vector of the store comes once, however near both forms of a query are to it. The mirror image of a query is
    as far from an image as the query is from that image's mirror image.

    Args:
        queries: [q, ...], either uint8 images or float32 or float64 features.
        store: [n, ...] of the same kind and shape, an array or a memory map.
        k: 1..n.
        block: vectors of the store in memory at once, >= 1; by default some 8 MB of them. Beyond queries and result,
            memory grows with `block` x (values + 256) and not with n.
        mirrored: another form of each query, such as `mirror_images` gives; the nearer of the two counts.
        report: called after each block.

    Raises:
        ValueError: other dtypes, different shapes, k or block out of range, features that are not finite.
    """
    _check(queries, store, k, mirrored)
    block = _block_of(store.shape) if block is None else block
    if block < 1:
        raise ValueError(f"block must be at least 1. Received: {block}")
    forms = [queries] if mirrored is None else [queries, mirrored]
    first = _flat(store[:block])
    measure: Measure = PixelMeasure(first) if store.dtype == np.uint8 else FeatureMeasure(first)
    found = _nothing_yet(len(queries), k, measure)
    for start in range(0, len(store), block):
        vectors = _flat(store[start : start + block])
        centred = measure.centred(vectors)
        for chosen in _runs(len(queries), _QUERIES_AT_ONCE):
            asked = [_flat(form[chosen]) for form in forms]
            so_far = Neighbours(found.indices[chosen], found.squared_distances[chosen], found.flipped[chosen])
            better = _search_block(measure, asked, vectors, centred, start, so_far)
            found.indices[chosen], found.squared_distances[chosen], found.flipped[chosen] = better
        _let_go(store)
        report(min(start + block, len(store)), len(store))
    return found


def mirror_images(images: Array) -> Array:
    """Images [n, H, W, C] with left and right exchanged; ValueError for another rank."""
    if images.ndim != 4:
        raise ValueError(f"images must have shape [n, H, W, C] to be mirrored. Received: {images.shape}")
    return images[:, :, ::-1]


def _search_block(
    measure: Measure,
    forms: list[Array],
    vectors: Array,
    centred: Centred,
    start: int,
    so_far: Neighbours,
) -> Neighbours:
    """`so_far` [q, k] with the block's `vectors` [b, d] taken in; `start` is the index of its first.

    First the k + 16 that look nearest are measured; then whatever else the error allows at or below the k-th
    distance. At, not only below: an equal distance with a lower index ranks first.
    """
    approximate, lowest = _least(measure, forms, centred)
    allowed = lowest <= so_far.squared_distances[:, -1:]
    near = _nearest_looking(approximate, allowed, so_far.indices.shape[1] + _SPARE)
    for group in (near, allowed & ~near):
        rows, columns = np.nonzero(group & (lowest <= so_far.squared_distances[:, -1:]))
        if len(rows):
            exact = [measure.exact(form, vectors, rows, columns) for form in forms]
            squared = np.minimum(exact[0], exact[-1])
            so_far = _merge(so_far, rows, Neighbours(columns + start, squared, squared < exact[0]))
    return so_far


def _least(measure: Measure, forms: list[Array], centred: Centred) -> tuple[Floats, Floats]:
    """Over the forms of the queries, the least squared distance [q, b] as it looks, and as the error allows."""
    approximate, error = measure.bounded(measure.centred(forms[0]), centred)
    lowest = np.subtract(approximate, error, out=error)
    for form in forms[1:]:
        squared, error = measure.bounded(measure.centred(form), centred)
        np.minimum(approximate, squared, out=approximate)
        np.minimum(lowest, squared - error, out=lowest)
    return approximate, lowest


def _nearest_looking(
    approximate: Floats, allowed: npt.NDArray[np.bool_], width: int
) -> npt.NDArray[np.bool_]:
    """Of what is allowed [q, b], in each row the `width` that look nearest."""
    crowded = np.flatnonzero(np.count_nonzero(allowed, axis=1) > width)
    if not len(crowded):
        return allowed
    first = np.argpartition(approximate[crowded], width - 1, axis=1)[:, :width]
    near = allowed.copy()
    near[crowded] = False
    near[crowded[:, None], first] = True
    return near & allowed


def _merge(so_far: Neighbours, rows: Rows, new: Neighbours) -> Neighbours:
    """The k first of each row, by distance, then index, of `so_far` [q, k] and `new` [m] of the `rows` [m]."""
    count, k = so_far.indices.shape
    rows = np.concatenate([np.repeat(np.arange(count), k), rows])
    both = Neighbours(*(np.concatenate([old.ravel(), more]) for old, more in zip(so_far, new)))
    order = np.lexsort((both.indices, both.squared_distances, rows))
    first_of_row = np.searchsorted(rows[order], np.arange(count))
    kept = order[first_of_row[:, None] + np.arange(k)]
    return Neighbours(*(part[kept] for part in both))


def _nothing_yet(count: int, k: int, measure: Measure) -> Neighbours:
    return Neighbours(
        np.full((count, k), np.iinfo(np.int64).max),
        np.full((count, k), measure.furthest, dtype=measure.exact_dtype),
        np.zeros((count, k), dtype=bool),
    )


def _block_of(shape: tuple[int, ...]) -> int:
    """Vectors of a block whose float32 values stay near the processor."""
    return min(max(_BLOCK_VALUES // prod(shape[1:]), _LEAST_BLOCK), _LARGEST_BLOCK)


def _flat(vectors: Array) -> Array:
    vectors = np.asarray(vectors)
    return vectors.reshape(len(vectors), prod(vectors.shape[1:]))


def _let_go(store: Any) -> None:
    """Of a memory map, the pages that were read: else they count as this process's memory, all n in the end.

    Only of one that cannot be written to, because what was written to a private map would be lost.
    """
    if not isinstance(store, np.memmap) or store.mode != "r":
        return
    base: Any = store
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _runs(count: int, length: int) -> Iterator[slice]:
    """Slices that cut 0..count into runs of at most `length`."""
    return (slice(start, start + length) for start in range(0, count, length))


def _check(queries: Array, store: Array, k: int, mirrored: Optional[Array]) -> None:
    features = all(array.dtype in (np.float32, np.float64) for array in (queries, store))
    if not features and not queries.dtype == store.dtype == np.uint8:
        raise ValueError(
            "queries and store must both be uint8 images in 0..255 or both be float32 or float64 features. "
            f"Received: {queries.dtype} and {store.dtype}"
        )
    if queries.ndim < 2 or queries.shape[1:] != store.shape[1:]:
        raise ValueError(
            f"queries [q, ...] and store [n, ...] must hold vectors of one shape. "
            f"Received: {queries.shape} and {store.shape}"
        )
    if mirrored is not None and (mirrored.shape, mirrored.dtype) != (queries.shape, queries.dtype):
        raise ValueError(
            f"mirrored must be as queries, {queries.dtype} {queries.shape}. "
            f"Received: {mirrored.dtype} {mirrored.shape}"
        )
    values = prod(queries.shape[1:])
    if not 1 <= values <= MOST_VALUES:
        raise ValueError(
            f"vectors must have 1..{MOST_VALUES} values. Received: {values}, shape {queries.shape}"
        )
    if not 1 <= k <= len(store):
        raise ValueError(f"k must be in 1..{len(store)}, the number of stored vectors. Received: {k}")
