"""The exact search of images against scikit-learn's brute force in float64 and against integer arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from ebm_tf.evaluation.neighbours import mirror_images, nearest


def images(seed, n, shape=(8, 8, 1), low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (n, *shape), dtype=np.uint8)


def all_distances(queries, store):
    """Squared distances [q, n] in int64, with no expansion and no rounding."""
    flat = store.reshape(len(store), -1).astype(np.int64)
    return np.stack([((flat - query.ravel().astype(np.int64)) ** 2).sum(axis=1) for query in queries])


def assert_exact(queries, store, k, block=None):
    """By distance and, among equals, by index: what a stable sort of exact distances says."""
    found = nearest(queries, store, k, block)
    distances = all_distances(queries, store)
    expected = np.argsort(distances, axis=1, kind="stable")[:, :k]
    assert found.indices.dtype == found.squared_distances.dtype == np.int64
    np.testing.assert_array_equal(found.squared_distances, np.take_along_axis(distances, expected, axis=1))
    np.testing.assert_array_equal(found.indices, expected)
    assert not found.flipped.any()


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


@pytest.mark.parametrize("mode", ["r", "c"])
def test_a_memory_map_holds_the_same_bytes_after_a_search(tmp_path, mode):
    """Its pages are given back meanwhile: those of a private map hold what is nowhere else."""
    store = images(0, 500)
    np.save(tmp_path / "store.npy", store)
    mapped = np.load(tmp_path / "store.npy", mmap_mode=mode)
    if mode == "c":
        store[7] = mapped[7] = 9
    assert_exact(images(1, 5), mapped, 6, block=64)
    np.testing.assert_array_equal(mapped, store)


@pytest.mark.skipif(not Path("/proc/self/smaps").is_file(), reason="asks Linux what is in memory")
def test_pages_of_a_memory_map_are_given_back(tmp_path):
    np.save(tmp_path / "store.npy", np.zeros((4000, 32, 32, 3), np.uint8))
    mapped = np.load(tmp_path / "store.npy", mmap_mode="r")
    assert mapped.sum() == 0
    assert resident(tmp_path / "store.npy") > 10_000
    nearest(images(1, 2, (32, 32, 3)), mapped[3:], 1)
    assert resident(tmp_path / "store.npy") < 100


def resident(path):
    """KiB of a mapped file that count as this process's memory."""
    parts = Path("/proc/self/smaps").read_text().split(str(path))[1:]
    return sum(int(part.split("Rss:")[1].split()[0]) for part in parts)


def test_the_share_of_the_store_that_is_searched_is_told():
    told = []
    nearest(images(0, 2), images(1, 50), 1, block=20, report=lambda done, total: told.append((done, total)))
    assert told == [(20, 50), (40, 50), (50, 50)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([2, 256]), st.data())
@settings(max_examples=40, deadline=None)
def test_with_mirror_images_each_stored_image_counts_once_by_its_nearer_form(seed, n, levels, data):
    k, block = data.draw(st.integers(1, n)), data.draw(st.integers(1, n + 3))
    queries, store = images(seed, 5, (2, 3, 1), high=levels), images(seed + 1, n, (2, 3, 1), high=levels)
    found = nearest(queries, store, k, block, mirrored=mirror_images(queries))
    plain, turned = all_distances(queries, store), all_distances(queries, store[:, :, ::-1])
    least = np.minimum(plain, turned)
    expected = np.argsort(least, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.indices, expected)
    np.testing.assert_array_equal(found.squared_distances, np.take_along_axis(least, expected, axis=1))
    np.testing.assert_array_equal(found.flipped, np.take_along_axis(turned < plain, expected, axis=1))


def test_mirror_images_are_a_second_half_of_the_store_to_scikit_learn():
    queries, store = images(0, 20, (8, 8, 3)), images(1, 300, (8, 8, 3))
    both = np.concatenate([store, store[:, :, ::-1]]).reshape(600, -1).astype(np.float64)
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(both)
    distances, indices = search.kneighbors(queries.reshape(20, -1).astype(np.float64))
    found = nearest(queries, store, 1, mirrored=mirror_images(queries))
    np.testing.assert_array_equal(found.indices, indices % 300)
    np.testing.assert_array_equal(found.flipped, indices >= 300)
    np.testing.assert_array_equal(found.squared_distances, np.rint(distances**2))
    assert 0 < found.flipped.sum() < 20


def test_a_mirrored_copy_is_found_and_a_symmetric_image_is_not_called_flipped():
    store = images(0, 50, (6, 6, 1))
    store[30] = np.maximum(store[30], store[30][:, ::-1])
    queries = mirror_images(store[[12, 30]])
    found = nearest(queries, store, 1, mirrored=mirror_images(queries))
    np.testing.assert_array_equal(found.indices[:, 0], [12, 30])
    np.testing.assert_array_equal(found.squared_distances, 0)
    np.testing.assert_array_equal(found.flipped[:, 0], [True, False])


def test_mirroring_swaps_left_and_right_alone():
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 3, 2)
    np.testing.assert_array_equal(
        mirror_images(image)[0], [[[4, 5], [2, 3], [0, 1]], [[10, 11], [8, 9], [6, 7]]]
    )
    with pytest.raises(ValueError, match=r"shape \[n, H, W, C\] to be mirrored. Received: \(2, 3\)"):
        mirror_images(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nearest(images(0, 1), images(1, 4), 5), r"k must be in 1\.\.4.* Received: 5"),
        (lambda: nearest(images(0, 1), images(1, 4), 0), r"k must be in 1\.\.4.* Received: 0"),
        (lambda: nearest(images(0, 1), images(1, 4), 1, block=0), "block must be at least 1. Received: 0"),
        (
            lambda: nearest(images(0, 1) / 255, images(1, 4), 1),
            "both be uint8 images.* Received: float64 and uint8",
        ),
        (
            lambda: nearest(images(0, 1).astype(np.int64), images(1, 4).astype(np.int64), 1),
            "or both be float32 or float64 features. Received: int64 and int64",
        ),
        (
            lambda: nearest(images(0, 2), images(1, 4), 1, mirrored=images(0, 1)),
            r"as queries, uint8 \(2, 8, 8, 1\). Received: uint8 \(1, 8, 8, 1\)",
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
