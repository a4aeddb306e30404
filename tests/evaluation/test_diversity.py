"""Mean pairwise distances against closed forms and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from ebm_tf.evaluation import diversity
from ebm_tf.evaluation.diversity import mean_pairwise_distance, some


def test_three_corners_of_a_triangle():
    assert mean_pairwise_distance([[0, 0], [3, 0], [0, 4]]) == pytest.approx((3 + 4 + 5) / 3)


def test_copies_are_at_zero_exactly():
    vectors = np.tile(np.random.default_rng(0).normal(1000, 1, (1, 64)).astype(np.float32), (50, 1))
    assert mean_pairwise_distance(vectors) == 0


def test_one_hot_vectors_are_all_a_root_of_two_apart():
    assert mean_pairwise_distance(np.eye(7)) == pytest.approx(2**0.5)


def test_half_copies_of_each_of_two_points():
    """m and m copies at distance 1: of the (2m)(2m - 1)/2 pairs m^2 are apart."""
    m = 10
    assert mean_pairwise_distance([[0.0]] * m + [[1.0]] * m) == pytest.approx(m / (2 * m - 1))


@pytest.mark.parametrize("at_once", [1, 100, 2**22])
def test_it_is_the_same_in_any_portions_and_as_scikit_learns(monkeypatch, at_once):
    monkeypatch.setattr(diversity, "_PAIRS_AT_ONCE", at_once)
    vectors = np.random.default_rng(1).normal(size=(37, 5))
    distances = pairwise_distances(vectors)
    assert mean_pairwise_distance(vectors) == pytest.approx(distances[np.triu_indices(37, 1)].mean())


def test_uint8_pixels_do_not_wrap_around():
    assert mean_pairwise_distance(np.array([[0], [255]], np.uint8)) == 255


def test_one_image_has_no_pair():
    with pytest.raises(ValueError, match=r"2 rows or more, to make a pair. Received: 1"):
        mean_pairwise_distance([[1.0, 2.0]])


def test_some_are_different_ones_and_all_where_there_are_few():
    assert some(5, 5, 0).tolist() == [0, 1, 2, 3, 4]
    chosen = some(100, 30, 1)
    assert (len(set(chosen)), np.all(np.diff(chosen) > 0)) == (30, True)
    assert not np.array_equal(chosen, some(100, 30, 2))
