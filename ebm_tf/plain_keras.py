"""An energy model as a network of Keras's own layers, which Keras alone builds from JSON and fills from a file.

    import keras
    model = keras.models.model_from_json(open("my-model/keras/network.json").read())
    model.load_weights("my-model/keras/energy.weights.h5")

It gives the same energies [B] for the same images (of a conditional model for [images, labels]). What a kernel goes
through before it is used (weight standardisation, spectral normalisation) has been done to it once and for all, so
that training goes on without it; a conditional model has no label -1; and everything is computed in float32. Where
there is group norm, only first derivatives are right: Keras's layer holds the mean fixed when its gradient is
differentiated (see models/normalisation.py). To train on by the method of the paper, use training.initial_model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from ebm_tf.config import Model
from ebm_tf.models.attention import SelfAttention
from ebm_tf.models.energy import EnergyModel, build_energy_model
from ebm_tf.models.kernels import Convolution, Dense
from ebm_tf.models.layers import ConvSwish, GlobalMean, Halving, ResidualBlock, ResidualDownBlock
from ebm_tf.models.normalisation import EPSILON, Normalisation

NETWORK, WEIGHTS = "network.json", "energy.weights.h5"


def plain_model(model: EnergyModel) -> keras.Model:
    """The network of standard layers, with the weights that the model has now.

    Returns:
        A model of `images`, float32 [B, H, W, C] with pixels in [0, 1], or of [`images`, `labels`], int32 [B]; its
        output is the energy, float32 [B].
    """
    return _Builder(model).built()


def in_full_precision(model: EnergyModel, settings: Model) -> EnergyModel:
    """A model that computes in float32, whatever the precision of its settings: itself, or one with its weights."""
    if settings.precision == "float32":
        return model
    full = settings.model_copy(update={"precision": "float32"})
    height, width, channels = model.image_shape
    made = build_energy_model(full, (height, width, channels), 0, model.classes)
    made.set_weights(model.get_weights())
    return made


def write_plain(model: keras.Model, folder: Path) -> None:
    """Write network.json and energy.weights.h5 into a new folder."""
    folder.mkdir()
    (folder / NETWORK).write_text(model.to_json(indent=2) + "\n", encoding="utf-8")
    model.save_weights(folder / WEIGHTS)


class _Builder:
    """Walks along the blocks of a model; layers are named by their place, so that files are the same each time."""

    def __init__(self, model: EnergyModel) -> None:
        self.model, self._number = model, 0
        self._images = keras.Input(model.image_shape, name="images")
        self._labels = keras.Input((), dtype="int32", name="labels") if model.classes else None
        self._weights: list[tuple[keras.layers.Layer, list[np.ndarray]]] = []

    def built(self) -> keras.Model:
        energies, images = [], self._images
        scale: EnergyModel | None = self.model
        while scale is not None:
            x = self._add(keras.layers.Rescaling, images, scale=2.0, offset=-1.0)
            for block in scale.blocks:
                x = self._block(block, x)
            energies.append(x)
            scale = scale.coarser
            if scale is not None:
                images = self._average_half(images)
        total = energies[0] if len(energies) == 1 else self._add(keras.layers.Add, energies)
        energy = self._add(keras.layers.Reshape, total, target_shape=())
        inputs = self._images if self._labels is None else [self._images, self._labels]
        built = keras.Model(inputs, energy, name="energy")
        for layer, values in self._weights:
            layer.set_weights(values)
        return built

    def _add(self, layer: Any, inputs: Any, weights: list[Any] | None = None, **options: Any) -> Any:
        """The output of a new layer, whose weights are to be these."""
        self._number += 1
        made = layer(name=f"{self._number:03}_{layer.__name__.lower()}", **options)
        if weights is not None:
            self._weights.append((made, [np.asarray(weight) for weight in weights]))
        return made(inputs)

    def _block(self, block: keras.layers.Layer, x: Any) -> Any:
        if isinstance(block, ConvSwish):
            return self._conv_swish(block, x)
        if isinstance(block, ResidualBlock):
            return self._residual(block, x)
        if isinstance(block, ResidualDownBlock):
            x = self._convolution(block.convolution, self._residual(block.residual, x))
            return self._swish(self._halve(block.halve, x))
        if isinstance(block, SelfAttention):
            return self._attention(block, x)
        if isinstance(block, Halving):
            return self._halve(block, x)
        if isinstance(block, GlobalMean):
            return self._add(keras.layers.GlobalAveragePooling2D, self._swish(x))
        if isinstance(block, Dense):
            x = self._add(keras.layers.Dense, x, _used(block), units=block.units, use_bias=block.use_bias)
            return self._swish(x) if block.use_bias else x  # the last one, the energy, has neither
        assert isinstance(block, keras.layers.Flatten)
        return self._add(keras.layers.Flatten, x)

    def _conv_swish(self, block: ConvSwish, x: Any) -> Any:
        x = self._convolution(block.convolution, x)
        return self._swish(x if block.norm is None else self._normalised(block.norm, x))

    def _residual(self, block: ResidualBlock, x: Any) -> Any:
        branch = self._conv_swish(block.second, self._conv_swish(block.first, x))
        return self._add(keras.layers.Add, [x, branch]) if block.skip else branch

    def _convolution(self, layer: Convolution, x: Any, factor: Any = 1.0) -> Any:
        return self._add(
            keras.layers.Conv2D,
            x,
            [factor * weight for weight in _used(layer)],
            filters=layer.filters,
            kernel_size=layer.kernel_size,
            padding="same",
            use_bias=layer.use_bias,
        )

    def _swish(self, x: Any) -> Any:
        return self._add(keras.layers.Activation, x, activation="swish")

    def _normalised(self, norm: Normalisation, x: Any) -> Any:
        """What a label does is looked up in tables of the gain and bias of each."""
        own = norm.kind != "none"
        if own:
            affine = not norm.classes
            x = self._add(
                keras.layers.GroupNormalization,
                x,
                [norm.gain, norm.bias] if affine else [],
                groups=norm.groups,
                epsilon=EPSILON,
                center=affine,
                scale=affine,
            )
        if not norm.classes:
            return x
        gain = norm.label_gain + (norm.gain if own else 1.0)
        bias = norm.label_bias + (norm.bias if own else 0.0)
        x = self._add(keras.layers.Multiply, [x, self._of_label(gain)])
        return self._add(keras.layers.Add, [x, self._of_label(bias)])

    def _of_label(self, values: Any) -> Any:
        classes, channels = values.shape
        row = self._add(
            keras.layers.Embedding, self._labels, [values], input_dim=classes, output_dim=channels
        )
        return self._add(keras.layers.Reshape, row, target_shape=(1, 1, channels))

    def _attention(self, block: SelfAttention, x: Any) -> Any:
        """Weights of a softmax add up to 1: gamma goes into the value and its bias."""
        height, width, channels = x.shape[1:]
        query, key, value = (
            self._add(
                keras.layers.Reshape,
                self._convolution(part, x, factor),
                target_shape=(height * width, part.filters),
            )
            for part, factor in zip(block.kernel_layers(), (1.0, 1.0, block.gamma))
        )
        products = self._add(keras.layers.Dot, [query, key], axes=(2, 2))
        weights = self._add(keras.layers.Softmax, products)
        gathered = self._add(keras.layers.Dot, [weights, value], axes=(2, 1))
        gathered = self._add(keras.layers.Reshape, gathered, target_shape=(height, width, channels))
        return self._add(keras.layers.Add, [x, gathered])

    def _halve(self, layer: Halving, x: Any) -> Any:
        if not layer.blur:
            return self._average_half(x)
        height, width = x.shape[1:3]
        x = self._mirrored(self._mirrored(x, 1, height), 2, width)
        x = self._add(keras.layers.AveragePooling2D, x, pool_size=2, strides=1)
        return self._add(keras.layers.AveragePooling2D, x, pool_size=2)

    def _average_half(self, x: Any) -> Any:
        return self._add(keras.layers.AveragePooling2D, x, pool_size=2, padding="same")

    def _mirrored(self, x: Any, axis: int, size: int) -> Any:
        """A row (axis 1) or column (2) more at the start, and of an odd size at the end, as in a mirror."""
        parts = [self._one(x, axis, 1, size), x]
        if size % 2:
            parts.append(self._one(x, axis, size - 2, size))
        return self._add(keras.layers.Concatenate, parts, axis=axis)

    def _one(self, x: Any, axis: int, index: int, size: int) -> Any:
        own = (index, size - 1 - index)
        return self._add(keras.layers.Cropping2D, x, cropping=(own, (0, 0)) if axis == 1 else ((0, 0), own))


def _used(layer: Convolution | Dense) -> list[Any]:
    """The kernel that the layer stands for, not rounded, and the bias."""
    return [layer.form(), *([layer.bias] if layer.use_bias else [])]
