"""Precision, recall, density and coverage: closed forms, the definitions pair by pair, and the package prdc."""

from __future__ import annotations

import numpy as np
import prdc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from ebm_tf.evaluation import manifold as module
from ebm_tf.evaluation.manifold import manifold

SEEDS = st.integers(0, 2**32 - 1)
PROPERTY = settings(max_examples=20, deadline=None)


def normal(n, dim, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, dim))


def grid(n, dim, seed):
    """Few distinct values: many duplicates, and many distances that are exactly equal."""
    return np.random.default_rng(seed).integers(0, 4, (n, dim)).astype(np.float32)


def by_definition(reference, samples, k):
    """The indicators, from all squared distances in float64."""

    def squared(x, y):
        return np.square(x.astype(np.float64)[:, None] - y.astype(np.float64)[None]).sum(axis=2)

    def radii(x):
        return np.sort(squared(x, x) + np.diag(np.full(len(x), np.inf)), axis=1)[:, k - 1]

    apart, real, fake = squared(samples, reference), radii(reference), radii(samples)
    return (
        (apart <= real).any(axis=1),
        (apart < real).sum(axis=1),
        (apart <= fake[:, None]).any(axis=0),
        (apart < real).any(axis=0),
    )


def assert_is_by_definition(reference, samples, k):
    found = manifold(reference, samples, k)
    for indicator, expected in zip(found[4:], by_definition(reference, samples, k)):
        np.testing.assert_array_equal(indicator, expected)
    assert found[:4] == (
        found.inside.mean(),
        found.reached.mean(),
        found.balls.mean() / k,
        found.covered.mean(),
    )


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 13)
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 50)


def test_three_points_by_hand():
    """On a line, k 1. Reference 0, 1, 3: radii 1, 1, 2. Samples 1.5, 6, 9: radii 4.5, 3, 3.

    1.5 lies in the balls of 1 (at 0.5) and of 3 (at 1.5); 6 and 9 in none. The ball of 1.5 reaches all three.
    """
    found = manifold([[0.0], [1.0], [3.0]], [[1.5], [6.0], [9.0]], k=1)
    assert found[:4] == pytest.approx((1 / 3, 1.0, 2 / 3, 2 / 3))
    np.testing.assert_array_equal(found.balls, [2, 0, 0])
    np.testing.assert_array_equal(found.covered, [False, True, True])


def test_a_sample_on_the_edge_is_inside_for_precision_and_outside_for_density():
    """Reference 0 and 2: radii 2. Sample 4 is at distance 2 of 2; sample 5 further than that, its radius is 1."""
    found = manifold([[0.0], [2.0]], [[4.0], [5.0]], k=1)
    np.testing.assert_array_equal(found.inside, [True, False])
    np.testing.assert_array_equal(found.balls, [0, 0])
    assert found.precision == 0.5
    assert found.density == found.coverage == found.recall == 0.0


def test_disjoint_sets_have_nothing_in_common():
    found = manifold(normal(80, 6, 0), normal(70, 6, 1, shift=100.0))
    assert found[:4] == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_set_against_itself_is_one_in_all_four(k):
    x = normal(90, 6, 0)
    assert manifold(x, x, k)[:4] == pytest.approx((1.0, 1.0, 1.0, 1.0), rel=1e-14)


def test_half_overlapping_sets():
    """Each set is half common images and half images far from all others: half of each lies in the other's balls."""
    common = normal(60, 4, 0)
    reference = np.concatenate([common, normal(60, 4, 1, shift=1000.0)])
    samples = np.concatenate([common, normal(60, 4, 2, shift=-1000.0)])
    found = manifold(reference, samples, k=5)
    assert found[:4] == pytest.approx((0.5, 0.5, 0.5, 0.5))
    np.testing.assert_array_equal(found.inside, np.arange(120) < 60)
    np.testing.assert_array_equal(found.reached, np.arange(120) < 60)


def test_one_mode_dropped_shows_in_recall_and_coverage_only():
    modes = [normal(50, 4, seed, shift=1000.0 * seed) for seed in range(2)]
    found = manifold(np.concatenate(modes), np.concatenate([modes[0], modes[0] + 1e-6]), k=3)
    assert found.precision == 1.0
    assert found.recall == found.coverage == 0.5


def test_images_that_occur_more_than_k_times_have_empty_open_balls():
    x = np.repeat(normal(20, 3, 0), 4, axis=0)
    assert manifold(x, x, k=3)[:4] == (1.0, 1.0, 0.0, 0.0)
    assert manifold(x, x, k=4).coverage == 1.0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.usefixtures("small_tiles")
def test_every_image_is_judged_as_the_definitions_say(seed):
    """Whatever the tiles: ties and duplicates, sets far from zero, outliers of all sizes."""
    rng = np.random.default_rng(seed)
    n, m, dim, k = (int(value) for value in rng.integers((20, 20, 1, 1), (90, 90, 30, 7)))
    sets = (
        lambda count: grid(count, dim, rng),
        lambda count: (30 + 1e-3 * rng.normal(size=(count, dim))).astype(np.float32),
        lambda count: rng.standard_cauchy((count, dim)),
        lambda count: rng.integers(0, 256, (count, dim)).astype(np.uint8),
    )[seed % 4]
    reference, samples = sets(n), sets(m)
    samples[:5] = reference[:5]
    reference[6:9] = reference[5]
    assert_is_by_definition(reference, samples, k)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15])
def test_float32_neither_overflows_nor_underflows(scale):
    x, y = ((scale * normal(40, 5, seed)).astype(np.float32) for seed in range(2))
    assert_is_by_definition(x, y, 3)
    x[0] *= np.float32(1e6)  # an outlier beside which the others nearly vanish
    assert_is_by_definition(x, y, 3)


@pytest.mark.usefixtures("small_tiles")
def test_where_float32_cannot_tell_float64_does():
    """A lattice of 1e-6 about 1, moved by less than float32 resolves: neighbours one ulp apart from the radius."""
    rng = np.random.default_rng(0)
    x, y = (1 + 2.0**-23 * rng.integers(0, 5, (50, 3)) for _ in range(2))
    y[:20] += 2.0**-45
    x[0], y[0] = 1e3, -1e3
    assert_is_by_definition(x, y, 2)


def test_collapsed_samples_lie_in_as_many_balls_as_the_definitions_say():
    x = normal(60, 40, 0)
    assert_is_by_definition(x, np.zeros((50, 40)), 4)
    assert manifold(x, np.zeros((50, 40)), 4).density > 5


def test_a_memory_map_gives_what_an_array_gives(tmp_path):
    x, y = normal(70, 6, 0).astype(np.float32), normal(60, 6, 1).astype(np.float32)
    for name, features in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", features)
    mapped = manifold(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy"))
    for found, expected in zip(mapped, manifold(x, y)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m", "dim"), [(200, 150, 2), (150, 200, 64), (120, 120, 300)])
def test_agrees_with_prdc(n, m, dim, k):
    x, y = normal(n, dim, 0), 1.1 * normal(m, dim, 1) + 0.1
    found = manifold(x, y, k)._asdict()
    for name, expected in prdc.compute_prdc(x, y, k).items():
        assert found[name] == pytest.approx(expected, rel=1e-14), name


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_prdc_on_ties_where_balls_are_open(seed):
    """On a grid prdc's distances are exact. Its balls are open in all four: ours are where the paper's are."""
    x, y = grid(100, 3, seed), grid(90, 3, seed + 10)
    found, theirs = manifold(x, y, 5), prdc.compute_prdc(x, y, 5)
    assert found.density == pytest.approx(theirs["density"], rel=1e-14)
    assert found.coverage == theirs["coverage"]
    assert found.precision >= theirs["precision"]
    assert found.recall >= theirs["recall"]


@given(SEEDS, st.floats(0.01, 100))
@PROPERTY
def test_moving_turning_and_scaling_both_sets_changes_nothing(seed, scale):
    x, y = normal(40, 5, seed), normal(30, 5, seed + 1, shift=0.5)
    turned = ortho_group.rvs(5, random_state=seed) * scale
    before, after = manifold(x, y, 3), manifold(x @ turned + 7.0, y @ turned + 7.0, 3)
    for expected, found in zip(before, after):
        np.testing.assert_array_equal(found, expected)


@given(SEEDS)
@PROPERTY
def test_order_moves_the_indicators_along_and_exchange_swaps_precision_and_recall(seed):
    x, y = grid(40, 3, seed), grid(30, 3, seed + 1)
    rng = np.random.default_rng(seed)
    real, fake = rng.permutation(40), rng.permutation(30)
    before, after = manifold(x, y, 3), manifold(x[real], y[fake], 3)
    assert after[:4] == before[:4]
    np.testing.assert_array_equal(after.balls, before.balls[fake])
    np.testing.assert_array_equal(after.covered, before.covered[real])
    exchanged = manifold(y, x, 3)
    np.testing.assert_array_equal(exchanged.inside, before.reached)
    np.testing.assert_array_equal(exchanged.reached, before.inside)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: manifold(np.ones((9, 2)), np.ones((9, 3))), "same number of features. Received: 2 and 3"),
        (
            lambda: manifold(np.ones((9, 2)), np.ones((4, 2)), 4),
            "k must be.* Received: k 4, 9 ref.* 4 samples",
        ),
        (lambda: manifold(np.ones((9, 2)), np.ones((9, 2)), 0), "k must be at least 1.* Received: k 0"),
        (lambda: manifold(np.ones(9), np.ones((9, 2))), r"reference must be real.* shape \(9,\)"),
        (lambda: manifold(np.full((9, 2), np.inf), np.ones((9, 2))), "reference must be finite.* 18 of 18"),
        (lambda: manifold(np.ones((9, 2)), np.full((9, 2), np.nan)), "samples must be finite.* 18 of 18"),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
