"""A network of the user's own as extractor: any SavedModel with one input of images and an output of features.

Its signature `features` is used, or else `serving_default`. It takes one tensor [n, H, W, C]: of uint8 it gets the
pixels as they are, of float32 the pixels in [0, 1] (divided by 255). It gives `features` [n, d], or has one output
only; where it also gives `logits` [n, classes], there is an Inception Score too. n is free.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from ebm_tf.errors import ConfigError, EBMError, MissingInput, as_one_line
from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity, ImageShape
from ebm_tf.evaluation.extractors.digests import folder_sha256
from ebm_tf.evaluation.extractors.images import checked_images

SIGNATURES = ("features", "serving_default")
SCALES = {tf.uint8: "as it is", tf.float32: "as float32 / 255"}
FEATURES, LOGITS = "features", "logits"
FOLDER = "saved_model"


class SavedModelExtractor(FeatureExtractor):
    """Features, and logits if there are, of a SavedModel.

    Args:
        folder: of the SavedModel.
        image_shape: of the images that it will be shown.

    Raises:
        MissingInput: the folder holds no SavedModel, or one without such a signature, input or output.
        ConfigError: its input does not take images of that shape.
    """

    image_shape: ImageShape

    def __init__(self, folder: Path, image_shape: ImageShape) -> None:
        self._folder, self.image_shape = folder, image_shape
        # The model is kept: its variables live as long as it does.
        self._model, name = _loaded(folder)
        self._function = self._model.signatures[name]
        self._where = f"the signature {name} of {folder}"
        self._input = self._checked_input()
        self._output = self._checked_output()
        features, logits = self._demanded_answer()
        self.identity = Identity(
            name="saved-model",
            version=f"signature {name}",
            sha256=folder_sha256(folder),
            input=f"uint8 {_by(image_shape)}, {SCALES[self._input.dtype]}",
            features=features.shape[1],
            classes=None if logits is None else logits.shape[1],
        )

    def __call__(self, images: npt.NDArray[np.uint8]) -> Extracted:
        images = checked_images(images, self.image_shape)
        pixels = images if self._input.dtype == tf.uint8 else images.astype(np.float32) / np.float32(255)
        try:
            outputs = self._function(**{self._input.name: tf.constant(pixels)})
        except tf.errors.OpError as error:
            shape = _by(self.image_shape)
            raise EBMError(f"{self._where} fails on images of {shape}: {as_one_line(error)}") from error
        logits = outputs.get(LOGITS)
        return Extracted(
            self._matrix(outputs[self._output], len(images)),
            None if logits is None else self._matrix(logits, len(images)),
        )

    def save(self, folder: Path) -> dict[str, Any]:
        shutil.copytree(self._folder, folder / FOLDER)
        return {"path": FOLDER}

    def _checked_input(self) -> tf.TensorSpec:
        """The only input, called as its argument is."""
        inputs = self._function.structured_input_signature[1]
        if len(inputs) != 1:
            raise MissingInput(f"{self._where} must take one tensor of images; it takes {_named(inputs)}")
        ((name, spec),) = inputs.items()
        if spec.dtype not in SCALES:
            raise MissingInput(
                f"{self._where} must take images of uint8 or float32; it takes {spec.dtype.name}"
            )
        if not spec.shape.is_compatible_with([None, *self.image_shape]):
            raise ConfigError(
                f"{self._where} takes images of shape {spec.shape}; the images here are {_by(self.image_shape)}"
            )
        if spec.shape.rank and spec.shape[0] is not None:
            raise MissingInput(
                f"{self._where} takes {spec.shape[0]} images at a time; export it with [None, H, W, C]"
            )
        return tf.TensorSpec(spec.shape, spec.dtype, name)

    def _checked_output(self) -> str:
        """The name of the output that holds the features."""
        outputs = self._function.structured_outputs
        if FEATURES in outputs:
            return FEATURES
        if len(outputs) == 1 and LOGITS not in outputs:
            return str(next(iter(outputs)))
        raise MissingInput(
            f"{self._where} must give {FEATURES}, or one output only; it gives {_named(outputs)}"
        )

    def _demanded_answer(self) -> Extracted:
        """What it says of two black images: that shows what the signature leaves open."""
        try:
            return self(np.zeros((2, *self.image_shape), np.uint8))
        except EBMError as error:
            raise ConfigError(str(error)) from error

    def _matrix(self, output: tf.Tensor, count: int) -> npt.NDArray[np.float32]:
        shaped = output.shape.rank == 2 and output.shape[0] == count and output.shape[1] > 0
        if not shaped or not output.dtype.is_floating:
            raise EBMError(
                f"{self._where} must give real numbers [n, d], d >= 1; of {count} images it gives "
                f"{output.dtype.name} of shape {output.shape}"
            )
        with np.errstate(over="ignore"):  # infinities are told of where features are kept
            return np.asarray(output.numpy(), np.float32)


def _loaded(folder: Path) -> tuple[Any, str]:
    """The model, and the name of the signature to use."""
    try:
        model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, tf.errors.OpError, DecodeError) as error:
        first = str(error).splitlines()[0]
        raise MissingInput(f"cannot load a SavedModel from {folder}: {first}") from error
    for name in SIGNATURES:
        if name in model.signatures:
            return model, name
    raise MissingInput(
        f"the SavedModel {folder} must have the signature {' or '.join(SIGNATURES)}; it has "
        f"{_named(model.signatures)}"
    )


def _named(things: Mapping[str, Any]) -> str:
    return ", ".join(sorted(things)) or "none"


def _by(image_shape: ImageShape) -> str:
    return "x".join(map(str, image_shape))
