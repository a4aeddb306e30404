"""The pixels themselves as features: no network, nothing to trust, and nothing that knows what an image is."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity, ImageShape
from ebm_tf.evaluation.extractors.digests import text_sha256
from ebm_tf.evaluation.extractors.images import checked_images


class Pixels(FeatureExtractor):
    """A flattened image in [0, 1]: d = H W C features, in the order height, width, channel."""

    def __init__(self, image_shape: ImageShape) -> None:
        self.image_shape = image_shape
        definition = f"uint8 {'x'.join(map(str, image_shape))} / 255, flattened by height, width, channel"
        self.identity = Identity("pixels", "1", text_sha256(definition), definition, math.prod(image_shape))

    def __call__(self, images: npt.NDArray[np.uint8]) -> Extracted:
        images = checked_images(images, self.image_shape)
        return Extracted(images.reshape(len(images), -1).astype(np.float32) / np.float32(255), None)
