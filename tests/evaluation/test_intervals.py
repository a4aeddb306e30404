"""Intervals: what they cover by simulation, and their parts against resampled sets written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from ebm_tf.evaluation import intervals, statistics
from ebm_tf.evaluation.distances import (
    frechet_distance,
    frechet_distance_from_features,
    inception_score,
    inception_score_from_logits,
    kernel_distance,
    splits_of_rows,
)
from ebm_tf.evaluation.intervals import (
    frechet_interval,
    frechet_interval_by_influence,
    inception_score_interval,
    kernel_interval,
    mean_interval,
)
from ebm_tf.evaluation.statistics import Moments, Published

STANDARD = Published(np.zeros(3), np.eye(3))


def normal(n, dim, seed, shift=0.5, scale=1.3):
    return np.random.default_rng(seed).normal(shift, scale, (n, dim))


def coverage(found, truth):
    return np.mean([interval.low <= truth <= interval.high for interval in found])


def written_out(count, replicates, seed):
    """The images of every replicate, as indices."""
    draws = intervals._resamples(count, replicates, np.random.default_rng(seed))
    return [np.repeat(np.arange(count), counts) for counts in draws]


# What is covered. 1000 or more draws give the truth; of 200 intervals at 95%, 97.5% of runs cover 91% or more.


@pytest.mark.parametrize("interval", [frechet_interval, frechet_interval_by_influence])
def test_frechet_intervals_cover_the_average_of_other_draws(interval):
    truth = np.mean(
        [frechet_distance(Moments.of(normal(200, 3, 10_000 + seed)), STANDARD) for seed in range(2000)]
    )
    options = {"replicates": 60} if interval is frechet_interval else {}
    found = [interval(normal(200, 3, seed), STANDARD, **options) for seed in range(200)]
    assert 0.90 <= coverage(found, truth) <= 0.985


@pytest.mark.parametrize("interval", [frechet_interval, frechet_interval_by_influence])
def test_as_good_as_the_reference_frechet_intervals_are_wide_not_short(interval):
    """E FD = [d + d (d + 1) / 4] / n there, which the percentiles of resampled distances miss: all are higher."""
    truth = (3 + 3) / 200
    options = {"replicates": 60} if interval is frechet_interval else {}
    found = [interval(normal(200, 3, seed, 0, 1), STANDARD, **options) for seed in range(100)]
    assert coverage(found, truth) >= 0.93


def test_percentiles_of_resampled_distances_would_not_be_honest():
    """Why the spread is centred: resampling adds the bias of n images, [d + d (d + 1) / 4] / n, once more."""
    x = normal(200, 3, 1, 0, 1)
    resampled = [frechet_distance(Moments.of(x[images]), STANDARD) for images in written_out(200, 1000, 0)]
    added = np.mean(resampled) - frechet_distance(Moments.of(x), STANDARD)
    assert added == pytest.approx((3 + 3) / 200, abs=4 * np.std(resampled) / np.sqrt(1000) + 0.002)


def test_mean_intervals_cover_the_mean():
    rng = np.random.default_rng(0)
    found = [mean_interval(rng.random(150) < 0.3, replicates=100, seed=seed) for seed in range(200)]
    assert 0.90 <= coverage(found, 0.3) <= 0.985


def test_inception_score_intervals_cover_the_average_of_other_draws():
    def logits(seed):
        return np.random.default_rng(seed).normal(0, 2, (200, 4))

    truth = np.mean([inception_score_from_logits(logits(10_000 + seed), 1).mean for seed in range(1000)])
    found = [inception_score_interval(logits(seed), replicates=60, splits=1) for seed in range(200)]
    assert 0.89 <= coverage(found, truth) <= 0.985


def test_kernel_intervals_cover_the_average_of_other_draws():
    """A mild kernel: features of length about 1, as its cube has heavy tails. The unbiased KID is its own truth."""
    reference = normal(80, 4, 0, 0, 0.5)

    def samples(seed):
        return normal(100, 4, 10 + seed, 0.3, 0.5)

    truth = np.mean([kernel_distance(samples(10_000 + s), reference, 1, 100).mean for s in range(1500)])
    found = [kernel_interval(samples(seed), reference, replicates=100) for seed in range(200)]
    assert 0.89 <= coverage(found, truth) <= 0.985


# The parts


def test_weighted_moments_are_those_of_the_set_written_out(monkeypatch):
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 30)
    x = normal(47, 3, 0) + 20
    counts = list(intervals._resamples(47, 5, np.random.default_rng(0)))
    for moments, images in zip(
        intervals._resampled_moments(x, x.mean(axis=0), counts), written_out(47, 5, 0)
    ):
        assert moments.count == 47
        np.testing.assert_allclose(moments.mean, x[images].mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(moments.covariance(), np.cov(x[images], rowvar=False), rtol=1e-11)


@pytest.mark.parametrize("passes", [1, 3])
def test_frechet_interval_is_the_centred_spread_of_distances_written_out(passes, monkeypatch):
    monkeypatch.setattr(intervals, "_SCATTER_VALUES", 9 * -(-20 // passes))
    x, reference = normal(60, 3, 0), Moments.of(normal(50, 3, 1))
    distances = [frechet_distance(reference, Moments.of(x[images])) for images in written_out(60, 20, 7)]
    low, high = np.quantile(distances, [0.1, 0.9]) - np.mean(distances)
    estimate = frechet_distance(reference, Moments.of(x))
    found = frechet_interval(x, reference, 0.8, 20, seed=7)
    assert found == pytest.approx((estimate + low, estimate + high, 0.8), rel=1e-9)


def test_influence_is_the_derivative_of_the_distance_by_the_weight_of_an_image():
    """The jackknife's standard error, from distances without one image each: equal to O(1 / n)."""
    x, reference = normal(800, 3, 0), Moments.of(normal(500, 3, 1))
    without = [frechet_distance_from_features(np.delete(x, i, axis=0), normal(500, 3, 1)) for i in range(800)]
    error = np.sqrt(799 * np.var(without))
    found = frechet_interval_by_influence(x, reference, 0.9)
    assert (found.high - found.low) / 2 / norm.ppf(0.95) == pytest.approx(error, rel=0.01)
    assert (found.high + found.low) / 2 == pytest.approx(frechet_distance(Moments.of(x), reference))


def test_influence_and_resampling_agree_where_the_distance_is_large():
    x, reference = normal(2000, 4, 0, 1.0), Published(np.zeros(4), np.eye(4))
    first, second = (
        frechet_interval_by_influence(x, reference),
        frechet_interval(x, reference, replicates=1000),
    )
    assert first.high - first.low == pytest.approx(second.high - second.low, rel=0.1)


def test_kernel_interval_leaves_out_pairs_of_copies(monkeypatch):
    """Against replicates written out, pair by pair: an image that is drawn twice is no pair with itself."""
    monkeypatch.setattr("ebm_tf.evaluation.distances._KERNEL_ROWS", 11)
    x, y = normal(30, 3, 0), normal(25, 3, 1, 0)

    def kernel(a, b):
        return (a @ b.T / 3 + 1) ** 3

    def distance(images):
        apart = images[:, None] != images[None, :]
        within = kernel(x[images], x[images])[apart].mean()
        among = kernel(y, y)[~np.eye(25, dtype=bool)].mean()
        return within + among - 2 * kernel(x[images], y).mean()

    values = [distance(images) for images in written_out(30, 40, 3)]
    low, high = np.quantile(values, [0.05, 0.95]) - np.mean(values)
    estimate = distance(np.arange(30))
    found = kernel_interval(x, y, 0.9, 40, seed=3)
    assert found == pytest.approx((estimate + low, estimate + high, 0.9), rel=1e-9)


def test_kernel_interval_lies_about_the_kernel_distance_of_whole_sets():
    x, y = normal(40, 3, 0), normal(40, 3, 1, 0)
    found = kernel_interval(x, y, replicates=1)
    assert (found.low, found.high) == pytest.approx((kernel_distance(x, y, 1, 40).mean,) * 2)


def test_kernel_interval_of_some_samples_stands_for_all_of_them():
    """Four times as many: half as wide, about the number given, and as wide as all of them give."""
    x, y = normal(800, 3, 0, 0.5, 0.7), normal(100, 3, 1, 0, 0.7)
    plain, moved = kernel_interval(x[:200], y), kernel_interval(x[:200], y, around=3.0, count=800)
    middle = kernel_interval(x[:200], y, replicates=1).low
    assert moved.low - 3 == pytest.approx((plain.low - middle) / 2)
    assert moved.high - 3 == pytest.approx((plain.high - middle) / 2)
    whole = kernel_interval(x, y)
    assert moved.high - moved.low == pytest.approx(whole.high - whole.low, rel=0.25)


@pytest.mark.parametrize("splits", [1, 3])
def test_inception_score_interval_is_the_centred_spread_of_scores_written_out(splits, monkeypatch):
    """Each split a set by itself, about what `inception_score_from_logits` says with the same seed."""
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 30)
    logits = normal(40, 5, 0, 0, 2)
    odds = np.exp(logits)
    rows = odds / odds.sum(axis=1, keepdims=True)
    split_of, rng, scores = splits_of_rows(40, splits, 2), np.random.default_rng(2), []
    for split in range(splits):
        own = np.flatnonzero(split_of == split)
        draws = intervals._resamples(len(own), 30, rng)
        scores.append([inception_score(rows[np.repeat(own, counts)]).mean for counts in draws])
    low, high = np.quantile(np.mean(scores, axis=0), [0.025, 0.975]) - np.mean(scores)
    estimate = inception_score_from_logits(logits, splits, seed=2).mean
    assert inception_score_interval(logits, replicates=30, seed=2, splits=splits) == pytest.approx(
        (estimate + low, estimate + high, 0.95)
    )


def test_mean_interval_is_that_of_resampled_means_and_stays_in_range():
    values = normal(50, 1, 0)[:, 0]
    means = [values[images].mean() for images in written_out(50, 100, 1)]
    low, high = np.quantile(means, [0.25, 0.75])
    assert mean_interval(values, 0.5, 100, seed=1) == pytest.approx((low, high, 0.5))
    assert mean_interval(np.ones(20, bool)) == (1.0, 1.0, 0.95)
    assert mean_interval(np.arange(100) < 1).low >= 0


def test_replicates_draw_as_many_as_there_are_and_follow_the_seed():
    first, again, other = (
        list(intervals._resamples(30, 4, np.random.default_rng(seed))) for seed in (0, 0, 1)
    )
    assert all(counts.sum() == 30 for counts in first)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({tuple(counts) for counts in first}) == 4


def test_memory_maps_give_what_arrays_give(tmp_path):
    x = normal(60, 3, 0).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert frechet_interval(mapped, STANDARD, replicates=9) == frechet_interval(x, STANDARD, replicates=9)
    assert frechet_interval_by_influence(mapped, STANDARD) == frechet_interval_by_influence(x, STANDARD)
    assert kernel_interval(mapped, x[:20], replicates=9) == kernel_interval(x, x[:20], replicates=9)
    assert inception_score_interval(mapped, replicates=9) == inception_score_interval(x, replicates=9)


NAN = np.full((9, 3), np.nan)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: frechet_interval(normal(3, 3, 0), STANDARD), "more than their features.* 3 of 3 features"),
        (lambda: frechet_interval(normal(9, 4, 0), STANDARD), "number of features. Received: 4 and 3"),
        (lambda: frechet_interval(NAN, STANDARD), "samples must be finite. Received: 27 of 27"),
        (lambda: frechet_interval(normal(9, 3, 0), STANDARD, 1.0), "between 0 and 1. Received: 1.0"),
        (lambda: frechet_interval(normal(9, 3, 0), STANDARD, replicates=0), "at least 1. Received: 0"),
        (lambda: frechet_interval_by_influence(NAN, STANDARD), "must be finite. Received: 27 of 27"),
        (lambda: frechet_interval_by_influence(normal(9, 3, 0), STANDARD, 0), "0 and 1. Received: 0"),
        (lambda: kernel_interval(normal(1, 3, 0), NAN), "at least 2 feature vectors. Received: 1 and 9"),
        (lambda: kernel_interval(normal(4, 3, 0), NAN), "reference must be finite. Received: 27 of 27"),
        (lambda: kernel_interval(normal(4, 2, 0), NAN), "number of features. Received: 2 and 3"),
        (lambda: kernel_interval(np.eye(3), np.eye(3), count=2), "at least the 3 samples given. Received: 2"),
        (lambda: inception_score_interval(NAN, splits=1), "logits must be finite. Received: 27 of 27"),
        (lambda: inception_score_interval(np.eye(3)), r"splits must be in 1\.\.3.* Received: 10"),
        (lambda: mean_interval([1.0]), r"n >= 2. Received: shape \(1,\)"),
        (lambda: mean_interval([1.0, np.nan]), "values must be finite. Received: 1 of 2"),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
