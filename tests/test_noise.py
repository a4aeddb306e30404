"""Random numbers by row: they are the same whatever rows are drawn together, and those of TensorFlow's own calls."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from ebm_tf.noise import normal_rows, uniform_rows

SEED = tf.constant([3, 9])
SHAPES = [(8, 8, 1), (7, 7, 1), (28, 28, 3), (1, 1, 1), (5, 3, 1)]
DRAWS = [normal_rows, uniform_rows]


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("draw", DRAWS)
def test_rows_are_a_slice_of_the_whole(draw, shape, dtype):
    """The whole is large enough for TensorFlow to cut it over its threads."""
    whole = draw(0, 1001, shape, SEED, dtype).numpy()
    assert whole.shape == (1001, *shape)
    for first, count in ((0, 1), (1, 1), (17, 500), (500, 501), (1000, 1)):
        part = draw(tf.constant(first), tf.constant(count), shape, SEED, dtype)
        np.testing.assert_array_equal(part, whole[first : first + count])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((8, 8, 1), tf.float32), ((28, 28, 3), tf.float32), ((2, 3, 1), tf.float64), ((8, 8, 1), tf.float64)],
)
def test_the_first_rows_are_those_of_tensorflows_own_calls(shape, dtype):
    normal = tf.random.stateless_normal([333, *shape], SEED, dtype=dtype)
    np.testing.assert_array_equal(normal_rows(0, 333, shape, SEED, dtype), normal)
    uniform = tf.random.stateless_uniform([333, *shape], SEED, dtype=dtype)
    np.testing.assert_array_equal(uniform_rows(0, 333, shape, SEED, dtype), uniform)


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 7, 1)])
def test_they_have_the_law_that_they_claim(shape):
    normal = normal_rows(1000, 2000, shape, SEED).numpy().ravel()
    assert scipy.stats.kstest(normal, "norm").pvalue > 0.001
    uniform = uniform_rows(1000, 2000, shape, SEED).numpy().ravel()
    assert scipy.stats.kstest(uniform, "uniform").pvalue > 0.001
    assert uniform.min() >= 0
    assert uniform.max() < 1


def test_no_two_rows_share_numbers():
    rows = uniform_rows(0, 500, (7, 7, 1), SEED).numpy().ravel()
    assert len(np.unique(rows)) > 0.99 * len(rows)


def test_rows_beyond_two_to_the_32nd_number_go_on():
    """Row 2^31 - 2 of images as large as they come: far beyond what 32 bits count."""
    far = normal_rows(2**31 - 2, 1, (128, 128, 3), SEED).numpy()
    assert far.std() == pytest.approx(1, abs=0.02)
    assert not np.isclose(far, normal_rows(0, 1, (128, 128, 3), SEED)).all()


@pytest.mark.parametrize("draw", DRAWS)
def test_a_compiled_function_draws_the_same_with_one_trace(draw):
    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)] * 2)
    def drawn(first, count):
        return draw(first, count, (7, 7, 1), SEED)

    for first, count in ((0, 5), (3, 9)):
        np.testing.assert_array_equal(drawn(first, count), draw(first, count, (7, 7, 1), SEED))
    assert drawn.experimental_get_tracing_count() == 1
