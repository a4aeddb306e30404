"""Intervals: what they cover by simulation, and their parts against resampled sets written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

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
    inception_score_interval,
    kernel_interval,
    mean_interval,
    wilson,
)
from ebm_tf.evaluation.published import Published
from ebm_tf.evaluation.statistics import Moments
from tests.evaluation.resampling import (
    centred_spread,
    draws,
    resampled_distances,
    resampled_frechet_interval,
)

STANDARD = Published(np.zeros(3), np.eye(3))


def normal(n, dim, seed, shift=0.5, scale=1.3):
    return np.random.default_rng(seed).normal(shift, scale, (n, dim))


def coverage(found, truth):
    return np.mean([interval.low <= truth <= interval.high for interval in found])


def width(interval):
    return interval[1] - interval[0]


def written_out(count, replicates, seed):
    return list(draws(count, replicates, np.random.default_rng(seed)))


# What is covered. 1000 or more draws give the truth; of 200 intervals at 95%, 97.5% of runs cover 91% or more.


def test_frechet_intervals_cover_the_average_of_other_draws():
    truth = np.mean(
        [frechet_distance(Moments.of(normal(200, 3, 10_000 + seed)), STANDARD) for seed in range(2000)]
    )
    found = [frechet_interval(normal(200, 3, seed), STANDARD) for seed in range(200)]
    assert 0.90 <= coverage(found, truth) <= 0.985


def test_as_good_as_the_reference_frechet_intervals_are_wide_not_short():
    """E FD = [d + d (d + 1) / 4] / n there, which the percentiles of resampled distances miss: all are higher."""
    truth = (3 + 3) / 200
    found = [frechet_interval(normal(200, 3, seed, 0, 1), STANDARD) for seed in range(200)]
    assert coverage(found, truth) >= 0.93


def test_percentiles_of_resampled_distances_would_not_be_honest():
    """Why the spread is centred: resampling adds the bias of n images, [d + d (d + 1) / 4] / n, once more."""
    x = normal(200, 3, 1, 0, 1)
    resampled = resampled_distances(x, STANDARD, 1000)
    added = np.mean(resampled) - frechet_distance(Moments.of(x), STANDARD)
    assert added == pytest.approx((3 + 3) / 200, abs=4 * np.std(resampled) / np.sqrt(1000) + 0.002)


@pytest.mark.parametrize("count", [20, 32, 160])
def test_with_few_images_for_their_features_the_interval_is_about_as_wide_as_draws_differ(count):
    """16 features. Of 20 and 32 images the resampled one is more than 1.3 times too wide."""
    reference = Published(np.zeros(16), np.eye(16))
    others = [frechet_distance(reference, Moments.of(normal(count, 16, 10_000 + s, 0.3))) for s in range(600)]
    sets = [normal(count, 16, seed, 0.3) for seed in range(20)]
    expected = 2 * norm.ppf(0.975) * np.std(others)
    assert np.mean([width(frechet_interval(x, reference)) for x in sets]) == pytest.approx(expected, rel=0.25)
    if count < 160:
        resampled = [width(resampled_frechet_interval(x, reference, replicates=100)) for x in sets]
        assert np.mean(resampled) > 1.3 * expected


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


def kernel_truth(shift, scale, reference):
    """E KID of N(shift, scale^2 I) to a fixed reference: x.y / d is normal for a fixed y, whose cube has a mean."""
    dim = reference.shape[1]

    def mean_kernel(y):
        mean, variance = shift * y.sum(axis=1) / dim + 1, scale**2 * np.square(y).sum(axis=1) / dim**2
        return mean**3 + 3 * mean * variance

    values = (reference @ reference.T / dim + 1) ** 3
    among = values[~np.eye(len(reference), dtype=bool)].mean()
    within = mean_kernel(normal(1_000_000, dim, 77, shift, scale)).mean()
    return within - 2 * mean_kernel(reference).mean() + among


def test_kernel_intervals_cover_the_average_of_other_draws():
    """A mild kernel: features of length about 1, as its cube has heavy tails. The unbiased KID is its own truth."""
    reference = normal(80, 4, 0, 0, 0.5)
    truth = kernel_truth(0.3, 0.5, reference)
    found = [kernel_interval(normal(100, 4, 10 + s, 0.3, 0.5), reference, replicates=100) for s in range(200)]
    assert 0.89 <= coverage(found, truth) <= 0.985


def test_kernel_intervals_about_a_mean_over_subsets_cover_it_too():
    """10 subsets of 100 out of 1000: they vary more than the draw of the 1000 does, which alone covers too little."""
    reference = normal(1000, 4, 0, 0, 0.5)
    truth, with_error, without = kernel_truth(0.3, 0.5, reference), [], []
    for seed in range(100):
        samples = normal(1000, 4, 10 + seed, 0.3, 0.5)
        estimate, spread = kernel_distance(samples, reference, 10, 100, seed)
        options = {"replicates": 60, "around": estimate, "count": 1000}
        with_error.append(kernel_interval(samples, reference, error=spread / np.sqrt(10), **options))
        without.append(kernel_interval(samples, reference, **options))
    assert 0.88 <= coverage(with_error, truth) <= 0.985
    assert coverage(without, truth) < 0.85


# The parts


def test_influence_is_the_derivative_of_the_distance_by_the_weight_of_an_image():
    """The jackknife's standard error, from distances without one image each: equal to O(1 / n)."""
    x, reference = normal(800, 3, 0), Moments.of(normal(500, 3, 1))
    without = [frechet_distance_from_features(np.delete(x, i, axis=0), normal(500, 3, 1)) for i in range(800)]
    error = np.sqrt(799 * np.var(without))
    found = frechet_interval(x, reference, 0.9)
    assert (found.high - found.low) / 2 / norm.ppf(0.95) == pytest.approx(error, rel=0.01)
    assert (found.high + found.low) / 2 == pytest.approx(frechet_distance(Moments.of(x), reference))


def test_to_first_order_it_is_the_resampled_interval_where_there_are_many_images():
    x, reference = normal(2000, 4, 0, 1.0), Published(np.zeros(4), np.eye(4))
    first, second = frechet_interval(x, reference), resampled_frechet_interval(x, reference, replicates=1000)
    assert (first.low, first.high) == pytest.approx(second, abs=0.05 * width(second))


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


@pytest.mark.parametrize("count", [2, 3])
def test_kernel_interval_of_very_few_samples_has_only_replicates_with_pairs(count):
    """Half of the draws of 2 out of 2, and a ninth of those of 3, hold copies of one image alone."""
    x, y = normal(count, 3, 0), normal(20, 3, 1, 0)
    found = kernel_interval(x, y, replicates=100)
    assert np.isfinite(found).all()
    if count == 2:  # every replicate with a pair is the set itself
        assert width(found) == pytest.approx(0, abs=1e-12)
    else:
        assert width(found) > 0


def test_kernel_interval_lies_about_the_kernel_distance_of_whole_sets():
    x, y = normal(40, 3, 0), normal(40, 3, 1, 0)
    found = kernel_interval(x, y, replicates=1)
    assert (found.low, found.high) == pytest.approx((kernel_distance(x, y, 1, 40).mean,) * 2)


def test_the_error_of_an_estimate_adds_to_either_half_as_squares_do():
    """z 0.5 = 0.98 at 95%."""
    x, y = normal(40, 3, 0, 0.5, 0.7), normal(40, 3, 1, 0, 0.7)
    plain, wider = kernel_interval(x, y, around=2.0), kernel_interval(x, y, around=2.0, error=0.5)
    assert 2 - wider.low == pytest.approx(np.sqrt((2 - plain.low) ** 2 + 0.979982**2), rel=1e-6)
    assert wider.high - 2 == pytest.approx(np.sqrt((plain.high - 2) ** 2 + 0.979982**2), rel=1e-6)


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
@pytest.mark.parametrize("passes", [1, 4])
def test_inception_score_interval_is_the_centred_spread_of_scores_written_out(splits, passes, monkeypatch):
    """Each split a set by itself, about what `inception_score_from_logits` says with the same seed."""
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 30)
    monkeypatch.setattr(intervals, "_COUNTS_AT_ONCE", 40 * -(-30 // passes))
    logits = normal(40, 5, 0, 0, 2)
    odds = np.exp(logits)
    rows = odds / odds.sum(axis=1, keepdims=True)
    split_of, rng, scores = splits_of_rows(40, splits, 2), np.random.default_rng(2), []
    parts = [np.flatnonzero(split_of == split) for split in range(splits)]
    for _ in range(30):
        drawn = [own[next(draws(len(own), 1, rng))] for own in parts]
        scores.append(np.mean([inception_score(rows[images]).mean for images in drawn]))
    low, high = centred_spread(inception_score_from_logits(logits, splits, seed=2).mean, scores, 0.95)
    found = inception_score_interval(logits, replicates=30, seed=2, splits=splits)
    assert found == pytest.approx((low, high, 0.95))


def test_the_counts_of_an_inception_score_interval_are_bounded(monkeypatch):
    """40 images at most 8 replicates at a time, 100 classes at most 3; however few fit, one."""
    held = []

    def watch(logits, split_of, counts):
        held.append(len(counts))
        return [1.0] * len(counts)

    monkeypatch.setattr(intervals, "_resampled_scores", watch)
    for most, classes in ((320, 5), (320, 100), (3, 5)):
        monkeypatch.setattr(intervals, "_COUNTS_AT_ONCE", most)
        inception_score_interval(normal(40, classes, 0), replicates=10, splits=1)
    assert held == [8, 2, 3, 3, 3, 1] + [1] * 10


def test_mean_interval_is_that_of_resampled_means_and_stays_in_range():
    values = normal(50, 1, 0)[:, 0]
    means = [values[images].mean() for images in written_out(50, 100, 1)]
    low, high = np.quantile(means, [0.25, 0.75])
    assert mean_interval(values, 0.5, 100, seed=1) == pytest.approx((low, high, 0.5))
    assert mean_interval(np.ones(20, bool)) == (1.0, 1.0, 0.95)
    assert mean_interval(np.arange(100) < 1).low >= 0


@pytest.mark.parametrize("trials", [1, 7, 1000])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_is_that_of_scipy(trials, level):
    for successes in {0, 1, trials // 2, trials}:
        expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
        np.testing.assert_allclose(
            wilson(successes, trials, level), [expected.low, expected.high, level], atol=1e-12
        )


def test_of_no_success_wilson_ends_where_the_closed_form_says():
    """z^2 / (n + z^2), with z = 1.959964."""
    assert wilson(0, 100).low == 0
    assert wilson(0, 100).high == pytest.approx(3.8414588 / 103.8414588, rel=1e-7)
    assert wilson(100, 100).high == 1


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_wilson_holds_the_true_share_about_as_often_as_it_says(share):
    """Summed over all outcomes of 200 draws, not simulated; 95% is met on average, not for each share."""
    found = [wilson(successes, 200) for successes in range(201)]
    covered = [interval.low <= share <= interval.high for interval in found]
    assert 0.93 < binom.pmf(np.arange(201), 200, share)[covered].sum() < 0.97


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
    assert frechet_interval(mapped, STANDARD) == frechet_interval(x, STANDARD)
    assert kernel_interval(mapped, x[:20], replicates=9) == kernel_interval(x, x[:20], replicates=9)
    assert inception_score_interval(mapped, replicates=9) == inception_score_interval(x, replicates=9)


NAN = np.full((9, 3), np.nan)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: frechet_interval(normal(3, 3, 0), STANDARD), "more than their features.* 3 of 3 features"),
        (lambda: frechet_interval(normal(9, 4, 0), STANDARD), "number of features. Received: 4 and 3"),
        (lambda: frechet_interval(NAN, STANDARD), "features must be finite. Received: 27 of 27"),
        (lambda: frechet_interval(normal(9, 3, 0), STANDARD, 1.0), "between 0 and 1. Received: 1.0"),
        (lambda: kernel_interval(normal(1, 3, 0), NAN), "at least 2 feature vectors. Received: 1 and 9"),
        (lambda: kernel_interval(normal(4, 3, 0), NAN), "reference must be finite. Received: 27 of 27"),
        (lambda: kernel_interval(normal(4, 2, 0), NAN), "number of features. Received: 2 and 3"),
        (lambda: kernel_interval(np.eye(3), np.eye(3), count=2), "at least the 3 samples given. Received: 2"),
        (lambda: kernel_interval(np.eye(3), np.eye(3), replicates=0), "at least 1. Received: 0"),
        (lambda: kernel_interval(np.eye(3), np.eye(3), error=-1.0), "error >= 0. Received: -1.0"),
        (lambda: kernel_interval(np.eye(3), np.eye(3), error=np.nan), "error >= 0. Received: nan"),
        (lambda: inception_score_interval(NAN, splits=1), "logits must be finite. Received: 27 of 27"),
        (lambda: inception_score_interval(np.eye(3)), r"splits must be in 1\.\.3.* Received: 10"),
        (lambda: wilson(3, 2), r"successes must be in 0\.\.trials.* Received: 3 and 2"),
        (lambda: wilson(0, 0), "Received: 0 and 0"),
        (lambda: wilson(1, 2, 1.0), "level must be between 0 and 1. Received: 1.0"),
        (lambda: mean_interval([1.0]), r"n >= 2. Received: shape \(1,\)"),
        (lambda: mean_interval([1.0, np.nan]), "values must be finite. Received: 1 of 2"),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
