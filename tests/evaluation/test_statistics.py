"""The streaming moments against NumPy's covariance in one pass, exact arithmetic and their files."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebm_tf.evaluation import statistics
from ebm_tf.evaluation.statistics import Moments, check_finite, mean_of


def normal(n, dim, seed=0, mean=0.0, sd=1.0):
    return np.random.default_rng(seed).normal(mean, sd, (n, dim))


def assert_describes(moments, features, rtol=1e-12):
    assert moments.count == len(features)
    np.testing.assert_allclose(moments.mean, features.mean(axis=0), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(moments.covariance(), np.cov(features, rowvar=False), rtol=rtol, atol=rtol)


def test_three_points_by_hand():
    moments = Moments.of([[0, 0], [2, 0], [1, 3]])
    assert moments.count == 3
    np.testing.assert_array_equal(moments.mean, [1, 1])
    np.testing.assert_array_equal(moments.scatter, [[2, 0], [0, 6]])
    np.testing.assert_array_equal(moments.covariance(), [[1, 0], [0, 3]])


def test_one_pass_equals_numpy():
    features = normal(500, 7) @ normal(7, 7, seed=1)
    assert_describes(Moments.of(features), features)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_any_cut_into_batches_gives_the_covariance_of_the_whole(sizes, seed):
    sizes = [2, *sizes]
    features = normal(sum(sizes), 3, seed, mean=5.0)
    moments = Moments.empty(3)
    for batch in np.split(features, np.cumsum(sizes)[:-1]):
        moments = moments.update(batch)
    assert_describes(moments, features)


def test_a_last_batch_of_one_image_counts():
    features = np.concatenate([normal(64, 4), np.full((1, 4), 50.0)])
    moments = Moments.of(features[:64]).update(features[64:])
    assert moments.count == 65
    assert_describes(moments, features)
    assert abs(moments.mean[0] - features[:64, 0].mean()) > 0.5


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 5 vectors of 4 features."""
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 20)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("count", [4, 5, 6, 23, 26])
def test_a_memory_map_read_in_blocks_gives_the_covariance_of_the_whole(count, tmp_path):
    """Also with one vector in the last block (6 and 26), which counts."""
    features = normal(count, 4, mean=3.0).astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert_describes(Moments.of(mapped), features.astype(np.float64))
    np.testing.assert_allclose(mean_of(mapped), features.astype(np.float64).mean(axis=0), rtol=1e-12)


def test_one_block_is_the_plain_formula_to_the_last_bit():
    features = normal(3000, 64, mean=0.3) ** 3
    mean = features.mean(axis=0)
    moments = Moments.of(features)
    np.testing.assert_array_equal(moments.mean, mean)
    np.testing.assert_array_equal(moments.scatter, (features - mean).T @ (features - mean))


@given(st.permutations(range(6)), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_shards_merge_in_any_order(order, seed):
    features = normal(60, 3, seed, mean=5.0)
    shards = np.split(features, [1, 10, 11, 30, 45])  # two of them hold one image
    moments = Moments.empty(3)
    for number in order:
        moments = moments.merge(Moments.of(shards[number]))
    assert_describes(moments, features)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_order_of_vectors_changes_nothing_and_a_shift_only_the_mean(seed):
    features = normal(40, 3, seed)
    moments = Moments.of(features)
    assert_describes(moments, np.random.default_rng(seed).permutation(features))
    moved = Moments.of(features + 8.0)
    np.testing.assert_allclose(moved.mean, moments.mean + 8.0, rtol=1e-14)
    np.testing.assert_allclose(moved.scatter, moments.scatter, rtol=1e-12, atol=1e-12)


def test_merge_commutes_and_associates_and_empty_is_neutral():
    a, b, c = (Moments.of(normal(n, 5, seed=n, mean=n)) for n in (3, 40, 17))
    ways = [
        a.merge(b).merge(c),
        a.merge(b.merge(c)),
        c.merge(a).merge(b),
        Moments.empty(5).merge(a).merge(b).merge(c),
    ]
    ways.append(ways[0].merge(Moments.empty(5)))
    for way in ways[1:]:
        assert way.count == 60
        np.testing.assert_allclose(way.mean, ways[0].mean, rtol=1e-13)
        np.testing.assert_allclose(way.scatter, ways[0].scatter, rtol=1e-12)


def test_update_leaves_the_old_moments_alone():
    old = Moments.of(normal(10, 3))
    mean, scatter = old.mean.copy(), old.scatter.copy()
    assert old.update(normal(5, 3, seed=1)) is not old
    assert old.count == 10
    np.testing.assert_array_equal(old.mean, mean)
    np.testing.assert_array_equal(old.scatter, scatter)
    with pytest.raises(AttributeError):
        old.count = 3


def test_float32_features_far_from_zero_keep_their_covariance():
    """Mean 30, sd .05: float32 sums about zero lose the covariance altogether; float64 merging does not."""
    features = normal(20_000, 8, mean=30.0, sd=0.05).astype(np.float32)
    truth = np.cov(features.astype(np.float64), rowvar=False)
    mean = features.mean(axis=0)
    naive = features.T @ features / np.float32(len(features)) - np.outer(mean, mean)
    moments = Moments.empty(8)
    for start in range(0, len(features), 128):
        moments = moments.update(features[start : start + 128])

    def error(covariance):
        return np.linalg.norm(covariance - truth) / np.linalg.norm(truth)

    assert error(naive) > 0.01
    assert error(moments.covariance()) < 1e-11


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float32])
def test_every_real_dtype_is_summed_in_float64(dtype):
    features = np.random.default_rng(0).integers(0, 255, (300, 4)).astype(dtype)
    moments = Moments.of(features)
    assert moments.mean.dtype == moments.scatter.dtype == np.float64
    assert_describes(moments, features.astype(np.float64))


def test_a_file_gives_back_every_bit(tmp_path):
    moments = Moments.of(normal(9, 4))
    path = tmp_path / "moments.of.train"
    moments.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["moments.of.train"]
    loaded = Moments.load(path)
    assert loaded.count == 9
    np.testing.assert_array_equal(loaded.mean, moments.mean)
    np.testing.assert_array_equal(loaded.scatter, moments.scatter)


def test_resuming_from_a_file_equals_not_stopping(tmp_path):
    first, second = normal(33, 4), normal(20, 4, seed=1)
    Moments.of(first).save(tmp_path / "half.npz")
    resumed = Moments.load(tmp_path / "half.npz").update(second)
    np.testing.assert_array_equal(resumed.scatter, Moments.of(first).update(second).scatter)


@pytest.mark.parametrize(
    "fields", [{"mean": np.zeros(2)}, {"count": [1, 2], "mean": np.zeros(2), "scatter": 0.0}]
)
def test_a_file_of_something_else_is_refused_by_name(tmp_path, fields):
    np.savez(tmp_path / "other.npz", **fields)
    with pytest.raises(ValueError, match=r"count, mean, scatter\. Received: .*other\.npz, which holds"):
        Moments.load(tmp_path / "other.npz")


def test_pickles_and_noise_are_not_loaded(tmp_path):
    np.savez(tmp_path / "pickle.npz", count=3, mean=np.array([{}], dtype=object), scatter=np.zeros((1, 1)))
    (tmp_path / "noise.npz").write_bytes(b"no zip at all")
    with pytest.raises(ValueError, match=r"pickle\.npz, which cannot be read"):
        Moments.load(tmp_path / "pickle.npz")
    with pytest.raises(ValueError, match=r"noise\.npz, which is no \.npz file"):
        Moments.load(tmp_path / "noise.npz")
    with pytest.raises(FileNotFoundError):
        Moments.load(tmp_path / "absent.npz")


def damaged(path, how):
    """Breaks a compressed .npz: its first array's data, its kind of compression, its end; or asks for a password."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        offset = archive.infolist()[0].header_offset
        central = archive.start_dir
    if how == "data":
        start = offset + 30 + int.from_bytes(data[offset + 26 : offset + 28], "little")
        start += int.from_bytes(data[offset + 28 : offset + 30], "little")
        data[start : start + 40] = b"\xff" * 40
    elif how == "compression":
        data[offset + 8] = data[central + 10] = 97
    elif how == "encryption":
        data[offset + 6] |= 1
        data[central + 8] |= 1
    path.write_bytes(data[:-4] if how == "end" else data)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("data", "while decompressing"),
        ("compression", "compression"),
        ("encryption", "encrypted"),
        ("end", ""),
    ],
)
def test_damaged_and_encrypted_files_are_refused_by_name(tmp_path, how, text):
    path = tmp_path / "damaged.npz"
    np.savez_compressed(path, count=9, mean=np.zeros(30), scatter=np.eye(30))
    damaged(path, how)
    with pytest.raises(ValueError, match=rf"count, mean, scatter\. Received: .*damaged\.npz, which .*{text}"):
        Moments.load(path)


@pytest.mark.usefixtures("small_blocks")
def test_values_that_are_not_finite_are_counted_over_all_blocks():
    features = np.zeros((23, 4))
    features[2, 0], features[12, 1], features[22, 3] = np.nan, np.inf, -np.inf
    for read in (Moments.of, mean_of, check_finite):
        with pytest.raises(ValueError, match=r"features must be finite\. Received: 3 of 92 values"):
            read(features)


def test_nan_and_infinity_are_refused_with_their_number():
    features = np.zeros((5, 4))
    features[0, 0], features[3, 1], features[4, 3] = np.nan, np.inf, -np.inf
    with pytest.raises(ValueError, match=r"features must be finite\. Received: 3 of 20 values"):
        Moments.of(features)
    with pytest.raises(ValueError, match="3 of 20 values"):
        Moments.empty(4).update(features)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Moments.of(np.zeros(3)), r"shape \[n, d\].*Received: shape \(3,\)"),
        (lambda: Moments.of(np.zeros((3, 0))), r"d >= 1.*Received: shape \(3, 0\)"),
        (lambda: Moments.of(np.zeros((3, 2), complex)), "dtype complex128"),
        (lambda: Moments.empty(0), "dim must be at least 1. Received: 0"),
        (lambda: Moments.empty(2).merge(Moments.empty(3)), "Received: 2 and 3"),
        (lambda: Moments.of(np.zeros((1, 2))).covariance(), "at least 2 feature vectors. Received: 1"),
        (lambda: Moments(-1, np.zeros(2), np.zeros((2, 2))), "count must be an integer >= 0. Received: -1"),
        (lambda: Moments(1.5, np.zeros(2), np.zeros((2, 2))), "count must be an integer >= 0. Received: 1.5"),
        (lambda: Moments(1, np.zeros(2), np.zeros((2, 3))), r"Received: \(2,\) and \(2, 3\)"),
        (
            lambda: Moments(1, np.zeros(2, np.float32), np.zeros((2, 2))),
            "mean must be float64. Received: float32",
        ),
        (
            lambda: Moments(1, np.zeros(2), np.full((2, 2), np.nan)),
            "scatter must be finite. Received: 4 of 4",
        ),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
