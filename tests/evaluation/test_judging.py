"""Judging: every number is that of its metric, what cannot be measured says why, and two protocols never meet."""

import hashlib

import numpy as np
import pytest

from ebm_tf.config import Evaluation
from ebm_tf.datasets.image_sets import ArrayImages
from ebm_tf.errors import ConfigError
from ebm_tf.evaluation import distances
from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity
from ebm_tf.evaluation.feature_set import extract
from ebm_tf.evaluation.judge import demand_possible, judge, protocol_of
from ebm_tf.evaluation.manifold import manifold
from ebm_tf.evaluation.measures import METRICS, frechet
from ebm_tf.evaluation.published import Published

SETTINGS = Evaluation(bootstrap=30, kid_subsets=4, kid_subset_size=50, inception_score_splits=3)
NAMES = {"samples": "some", "reference": "others"}
IDENTITY = Identity("given", "1", "a" * 64, "none", 4, 3)


class Given(FeatureExtractor):
    """Pixels as features and, of a classifier, as logits."""

    def __init__(self, identity=IDENTITY):
        self.identity = identity

    def __call__(self, images):
        flat = images.reshape(len(images), -1).astype(np.float32) / 50
        logits = None if self.identity.classes is None else flat[:, 4 : 4 + self.identity.classes]
        return Extracted(flat[:, :4], logits)


def feature_set(folder, count, seed, identity=IDENTITY, shift=0):
    images = np.random.default_rng(seed).integers(shift, 200 + shift, (count, 3, 3, 1)).astype(np.uint8)
    return extract(Given(identity), ArrayImages(images), folder, 64)


@pytest.fixture
def samples(tmp_path):
    return feature_set(tmp_path / "samples", 150, 1, shift=20)


@pytest.fixture
def reference(tmp_path):
    return feature_set(tmp_path / "reference", 200, 2)


def test_every_number_is_that_of_its_metric(samples, reference):
    found = judge(samples, reference, SETTINGS)
    x, y = (np.asarray(side.features, np.float64) for side in (samples, reference))
    assert list(found.values) == list(METRICS)
    assert found.omitted == {}
    assert found.values["frechet_distance"] == pytest.approx(
        distances.frechet_distance_from_features(x, y), rel=1e-10
    )
    kid = distances.kernel_distance(x, y, 4, 50, 0)
    assert (found.values["kid"], found.spreads["kid"]) == (kid.mean, kid.spread)
    score = distances.inception_score_from_logits(samples.logits, 3, 0)
    assert (found.values["inception_score"], found.spreads["inception_score"]) == (score.mean, score.spread)
    expected = manifold(y, x, 5)
    for name in ("precision", "recall", "density", "coverage"):
        assert found.values[name] == getattr(expected, name)
    assert found.values["class_coverage"] == 1
    assert found.values["frechet_distance_infinity"] < found.values["frechet_distance"]


def test_values_lie_in_their_intervals(samples, reference):
    found = judge(samples, reference, SETTINGS)
    assert set(found.intervals) == set(METRICS) - {"frechet_distance_infinity", "class_coverage"}
    for metric, (low, high) in found.intervals.items():
        assert low <= found.values[metric] <= high, metric
        assert low < high, metric


def test_without_draws_there_are_no_intervals(samples, reference):
    assert judge(samples, reference, SETTINGS.model_copy(update={"bootstrap": 0})).intervals == {}


def test_only_what_is_asked_for_is_measured(samples, reference):
    told = []
    found = judge(samples, reference, SETTINGS, ("recall", "kid"), lambda *now: told.append(now))
    assert set(found.values) == {"recall", "kid"}
    assert [name for _, _, name in told] == ["kid", "precision", "done"]


def test_against_mu_and_sigma_some_metrics_are_left_out(samples, reference):
    published = Published.of(reference.moments, reference.identity)
    found = judge(samples, published, SETTINGS)
    whole = judge(samples, reference, SETTINGS)
    for metric in ("frechet_distance", "frechet_distance_infinity", "inception_score", "class_coverage"):
        assert found.values[metric] == pytest.approx(whole.values[metric], rel=1e-12)
    assert set(found.omitted) == {"kid", "precision", "recall", "density", "coverage"}
    assert found.values["kid"] is None
    with pytest.raises(ConfigError, match="kid cannot be measured: it needs the images of the reference"):
        judge(samples, published, SETTINGS, ("frechet_distance", "kid"))


def test_without_classes_there_are_no_scores_of_classes(tmp_path, reference):
    plain = Identity("plain", "1", "b" * 64, "none", 4)
    one, other = (feature_set(tmp_path / str(seed), 60, seed, plain) for seed in (3, 4))
    found = judge(one, other, SETTINGS)
    reason = "the extractor plain does not classify images"
    assert found.omitted == {"inception_score": reason, "class_coverage": reason}


def test_too_few_images_for_a_metric(tmp_path, reference):
    one = feature_set(tmp_path / "one", 1, 5)
    found = judge(one, reference, SETTINGS)
    assert {name for name, value in found.values.items() if value is None} == set(METRICS) - {
        "class_coverage"
    }
    assert found.omitted["frechet_distance"] == (
        "it needs 2 images or more, for a covariance; there are 1 samples"
    )
    assert "it needs 6 images or more, for the 5th neighbour" in found.omitted["precision"]
    with pytest.raises(ConfigError, match="kid cannot be measured: it needs 2 images or more, for pairs"):
        judge(one, reference, SETTINGS, ("kid",))
    few = feature_set(tmp_path / "few", 12, 6)
    assert judge(few, reference, SETTINGS).omitted == {
        "frechet_distance_infinity": "it needs 28 samples or more, with 4 features; there are 12"
    }


def test_fewer_images_than_features_have_an_exact_distance(tmp_path, reference):
    few = feature_set(tmp_path / "few", 3, 7)
    x, y = (np.asarray(side.features, np.float64) for side in (few, reference))
    expected = distances.frechet_distance_from_features(x, y)
    assert frechet(few.features, reference) == pytest.approx(expected, rel=1e-10)
    assert frechet(few.features, Published.of(reference.moments)) == pytest.approx(expected, rel=1e-10)
    told = judge(few, reference, SETTINGS).warnings
    assert told[0] == "3 samples are fewer than the 4 features: the Frechet distance is mostly bias."
    assert told[1].startswith("With 200 reference images the Frechet distance is biased upwards")


def test_an_unknown_metric_is_named_with_the_nearest(samples, reference):
    with pytest.raises(
        ConfigError, match=r"unknown metric 'precison'; did you mean precision\? Metrics: frechet"
    ):
        judge(samples, reference, SETTINGS, ("precison",))


def test_features_of_two_extractors_are_not_compared(tmp_path, samples):
    other = feature_set(tmp_path / "other", 60, 8, Identity("other", "1", "c" * 64, "none", 4))
    with pytest.raises(ConfigError, match="the reference was measured in features of other"):
        judge(samples, other, SETTINGS)
    unknown = Published(np.zeros(5), np.eye(5))
    with pytest.raises(ConfigError, match="the reference has 5 features, and the extractor given gives 4"):
        judge(samples, unknown, SETTINGS)


def test_both_sides_are_warned_of_where_a_distance_was_measured(samples, tmp_path):
    few = feature_set(tmp_path / "few", 3, 9)
    told = judge(samples, few, SETTINGS).warnings
    assert told == [
        "With 150 samples the Frechet distance is biased upwards; compare it only at as many images.",
        "3 reference images are fewer than the 4 features: the Frechet distance is mostly bias.",
    ]
    assert judge(samples, few, SETTINGS, ("kid", "inception_score")).warnings == []


def test_statistics_of_an_unknown_extractor_are_warned_of(samples):
    told = judge(samples, Published(np.zeros(4), np.eye(4)), SETTINGS).warnings
    assert told[1:] == [
        "How many images mu and sigma are of is not told: the bias of the Frechet distance is not known.",
        "The file of mu and sigma does not tell which extractor made it: nothing shows that the two sides belong "
        "together.",
    ]


def test_the_interval_of_kid_holds_the_noise_of_its_subsets(tmp_path):
    """A mean over few small subsets is a noisy number, and says so."""
    one, other = (feature_set(tmp_path / str(seed), 600, seed, shift=20) for seed in (10, 11))
    truth = judge(one, other, SETTINGS.model_copy(update={"kid_subset_size": 600}), ("kid",)).values["kid"]
    covered = 0
    for seed in range(20):
        few = SETTINGS.model_copy(update={"kid_subsets": 3, "kid_subset_size": 30, "seed": seed})
        low, high = judge(one, other, few, ("kid",)).intervals["kid"]
        covered += low <= truth <= high
    assert covered >= 14, "without the noise of the subsets it would be some 4 of 20"


def test_many_images_are_cut_to_as_many_as_asked_for(samples, reference):
    settings = SETTINGS.model_copy(update={"manifold_images": 80})
    protocol = protocol_of(samples, reference, settings, NAMES, METRICS)
    assert protocol["manifold"] == {"neighbours": 5, "images": 80, "reference_images": 80, "seed": 0}
    found = judge(samples, reference, settings)
    whole = judge(samples, reference, SETTINGS)
    assert found.values["coverage"] != whole.values["coverage"]
    assert found.values["kid"] == whole.values["kid"], "only its interval is of fewer images"


def test_the_protocol_tells_what_has_to_be_equal(samples, reference):
    protocol = protocol_of(samples, reference, SETTINGS, NAMES, METRICS)
    assert protocol["extractor"] == IDENTITY.as_json()
    assert protocol["images"] == 150
    assert protocol["reference"] == {"images": 200, "sha256": reference.images_sha256}
    assert protocol["names"] == NAMES
    assert protocol["kid"] == {"subsets": 4, "subset_size": 50, "seed": 0}
    assert protocol_of(samples, Published(np.zeros(4), np.eye(4)), SETTINGS, NAMES, METRICS)["reference"] == {
        "images": None,
        "sha256": hashlib.sha256(np.zeros(4).tobytes() + np.eye(4).tobytes()).hexdigest(),
    }


def test_statistics_that_tell_their_images_are_the_same_reference(samples, reference):
    published = Published.of(reference.moments, reference.identity, reference.images_sha256)
    metrics = ("frechet_distance", "frechet_distance_infinity")
    one, other = (protocol_of(samples, side, SETTINGS, NAMES, metrics) for side in (reference, published))
    assert one == other


def test_a_protocol_tells_only_of_what_was_measured(samples, reference):
    told = protocol_of(samples, reference, SETTINGS, NAMES, ["frechet_distance"])
    assert set(told) == {"extractor", "reference", "images", "names", "intervals"}


def test_what_cannot_be_measured_is_known_before_any_feature(reference):
    plain = Identity("plain", "1", "b" * 64, "none", 4)
    demand_possible(("kid", "precision"), plain, reference)
    with pytest.raises(ConfigError, match="inception_score cannot be measured: the extractor plain"):
        demand_possible(("kid", "inception_score"), plain, reference)
    with pytest.raises(ConfigError, match="recall cannot be measured: it needs the images of the reference"):
        demand_possible(("recall",), plain, Published(np.zeros(4), np.eye(4)))
