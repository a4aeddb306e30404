"""Detection against scikit-learn, by hand and at its limits; made images by what is true of each kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ebm_tf.errors import ConfigError
from ebm_tf.evaluation.ood import detection, fit_gaussian_pixels, synthetic_images
from ebm_tf.grey_levels import at_mid_level, from_levels, to_levels
from tests.test_grey_levels import images_on

KINDS = ("uniform_noise", "rotated", "inverted", "constant", "shuffled")


def oracle(positives, negatives):
    """AUROC, average precision and FPR95 by scikit-learn."""
    truth = np.repeat([1, 0], [len(positives), len(negatives)])
    scores = np.concatenate([positives, negatives])
    false_rate, true_rate, _ = roc_curve(truth, scores, drop_intermediate=False)
    return (
        roc_auc_score(truth, scores),
        average_precision_score(truth, scores),
        false_rate[true_rate >= 0.95].min(),
    )


scores_with_ties = st.lists(st.integers(-4, 4), min_size=1, max_size=60)


@given(scores_with_ties, scores_with_ties)
@settings(deadline=None, max_examples=200)
def test_detection_agrees_with_scikit_learn_also_where_scores_tie(positives, negatives):
    np.testing.assert_allclose(detection(positives, negatives), oracle(positives, negatives), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_detection_of_continuous_scores(dtype):
    random = np.random.default_rng(0)
    positives, negatives = random.normal(1, 1, 1000).astype(dtype), random.normal(0, 1, 400).astype(dtype)
    found = detection(positives, negatives)
    np.testing.assert_allclose(found, oracle(positives, negatives), atol=1e-12)
    assert found.auroc == pytest.approx(0.760, abs=0.04), (
        "Phi(1 / sqrt 2), the chance that N(1,1) beats N(0,1)"
    )


def test_detection_by_hand():
    """Pairs: 3>1, 3>2, 2>1 in order, 2=2 tied. Thresholds 3, 2, 1 take in 1, 2, 2 positives of 1, 3, 4 images."""
    assert detection([3.0, 2.0], [1.0, 2.0]) == (3.5 / 4, (1 + 2 / 3) / 2, 0.5)


def test_constant_scores_are_guessing():
    assert detection(np.ones(30), np.ones(10)) == (0.5, 0.75, 1.0)


def test_perfect_separation_and_its_reverse():
    low, high = np.arange(10.0), np.arange(10.0, 20.0)
    assert detection(high, low) == (1.0, 1.0, 0.0)
    assert detection(low, high)[::2] == (0.0, 1.0)


def test_scores_that_differ_in_the_last_bit_are_no_ties():
    assert detection([np.nextafter(1.0, 2)], [1.0]).auroc == 1.0
    assert detection(np.nextafter(np.float32(1), 2)[None], np.ones(1, np.float32)).auroc == 1.0


def test_nineteen_of_twenty_positives_are_95_percent():
    positives = np.arange(1.0, 21.0)
    assert detection(positives, [1.5]).fpr95 == 0.0
    assert detection(positives, [2.0]).fpr95 == 1.0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([1.0, np.nan], "positives must be finite. Received: 1 of 2 scores NaN or infinite"),
        ([np.inf], "positives must be finite. Received: 1 of 1"),
        ([], r"positives must be real numbers of shape \[n\], n >= 1. Received: shape \(0,\)"),
        ([[1.0]], r"Received: shape \(1, 1\)"),
        (["a"], "dtype <U1"),
    ],
)
def test_scores_that_are_none_are_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        detection(bad, [0.0])
    with pytest.raises(ValueError, match=words.replace("positives", "negatives")):
        detection([0.0], bad)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [17, 256])
@pytest.mark.parametrize("kind", KINDS)
def test_made_images_keep_shape_and_levels_and_follow_from_their_seed(kind, levels, channels):
    images = images_on(levels, channels=channels)
    made = synthetic_images(kind, images, levels, seed=3)
    assert made.dtype == np.uint8
    assert made.shape == images.shape
    assert set(np.unique(made)) <= set(from_levels(np.arange(levels), levels))
    np.testing.assert_array_equal(made, synthetic_images(kind, images, levels, seed=3))
    other = synthetic_images(kind, images, levels, seed=4)
    assert np.array_equal(made, other) == (kind in ("rotated", "inverted"))


def test_rotated_four_times_is_the_image_and_twice_is_upside_down():
    images = images_on(17)
    twice = synthetic_images("rotated", synthetic_images("rotated", images, 17, 0), 17, 0)
    np.testing.assert_array_equal(twice, images[:, ::-1, ::-1])


def test_inverted_mirrors_the_levels():
    images = images_on(17)
    made = synthetic_images("inverted", images, 17, 0)
    np.testing.assert_array_equal(to_levels(made, 17) + to_levels(images, 17), 16)


def test_constant_images_are_flat_and_of_many_greys():
    made = synthetic_images("constant", images_on(17, count=200, channels=3), 17, 0)
    assert np.all(made == made[:, :1, :1, :1])
    assert len(np.unique(made)) == 17


def test_shuffled_images_have_the_same_pixels_each_in_an_order_of_its_own():
    one = np.arange(36, dtype=np.uint8).reshape(1, 6, 6, 1).repeat(3, axis=3)
    images = one.repeat(20, axis=0)
    made = synthetic_images("shuffled", images, 256, 0)
    assert np.all(made == made[..., :1]), "the channels of a pixel stay together"
    assert np.all(np.sort(made[..., 0].reshape(20, 36), axis=1) == np.arange(36))
    assert len(np.unique(made.reshape(20, -1), axis=0)) == 20


def test_uniform_noise_has_every_level_alike():
    made = synthetic_images("uniform_noise", images_on(2, count=400, size=10), 2, 0)
    assert np.mean(made == 255) == pytest.approx(0.5, abs=0.01), "4 standard errors of 40000 coins"


def test_images_that_are_not_square_are_not_turned():
    with pytest.raises(ConfigError, match="rotated, which needs square images; received 4x6: leave it out"):
        synthetic_images("rotated", np.zeros((1, 4, 6, 1), np.uint8), 256, 0)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of uniform_noise, rotated.*Received: 'blurred'"):
        synthetic_images("blurred", images_on(17), 17, 0)


def test_gaussian_pixels_agree_with_scipy_and_do_not_depend_on_batches():
    pixels = at_mid_level(images_on(17, count=60, size=3), 17)
    pixels[:, 0, 0] = 0.5  # never changes: its covariance alone would be singular
    fitted = fit_gaussian_pixels([pixels[:7], pixels[7:]], 17)
    flat = pixels.reshape(60, 9).astype(np.float64)
    law = multivariate_normal(flat.mean(axis=0), np.cov(flat, rowvar=False) + np.eye(9) / (12 * 17**2))
    np.testing.assert_allclose(fitted.log_likelihood(pixels), law.logpdf(flat), rtol=1e-9)


def test_a_gaussian_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"batches must hold images\. Received: none"):
        fit_gaussian_pixels([], 17)
