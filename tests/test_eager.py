"""Tensors that Python makes: their values, and that nothing of them is kept."""

import numpy as np
import psutil
import pytest
import tensorflow as tf

from ebm_tf.eager import float32, int32, release
from tests.held_memory import blocks_kept_by

NUMBERS = 20_000
BYTES_EACH = 300  # TensorFlow keeps some 800 of a Python number


def test_values_are_kept_and_have_no_shape():
    assert int32(-7).numpy() == -7 and int32(-7).dtype == "int32" and int32(-7).shape == ()
    assert float32(0.1).numpy() == pytest.approx(0.1, rel=1e-7) and float32(0.1).dtype == "float32"


@pytest.mark.parametrize("make, scale", [(int32, 1), (float32, 0.37)])
def test_many_different_numbers_take_no_memory(make, scale):
    def held_by(numbers):
        before = psutil.Process().memory_info().rss
        for number in numbers:
            make(number * scale)
        return psutil.Process().memory_info().rss - before

    held_by(range(NUMBERS, NUMBERS + 1000))  # what is set up at first
    assert held_by(range(2 * NUMBERS, 3 * NUMBERS)) < NUMBERS * BYTES_EACH


def test_nothing_is_left_of_released_tensors():
    both = tf.function(lambda a, b: (a + b, a * b))

    def act():
        a, b = float32(1.5), float32(2.5)
        release(a, b, *both(a, b))

    assert blocks_kept_by(act) < 0.2


def test_released_tensors_keep_their_values():
    tensor = tf.constant([1.0, 2.0])
    release(tensor)
    assert (tensor + 1.0).numpy().tolist() == [2.0, 3.0] and np.array(tensor).tolist() == [1.0, 2.0]
