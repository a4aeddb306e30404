"""What judges samples during training: the distances of evaluation, on features that can be worked out."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ebm_tf.errors import EBMError
from ebm_tf.evaluation.distances import frechet_distance_from_features, kernel_distance
from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.sample_judge import Judge
from ebm_tf.evaluation.statistics import Moments
from ebm_tf.figures import save_marked_curves
from ebm_tf.stages import train_ebm
from tests.stages.running import context_of
from tests.test_figures import read


class Quarters(FeatureExtractor):
    """The means of the four quarters of an image; its class, without doubt, is its first pixel. 250 at a time."""

    identity = Identity("quarters", "1", "0" * 64, "none", features=4, classes=10)

    def __call__(self, images):
        assert 1 <= len(images) <= 250
        quarters = images.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4)
        logits = 1000 * np.eye(10, dtype=np.float32)[images[:, 0, 0, 0] % 10]
        return Extracted(quarters.astype(np.float32), logits)


class Unlabelled(Quarters):
    """The same, as of an extractor that does not classify."""

    identity = replace(Quarters.identity, classes=None)


def images_of(count, seed, high=256):
    return np.random.default_rng(seed).integers(0, high, (count, 8, 8, 1)).astype(np.uint8)


def features_of(images):
    return images.reshape(-1, 2, 4, 2, 4).mean(axis=(2, 4)).reshape(-1, 4).astype(np.float32)


def reference_of(images, identity=Quarters.identity):
    features = features_of(images)
    return FeatureSet(identity, features, None, Moments.of(features), images_sha256="")


def test_the_distances_are_those_of_evaluation():
    real, samples = images_of(700, 0), images_of(700, 1, high=240)
    values = Judge(Quarters(), reference_of(real), 700, seed=0)(samples)
    assert list(values) == ["frechet_distance", "kid", "inception_score"]
    expected = frechet_distance_from_features(features_of(real), features_of(samples))
    assert values["frechet_distance"] == pytest.approx(expected, rel=1e-9)
    assert values["kid"] == pytest.approx(kernel_distance(features_of(samples), features_of(real)).mean)


def test_of_fewer_samples_than_features_the_distance_is_accurate():
    """Their covariance is singular: the root of an eigenvalue of 1e-16 would be an error of 1e-8."""
    real = images_of(700, 0)
    judge = Judge(Quarters(), reference_of(real), 3, seed=0)
    for seed in range(1, 11):
        samples = images_of(3, seed)
        expected = frechet_distance_from_features(features_of(real), features_of(samples))
        assert judge(samples)["frechet_distance"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("count", [3, 4, 700])
def test_fewer_samples_than_features_are_told_of(count):
    warnings = Judge(Quarters(), reference_of(images_of(700, 0)), count, seed=0).warnings
    assert len(warnings) == (count < 4)
    for warning in warnings:
        assert warning.startswith("selection.count is 3, fewer than the 4 features of quarters: the Frechet")
        assert warning.endswith("raise selection.count, or set selection.metric=kid")


def test_the_warnings_and_the_one_split_are_told_beside_the_curves(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(train_ebm, "save_marked_curves", lambda panels, *rest: drawn.append(panels))
    context = context_of("TrainEBM", tmp_path, {})
    judged = "step,frechet_distance,kid,inception_score\n9,4.0,0.5,1.5\n"
    (context.out / "selection.csv").write_text(judged)
    summary = {"metric": "kid", "evaluations": 1, "last": 0.5, "best": None, "best_step": None}
    history = {"step": np.arange(3.0), "energy_difference": np.zeros(3)}
    selection = SimpleNamespace(summary=lambda: summary)
    told = train_ebm._write_selection(context, selection, history, ("too few",))
    assert told == {"selection": {**summary, "warnings": ["too few"]}}
    assert list(drawn[0]) == ["Energy difference", "Fréchet distance", "KID", "Inception Score, one split"]
    np.testing.assert_array_equal(drawn[0]["Inception Score, one split"], ([9], [1.5]))


def test_images_of_all_classes_alike_score_their_number():
    samples = images_of(500, 0)
    samples[:, 0, 0, 0] = np.arange(500) % 10
    judge = Judge(Quarters(), reference_of(images_of(600, 1)), 500, seed=0)
    assert judge(samples)["inception_score"] == pytest.approx(10)
    samples[:, 0, 0, 0] = 3
    assert judge(samples)["inception_score"] == pytest.approx(1)


def test_without_classes_there_is_no_inception_score():
    judge = Judge(Unlabelled(), reference_of(images_of(600, 1), Unlabelled.identity), 500, seed=0)
    assert judge.names == ("frechet_distance", "kid") == tuple(judge(images_of(500, 0)))


def test_kid_is_the_mean_over_disjoint_subsets_and_unbiased():
    """Of two sets of one law its mean is 0: here within four standard errors, over twenty pairs of sets."""
    real, samples = images_of(2600, 0), images_of(2500, 1)
    judge = Judge(Quarters(), reference_of(real), 2500, seed=0)
    drawn = judge.reference
    assert len(np.unique(drawn, axis=0)) == len(drawn) == 2000
    assert np.isin(drawn, features_of(real)).all()
    parts = [
        kernel_distance(features_of(samples[rows]), drawn[rows]).mean
        for rows in (slice(1000), slice(1000, 2000))
    ]
    assert judge(samples)["kid"] == pytest.approx(np.mean(parts))
    values = []
    for seed in range(20):
        other = Judge(Quarters(), reference_of(images_of(500, 40 + seed)), 500, seed)
        values.append(other(images_of(500, 70 + seed))["kid"])
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(19)


def test_features_of_another_extractor_are_refused():
    other = reference_of(images_of(600, 1), replace(Quarters.identity, sha256="1" * 64))
    words = r"features are of quarters \(1{12}\), but the extractor is quarters \(0{12}\); run ReferenceStatistics"
    with pytest.raises(EBMError, match=words):
        Judge(Quarters(), other, 500, seed=0)


def red_columns(path):
    """Where the mark's colour (C3) stands."""
    pixels = read(path).astype(int)
    return np.flatnonzero((pixels[..., 0] - pixels[..., 1] > 60).sum(axis=0) > 50)


def test_the_mark_is_at_its_step_in_every_panel(tmp_path):
    panels = {
        "Energy difference": (np.arange(0, 101, 2.0), np.zeros(51)),
        "Distance": (np.array([25.0, 50.0, 100.0]), np.array([3.0, np.nan, 2.0])),
    }
    where = {}
    for mark in (0, 50, 100, None):
        save_marked_curves(panels, mark, "least distance", tmp_path / "curves.png")
        where[mark] = red_columns(tmp_path / "curves.png")
    assert not len(where[None])
    left, middle, right = (where[mark].mean() for mark in (0, 50, 100))
    assert middle == pytest.approx((left + right) / 2, abs=1.5)
    assert right - left > 400
