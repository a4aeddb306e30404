"""The exact search against scikit-learn's brute force in float64 and against integer arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from ebm_tf.evaluation.neighbours import _centred, _distances, nearest


def images(seed, n, shape=(8, 8, 1), low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (n, *shape), dtype=np.uint8)


def all_distances(queries, store):
    """Squared distances [q, n] in int64, with no expansion and no rounding."""
    flat = store.reshape(len(store), -1).astype(np.int64)
    return np.stack([((flat - query.ravel().astype(np.int64)) ** 2).sum(axis=1) for query in queries])


def assert_exact(queries, store, k, block=4096):
    """By distance and, among equals, by index: what a stable sort of exact distances says."""
    found = nearest(queries, store, k, block)
    distances = all_distances(queries, store)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :k]
    assert found.indices.dtype == found.squared_distances.dtype == np.int64
    np.testing.assert_array_equal(found.squared_distances, np.take_along_axis(distances, expected, axis=1))
    np.testing.assert_array_equal(found.indices, expected)


@pytest.mark.parametrize(("shape", "seed"), [((8, 8, 1), 0), ((32, 32, 3), 1)])
def test_equals_brute_force_of_scikit_learn(shape, seed):
    queries, store = images(seed, 20, shape), images(seed + 10, 700, shape)
    search = NearestNeighbors(n_neighbors=9, algorithm="brute").fit(store.reshape(700, -1).astype(np.float64))
    distances, indices = search.kneighbors(queries.reshape(20, -1).astype(np.float64))
    found = nearest(queries, store, 9, block=128)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(found.squared_distances, np.rint(distances**2))


def test_ties_agree_with_scikit_learn_in_distance_and_go_to_the_lowest_index():
    """Pixels 0 and 1 alone: 200 images at few distances, and each stored twice."""
    store = np.tile(images(3, 100, (3, 3), high=2), (2, 1, 1))
    queries = images(4, 10, (3, 3), high=2)
    search = NearestNeighbors(n_neighbors=40, algorithm="brute").fit(
        store.reshape(200, -1).astype(np.float64)
    )
    distances, _ = search.kneighbors(queries.reshape(10, -1).astype(np.float64))
    found = nearest(queries, store, 40, block=32)
    np.testing.assert_array_equal(found.squared_distances, np.rint(distances**2))
    assert_exact(queries, store, 40, block=32)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 9), st.sampled_from([2, 5, 256]), st.data()
)
@settings(max_examples=60, deadline=None)
def test_exact_for_every_block_k_and_number_of_grey_levels(seed, n, q, levels, data):
    k, block = data.draw(st.integers(1, n)), data.draw(st.integers(1, n + 3))
    assert_exact(images(seed, q, (2, 3), high=levels), images(seed + 1, n, (2, 3), high=levels), k, block)


def test_every_block_size_from_one_to_the_whole_set_gives_the_same():
    store = np.concatenate([images(0, 20, high=3), images(0, 20, high=3)])
    queries = store[[3, 25]]
    for block in range(1, 42):
        assert_exact(queries, store, 5, block)


def test_k_equal_to_n_sorts_the_whole_set():
    assert_exact(images(0, 3), images(1, 50), k=50, block=7)
    assert_exact(images(0, 3), images(1, 1), k=1)


def test_all_images_the_same_answers_the_first_ones():
    store = np.full((300, 32, 32, 3), 200, np.uint8)
    found = nearest(store[:2], store, 4, block=64)
    np.testing.assert_array_equal(found.indices, [[0, 1, 2, 3]] * 2)
    np.testing.assert_array_equal(found.squared_distances, 0)


def test_a_store_image_finds_itself_and_its_copy():
    store = images(0, 100, (32, 32, 3))
    store[77] = store[12]
    found = nearest(store[[12, 77]], store, 2, block=30)
    np.testing.assert_array_equal(found.indices, [[12, 77], [12, 77]])
    np.testing.assert_array_equal(found.squared_distances, 0)


def one_grey_level_apart(seed, n, shape=(32, 32, 3)):
    """An image of large norm, and `n` copies of it that differ by one level in one pixel each."""
    image = images(seed, 1, shape, low=180, high=255)
    copies = np.repeat(image, n, axis=0)
    flat = copies.reshape(n, -1)
    flat[np.arange(n), np.arange(n)] += 1
    return image, copies


def test_a_squared_distance_of_one_that_float32_expansion_misses():
    image, copies = one_grey_level_apart(0, 400)
    x, y = image.reshape(1, -1).astype(np.float32), copies.reshape(400, -1).astype(np.float32)
    expanded = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * (x @ y.T)
    assert np.any(expanded != 1), "the trap must be there to be avoided"
    found = nearest(image, copies, 400, block=100)
    np.testing.assert_array_equal(found.squared_distances, 1)
    np.testing.assert_array_equal(found.indices, [np.arange(400)])


@pytest.mark.parametrize("block", [501, 5000])
@pytest.mark.parametrize("k", [1, 5])
def test_the_nearest_is_found_among_hundreds_that_float32_cannot_tell_apart(block, k):
    """k + 16 candidates by float32 distance alone miss the k nearest, which come last.

    The first images pull the centre to the other end of the grey scale: float32 errors exceed the gaps.
    """
    image, copies = one_grey_level_apart(1, 500)
    flat = copies.reshape(500, -1)
    flat[:495, 1000:1003] += 1
    opposite = np.zeros((501 if block == 501 else 3000, 32, 32, 3), np.uint8)
    store = np.concatenate([opposite, copies])
    assert_exact(image, store, k, block)
    assert nearest(image, store, 1, block).indices[0, 0] == len(opposite) + 495


def test_near_ties_of_many_distances_are_put_in_their_order():
    """Squared distances 600, 599, ... 1 from first to last: the order is exactly backwards."""
    image, _ = one_grey_level_apart(2, 1)
    copies = np.repeat(image, 600, axis=0)
    for row, copy in enumerate(copies.reshape(600, -1)):
        copy[: 600 - row] += 1
    store = np.concatenate([np.zeros((700, 32, 32, 3), np.uint8), copies])
    found = nearest(image, store, 30, block=700)
    np.testing.assert_array_equal(found.squared_distances, [np.arange(1, 31)])
    np.testing.assert_array_equal(found.indices, [1299 - np.arange(30)])


@pytest.mark.parametrize("shape", [(5,), (28, 28), (32, 32, 3), (64, 64, 3)])
@pytest.mark.parametrize("centre", [0, 128])
def test_float32_distances_lie_within_the_bound(shape, centre):
    """Also where the bound says that they are exact."""
    queries = np.concatenate([images(0, 20, shape), images(1, 20, shape, low=250)])
    store = np.concatenate([images(2, 200, shape), queries, images(3, 50, shape, high=2)])
    middle = np.full(int(np.prod(shape)), centre, np.float32)
    approximate, error = _distances(*(_centred(x.reshape(len(x), -1), middle) for x in (queries, store)))
    wrong_by = np.abs(approximate - all_distances(queries, store))
    assert np.all(wrong_by <= error)
    assert np.any(error > 0) == (len(middle) * max(centre, 255 - centre) ** 2 > 2**24)
    assert np.any(wrong_by > 0) or len(middle) <= 784


def test_extreme_pixels_do_not_wrap_around():
    queries = np.zeros((1, 64, 64, 3), np.uint8)
    found = nearest(queries, 255 - queries, 1)
    assert found.squared_distances[0, 0] == 64 * 64 * 3 * 255**2


def test_more_queries_than_are_taken_at_once():
    assert_exact(images(0, 600, (4, 4), high=4), images(1, 90, (4, 4), high=4), 3, block=40)


def test_a_memory_map_is_searched_like_an_array(tmp_path):
    store = images(0, 500)
    np.save(tmp_path / "store.npy", store)
    mapped = np.load(tmp_path / "store.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert_exact(images(1, 5), mapped, 6, block=64)


class Recorder:
    """A store that answers slices alone and remembers how long they were."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.lengths = []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        self.lengths.append(len(self.array[key]))
        return self.array[key]


def test_never_more_than_a_block_of_the_store_is_read():
    store = Recorder(images(0, 100))
    nearest(images(1, 3), store, 2, block=16)
    assert max(store.lengths) == 16
    assert sum(store.lengths) <= 100 + 16, "one pass, and the first block once more for the centre"


def test_no_queries_give_no_neighbours():
    found = nearest(images(0, 0), images(1, 5), 2)
    assert found.indices.shape == found.squared_distances.shape == (0, 2)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nearest(images(0, 1), images(1, 4), 5), r"k must be in 1\.\.4.* Received: 5"),
        (lambda: nearest(images(0, 1), images(1, 4), 0), r"k must be in 1\.\.4.* Received: 0"),
        (lambda: nearest(images(0, 1), images(1, 4), 1, block=0), "block must be at least 1. Received: 0"),
        (lambda: nearest(images(0, 1) / 255, images(1, 4), 1), "queries must be uint8.* Received: float64"),
        (
            lambda: nearest(images(0, 1), images(1, 4).astype(np.int64), 1),
            "store must be uint8.* Received: int64",
        ),
        (
            lambda: nearest(images(0, 1, (8, 8)), images(1, 4), 1),
            r"one shape.* \(1, 8, 8\) and \(4, 8, 8, 1\)",
        ),
        (lambda: nearest(images(0, 4)[0], images(1, 4), 1), r"one shape.* \(8, 8, 1\) and \(4, 8, 8, 1\)"),
        (lambda: nearest(images(0, 1, (0,)), images(1, 4, (0,)), 1), r"must have 1\.\..* Received: 0"),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
