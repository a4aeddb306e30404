"""Random numbers by row: those of row i depend on (seed, i) alone, whatever rows are drawn with it.

So a chain meets the same noise in any batch and on any device, and noise for many chains is never held all at once.
It rests on TensorFlow's Philox generator, which is counter based: the c-th value of its counter gives the numbers
from c * g on (g = 4 of float32, 2 of float64). Each row begins at a counter of its own, its last group cut where the
row ends. Where g divides the size of a row, the rows from 0 on are those of `tf.random.stateless_normal` and
`stateless_uniform` for the same seed, bit by bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

PHILOX = 1  # TensorFlow's number of the algorithm; by default it might take another one on another device
PER_COUNTER = {tf.float32: 4, tf.float64: 2}


def normal_rows(
    first: Any, count: Any, row_shape: Sequence[int], seed: Any, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Standard normal numbers for the rows first .. first + count - 1: [count, *row_shape].

    Args:
        first, count: int32 scalars, tensors or not.
        row_shape: of one row, Python numbers.
        seed: int32 [2].
        dtype: float32 or float64.
    """
    return _rows(tf.raw_ops.StatelessRandomNormalV2, first, count, row_shape, seed, dtype)


def uniform_rows(
    first: Any, count: Any, row_shape: Sequence[int], seed: Any, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """Numbers uniform in [0, 1), otherwise as `normal_rows`."""
    return _rows(tf.raw_ops.StatelessRandomUniformV2, first, count, row_shape, seed, dtype)


def _rows(
    draw: Any, first: Any, count: Any, row_shape: Sequence[int], seed: Any, dtype: tf.DType
) -> tf.Tensor:
    size = math.prod(row_shape)
    groups = -(-size // PER_COUNTER[dtype])
    start = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    ahead = tf.cast(first, tf.uint64) * tf.constant(groups, tf.uint64)
    counter = start.counter + tf.stack([ahead, tf.constant(0, tf.uint64)])  # its low half starts at 0
    drawn = groups * PER_COUNTER[dtype]
    shape = [count, *(row_shape if drawn == size else [drawn])]
    numbers = draw(shape=shape, key=start.key, counter=counter, alg=PHILOX, dtype=dtype)
    # As TensorFlow's own calls do: they change no number, but without them a graph is fused otherwise, and a chain
    # that is drawn in it comes out some 1e-7 away from the same chain with `tf.random.stateless_normal`.
    numbers = numbers * tf.constant(1, dtype) + tf.constant(0, dtype)
    return numbers if drawn == size else tf.reshape(numbers[:, :size], [count, *row_shape])
