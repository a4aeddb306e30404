"""Tensors that Python makes and drops by the million, in a loop over steps, without a leak.

Two things in TensorFlow 2.15 leak a little with each. It keeps each Python number that it has once turned into a
tensor, for as long as the process lives: some 800 bytes; NumPy's numbers it does not keep. And with Python 3.11 or
newer a tensor takes with it the 64 bytes that Python sets aside for its attributes (TensorFlow's issue 62551).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_NO_ATTRIBUTES: dict[str, Any] = {}


def int32(number: int) -> tf.Tensor:
    """An int32 scalar."""
    return tf.constant(np.array(number, np.int32))


def float32(number: float) -> tf.Tensor:
    """A float32 scalar."""
    return tf.constant(np.array(number, np.float32))


def release(*tensors: tf.Tensor) -> None:
    """Free what would outlive these tensors. Their values may still be read, but no attribute may be set."""
    for tensor in tensors:
        tensor.__dict__ = _NO_ATTRIBUTES  # Python frees what was in its place, which TensorFlow never does
