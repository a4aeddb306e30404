"""Rates against scipy's intervals, the three operations by their truth tables, ink by the data set's own labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from ebm_tf.evaluation.composition import ink_classes, rate_of, succeeds

FIRST, SECOND, THIRD = (
    np.array(column, bool) for column in ([0, 0, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1])
)


@pytest.mark.parametrize(("successes", "count"), [(0, 1), (1, 1), (0, 50), (37, 50), (50, 50), (123, 1000)])
def test_intervals_agree_with_scipy(successes, count):
    found = rate_of(np.arange(count) < successes)
    expected = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert found.rate == successes / count
    assert found.images == count
    np.testing.assert_allclose([found.low, found.high], [expected.low, expected.high], atol=1e-6)
    assert 0 <= found.low <= found.rate <= found.high <= 1


def test_a_rate_of_no_images_is_refused():
    with pytest.raises(ValueError, match=r"a rate needs at least one image\. Received: none"):
        rate_of(np.zeros(0, bool))


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("and", [0, 0, 0, 0, 1]), ("or", [0, 1, 1, 1, 1]), ("not", [0, 0, 1, 0, 0])],
)
def test_what_each_operation_asks_for(operation, expected):
    np.testing.assert_array_equal(succeeds(operation, [FIRST, SECOND, THIRD]), np.array(expected, bool))


def test_ink_gives_back_the_labels_of_the_scans():
    """The labels of the data set digits_stroke: tertiles of total ink."""
    from sklearn.datasets import load_digits

    ink = load_digits().images.sum(axis=(1, 2))
    labels = np.digitize(ink, np.quantile(ink, [1 / 3, 2 / 3]))
    images = np.round(load_digits().images * (255 / 16)).astype(np.uint8)[..., None]
    rule = ink_classes(images[::2], labels[::2], levels=17)
    np.testing.assert_array_equal(rule(images[::2]), labels[::2])
    assert np.mean(rule(images[1::2]) == labels[1::2]) > 0.99, (
        "a bound may lie anywhere between two known images"
    )


def test_ink_by_hand():
    """Totals 0, 2, 6, 10 of which the first two are thin: the bound lies at 4."""
    images = np.array([[0, 0], [1, 1], [3, 3], [5, 5]], np.uint8).reshape(4, 1, 2, 1)
    rule = ink_classes(images, [0, 0, 1, 1], levels=256)
    unknown = np.array([[0, 3], [0, 5], [200, 200]], np.uint8).reshape(3, 1, 2, 1)
    np.testing.assert_array_equal(rule(unknown), [0, 1, 1])


def test_labels_that_do_not_rise_with_ink_are_refused():
    images = np.array([[0, 0], [1, 1]], np.uint8).reshape(2, 1, 2, 1)
    with pytest.raises(ValueError, match=r"labels must rise with ink\. Received: classes with at most \[2\]"):
        ink_classes(images, [1, 0], levels=256)
