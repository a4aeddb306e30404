"""FID-infinity: no bias where the Frechet distance has the known one, and each of its points the distance itself."""

from __future__ import annotations

import numpy as np
import pytest

from ebm_tf.evaluation import statistics
from ebm_tf.evaluation.distances import frechet_distance
from ebm_tf.evaluation.extrapolation import frechet_distance_at_infinity, samples_needed
from ebm_tf.evaluation.published import Published
from ebm_tf.evaluation.statistics import Moments


def normal(n, dim, seed, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, dim)).astype(np.float32)


def standard(dim, shift=0.0):
    return Published(np.full(dim, shift), np.eye(dim))


@pytest.mark.parametrize(("dim", "shift"), [(8, 0.0), (4, 0.5)])
def test_the_bias_of_the_number_of_samples_is_gone(dim, shift):
    """Samples of N(shift, I) against N(0, I), of which FD(n) is d shift^2 + [d + d (d + 1) / 4] / n on average."""
    count, draws = 2000, 100
    found = [
        frechet_distance_at_infinity(normal(count, dim, seed, shift), standard(dim), seed=seed)
        for seed in range(draws)
    ]
    truth, bias = dim * shift**2, (dim + dim * (dim + 1) / 4) / count
    values = np.array([extrapolation.value for extrapolation in found])
    whole = np.array([extrapolation.distances[-1] for extrapolation in found])
    error = values.std() / np.sqrt(draws)
    assert abs(values.mean() - truth) < 3 * error
    assert whole.mean() - truth == pytest.approx(bias, abs=3 * whole.std() / np.sqrt(draws))
    if shift == 0:
        assert bias > 10 * error, "a bias would be seen"


def test_the_slope_is_the_coefficient_of_the_bias():
    slopes = [frechet_distance_at_infinity(normal(2000, 8, seed), standard(8)).slope for seed in range(60)]
    assert np.mean(slopes) == pytest.approx(8 + 8 * 9 / 4, abs=4 * np.std(slopes) / np.sqrt(60))


def test_the_bend_of_the_line_leaves_little_bias_where_a_tenth_leaves_much():
    """|m|^2 = 1 with 64 features of 1000 samples: from a tenth on, the line of the same distances ends at 0.82."""
    reference, draws = standard(64, 1 / 8), 60
    found = [frechet_distance_at_infinity(normal(1000, 64, s), reference, seed=s).value for s in range(draws)]
    error = np.std(found) / np.sqrt(draws)
    assert abs(np.mean(found) - 1) < 0.05 + 2 * error

    def from_a_tenth(seed):
        x, sizes = normal(1000, 64, seed), np.linspace(100, 1000, 15).astype(int)
        distances = [frechet_distance(Moments.of(x[:size]), reference) for size in sizes]
        return np.polyfit(1 / sizes, distances, 1)[1]

    assert np.mean([from_a_tenth(seed) for seed in range(30)]) < 0.9


def test_one_draw_of_many_features_comes_much_nearer_to_zero():
    found = frechet_distance_at_infinity(normal(6000, 64, 0), standard(64))
    assert found.distances[-1] == pytest.approx((64 + 64 * 65 / 4) / 6000, rel=0.05)
    assert abs(found.value) < 0.1 * found.distances[-1]


def test_every_point_is_the_distance_of_that_many_samples_in_one_order(monkeypatch):
    """In blocks of 7 vectors: the merged moments of nested subsets are those of the subsets."""
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 21)
    x, reference = normal(200, 3, 0), Moments.of(normal(100, 3, 1, 0.3))
    found = frechet_distance_at_infinity(x, reference, points=6, seed=4)
    assert found.sizes == (100, 120, 140, 160, 180, 200)
    order = np.random.default_rng(4).permutation(200)
    for size, distance in zip(found.sizes, found.distances):
        expected = frechet_distance(Moments.of(x[order[:size]]), reference)
        assert distance == pytest.approx(expected, rel=1e-10)
    assert found.distances[-1] == pytest.approx(frechet_distance(Moments.of(x), reference), rel=1e-10)


def test_the_line_is_that_of_least_squares():
    found = frechet_distance_at_infinity(normal(300, 3, 0), standard(3), points=9)
    inverse = 1 / np.array(found.sizes)
    left = np.array(found.distances) - found.value - found.slope * inverse
    assert abs(left.sum()) < 1e-12
    assert abs(left @ inverse) < 1e-12


def test_the_same_seed_gives_the_same_points_and_another_gives_others():
    first, again, other = (
        frechet_distance_at_infinity(normal(100, 3, 0), standard(3), seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.distances[:-1] != other.distances[:-1]
    assert first.distances[-1] == pytest.approx(other.distances[-1], rel=1e-10)


def test_a_memory_map_gives_what_an_array_gives(tmp_path):
    np.save(tmp_path / "x.npy", normal(100, 3, 0))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert frechet_distance_at_infinity(mapped, standard(3)) == frechet_distance_at_infinity(
        normal(100, 3, 0), standard(3)
    )


def test_the_smallest_subset_is_half():
    assert frechet_distance_at_infinity(normal(1000, 4, 0), standard(4)).sizes[0] == 500
    assert frechet_distance_at_infinity(normal(101, 4, 0), standard(4), points=2).sizes == (51, 101)


@pytest.mark.parametrize(("dim", "points", "needed"), [(1, 30, 58), (20, 15, 84), (64, 15, 260), (1, 2, 8)])
def test_the_number_that_is_asked_for_is_enough(dim, points, needed):
    """4 (d + 1), or twice the steps between sizes."""
    assert samples_needed(dim, points) == needed
    found = frechet_distance_at_infinity(normal(needed, dim, 0), standard(dim), points)
    assert len(set(found.sizes)) == points
    assert found.sizes[0] >= 2 * (dim + 1)
    with pytest.raises(ValueError, match=f"at least {needed} samples. Received: {needed - 1}"):
        frechet_distance_at_infinity(normal(needed - 1, dim, 0), standard(dim), points)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: frechet_distance_at_infinity(np.ones((30, 20)), standard(20)),
            "15 sizes of samples of 20 features need at least 84 samples. Received: 30",
        ),
        (lambda: frechet_distance_at_infinity(normal(99, 3, 0), standard(3), points=1), "2. Received: 1"),
        (lambda: frechet_distance_at_infinity(normal(99, 3, 0), standard(4)), "features. Received: 4 and 3"),
        (lambda: frechet_distance_at_infinity(np.full((99, 3), np.nan), standard(3)), "must be finite"),
    ],
)
def test_errors_say_what_was_received(call, text):
    with pytest.raises(ValueError, match=text):
        call()
