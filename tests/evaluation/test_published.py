"""Published statistics: what other programs read and write, and files that cannot be used."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext

import numpy as np
import pytest

from ebm_tf.evaluation.distances import frechet_distance
from ebm_tf.evaluation.extractors.base import Identity
from ebm_tf.evaluation.published import Published
from ebm_tf.evaluation.statistics import Moments

IDENTITY = Identity("inception", "2015-12-05", "ab" * 32, "resized to 299", features=4, classes=1008)


def normal(n, dim, seed=0, mean=0.0, sd=1.0):
    return np.random.default_rng(seed).normal(mean, sd, (n, dim))


def test_published_statistics_come_back_with_all_that_is_known(tmp_path):
    moments = Moments.of(normal(50, 4))
    Published.of(moments, IDENTITY, "cd" * 32).save(tmp_path / "stats.of.train")
    loaded = Published.load(tmp_path / "stats.of.train")
    np.testing.assert_array_equal(loaded.mean, moments.mean)
    np.testing.assert_array_equal(loaded.covariance, moments.covariance())
    assert (loaded.count, loaded.identity, loaded.images_sha256) == (50, IDENTITY, "cd" * 32)


def test_the_file_is_what_other_programs_read(tmp_path):
    features = normal(50, 4)
    Published.of(Moments.of(features), IDENTITY, "cd" * 32).save(tmp_path / "stats.npz")
    with np.load(tmp_path / "stats.npz", allow_pickle=False) as file:
        np.testing.assert_allclose(file["mu"], features.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(file["sigma"], np.cov(features, rowvar=False), rtol=1e-12)
        assert file["mu"].dtype == file["sigma"].dtype == np.float64
        assert file["count"] == 50
        assert file["images_sha256"] == "cd" * 32
    Published.of(Moments.of(features)).save(tmp_path / "plain.npz")
    assert Published.load(tmp_path / "plain.npz").identity is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_of_other_programs_are_read(tmp_path, dtype):
    """mu and sigma alone, in float32 too; other keys beside them, as in ADM's reference batches, are left alone."""
    features = normal(50, 4)
    mu, sigma = features.mean(axis=0).astype(dtype), np.cov(features, rowvar=False).astype(dtype)
    np.savez(tmp_path / "theirs.npz", mu=mu, sigma=sigma, mu_s=np.zeros(9), arr_0=np.zeros((2, 3), np.uint8))
    loaded = Published.load(tmp_path / "theirs.npz")
    assert (loaded.count, loaded.identity, loaded.images_sha256) == (None, None, None)
    assert loaded.mean.dtype == loaded.covariance.dtype == np.float64
    np.testing.assert_array_equal(loaded.covariance, sigma)


def test_the_distance_to_published_statistics_is_that_to_their_moments(tmp_path):
    a, b = Moments.of(normal(50, 4)), Moments.of(normal(60, 4, seed=1, mean=0.3))
    Published.of(b).save(tmp_path / "stats.npz")
    published = Published.load(tmp_path / "stats.npz")
    assert frechet_distance(a, published) == frechet_distance(a, b)
    assert frechet_distance(published, a) == frechet_distance(b, a)
    with pytest.raises(ValueError, match=r"same number of features\. Received: 3 and 4"):
        frechet_distance(Moments.empty(3), published)


def test_the_sha256_is_of_the_numbers_and_not_of_the_file(tmp_path):
    """Of mean 0 and covariance 1: the bytes of 0.0 and 1.0."""
    one = Published(np.zeros(1), np.eye(1))
    expected = hashlib.sha256(bytes(8) + bytes.fromhex("000000000000f03f")).hexdigest()
    assert one.sha256 == expected
    Published(np.zeros(1), np.eye(1), count=7).save(tmp_path / "one.npz")
    assert Published.load(tmp_path / "one.npz").sha256 == expected
    assert Published(np.zeros(1), 2 * np.eye(1)).sha256 != expected


def test_eigenvalues_that_float32_rounds_below_0_are_no_error(tmp_path):
    """3 vectors of 40 features: 38 null directions, some of which are negative in float32."""
    sigma = np.cov(normal(3, 40), rowvar=False).astype(np.float32)
    assert np.linalg.eigvalsh(sigma.astype(np.float64))[0] < -1e-9
    np.savez(tmp_path / "float32.npz", mu=np.zeros(40, np.float32), sigma=sigma)
    np.testing.assert_array_equal(Published.load(tmp_path / "float32.npz").covariance, sigma)
    for least, refused in ((-2e-4, True), (-5e-5, False)):
        with pytest.raises(ValueError, match="semi-definite") if refused else nullcontext():
            Published(np.zeros(2), np.diag([1.0, least]))


GOOD = {"mu": np.zeros(2), "sigma": np.eye(2)}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"mu": np.zeros(2)}, r"mu \[d\] and sigma \[d, d\]. Received: .*file.npz, which holds mu$"),
        ({"mean": np.zeros(2), "cov": np.eye(2)}, "which holds cov, mean"),
        ({"mu": np.zeros(2), "sigma": np.eye(3)}, r"Received: \(2,\) and \(3, 3\)"),
        ({"mu": np.zeros((2, 1)), "sigma": np.eye(2)}, r"Received: \(2, 1\) and \(2, 2\)"),
        (
            {"mu": np.zeros(2), "sigma": [[1.0, 0.5], [0.4, 1.0]]},
            "symmetric. Received: entries 0.1 apart, the",
        ),
        (
            {"mu": np.zeros(2), "sigma": [[1.0, 2.0], [2.0, 1.0]]},
            r"where covariance must be positive semi-definite. Received: eigenvalues in -1\.\.3$",
        ),
        ({"mu": np.zeros(2), "sigma": -np.eye(2)}, r"semi-definite. Received: eigenvalues in -1\.\.-1"),
        ({"mu": [0, np.nan], "sigma": np.eye(2)}, "file.npz, where mean must be finite. Received: 1 of 2"),
        (
            {"mu": np.zeros(2), "sigma": np.full((2, 2), np.inf)},
            "covariance must be finite. Received: 4 of 4",
        ),
        ({"mu": np.zeros(2, int), "sigma": np.eye(2)}, "mu must be floating-point numbers. Received: int64"),
        ({**GOOD, "count": 1.5}, "count must be one integer. Received: shape .* dtype float64"),
        ({**GOOD, "count": -1}, "count must be an integer >= 0. Received: -1"),
        ({**GOOD, "extractor": 3}, "extractor must be one text. Received: shape .* dtype int64"),
        ({**GOOD, "images_sha256": 3}, "images_sha256 must be one text. Received: shape .* dtype int64"),
        ({**GOOD, "extractor": "{"}, "identity as JSON. Received: Expecting property name"),
        ({**GOOD, "extractor": '{"name": "x"}'}, "identity as JSON. Received: .*missing"),
        ({**GOOD, "extractor": json.dumps(IDENTITY.as_json())}, "inception has 4 features.* Received: 2"),
        ({"mu": np.array([{}, {}]), "sigma": np.eye(2)}, "which cannot be read"),
    ],
)
def test_published_files_that_cannot_be_used_are_refused_by_name(tmp_path, fields, text):
    np.savez(tmp_path / "file.npz", **fields)
    with pytest.raises(ValueError, match=text) as refused:
        Published.load(tmp_path / "file.npz")
    assert "file.npz" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_npz_is_no_published_file(tmp_path):
    np.save(tmp_path / "mu.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"mu\.npy, which is no \.npz file"):
        Published.load(tmp_path / "mu.npy")
    with pytest.raises(FileNotFoundError):
        Published.load(tmp_path / "absent.npz")
