"""The energy model: one scalar per image, low where images are likely."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ebm_tf.config import Model
from ebm_tf.errors import ConfigError, EBMError, MissingInput
from ebm_tf.models import architectures
from ebm_tf.models.architectures import Blocks, LayerOptions
from ebm_tf.models.attention import SelfAttention
from ebm_tf.models.card import MODEL_CARD, Card, UnreadableCard, differences, read_card, write_card
from ebm_tf.models.kernels import WARM_UP, Convolution, Dense, computed_once
from ebm_tf.models.layers import (
    ConvSwish,
    GlobalMean,
    Halving,
    ResidualBlock,
    ResidualDownBlock,
    average_half,
    swish,
)


class EnergyModel(keras.Model):
    """E(x), built from an architecture given as data; with coarser scales, E(x) + E_half(x/2) + E_quarter(x/4).

    Example:
        >>> model = EnergyModel(ARCHITECTURES["tiny"].blocks, image_shape=(8, 8, 1))
        >>> model(tf.zeros([5, 8, 8, 1])).shape
        TensorShape([5])

    Args:
        blocks: the network for the whole image, see `architectures.py`.
        image_shape: height, width, channels.
        options: what its layers have in common; by default no norm, unconditional.
        seed: of the initial kernels.
        dtype: of weights and energies (float64 is for checking gradients).
        coarser: the networks for the image of half the size, of a quarter, ...
        scale: how often the image of this network was halved, for the seed alone.

    Attributes:
        image_shape: as above. classes: labels that the energy takes, 0 for none.

    Raises:
        ConfigError: the image is too small for the halvings, or does not divide for the scales; or the groups of
            group norm do not divide a layer.
    """

    def __init__(
        self,
        blocks: Blocks,
        image_shape: tuple[int, int, int],
        options: LayerOptions | None = None,
        seed: int = 0,
        dtype: str = "float32",
        coarser: tuple[Blocks, ...] = (),
        scale: int = 0,
    ) -> None:
        super().__init__(name="energy", dtype=dtype)
        options = options or LayerOptions()
        architectures.check_size(blocks, image_shape, len(coarser))
        self.image_shape, self.classes = tuple(image_shape), options.classes
        self.blocks: list[keras.layers.Layer] = []
        channels = image_shape[-1]
        for index, block in enumerate(blocks):
            block_seed = 1000 * seed + 300 * scale + 10 * index
            self.blocks.append(_layer(block, channels, options, block_seed, dtype))
            channels = getattr(block, "width", channels)
        self.coarser = None
        if coarser:
            height, width, colours = image_shape
            half = (height // 2, width // 2, colours)
            self.coarser = EnergyModel(coarser[0], half, options, seed, dtype, coarser[1:], scale + 1)
        self._create_weights(dtype)
        for _ in range(WARM_UP if scale == 0 else 0):
            self.update_spectral_vectors()

    def call(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """Energies [B].

        Args:
            images: [B, H, W, C] with pixels in [0, 1].
            labels: int32 [B], for a conditional model and no other. -1 gives the part that all classes share, which
                training fits to no data by itself: it is not the energy of an image whose label is not known (for
                that see `compose.of_any_label`).

        Raises:
            ConfigError: a conditional model got no labels, or an unconditional one got some.
        """
        energy = self._of_this_scale(images, labels)
        return energy if self.coarser is None else energy + self.coarser(average_half(images), labels)

    def energies(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        """The terms of the sum, [B, scales], the whole image's first; arguments and errors as of a call."""
        energy = self._of_this_scale(images, labels)[:, None]
        if self.coarser is None:
            return energy
        return tf.concat([energy, self.coarser.energies(average_half(images), labels)], axis=1)

    def get_config(self) -> dict[str, Any]:
        """Nothing, as the model card has it all; Keras would fall back to that, with a warning at each file."""
        return {}

    def update_spectral_vectors(self) -> None:
        """One power iteration for every spectrally normalised kernel; nothing without spectral normalisation.

        To be called once per training step, when the kernels have changed. Replicas that call it in `strategy.run`
        each update their own copy of the vectors, from the same kernels to the same values.
        """
        for layer in self.kernel_layers():
            layer.update_spectral_vector()

    def kernels_computed_once(self) -> contextlib.AbstractContextManager[None]:
        """Within it the kernels keep the form that they have now, see `kernels.computed_once`."""
        return computed_once(self.kernel_layers())

    def kernel_layers(self) -> list[Convolution | Dense]:
        """The layers that have a kernel, over all scales."""
        own = [
            layer
            for block in self.blocks
            if hasattr(block, "kernel_layers")
            for layer in block.kernel_layers()
        ]
        return own if self.coarser is None else own + self.coarser.kernel_layers()

    def _of_this_scale(self, images: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        condition = self._condition(labels)
        x = 2 * images - 1
        for block in self.blocks:
            conditional = isinstance(block, (ResidualBlock, ResidualDownBlock))
            x = block(x, condition) if conditional else block(x)
        return x[:, 0]

    def _condition(self, labels: tf.Tensor | None) -> tf.Tensor | None:
        """Labels as one-hot [B, classes]; TensorFlow's one-hot of -1 is zeros."""
        if not self.classes:
            if labels is not None:
                raise ConfigError(
                    "this energy model is unconditional and takes no labels; call it with images alone"
                )
            return None
        if labels is None:
            raise ConfigError(
                f"this energy model is conditional, and was called without labels; give int32 labels from 0 to "
                f"{self.classes - 1}"
            )
        return tf.one_hot(labels, self.classes, dtype=self.dtype)

    def _create_weights(self, dtype: str) -> None:
        labels = tf.zeros([1], tf.int32) if self.classes else None
        self(tf.zeros([1, *self.image_shape], dtype), labels)


def build_energy_model(
    settings: Model, image_shape: tuple[int, int, int], seed: int, classes: int = 0
) -> EnergyModel:
    """The energy model that a config describes.

    Args:
        classes: of the data set (0: it has no labels); only a conditional model asks for them.

    Raises:
        ConfigError: settings, image and classes do not go together.
    """
    options = architectures.layer_options(settings, classes)
    finest, *coarser = architectures.networks(settings)
    return EnergyModel(finest, image_shape, options, seed, coarser=tuple(coarser))


def load_energy_model(
    settings: Model, image_shape: tuple[int, int, int], weights_file: Path, classes: int = 0
) -> EnergyModel:
    """The same, with weights that a training run saved.

    Raises:
        MissingInput: the file is not there.
        EBMError: it holds the weights of another network, as far as that can be seen. Where model.json lies beside
            it, its settings must be these. Otherwise shapes must fit, which do not tell whether blocks skip, how
            images are shrunk, or that there are coarser scales than those asked for.
    """
    model = build_energy_model(settings, image_shape, 0, classes)
    if not Path(weights_file).is_file():
        raise MissingInput(f"there are no weights {weights_file}; train the model first")
    card = Path(weights_file).parent / MODEL_CARD
    if card.is_file():
        _refuse_other_settings(Path(weights_file), _read_card(card).settings, settings)
    try:
        model.load_weights(weights_file)
    except (ValueError, KeyError) as error:
        raise EBMError(
            f"{weights_file} does not hold the weights of this network ({settings.architecture}, "
            f"{'x'.join(map(str, image_shape))}); load it with the model settings that it was trained with"
        ) from error
    return model


def _refuse_other_settings(weights_file: Path, trained: Model, settings: Model) -> None:
    """All settings are compared but `init_gain`, which is how weights begin."""
    if differ := differences(trained, settings, free=["init_gain"]):
        raise EBMError(
            f"{weights_file} holds the weights of another network: {'; '.join(differ)}; load it with the "
            "model settings that it was trained with"
        )


def save_model_card(
    folder: Path, settings: Model, image_shape: tuple[int, int, int], classes: int = 0
) -> None:
    """Write model.json, from which `load_trained` builds the network; arguments as of `build_energy_model`."""
    write_card(folder, Card(settings, image_shape, classes))


def load_trained(folder: Path, weights: str = "average") -> EnergyModel:
    """The model of a training artifact, from its folder alone.

    Args:
        weights: "average" (of training, EMA) or "last".

    Raises:
        MissingInput: model.json or the weights are not there, or model.json is not what `save_model_card` writes.
    """
    card = _read_card(folder / MODEL_CARD)
    return load_energy_model(card.settings, card.image_shape, folder / f"{weights}.weights.h5", card.classes)


def _read_card(path: Path) -> Card:
    try:
        return read_card(path)
    except UnreadableCard as error:
        raise MissingInput(f"cannot read the model card {path}: {error}; run TrainEBM again") from error


def _layer(
    block: architectures.Block, channels: int, options: LayerOptions, seed: int, dtype: str
) -> keras.layers.Layer:
    """The Keras layer of one block whose input is `channels` wide."""
    if isinstance(block, architectures.Conv):
        return ConvSwish(block.width, options, seed, dtype=dtype)
    if isinstance(block, architectures.Residual):
        return ResidualBlock(channels, options, seed, dtype)
    if isinstance(block, architectures.ResidualDown):
        return ResidualDownBlock(channels, block.width, options, seed, dtype)
    if isinstance(block, architectures.Attention):
        return SelfAttention(channels, options, seed, dtype)
    if isinstance(block, architectures.Pool):
        return Halving(options, dtype)
    if isinstance(block, architectures.GlobalMean):
        return GlobalMean(dtype=dtype)
    if isinstance(block, architectures.Flatten):
        return keras.layers.Flatten(dtype=dtype)
    if isinstance(block, architectures.Dense):
        return Dense(block.width, options, seed, activation=swish, dtype=dtype)
    return Dense(1, options, seed, use_bias=False, dtype=dtype)
