"""Features on disk: all images count, in any batches, after any interruption; an unfinished set is no set."""

import hashlib
import json

import numpy as np
import pytest

from ebm_tf.datasets.image_sets import ArrayImages
from ebm_tf.errors import EBMError, MissingInput
from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity
from ebm_tf.evaluation.feature_set import FeatureSet, extract


class Moving(FeatureExtractor):
    """Pixel sums in three weightings, and two logits; fails after `limit` calls."""

    def __init__(self, limit=10**6, name="moving", scale=1.0):
        self.identity = Identity(name, "1", "0" * 64, "as it is", 3, 2)
        self.limit, self.scale = limit, scale

    def __call__(self, images):
        if self.limit == 0:
            raise KeyboardInterrupt
        self.limit -= 1
        flat = images.reshape(len(images), -1).astype(np.float32)
        weights = np.linspace(-1, 1, flat.shape[1] * 5, dtype=np.float32).reshape(-1, 5)
        with np.errstate(over="ignore"):
            out = (flat[:, :, None] * weights).sum(axis=1) * np.float32(self.scale)
        return Extracted(out[:, :3], out[:, 3:])


@pytest.fixture
def images():
    return ArrayImages(np.random.default_rng(0).integers(0, 256, (23, 4, 4, 1), np.uint8))


@pytest.fixture
def whole(images, tmp_path):
    return extract(Moving(), images, tmp_path / "whole", 100)


@pytest.mark.parametrize("size", [1, 2, 11, 22, 23])
def test_the_batch_size_changes_nothing(size, images, whole, tmp_path):
    told = []
    found = extract(Moving(), images, tmp_path / "set", size, lambda *now: told.append(now))
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_array_equal(found.logits, whole.logits)
    assert found.moments.count == len(found) == 23, "also the last image, alone in its batch"
    np.testing.assert_array_equal(found.moments.mean, whole.moments.mean)
    assert found.images_sha256 == hashlib.sha256(images.images.tobytes()).hexdigest()
    assert told[0] == (0, 23)
    assert told[-1] == (23, 23)


def test_moments_are_those_of_all_features(whole):
    features = np.asarray(whole.features, np.float64)
    np.testing.assert_allclose(whole.moments.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(whole.moments.covariance(), np.cov(features, rowvar=False), rtol=1e-12)
    np.testing.assert_array_equal(whole.predicted, np.argmax(whole.logits, axis=1))


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_an_interrupted_extraction_goes_on(calls, images, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        extract(Moving(calls), images, tmp_path / "set", 5)
    with pytest.raises(MissingInput, match="no finished features in"):
        FeatureSet.open(tmp_path / "set")
    with (tmp_path / "set" / "features.npy").open("ab") as file:
        file.write(b"half a row")
    told = []
    found = extract(Moving(), images, tmp_path / "set", 4, lambda *now: told.append(now))
    assert told[0] == (5 * calls, 23), "what was done is not done again"
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_array_equal(found.logits, whole.logits)
    np.testing.assert_array_equal(found.moments.scatter, whole.moments.scatter)
    assert found.images_sha256 == whole.images_sha256


def test_features_of_another_extractor_are_not_gone_on_with(images, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        extract(Moving(2, "other", 3.0), images, tmp_path / "set", 5)
    found = extract(Moving(), images, tmp_path / "set", 5)
    np.testing.assert_array_equal(found.features, whole.features)
    assert found.identity.name == "moving"


def test_features_that_are_not_finite_are_refused(images, tmp_path):
    with pytest.raises(
        EBMError, match=r"gives NaN or infinity for \d of 5 images, the first of them number \d"
    ):
        extract(Moving(scale=np.float32(1e36)), images, tmp_path / "set", 5)


def test_a_damaged_set_is_told_of(images, tmp_path):
    extract(Moving(), images, tmp_path / "set", 5)
    path = tmp_path / "set" / "features.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(MissingInput, match="no finished features in"):
        FeatureSet.open(tmp_path / "set")
    card = json.loads((tmp_path / "set" / "features.json").read_text())
    assert card["images"] == 23
    assert card["extractor"]["sha256"] == "0" * 64
