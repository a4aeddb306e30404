"""A user's SavedModel: what it is given, what of its answer is taken, and what is said when it does not fit."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.errors import ConfigError, EBMError, MissingInput
from ebm_tf.evaluation.extractors.saved_model import SavedModelExtractor

SHAPE = (4, 5, 3)
IMAGES = tf.TensorSpec([None, *SHAPE], tf.float32, name="images")
WEIGHTS = np.random.default_rng(0).normal(size=(60, 7)).astype(np.float32)


class Network(tf.Module):
    """A matrix that the images are multiplied by, so that variables are kept alive too."""

    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(WEIGHTS)

    def features(self, images):
        return tf.cast(tf.reshape(images, [-1, 60]), tf.float32) @ self.weights


def written(folder, signatures, *specs):
    """A SavedModel with signatures that are functions of (network, tensors), all of the same inputs."""
    network = Network()
    functions = {
        name: tf.function(lambda *inputs, answer=answer: answer(network, *inputs)).get_concrete_function(
            *specs
        )
        for name, answer in signatures.items()
    }
    tf.saved_model.save(network, str(folder), signatures=functions)
    return folder


def features_only(network, images):
    return {"features": network.features(images)}


def refusal(folder, error=MissingInput, shape=SHAPE):
    with pytest.raises(error) as caught:
        SavedModelExtractor(folder, shape)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def flat(shown):
    return shown.reshape(len(shown), -1).astype(np.float64)


def test_float_inputs_get_pixels_in_0_to_1(tmp_path):
    extractor = SavedModelExtractor(
        written(tmp_path / "m", {"serving_default": features_only}, IMAGES), SHAPE
    )
    received = extractor(images(3))
    assert received.logits is None
    assert received.features.dtype == np.float32
    np.testing.assert_allclose(received.features, flat(images(3)) / 255 @ WEIGHTS, rtol=1e-4, atol=1e-5)
    assert extractor.identity.input == "uint8 4x5x3, as float32 / 255"


def test_uint8_inputs_get_the_pixels_as_they_are(tmp_path):
    spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name="pixels")
    extractor = SavedModelExtractor(written(tmp_path / "m", {"serving_default": features_only}, spec), SHAPE)
    np.testing.assert_allclose(extractor(images(3)).features, flat(images(3)) @ WEIGHTS, rtol=1e-4, atol=0.05)
    assert extractor.identity.input == "uint8 4x5x3, as it is"


def test_the_signature_features_comes_first_and_logits_are_taken(tmp_path):
    def both(network, images):
        features = network.features(images)
        return {"logits": features[:, :2] - 1, "features": features, "more": images}

    signatures = {"serving_default": features_only, "features": both}
    extractor = SavedModelExtractor(written(tmp_path / "m", signatures, IMAGES), SHAPE)
    features, logits = extractor(images(5))
    np.testing.assert_allclose(logits, features[:, :2] - 1, rtol=1e-6)
    identity = extractor.identity
    assert (identity.name, identity.version) == ("saved-model", "signature features")
    assert (identity.features, identity.classes) == (7, 2)


def test_the_only_output_holds_the_features_whatever_its_name(tmp_path):
    def named(network, images):
        return {"embedding": network.features(images)}

    extractor = SavedModelExtractor(written(tmp_path / "m", {"serving_default": named}, IMAGES), SHAPE)
    assert (extractor.identity.features, extractor.identity.classes) == (7, None)


def test_features_do_not_depend_on_the_batch(tmp_path):
    extractor = SavedModelExtractor(
        written(tmp_path / "m", {"serving_default": features_only}, IMAGES), SHAPE
    )
    shown = images(7)
    for count in (1, 3, 7):
        parts = [extractor(shown[i : i + count]).features for i in range(0, 7, count)]
        np.testing.assert_allclose(np.concatenate(parts), extractor(shown).features, rtol=1e-5, atol=1e-5)


def test_the_identity_is_that_of_its_files_wherever_they_are(tmp_path):
    folder = written(tmp_path / "m", {"serving_default": features_only}, IMAGES)
    copied = shutil.copytree(folder, tmp_path / "elsewhere" / "other")
    first = SavedModelExtractor(folder, SHAPE).identity
    assert SavedModelExtractor(copied, SHAPE).identity == first
    (copied / "assets").mkdir(exist_ok=True)
    (copied / "assets" / "labels.txt").write_text("one")
    more = SavedModelExtractor(copied, SHAPE).identity
    assert more.sha256 != first.sha256
    (copied / "assets" / "labels.txt").rename(copied / "assets" / "names.txt")
    assert SavedModelExtractor(copied, SHAPE).identity.sha256 not in (first.sha256, more.sha256)


def test_a_folder_that_holds_no_saved_model(tmp_path):
    assert f"cannot load a SavedModel from {tmp_path}: " in refusal(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    assert f"cannot load a SavedModel from {tmp_path}: " in refusal(tmp_path)


def test_no_signature_that_could_be_used(tmp_path):
    folder = written(tmp_path / "m", {"energy": features_only}, IMAGES)
    assert refusal(folder) == (
        f"the SavedModel {folder} must have the signature features or serving_default; it has energy"
    )


def test_a_signature_of_two_inputs(tmp_path):
    def two(network, images, scale):
        return {"features": network.features(images) * scale}

    scale = tf.TensorSpec([], tf.float32, name="scale")
    folder = written(tmp_path / "m", {"serving_default": two}, IMAGES, scale)
    assert "must take one tensor of images; it takes images, scale" in refusal(folder)


def test_a_signature_of_another_kind_of_numbers(tmp_path):
    spec = tf.TensorSpec([None, *SHAPE], tf.int32, name="images")
    folder = written(tmp_path / "m", {"serving_default": features_only}, spec)
    assert "must take images of uint8 or float32; it takes int32" in refusal(folder)


def test_images_that_do_not_fit(tmp_path):
    folder = written(tmp_path / "m", {"serving_default": features_only}, IMAGES)
    assert "takes images of shape (None, 4, 5, 3); the images here are 4x5x1" in refusal(
        folder, ConfigError, (4, 5, 1)
    )


def test_images_that_fail_only_when_it_runs(tmp_path):
    def sized(network, images):
        return {"features": tf.cast(tf.ensure_shape(images, [None, 6, 6, 3]), tf.float32)[:, 0, 0]}

    spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")
    folder = written(tmp_path / "m", {"serving_default": sized}, spec)
    assert f"the signature serving_default of {folder} fails on images of 4x5x3: " in refusal(
        folder, ConfigError
    )


def test_a_fixed_batch(tmp_path):
    spec = tf.TensorSpec([1, *SHAPE], tf.float32, name="images")
    folder = written(tmp_path / "m", {"serving_default": features_only}, spec)
    assert "takes 1 images at a time; export it with [None, H, W, C]" in refusal(folder)


def test_no_output_that_is_the_features(tmp_path):
    def two(network, images):
        return {"a": network.features(images), "b": network.features(images)}

    folder = written(tmp_path / "m", {"serving_default": two}, IMAGES)
    assert "must give features, or one output only; it gives a, b" in refusal(folder)

    def classes(network, images):
        return {"logits": network.features(images)}

    folder = written(tmp_path / "n", {"serving_default": classes}, IMAGES)
    assert "must give features, or one output only; it gives logits" in refusal(folder)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda network, images: {"features": images}, r"float32 of shape (2, 4, 5, 3)"),
        (lambda network, images: {"features": network.features(images)[:1]}, "float32 of shape (1, 7)"),
        (
            lambda network, images: {"features": tf.argmax(network.features(images)[:, None], -1)},
            "int64 of shape",
        ),
        (lambda network, images: {"features": network.features(images)[:, :0]}, "float32 of shape (2, 0)"),
    ],
)
def test_features_of_another_shape_or_kind(tmp_path, answer, said):
    folder = written(tmp_path / "m", {"serving_default": answer}, IMAGES)
    with pytest.raises(ConfigError) as refused:
        SavedModelExtractor(folder, SHAPE)
    assert f"must give real numbers [n, d], d >= 1; of 2 images it gives {said}" in str(refused.value)


def test_a_network_that_fails_on_some_images_is_told_of(tmp_path):
    def no_white(network, images):
        with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_max(images), 0.9, "no white")]):
            return {"features": network.features(images)}

    extractor = SavedModelExtractor(written(tmp_path / "m", {"serving_default": no_white}, IMAGES), SHAPE)
    with pytest.raises(EBMError, match=r"serving_default of .* fails on images of") as failed:
        extractor(np.full((3, *SHAPE), 255, np.uint8))
    assert "\n" not in str(failed.value)


def test_a_network_that_loses_images_later_is_caught(tmp_path):
    def first_two(network, images):
        return {"features": network.features(images)[:2]}

    extractor = SavedModelExtractor(written(tmp_path / "m", {"serving_default": first_two}, IMAGES), SHAPE)
    with pytest.raises(EBMError, match=r"of 3 images it gives float32 of shape \(2, 7\)"):
        extractor(images(3))
