"""The feature extractor: it learns digits, follows from its seed, and is the one that its card names."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from ebm_tf.config import Dataset, Extractor
from ebm_tf.datasets.registry import source
from ebm_tf.errors import MissingInput
from ebm_tf.evaluation.extractors.classifier import (
    FEATURES,
    PREDICTED,
    Classifier,
    _shuffled,
    classifier_network,
    load_classifier,
    save_classifier,
    train_classifier,
)
from ebm_tf.evaluation.extractors.classifier_files import CARD_FILE, WEIGHTS_FILE
from ebm_tf.evaluation.extractors.digests import weights_sha256


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """(images, labels) of each split."""
    builder = source("digits").builder(Dataset(), str(tmp_path_factory.mktemp("tfds")))
    builder.download_and_prepare()
    whole = {name: tfds.as_numpy(builder.as_dataset(split=name, batch_size=-1)) for name in ("train", "test")}
    return {name: (split["image"], split["label"]) for name, split in whole.items()}


@pytest.fixture(scope="module")
def trained(digits):
    """A classifier after 12 epochs, its accuracy, and what was reported on the way."""
    reports = []
    network, accuracy = train_classifier(
        digits["train"], digits["test"], 10, Extractor(epochs=12), 0, lambda *at: reports.append(at)
    )
    return network, accuracy, reports


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extractor")
    save_classifier(trained[0], 10, trained[1], folder)
    return folder


def images(count, seed=0, channels=1):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)


def test_it_learns_digits(trained, digits):
    network, accuracy, _ = trained
    assert accuracy >= 0.97
    test, labels = digits["test"]
    right = Classifier(network, 10, accuracy)(test).logits.argmax(axis=1) == labels
    assert accuracy == right.mean()


def test_its_loss_falls_and_every_epoch_is_reported(trained):
    reports = trained[2]
    assert [(done, total) for done, total, _ in reports] == [(epoch, 12) for epoch in range(1, 13)]
    losses = [float(message.removeprefix("loss ")) for _, _, message in reports]
    assert losses[-1] < losses[0] / 5


@pytest.mark.slow
def test_training_follows_from_its_seed(digits):
    few = tuple(part[:200] for part in digits["train"])

    def identity(seed):
        network, _ = train_classifier(few, few, 10, Extractor(epochs=2), seed, lambda *at: None)
        return weights_sha256(network)

    assert identity(1) == identity(1)
    assert identity(1) != identity(2)


def test_mapped_images_come_in_the_order_that_a_shuffle_of_the_images_themselves_gives(tmp_path):
    """Numbers were published with classifiers that were trained by that."""
    np.save(tmp_path / "images.npy", images(23))
    shown, labels = np.load(tmp_path / "images.npy", mmap_mode="r"), np.arange(23)
    whole = tf.data.Dataset.from_tensor_slices((shown, labels)).shuffle(23, seed=5).batch(4)
    passes = _shuffled(shown, labels, 4, seed=5)
    orders = []
    for _ in range(2):
        pairs = list(zip(passes.as_numpy_iterator(), whole.as_numpy_iterator()))
        assert len(pairs) == 6
        for (received, (label, again)), (image, expected) in pairs:
            np.testing.assert_array_equal(received, image)
            np.testing.assert_array_equal(label, expected)
            np.testing.assert_array_equal(again, expected)
        orders.append(np.concatenate([label for (_, (label, _)), _ in pairs]).tolist())
    assert sorted(orders[0]) == list(range(23))
    assert orders[0] != orders[1]


def test_the_first_weights_follow_from_the_seed():
    first = weights_sha256(classifier_network((8, 8, 1), 10, seed=1))
    assert first == weights_sha256(classifier_network((8, 8, 1), 10, seed=1))
    assert first != weights_sha256(classifier_network((8, 8, 1), 10, seed=2))


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_of_what_is_extracted(channels):
    network = classifier_network((8, 8, channels), 7)
    features, logits = Classifier(network, 7, 0.5)(images(5, channels=channels))
    assert features.shape == (5, FEATURES) == (5, 64)
    assert logits.shape == (5, 7)
    assert features.dtype == logits.dtype == np.float32


def test_classes_are_those_of_the_largest_logits_in_batches_as_in_one(trained):
    classifier, shown = Classifier(trained[0], 10, trained[1]), images(2 * PREDICTED + 1)
    predicted = classifier.predicted(shown)
    assert predicted.dtype == np.int64
    assert predicted.shape == (2 * PREDICTED + 1,)
    assert len(np.unique(predicted)) > 1
    np.testing.assert_array_equal(predicted, classifier(shown).logits.argmax(axis=1))
    assert classifier.predicted(shown[-1:]) == predicted[-1]


def test_the_number_of_images_at_once_changes_nothing(trained):
    classifier, shown = Classifier(trained[0], 10, trained[1]), images(13)
    whole = classifier(shown)
    for size in (1, 5, 12):
        parts = [classifier(shown[row : row + size]) for row in range(0, 13, size)]
        for found, expected in zip(map(np.concatenate, zip(*parts)), whole):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_nothing_random_is_left_when_features_are_extracted(trained):
    classifier, shown = Classifier(trained[0], 10, trained[1]), images(6)
    np.testing.assert_array_equal(classifier(shown).features, classifier(shown).features)


def test_a_saved_classifier_comes_back_the_same(trained, saved):
    network, card = load_classifier(saved)
    assert weights_sha256(network) == weights_sha256(trained[0]) == card["sha256"]
    for received, expected in zip(network(images(6)), trained[0](images(6))):
        np.testing.assert_array_equal(received, expected)


def test_the_card_says_what_the_weights_are(trained, saved):
    assert json.loads((saved / CARD_FILE).read_text()) == {
        "name": "classifier",
        "image_shape": [8, 8, 1],
        "classes": 10,
        "features": 64,
        "test_accuracy": trained[1],
        "sha256": weights_sha256(trained[0]),
    }


def test_the_identity_does_not_depend_on_the_file(trained, saved, tmp_path):
    trained[0].save_weights(tmp_path / "again.weights.h5")
    network = classifier_network((8, 8, 1), 10, seed=9)
    network.load_weights(tmp_path / "again.weights.h5")
    assert weights_sha256(network) == load_classifier(saved)[1]["sha256"]


def test_one_changed_weight_is_another_identity(trained, saved):
    network, card = load_classifier(saved)
    weights = network.get_weights()
    weights[-1][0] = np.nextafter(weights[-1][0], np.float32(np.inf))
    network.set_weights(weights)
    assert weights_sha256(network) != card["sha256"]


def test_weights_other_than_those_of_the_card_are_refused(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "tampered")
    classifier_network((8, 8, 1), 10, seed=5).save_weights(folder / WEIGHTS_FILE)
    with pytest.raises(MissingInput, match=rf"{WEIGHTS_FILE} is not what {CARD_FILE} describes"):
        load_classifier(folder)


def test_no_card_is_missing_input(tmp_path):
    with pytest.raises(MissingInput, match=rf"no feature extractor in .*: {CARD_FILE} is missing"):
        load_classifier(tmp_path)


@pytest.mark.parametrize("damage", ["absent", "truncated"])
def test_weights_that_cannot_be_read_are_missing_input(saved, tmp_path, damage):
    folder = shutil.copytree(saved, tmp_path / "damaged")
    weights = folder / WEIGHTS_FILE
    whole = weights.read_bytes()
    weights.unlink()
    if damage == "truncated":
        weights.write_bytes(whole[:100])
    with pytest.raises(MissingInput, match=WEIGHTS_FILE):
        load_classifier(folder)


def test_weights_of_another_network_are_missing_input(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "other")
    classifier_network((12, 12, 1), 10).save_weights(folder / WEIGHTS_FILE)
    with pytest.raises(MissingInput, match=f"cannot read .*{WEIGHTS_FILE}"):
        load_classifier(folder)


@pytest.mark.parametrize("card", ["{", "[]", '{"classes": 10}'])
def test_a_card_that_is_none_is_missing_input(saved, tmp_path, card):
    folder = shutil.copytree(saved, tmp_path / "card")
    (folder / CARD_FILE).write_text(card)
    with pytest.raises(MissingInput, match=rf"cannot read .*{CARD_FILE}: it is no card of a classifier"):
        load_classifier(folder)


def test_the_extractor_gives_what_the_network_gives(saved, trained):
    extractor = Classifier.open(saved)
    received = extractor(images(6))
    assert received.features.dtype == received.logits.dtype == np.float32
    features, logits = trained[0](images(6), training=False)
    np.testing.assert_array_equal(received.features, features)
    np.testing.assert_array_equal(received.logits, logits)


def test_the_extractor_carries_identity_and_accuracy(saved, trained):
    extractor = Classifier.open(saved)
    assert extractor.identity.as_json() == {
        "name": "classifier",
        "version": "1",
        "sha256": weights_sha256(trained[0]),
        "input": "uint8 8x8x1 / 255",
        "features": 64,
        "classes": 10,
    }
    assert extractor.image_shape == (8, 8, 1)
    assert extractor.test_accuracy == trained[1]
    assert extractor.notes == (f"The classifier gets {trained[1]:.1%} of the test images right.",)


@pytest.mark.parametrize("wrong", [images(2, channels=3), images(2).astype(np.float32), images(2)[:, :7]])
def test_other_images_are_refused(saved, wrong):
    with pytest.raises(ValueError, match=r"images must be uint8 of shape \[n, H, W, C\], n >= 1, 8x8x1 each"):
        Classifier.open(saved)(wrong)
