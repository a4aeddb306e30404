"""Float32 distances lie within their bound of exact ones, which integers and fractions give."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from ebm_tf.evaluation.bounded_distances import FeatureMeasure, PixelMeasure


def images(seed, n, values, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (n, values), dtype=np.uint8)


def integer_distances(queries, vectors):
    return np.stack(
        [((vectors.astype(np.int64) - query) ** 2).sum(axis=1) for query in queries.astype(np.int64)]
    )


@pytest.mark.parametrize("values", [5, 256, 784, 3072, 12288])
@pytest.mark.parametrize("centre", [0, 128])
def test_float32_distances_of_pixels_lie_within_the_bound(values, centre):
    """Also where the bound says that they are exact."""
    queries = np.concatenate([images(0, 20, values), images(1, 20, values, low=250)])
    vectors = np.concatenate([images(2, 200, values), queries, images(3, 50, values, high=2)])
    measure = PixelMeasure(np.full((1, values), centre, np.uint8))
    approximate, error = measure.bounded(measure.centred(queries), measure.centred(vectors))
    wrong_by = np.abs(approximate - integer_distances(queries, vectors))
    assert np.all(wrong_by <= error)
    assert np.any(error > 0) == (values * max(centre, 255 - centre) ** 2 > 2**24)
    assert np.any(wrong_by > 0) or values <= 784


@pytest.mark.parametrize("values", [1, 255, 256, 257, 1000, 49152])
def test_norms_of_pixels_are_exact(values):
    """Also of the largest differences that there are, which float32 alone cannot add up."""
    vectors = np.concatenate([images(0, 20, values), np.full((1, values), 255, np.uint8)])
    measure = PixelMeasure(np.zeros((1, values), np.uint8))
    expected = np.square(vectors.astype(np.int64)).sum(axis=1)
    np.testing.assert_array_equal(measure.centred(vectors).squared_norms, expected)


def features(seed, n, values, dtype, scale, offset):
    random = np.random.default_rng(seed)
    return (offset + scale * random.standard_normal((n, values))).astype(dtype)


def fractions(vector):
    return [Fraction(float(value)) for value in vector]


def exact_distance(first, second):
    return sum((a - b) ** 2 for a, b in zip(fractions(first), fractions(second)))


@pytest.mark.parametrize("values", [1, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("scale", "offset"), [(1, 0), (1, 1e4), (1e-3, 10), (1e-12, 0), (1e-30, 0), (1e12, 1e15), (1e-6, 1e-6)]
)
def test_float32_distances_of_features_lie_within_the_bound(dtype, scale, offset, values):
    """Of vectors far and near, equal, and off by the last bit; the bound is at most 1e-4 of their norms."""
    vectors = features(0, 12, values, dtype, scale, offset)
    vectors[10], vectors[11] = vectors[0], np.nextafter(vectors[1], np.inf, dtype=dtype)
    queries = np.concatenate([vectors[:3], features(1, 2, values, dtype, scale, offset)])
    measure = FeatureMeasure(vectors[4:8])
    centred = measure.centred(queries), measure.centred(vectors)
    approximate, error = measure.bounded(*centred)
    for row, query in enumerate(queries):
        for column, vector in enumerate(vectors):
            wrong_by = abs(Fraction(approximate[row, column]) - exact_distance(query, vector))
            assert wrong_by <= Fraction(error[row, column])
    largest = centred[0].squared_norms.max() + centred[1].squared_norms.max()
    assert scale < 1e-9 or error.max() <= 1e-4 * largest


def one_by_one(first, second):
    """Squared distance by a product that is summed in the worst order: each term alone, in float32."""
    product = np.add.accumulate(first.values[0] * second.values[0])[-1]
    return first.squared_norms[0] + second.squared_norms[0] - 2 * float(product)


def test_the_bound_of_features_holds_for_every_order_of_summation():
    """After a product of 1 come 2^18 of 2^-25, each lost beside it: 2^-7 in all."""
    first, second = np.full((1, 2**18 + 1), 2.0**-12), np.full((1, 2**18 + 1), 2.0**-13)
    first[0, 0] = second[0, 0] = 1
    measure = FeatureMeasure(np.zeros_like(first))
    ours = measure.centred(first), measure.centred(second)
    error = measure.bounded(*ours).error[0, 0]
    wrong_by = abs(one_by_one(*ours) - 2.0**18 * 2.0**-26)
    assert wrong_by == 2.0**-6 <= error


def test_the_bound_of_pixels_holds_for_every_order_of_summation():
    """After 600 products of 255^2, a sum beyond 2^25, come 48,552 of 1, each lost beside it."""
    vectors = np.ones((1, 49152), np.uint8)
    vectors[0, :600] = 255
    measure = PixelMeasure(np.zeros_like(vectors))
    ours = measure.centred(vectors)
    wrong_by = abs(one_by_one(ours, ours))
    assert 2 * 48_000 < wrong_by <= measure.bounded(ours, ours).error[0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_distances_of_features_are_those_of_fractions_to_the_last_digits(dtype):
    vectors = features(2, 10, 500, dtype, 1e-3, 1e3)
    rows, columns = np.array([0, 3, 3, 9, 2]), np.array([1, 3, 4, 0, 5])
    found = FeatureMeasure(vectors).exact(vectors, vectors, rows, columns)
    expected = [float(exact_distance(vectors[row], vectors[column])) for row, column in zip(rows, columns)]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_exact_distances_do_not_depend_on_their_company():
    """More pairs than are measured at once, each the same; of pixels too."""
    vector = features(3, 2, 3000, np.float64, 1, 0)
    many = np.zeros(1000, np.int64)
    assert len(np.unique(FeatureMeasure(vector).exact(vector[:1], vector[1:], many, many))) == 1
    pixels = images(4, 2, 3000)
    expected = ((pixels[0].astype(int) - pixels[1]) ** 2).sum()
    np.testing.assert_array_equal(PixelMeasure(pixels).exact(pixels[:1], pixels[1:], many, many), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -(2.0**56)])
def test_features_out_of_range_are_refused(bad):
    vectors = np.ones((3, 4))
    measure = FeatureMeasure(vectors)
    vectors[1, 2] = bad
    for call in (measure.centred, FeatureMeasure):
        with pytest.raises(
            ValueError, match=r"finite and of at most 2\^55 in size. Received: (nan|inf|1e\+300|7)"
        ):
            call(vectors)


def test_features_at_the_end_of_the_range_do_not_overflow():
    vectors = np.full((2, 2048), 2.0**55)
    vectors[1] *= -1
    measure = FeatureMeasure(np.zeros((1, 2048)))
    approximate, error = measure.bounded(measure.centred(vectors), measure.centred(vectors))
    assert abs(approximate[0, 1] - 2.0**123) <= error[0, 1] < 2.0**113
