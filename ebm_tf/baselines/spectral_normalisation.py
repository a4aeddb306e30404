"""Spectral normalisation by tensorflow-addons: the one module that imports it.

Its wrapper keeps the kernel itself normalised: every call with training=True makes one power iteration from the
stored vector u and divides the kernel, in place, by the singular value found. Calls with training=False use the
kernel as it stands. The gradient is that of the divided kernel, so training is gradient descent projected to a
singular value of 1. (Miyato et al. 2018 keep an undivided kernel and differentiate through the division.)
"""

from __future__ import annotations

import warnings

import keras
import tensorflow as tf

with warnings.catch_warnings():
    warnings.filterwarnings(
        "ignore", r"\s*TensorFlow Addons \(TFA\) has ended development", category=UserWarning
    )
    import tensorflow_addons as tfa


class SpectralNormalisation(tfa.layers.SpectralNormalization):
    """The wrapper of tensorflow-addons with a first vector u that follows from a seed.

    Args:
        layer: a Conv2D or Dense, whose kernel is reshaped to [-1, outputs] and kept at a largest singular value of 1.
        seed: of u; the wrapper's own is drawn anew in each process.
    """

    def __init__(self, layer: keras.layers.Layer, seed: int) -> None:
        super().__init__(layer, dtype=layer.dtype)  # else it would round its input to float32
        self.seed = seed

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.u.assign(tf.random.stateless_normal(self.u.shape, [self.seed, 0], dtype=self.u.dtype))
