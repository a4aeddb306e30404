"""The exact search of features against scikit-learn's brute force and against sums of squared differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from ebm_tf.evaluation.neighbours import nearest


def features(seed, n, values=64, dtype=np.float32, offset=0.0):
    return (offset + np.random.default_rng(seed).standard_normal((n, values))).astype(dtype)


def all_distances(queries, store):
    """Squared distances [q, n] in float64, with no expansion."""
    return np.stack(
        [np.square(store.astype(np.float64) - query).sum(axis=1) for query in queries.astype(np.float64)]
    )


def assert_exact(queries, store, k, block=None):
    """What a stable sort of the distances of all pairs says, bit by bit."""
    found, distances = nearest(queries, store, k, block), all_distances(queries, store)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :k]
    assert found.squared_distances.dtype == np.float64
    np.testing.assert_array_equal(found.indices, expected)
    np.testing.assert_array_equal(found.squared_distances, np.take_along_axis(distances, expected, axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("values", [8, 2048])
def test_equals_brute_force_of_scikit_learn(dtype, values):
    queries, store = features(0, 20, values, dtype), features(1, 700, values, dtype)
    search = NearestNeighbors(n_neighbors=9, algorithm="brute").fit(store.astype(np.float64))
    distances, indices = search.kneighbors(queries.astype(np.float64))
    found = nearest(queries, store, 9, block=128)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(np.sqrt(found.squared_distances), distances, rtol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.sampled_from([1, 3, 17]), st.booleans(), st.data())
@settings(max_examples=60, deadline=None)
def test_exact_for_every_block_and_k(seed, n, values, rounded, data):
    """Rounded features are few, so that most distances are tied."""
    k, block = data.draw(st.integers(1, n)), data.draw(st.integers(1, n + 3))
    queries, store = features(seed, 5, values), features(seed + 1, n, values)
    assert_exact(*((np.rint(queries), np.rint(store)) if rounded else (queries, store)), k, block)


def test_far_from_the_origin_where_float32_cannot_tell_one_distance_from_another():
    """Two clouds at +-1000 of spread 1e-3: within one, float32 distances about any centre are mostly rounding."""
    queries = features(0, 5, 256, np.float64) * 1e-3 + 1000
    near, far = (
        features(1, 300, 256, np.float64) * 1e-3 + 1000,
        features(2, 300, 256, np.float64) * 1e-3 - 1000,
    )
    store = np.concatenate([far, near])
    single = (queries.astype(np.float32), store.astype(np.float32))
    expanded = (
        (single[0] ** 2).sum(axis=1)[:, None] + (single[1] ** 2).sum(axis=1) - 2 * single[0] @ single[1].T
    )
    wrong = (
        np.argsort(expanded, axis=1, kind="stable")[:, :5] != np.argsort(all_distances(queries, store))[:, :5]
    )
    assert wrong.any(), "the trap must be there to be avoided"
    assert_exact(queries, store, 5, block=100)
    assert_exact(queries.astype(np.float32), store.astype(np.float32), 5)


def test_copies_are_equally_far_wherever_they_lie():
    store = np.tile(features(0, 40, 500, np.float64), (8, 1))
    found = nearest(features(1, 3, 500, np.float64), store, 16, block=33)
    assert np.all(np.diff(found.indices.reshape(3, 2, 8), axis=2) == 40)
    assert np.all(np.ptp(found.squared_distances.reshape(3, 2, 8), axis=2) == 0)


def test_float32_features_are_compared_with_float64_ones_without_rounding():
    store = features(0, 100, 30, np.float64)
    assert_exact(store.astype(np.float32), store, 3)
    assert np.all(nearest(store.astype(np.float32), store, 1).squared_distances > 0)


def test_features_on_disk_are_searched_like_an_array(tmp_path):
    store = features(0, 500)
    np.save(tmp_path / "features.npy", store)
    assert_exact(features(1, 5), np.load(tmp_path / "features.npy", mmap_mode="r"), 6, block=64)


def test_the_nearer_of_two_forms_of_a_query_counts():
    queries, mirrored, store = features(0, 6), features(1, 6), features(2, 200)
    found = nearest(queries, store, 200, block=70, mirrored=mirrored)
    plain, turned = all_distances(queries, store), all_distances(mirrored, store)
    least = np.minimum(plain, turned)
    expected = np.argsort(least, axis=1, kind="stable")
    np.testing.assert_array_equal(found.indices, expected)
    np.testing.assert_array_equal(found.squared_distances, np.take_along_axis(least, expected, axis=1))
    np.testing.assert_array_equal(found.flipped, np.take_along_axis(turned < plain, expected, axis=1))


@pytest.mark.parametrize("place", ["queries", "first block", "last block"])
def test_a_feature_that_is_no_number_is_refused(place):
    queries, store = features(0, 2), features(1, 50)
    {"queries": queries[1:], "first block": store[:1], "last block": store[-1:]}[place][0, 3] = np.nan
    with pytest.raises(ValueError, match="features must be finite"):
        nearest(queries, store, 1, block=20)
