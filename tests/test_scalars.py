"""Tensors of one number: their values, and that none is kept."""

import psutil
import pytest

from ebm_tf.scalars import float32, int32

NUMBERS = 20_000
BYTES_EACH = 300  # TensorFlow keeps some 800 of a Python number, and 50 of any tensor with Python 3.11


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
