"""FID, KID, IS and class shares against closed forms, numbers worked out by hand, SciPy and scikit-learn."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import ortho_group
from sklearn.metrics.pairwise import polynomial_kernel

from ebm_tf.evaluation import distances, statistics
from ebm_tf.evaluation.distances import (
    FrechetTo,
    class_coverage,
    class_share,
    entropy_of,
    frechet_distance,
    frechet_distance_from_features,
    inception_score,
    inception_score_from_logits,
    kernel_distance,
    softmax_and_entropy,
)
from ebm_tf.evaluation.statistics import Moments

SEEDS = st.integers(0, 2**32 - 1)
PROPERTY = settings(max_examples=25, deadline=None)


def gaussian(mean, covariance, count=101):
    """Moments whose mean and unbiased covariance are exactly the given ones."""
    return Moments(count, np.asarray(mean, float), np.asarray(covariance, float) * (count - 1))


def features(n, dim, seed, shift=0.0):
    """`n` correlated vectors of unequal variances."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) + rng.normal(size=dim) + shift


# Frechet distance


def test_equal_covariances_leave_the_distance_of_the_means():
    covariance = np.cov(features(50, 6, 0), rowvar=False)
    difference = np.arange(6.0)
    assert frechet_distance(
        gaussian(np.zeros(6), covariance), gaussian(difference, covariance)
    ) == pytest.approx(55.0, rel=1e-10)


def test_unit_shift_of_2048_features_is_2048():
    a, b = (gaussian(np.full(2048, mean), np.eye(2048)) for mean in (0.0, 1.0))
    assert frechet_distance(a, b) == pytest.approx(2048.0, rel=1e-12)


def test_diagonal_covariances():
    a, b = np.array([4.0, 1.0, 0.0, 9.0]), np.array([1.0, 1.0, 2.0, 0.25])
    expected = 1 + 0 + 2 + 2.5**2
    assert frechet_distance(
        gaussian(np.zeros(4), np.diag(a)), gaussian(np.zeros(4), np.diag(b))
    ) == pytest.approx(expected, rel=1e-12)


def test_two_by_two_by_hand():
    """tr (AB)^1/2 = sqrt(tr AB + 2 sqrt det AB) for 2 x 2: tr AB = 7, det A = 5, det B = 1.75."""
    a, b = [[2, 1], [1, 3]], [[1, -0.5], [-0.5, 2]]
    assert np.sqrt(7 + 2 * np.sqrt(5 * 1.75)) == pytest.approx(3.5938948, abs=1e-7)
    assert frechet_distance(gaussian([0, 0], a), gaussian([0, 0], b)) == pytest.approx(0.8122104, abs=1e-7)
    assert frechet_distance(gaussian([0, 0], a), gaussian([3, 4], b)) == pytest.approx(25.8122104, abs=1e-7)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_matrix_square_root_of_scipy(seed):
    a, b = Moments.of(features(200, 20, seed)), Moments.of(features(150, 20, seed + 10))
    first, second = a.covariance(), b.covariance()
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@given(SEEDS, st.integers(1, 6))
@PROPERTY
def test_frechet_distance_is_symmetric_and_zero_on_itself(seed, dim):
    a, b = Moments.of(features(30, dim, seed)), Moments.of(features(40, dim, seed + 1))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-10 * np.trace(a.covariance()))
    assert frechet_distance(a, b) > 0


@given(SEEDS, st.integers(2, 5), st.floats(0.1, 10), st.sampled_from([4, 30]))
@PROPERTY
def test_rotation_and_shift_change_nothing_and_scale_squares(seed, dim, scale, n):
    """For Moments (n = 30) and, by the same law, for features fewer than dimensions (n = 4 of 10)."""
    dim = dim if n == 30 else 10
    x, y = features(n, dim, seed), features(n + 1, dim, seed + 1)
    moved = ortho_group.rvs(dim, random_state=seed) * scale
    offset = np.arange(dim)
    before = frechet_distance_from_features(x, y)
    after = frechet_distance_from_features(x @ moved + offset, y @ moved + offset)
    assert after == pytest.approx(scale**2 * before, rel=1e-7)


@given(SEEDS, st.integers(2, 30), st.integers(2, 30))
@PROPERTY
def test_features_and_moments_agree_whatever_the_numbers(seed, n, m):
    """Also below d = 10 vectors, within what square roots of null eigenvalues cost the moments."""
    x, y = features(n, 10, seed), features(m, 10, seed + 1)
    scale = np.trace(np.cov(x, rowvar=False)) + np.trace(np.cov(y, rowvar=False))
    expected = frechet_distance(Moments.of(x), Moments.of(y))
    assert frechet_distance_from_features(x, y) == pytest.approx(expected, abs=2e-6 * scale)


@pytest.mark.parametrize(("n", "m"), [(50, 60), (50, 2000), (2000, 50)])
def test_fewer_vectors_than_features_equals_the_subspace_they_lie_in(n, m):
    """20 features embedded by a rotation in 300: the distance is that of the 20, found there by Moments."""
    x, y = features(n, 20, 1), features(m, 20, 2)
    frame = ortho_group.rvs(300, random_state=0)[:20]
    expected = frechet_distance(Moments.of(x), Moments.of(y))
    assert frechet_distance_from_features(x @ frame, y @ frame) == pytest.approx(expected, rel=1e-10)


def test_few_features_are_at_zero_from_themselves_without_loss():
    x = features(20, 200, 0)
    assert frechet_distance_from_features(x, x) == pytest.approx(0.0, abs=1e-12 * np.square(x).sum())


def test_samples_of_one_distribution_show_the_known_bias():
    """E[FD] = 2 [d + d (d + 1) / 4] / n to first order, two samples of N(0, I): 3.341 at d 256, n 10,000."""
    rng = np.random.default_rng(0)
    a, b = (Moments.of(rng.normal(size=(10_000, 256))) for _ in range(2))
    assert frechet_distance(a, b) == pytest.approx(3.341, rel=0.02)
    exact = gaussian(np.zeros(256), np.eye(256))
    assert frechet_distance(a, exact) == pytest.approx(3.341 / 2, rel=0.03)


def test_one_set_to_many_is_each_distance():
    one, others = Moments.of(features(60, 5, 0)), [Moments.of(features(50, 5, seed)) for seed in (1, 2)]
    to_one = FrechetTo(one)
    assert [to_one.distance(other) for other in others] == [frechet_distance(one, other) for other in others]


@pytest.mark.parametrize("n", [2, 8, 12, 13, 90])
def test_few_features_to_a_gaussian_equal_features_to_features(n, monkeypatch):
    """12 features: fewer vectors, as many, more; in one block and in blocks of 7. The means alone differ by 50."""
    x, y = features(n, 12, 0), features(90, 12, 1) + 50
    one = FrechetTo(Moments.of(y))
    expected = pytest.approx(frechet_distance_from_features(x, y), rel=1e-10)
    assert one.distance_of_few(x) == expected
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 84)
    assert one.distance_of_few(x) == expected


def test_few_features_in_a_subspace_have_no_loss_that_moments_have():
    x = features(20, 200, 0)
    nothing = FrechetTo(Moments.of(x)).distance_of_few(x)
    assert nothing == pytest.approx(0.0, abs=1e-6 * np.square(x).sum() / 20)


@pytest.mark.parametrize(("n", "m"), [(8, 90), (90, 8), (8, 9), (90, 70)])
def test_memory_maps_read_in_blocks_give_the_distance_of_whole_arrays(n, m, tmp_path, monkeypatch):
    """In blocks of 7 vectors, with fewer vectors than the 12 features and with more."""
    x, y = (features(count, 12, count).astype(np.float32) for count in (n, m))
    expected = frechet_distance_from_features(x, y)
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 84)
    for name, array in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    assert frechet_distance_from_features(*mapped) == pytest.approx(expected, rel=1e-10)


@given(SEEDS)
@PROPERTY
def test_the_order_of_vectors_changes_no_frechet_distance(seed):
    x, y = features(30, 4, seed), features(20, 4, seed + 1)
    rng = np.random.default_rng(seed)
    shuffled, other = rng.permutation(x), rng.permutation(y)
    assert frechet_distance_from_features(shuffled, other) == pytest.approx(
        frechet_distance_from_features(x, y), rel=1e-8
    )


# Kernel distance


def mmd_by_loops(x, y):
    """The unbiased estimator as it is written in the paper, pair by pair."""

    def kernel(a, b):
        return (np.dot(a, b) / len(a) + 1) ** 3

    def within(z):
        return np.mean([kernel(z[i], z[j]) for i, j in combinations(range(len(z)), 2)])

    return within(x) + within(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_kernel_distance_by_hand():
    """d 1, x = {0, 1}, y = {0, 2}: 1 + 1 - 2 (1 + 1 + 1 + 27) / 4 = -13."""
    assert kernel_distance([[0], [1]], [[0], [2]]) == (-13.0, 0.0)


@given(SEEDS, st.integers(2, 8))
@PROPERTY
def test_kernel_distance_of_whole_sets_is_the_paper_s_estimator(seed, n):
    x, y = features(n, 3, seed), features(n, 3, seed + 1)
    expected = mmd_by_loops(x, y)
    scale = np.abs(polynomial_kernel(np.vstack([x, y]), degree=3, gamma=1 / 3, coef0=1)).max()
    distance = kernel_distance(x, y)
    assert distance.mean == pytest.approx(expected, abs=1e-12 * scale)
    assert distance.spread == 0.0


@given(SEEDS, st.integers(2, 6))
@PROPERTY
def test_kernel_distance_keeps_under_order_rotation_and_exchange(seed, dim):
    """Its kernel knows the origin and a length, sqrt(d): moving or scaling both sets is no symmetry of it."""
    x, y = features(20, dim, seed), features(20, dim, seed + 1)
    turned = ortho_group.rvs(dim, random_state=seed)
    rng = np.random.default_rng(seed)
    scale = np.abs(polynomial_kernel(np.vstack([x, y]), degree=3, gamma=1 / dim, coef0=1)).max()
    expected = pytest.approx(kernel_distance(x, y).mean, abs=1e-12 * scale)
    assert kernel_distance(y, x).mean == expected
    assert kernel_distance(x @ turned, y @ turned).mean == expected
    assert kernel_distance(rng.permutation(x), rng.permutation(y)).mean == expected


def test_kernel_distance_does_change_with_a_shift_and_not_by_the_square_of_a_scale():
    """{0, 1} and {0, 2} give -13 by hand. Moved by 1, {1, 2} and {1, 3}: 27 + 64 - (8 + 64 + 27 + 343) / 2 = -130."""
    assert kernel_distance([[1], [2]], [[1], [3]]).mean == -130.0
    assert kernel_distance([[0], [2]], [[0], [4]]).mean == 1 + 1 - (1 + 1 + 1 + 9**3) / 2


@pytest.mark.parametrize("tile", [7, 20, 4096])
def test_tiles_of_the_kernel_change_nothing(tile, monkeypatch):
    """n = m = 20, and subsets of different sets: in tiles of 7, in one, and where a tile ends with the set."""
    x, y = features(20, 3, 0), features(20, 3, 1)
    whole, subsets = kernel_distance(x, y), kernel_distance(x, features(31, 3, 2), 4, 18)
    monkeypatch.setattr(distances, "_KERNEL_ROWS", tile)
    assert kernel_distance(x, y) == pytest.approx(whole, rel=1e-12)
    assert kernel_distance(x, features(31, 3, 2), 4, 18) == pytest.approx(subsets, rel=1e-12)


def test_kernel_distance_of_memory_maps_is_that_of_arrays(tmp_path):
    x, y = (features(40, 3, seed).astype(np.float32) for seed in range(2))
    for name, array in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy"]
    assert kernel_distance(*mapped, 5, 10) == kernel_distance(x.astype(float), y.astype(float), 5, 10)
    assert kernel_distance(*mapped) == kernel_distance(x.astype(float), y.astype(float))


def test_kernel_distance_has_no_bias():
    """Pairs of samples of one distribution: the mean is 0 within 4 standard errors, so many are negative."""
    rng = np.random.default_rng(0)
    values = np.array([kernel_distance(*rng.normal(size=(2, 20, 8))).mean for _ in range(1000)])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert 0.3 < np.mean(values < 0) < 0.8
    diagonal_kept = 2 * np.mean((1 + 1) ** 3) / 20
    assert diagonal_kept > 20 * values.std() / np.sqrt(len(values)), "a biased estimator would be seen"


def test_subsets_average_to_the_estimate_of_the_whole():
    """A subset drawn without replacement has the whole set's estimate as its expectation."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 4)), rng.normal(0.5, 1, size=(50, 4))
    distance = kernel_distance(x, y, subsets=4000, subset_size=15)
    assert distance.mean == pytest.approx(mmd_by_loops(x, y), abs=4 * distance.spread / np.sqrt(4000))
    assert distance.spread > 0
    with_replacement_would_add = 2 * np.mean(np.square(x).sum(axis=1) / 4 + 1) ** 3 / 60
    assert with_replacement_would_add > 5 * distance.spread / np.sqrt(4000), "repeats would be seen"


def test_kernel_distance_repeats_with_its_seed_and_changes_with_it():
    x, y = features(30, 3, 0), features(40, 3, 1)
    assert kernel_distance(x, y, 5, 10, seed=3) == kernel_distance(x, y, 5, 10, seed=3)
    assert kernel_distance(x, y, 5, 10, seed=3) != kernel_distance(x, y, 5, 10, seed=4)


def test_subset_size_is_cut_to_the_smaller_set():
    x, y = features(6, 3, 0), features(40, 3, 1)
    assert kernel_distance(x, y, 20, 1000) == kernel_distance(x, y, 20, 6)
    assert kernel_distance(x, y, 20, 1000).spread > 0


# Inception score, shares, entropy


@pytest.mark.parametrize("classes", [1, 2, 10, 1008])
def test_inception_score_of_uniform_one_hot_is_the_number_of_classes(classes):
    assert inception_score(np.eye(classes)).mean == pytest.approx(classes, rel=1e-12)
    shuffled = np.random.default_rng(0).permutation(np.repeat(np.eye(classes), 3, axis=0))
    assert inception_score(shuffled) == pytest.approx((classes, 0.0), rel=1e-12)


def test_inception_score_of_a_constant_is_one():
    constant = np.tile([0.7, 0.2, 0.1, 0.0], (50, 1))
    assert inception_score(constant, splits=5) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_inception_score_by_hand():
    """Rows (1, 0) and (1/2, 1/2): p(y) = (3/4, 1/4), KL = log 4/3 and log 2 - (log 3) / 2."""
    expected = np.exp((np.log(4 / 3) + np.log(2) - np.log(3) / 2) / 2)
    assert inception_score([[1, 0], [0.5, 0.5]]).mean == pytest.approx(expected, rel=1e-14)


def test_splits_are_scored_apart():
    """First half one class, second half two: scores 1 and 2, so mean 1.5 and spread 0.5."""
    rows = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert inception_score(rows, splits=2) == pytest.approx((1.5, 0.5), rel=1e-12)
    assert inception_score(np.eye(7), splits=7) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_float32_softmax_over_many_classes_is_accepted():
    logits = np.random.default_rng(0).normal(size=(20, 1008)).astype(np.float32)
    exponentials = np.exp(logits)
    assert 1 < inception_score(exponentials / exponentials.sum(axis=1, keepdims=True)).mean < 2


@pytest.mark.parametrize("splits", [1, 3, 7])
@pytest.mark.parametrize("values_at_once", [12, 2**24])
def test_inception_score_from_logits_is_that_of_their_softmax(splits, values_at_once, monkeypatch):
    """In blocks of 3 rows that do not end with the splits, and in one; logits too large for exp."""
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", values_at_once)
    logits = np.random.default_rng(0).normal(0, 3, (31, 4)).astype(np.float32)
    exponentials = np.exp(logits.astype(np.float64))
    expected = inception_score(exponentials / exponentials.sum(axis=1, keepdims=True), splits)
    assert inception_score_from_logits(logits, splits) == pytest.approx(expected, rel=1e-12)
    assert inception_score_from_logits(logits.astype(np.float64) + 1e4, splits) == pytest.approx(
        expected, rel=1e-9
    )


def test_inception_score_from_logits_at_its_ends():
    certain = 1e4 * np.repeat(np.eye(10), 5, axis=0)
    assert inception_score_from_logits(certain, splits=1).mean == pytest.approx(10.0, rel=1e-12)
    assert inception_score_from_logits(np.ones((50, 10)), splits=5) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_rows_sorted_by_class_need_a_seed():
    """In runs each split sees one class and scores 1; dealt at random, splits of 200 score nearly 10."""
    by_class = 1e4 * np.repeat(np.eye(10), 200, axis=0)
    assert inception_score_from_logits(by_class, splits=10) == pytest.approx((1.0, 0.0), abs=1e-9)
    dealt = inception_score_from_logits(by_class, splits=10, seed=0)
    assert 9.5 < dealt.mean < 10
    assert 0 < dealt.spread < 0.2
    assert dealt == inception_score_from_logits(by_class, splits=10, seed=0)


def test_softmax_and_its_entropy():
    probabilities, entropy = softmax_and_entropy(np.log([[0.25, 0.75], [0.5, 0.5]]))
    np.testing.assert_allclose(probabilities, [[0.25, 0.75], [0.5, 0.5]], rtol=1e-14)
    np.testing.assert_allclose(entropy, [0.5623351446, np.log(2)], rtol=1e-9)


def test_class_coverage_is_the_share_of_classes_that_occur():
    assert class_coverage([3, 0, 1, 0, 5]) == 0.6
    assert class_coverage(np.bincount([2, 2], minlength=10)) == 0.1
    assert class_coverage([1]) == 1.0


def test_class_share_counts_classes_that_never_occur():
    shares = class_share([0, 2, 2, 3], 5)
    assert shares.dtype == np.float64
    np.testing.assert_array_equal(shares, [0.25, 0, 0.5, 0.25, 0])
    np.testing.assert_array_equal(class_share(np.array([255], np.uint8), 256), np.eye(256)[255])


def test_entropy_in_nats():
    assert entropy_of([1.0, 0.0, 0.0]) == 0.0
    assert entropy_of(np.full(10, 0.1)) == pytest.approx(np.log(10), rel=1e-14)
    assert entropy_of([0.25, 0.75, 0.0]) == pytest.approx(0.5623351446, abs=1e-10)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: frechet_distance(Moments.empty(2), Moments.empty(3)),
            "same number of features. Received: 2 and 3",
        ),
        (
            lambda: frechet_distance(Moments.of([[1]]), Moments.of([[1], [2]])),
            "at least 2 feature.* Received: 1",
        ),
        (lambda: frechet_distance_from_features(np.ones((1, 4)), np.ones((3, 4))), "Received: 1 and 3"),
        (lambda: frechet_distance_from_features(np.ones((3, 4)), np.ones((3, 5))), "Received: 4 and 5"),
        (
            lambda: frechet_distance_from_features(np.ones((3, 4)), np.full((3, 4), np.nan)),
            "y must be fin.* 12 of 12",
        ),
        (
            lambda: kernel_distance(np.ones((3, 4)), np.ones((1, 4))),
            "at least 2 feature vectors. Received: 3 and 1",
        ),
        (
            lambda: kernel_distance(np.ones((3, 4)), np.ones((3, 4)), subsets=0),
            "subsets must.* Received: 0 and 1000",
        ),
        (
            lambda: kernel_distance(np.ones((3, 4)), np.ones((3, 4)), 9, 1),
            "subset_size at.* Received: 9 and 1",
        ),
        (
            lambda: inception_score([[0.5, 0.6]]),
            r"sum to 1 within 0.001\. Received: least value 0.5, sums in 1.1",
        ),
        (lambda: inception_score([[1.5, -0.5]]), "non-negative.* Received: least value -0.5"),
        (lambda: inception_score(np.empty((0, 3))), "Received: no rows"),
        (lambda: inception_score(np.eye(3), splits=4), r"splits must be in 1\.\.3.* Received: 4"),
        (lambda: inception_score(np.eye(3), splits=0), r"splits must be in 1\.\.3.* Received: 0"),
        (lambda: class_share([0, 5], 5), r"labels must be in 0\.\.4\. Received: 0\.\.5"),
        (lambda: class_share([-1, 2], 5), r"labels must be in 0\.\.4\. Received: -1\.\.2"),
        (lambda: class_share([0.0, 1.0], 5), "labels must be integers.* dtype float64"),
        (lambda: class_share(np.empty(0, int), 5), r"n >= 1. Received: shape \(0,\)"),
        (lambda: kernel_distance(np.ones((3, 4)), np.full((5, 4), np.inf)), "y must be finite.* 20 of 20"),
        (lambda: kernel_distance(np.ones((3, 4)), np.ones((3, 5))), "Received: 4 and 5"),
        (lambda: inception_score_from_logits([[0.0, np.nan]], 1), "logits must be finite.* 1 of 2"),
        (lambda: inception_score_from_logits(np.eye(3), 4), r"splits must be in 1\.\.3.* Received: 4"),
        (lambda: inception_score_from_logits(np.ones(3), 1), r"logits must be real.* shape \(3,\)"),
        (lambda: FrechetTo(Moments.of(np.eye(3))).distance_of_few([[1.0, 2.0, 3.0]]), "2 feat.* Received: 1"),
        (lambda: FrechetTo(Moments.of(np.eye(3))).distance_of_few(np.eye(2)), "Received: 3 and 2"),
        (
            lambda: FrechetTo(Moments.of(np.eye(3))).distance_of_few(np.full((2, 3), np.nan)),
            "finite.* 6 of 6",
        ),
        (lambda: class_coverage([0, 0]), r"not all 0\. Received: 0\.\.0"),
        (lambda: class_coverage([-1, 2]), r"counts must be >= 0.* Received: -1\.\.2"),
        (lambda: class_coverage([0.5, 1.0]), r"integers of shape \[C\].* dtype float64"),
        (lambda: entropy_of([0.5, 0.2]), "shares must be non-negative and sum to 1"),
        (lambda: entropy_of([[1.0]]), r"shape \[C\]\. Received: shape \(1, 1\)"),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
