"""The feature extractor for small grey images: a classifier that the pipeline trains on the same data.

Its 64 penultimate activations are the space in which distances are measured. Its identity (name and sha256 of its
weights) goes with every number: distances in other features are other numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ebm_tf.config import Extractor
from ebm_tf.errors import MissingInput
from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity
from ebm_tf.evaluation.extractors.classifier_files import CARD_FILE, WEIGHTS_FILE
from ebm_tf.evaluation.extractors.digests import weights_sha256
from ebm_tf.evaluation.extractors.images import checked_images

FEATURES = 64
INPUT_NOISE = 0.1  # standard deviation, pixels of 0..1, in training only
PREDICTED = 256  # images at a time


class Classifier(FeatureExtractor):
    """The 64 features and the logits of a trained classifier.

    Attributes:
        test_accuracy: share of the test images that it gets right.
    """

    def __init__(self, network: keras.Model, classes: int, test_accuracy: float) -> None:
        self.network, self.classes, self.test_accuracy = network, classes, test_accuracy
        height, width, channels = network.input_shape[1:]
        self.image_shape = (height, width, channels)
        self.identity = Identity(
            name="classifier",
            version="1",
            sha256=weights_sha256(network),
            input=f"uint8 {height}x{width}x{channels} / 255",
            features=FEATURES,
            classes=classes,
        )
        self.notes = (f"The classifier gets {test_accuracy:.1%} of the test images right.",)

    @classmethod
    def open(cls, folder: Path) -> Classifier:
        """The one that `save_classifier` wrote; MissingInput as of `load_classifier`."""
        network, card = load_classifier(folder)
        return cls(network, card["classes"], card["test_accuracy"])

    def __call__(self, images: npt.NDArray[np.uint8]) -> Extracted:
        images = checked_images(images, self.image_shape)
        features, logits = self.network(tf.constant(images), training=False)
        return Extracted(features.numpy(), logits.numpy())

    def predicted(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """The class that each of uint8 images [n, H, W, C] is taken for, int64 [n], n >= 1; a batch at a time."""
        return _predicted(self.network, images)

    def save(self, folder: Path) -> dict[str, Any]:
        save_classifier(self.network, self.classes, self.test_accuracy, folder)
        return {"path": "."}


def classifier_network(image_shape: tuple[int, int, int], classes: int, seed: int = 0) -> keras.Model:
    """uint8 images [B, H, W, C] to (features [B, 64], logits [B, classes]).

    Against overfitting it sees noise on its input and has no dropout: dropout draws the features of each class
    together, and then the distance sees little but the shares of the classes. (Digits, real test images against
    training ones: 0.7 with dropout, 2.1 with noise, at the same accuracy.)
    """

    def kernel(offset: int) -> keras.initializers.Initializer:
        return keras.initializers.HeNormal(seed=1000 * seed + offset)

    def conv(width: int, offset: int) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            width, 3, padding="same", activation="swish", kernel_initializer=kernel(offset)
        )

    images = keras.Input(image_shape, dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.GaussianNoise(INPUT_NOISE, seed=seed)(x)
    x = conv(32, 2)(conv(32, 1)(x))
    x = keras.layers.MaxPooling2D()(x)
    x = conv(64, 4)(conv(64, 3)(x))
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    features = keras.layers.Dense(FEATURES, activation="swish", kernel_initializer=kernel(5))(x)
    logits = keras.layers.Dense(classes, kernel_initializer=kernel(6))(features)
    return keras.Model(images, [features, logits], name="classifier")


def train_classifier(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int,
    settings: Extractor,
    seed: int,
    report: Callable[[int, int, str], None],
) -> tuple[keras.Model, float]:
    """Train on (images uint8, labels) and return the network with its accuracy on the test images.

    Args:
        report: called with (epochs done, epochs in all, a message).
    """
    images, labels = (np.asarray(part) for part in train)
    height, width, channels = images.shape[1:]
    network = classifier_network((height, width, channels), classes, seed)
    steps = settings.epochs * -(-len(images) // settings.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
    network.compile(
        keras.optimizers.Adam(rate, jit_compile=False),
        loss=[None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)],
    )
    tell = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: report(epoch + 1, settings.epochs, f"loss {logs['loss']:.4f}")
    )
    pairs = _shuffled(images, labels, settings.batch_size, seed)
    network.fit(pairs, epochs=settings.epochs, verbose=0, callbacks=[tell])
    return network, float(np.mean(_predicted(network, np.asarray(test[0])) == test[1]))


def _shuffled(images: np.ndarray, labels: np.ndarray, batch_size: int, seed: int) -> tf.data.Dataset:
    """Passes over (images, (labels, labels)), each in its own order: of mapped arrays a batch at a time is read."""

    def rows(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return images[chosen], labels[chosen]

    def batch(chosen: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        x, y = tf.numpy_function(rows, [chosen], [images.dtype, labels.dtype])
        x, y = tf.ensure_shape(x, [None, *images.shape[1:]]), tf.ensure_shape(y, [None])
        return x, (y, y)

    return tf.data.Dataset.range(len(images)).shuffle(len(images), seed=seed).batch(batch_size).map(batch)


def _predicted(network: keras.Model, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    parts = [
        network(tf.constant(images[row : row + PREDICTED]), training=False)[1].numpy().argmax(axis=1)
        for row in range(0, len(images), PREDICTED)
    ]
    return np.concatenate(parts).astype(np.int64)


def save_classifier(network: keras.Model, classes: int, accuracy: float, folder: Path) -> None:
    """Write the weights and a card that tells what they are."""
    network.save_weights(folder / WEIGHTS_FILE)
    card = {
        "name": "classifier",
        "image_shape": list(network.input_shape[1:]),
        "classes": classes,
        "features": FEATURES,
        "test_accuracy": accuracy,
        "sha256": weights_sha256(network),
    }
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def load_classifier(folder: str | Path) -> tuple[keras.Model, dict]:
    """The classifier that a folder holds, and its card.

    Raises:
        MissingInput: the folder holds none, or its weights are not the ones of its card.
    """
    card_file = Path(folder) / CARD_FILE
    if not card_file.is_file():
        raise MissingInput(f"no feature extractor in {folder}: {CARD_FILE} is missing")
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
        network = classifier_network(tuple(card["image_shape"]), card["classes"])
    except (ValueError, KeyError, TypeError) as error:
        raise MissingInput(f"cannot read {card_file}: it is no card of a classifier") from error
    try:
        network.load_weights(Path(folder) / WEIGHTS_FILE)
    except (OSError, ValueError, KeyError) as error:
        raise MissingInput(f"cannot read {folder}/{WEIGHTS_FILE}: {error}") from error
    if weights_sha256(network) != card["sha256"]:
        raise MissingInput(f"{folder}/{WEIGHTS_FILE} is not what {CARD_FILE} describes (sha256 differs)")
    return network, card
