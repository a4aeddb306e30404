"""InceptionV3 of keras.applications: at hand in Keras, but not the network of the FID.

Its weights, its classes (1000), its last block (average pooling) and its preparation of images are others, so its
distances are other numbers: they go by the name keras-inception and compare with nothing in the literature.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ebm_tf.errors import MissingInput
from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity
from ebm_tf.evaluation.extractors.digests import weights_sha256
from ebm_tf.evaluation.extractors.images import COLOUR, in_colour
from ebm_tf.evaluation.extractors.keras_weights import HOW_TO_GET, demand_weights

SIZE, FEATURES, CLASSES = 299, 2048, 1000
WEIGHTS_FILE = "inception_v3.weights.h5"


class KerasInception(FeatureExtractor):
    """2048 features and 1000 logits (with their bias) of grey or colour images of any size.

    Args:
        path: of an .h5 file with the weights of the whole network; None for those that Keras publishes, from its
            cache or by download.

    Raises:
        MissingInput: there are none, or they are not of this network.
    """

    notes = ("keras-inception is not the network of the published FID: compare with no FID.",)

    def __init__(self, path: Optional[Path] = None) -> None:
        demand_weights(path)
        self.network = _network(path)
        self.identity = Identity(
            name="keras-inception",
            version=f"keras {keras.__version__}",
            sha256=weights_sha256(self.network),
            input="uint8 RGB (grey repeated), bilinear to 299x299 (pixel centres, no antialiasing), / 127.5 - 1",
            features=FEATURES,
            classes=CLASSES,
        )
        images = tf.TensorSpec([None, None, None, COLOUR], tf.uint8)
        self._run = tf.function(self._features_and_logits, input_signature=[images])

    def __call__(self, images: npt.NDArray[np.uint8]) -> Extracted:
        features, logits = self._run(in_colour(images))
        return Extracted(features.numpy(), logits.numpy())

    def save(self, folder: Path) -> dict[str, Any]:
        self.network.save_weights(folder / WEIGHTS_FILE)
        return {"path": WEIGHTS_FILE}

    def _features_and_logits(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        resized = tf.image.resize(tf.cast(images, tf.float32), (SIZE, SIZE), "bilinear", antialias=False)
        return self.network(resized / 127.5 - 1, training=False)


def _network(path: Optional[Path]) -> keras.Model:
    """Images float32 [B, 299, 299, 3] in -1..1 to (features [B, 2048], logits [B, 1000])."""
    try:
        whole = keras.applications.InceptionV3(
            weights="imagenet" if path is None else None, classifier_activation=None
        )
        if path is not None:
            whole.load_weights(path)
    except Exception as error:  # of h5py, Keras, urllib: whatever a bad file or line causes
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingInput(
            f"no weights of keras-inception in {path or 'the cache of Keras'}: {first}; {HOW_TO_GET}"
        ) from error
    return keras.Model(whole.input, [whole.get_layer("avg_pool").output, whole.output])
