"""InceptionV3 of Keras: its own preparation of images, its own name, and where its weights come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest

from ebm_tf.errors import MissingInput
from ebm_tf.evaluation.extractors import keras_inception, keras_weights
from ebm_tf.evaluation.extractors.keras_inception import KerasInception
from ebm_tf.evaluation.extractors.sources import load_extractor, save_extractor


@pytest.fixture(scope="module")
def network():
    """The whole network with weights that nobody trained.

    Statistics of batch norm are those of some noise: with the initial 0 and 1 every image gives the same features.
    """
    keras.utils.set_random_seed(0)
    whole = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    for layer in whole.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    whole(np.random.default_rng(0).uniform(-1, 1, (4, 299, 299, 3)).astype(np.float32), training=True)
    return whole


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    file = tmp_path_factory.mktemp("keras") / "inception.h5"
    network.save_weights(file)
    return file


@pytest.fixture(scope="module")
def extractor(weights):
    return KerasInception(weights)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with an empty cache of Keras, from where no host can be reached."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(keras_weights, "unreachable", lambda hosts: list(hosts))
    return tmp_path


def images(count, channels=3, size=(32, 20)):
    return np.random.default_rng(1).integers(0, 256, (count, *size, channels), dtype=np.uint8)


@pytest.mark.parametrize("size", [(32, 20), (600, 450)])
def test_images_are_prepared_as_keras_has_it(extractor, network, size):
    shown = images(2, size=size)
    resized = keras.layers.Resizing(299, 299, "bilinear")(shown.astype(np.float32))
    prepared = keras.applications.inception_v3.preprocess_input(np.array(resized))
    reference = keras.Model(network.input, [network.get_layer("avg_pool").output, network.output])
    received = extractor(shown)
    assert received.features.shape == (2, 2048)
    assert received.logits.shape == (2, 1000)
    for part, expected in zip(received, reference(prepared, training=False)):
        spread = np.std(expected[0] - expected[1])
        assert np.abs(part - expected).max() < 1e-3 * spread


def test_features_depend_on_the_batch_by_rounding_only(extractor):
    shown = images(3)
    whole = extractor(shown).features
    alone = np.concatenate([extractor(shown[i : i + 1]).features for i in range(3)])
    assert np.abs(alone - whole).max() < 1e-3 * np.std(whole[0] - whole[1])


def test_a_grey_image_is_a_colour_image_of_equal_channels(extractor):
    grey = images(1, channels=1)
    np.testing.assert_array_equal(extractor(grey).features, extractor(np.repeat(grey, 3, axis=-1)).features)


def test_one_trace_serves_every_batch(extractor):
    extractor(images(1))
    extractor(images(2))
    assert extractor._run.experimental_get_tracing_count() == 1


def test_it_never_passes_for_the_network_of_the_fid(extractor, network):
    digest = hashlib.sha256(b"".join(weight.tobytes() for weight in network.get_weights()))
    assert extractor.identity.as_json() == {
        "name": "keras-inception",
        "version": "keras 2.15.0",
        "sha256": digest.hexdigest(),
        "input": "uint8 RGB (grey repeated), bilinear to 299x299 (pixel centres, no antialiasing), / 127.5 - 1",
        "features": 2048,
        "classes": 1000,
    }
    assert extractor.notes == (
        "keras-inception is not the network of the published FID: compare with no FID.",
    )


@pytest.mark.slow  # builds the network again
def test_it_comes_back_from_its_folder(extractor, tmp_path):
    save_extractor(extractor, tmp_path)
    again = load_extractor(tmp_path)
    assert again.identity == extractor.identity
    np.testing.assert_array_equal(again(images(1)).features, extractor(images(1)).features)


def test_weights_of_another_network(tmp_path, network, monkeypatch):
    monkeypatch.setattr(keras_inception.keras.applications, "InceptionV3", lambda **_: network)
    other = keras.Sequential([keras.layers.Dense(3, input_shape=(2,))])
    other.save_weights(tmp_path / "other.h5")
    with pytest.raises(
        MissingInput, match=r"no weights of keras-inception in .*/other\.h5: .*; give the path of incep"
    ):
        KerasInception(tmp_path / "other.h5")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(
        MissingInput, match=r"no weights of keras-inception: no file .*/absent\.h5; give the path of"
    ):
        KerasInception(tmp_path / "absent.h5")


def test_without_cache_and_network_it_says_how_to_get_the_weights(home):
    with pytest.raises(MissingInput) as caught:
        KerasInception()
    assert str(caught.value) == (
        "the weights of keras-inception are not in ~/.keras/models, and https://storage.googleapis.com cannot be "
        "reached; give the path of inception_v3_weights_tf_dim_ordering_tf_kernels.h5 (https://storage.googleapis.com/"
        "tensorflow/keras-applications/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels.h5, about 92 "
        "MiB) as extractor.path, or put it into ~/.keras/models"
    )


def test_what_is_cached_is_enough_and_keras_is_asked_for_it(home, network, monkeypatch):
    asked = []

    def cached(weights, classifier_activation):
        asked.append((weights, classifier_activation))
        return network

    (home / ".keras" / "models").mkdir(parents=True)
    (home / ".keras" / "models" / keras_weights.FILE).write_bytes(b"weights")
    monkeypatch.setattr(keras_inception.keras.applications, "InceptionV3", cached)
    assert KerasInception().identity.features == 2048
    assert asked == [("imagenet", None)]


def test_a_download_that_breaks_off_is_missing_input(home, monkeypatch):
    def broken(**_):
        raise Exception("URL fetch failure on https://storage.googleapis.com: 404 -- Not Found")

    monkeypatch.setattr(keras_weights, "unreachable", lambda hosts: [])
    monkeypatch.setattr(keras_inception.keras.applications, "InceptionV3", broken)
    with pytest.raises(
        MissingInput, match=r"in the cache of Keras: URL fetch failure on .* Not Found; give the path"
    ):
        KerasInception()
