"""Tensors of one number that changes from call to call, such as the number of a step.

TensorFlow keeps each Python number that it has once turned into a tensor, for as long as the process lives: some 800
bytes for each, of which a long training would make millions. NumPy's numbers it does not keep.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def int32(number: int) -> tf.Tensor:
    """An int32 scalar."""
    return tf.constant(np.array(number, np.int32))


def float32(number: float) -> tf.Tensor:
    """A float32 scalar."""
    return tf.constant(np.array(number, np.float32))
