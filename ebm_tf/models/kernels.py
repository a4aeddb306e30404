"""Layers whose kernels may be used in another form than they are stored.

A kernel may be standardised, spectrally normalised, and rounded to bfloat16. What is used is computed from what is
stored, and no call writes anything, so that an energy stays the same however often a chain evaluates it. Only
`update_spectral_vector` moves the estimate of the largest singular value, once per training step. Within
`computed_once` the form is computed at the beginning, and not anew by each step of a chain.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Callable, NamedTuple, Optional

import keras
import tensorflow as tf

from ebm_tf.models import small_images
from ebm_tf.models.architectures import LayerOptions

WARM_UP = 10  # power iterations on new kernels, so that training starts near their largest singular value


class Used(NamedTuple):
    """What a layer computes with: its kernel, and where images are small, the matrix that leads back to them."""

    kernel: tf.Tensor
    back: Optional[tf.Tensor] = None


# By the id of a layer. Each thread has its own, and so has each replica, which is traced in a thread.
_READY: ContextVar[Mapping[int, Used]] = ContextVar("ready", default=MappingProxyType({}))


@contextlib.contextmanager
def computed_once(layers: Iterable[UsedKernel]) -> Iterator[None]:
    """Within it these layers use the form that their kernels have now.

    Loops and gradients that are built within share it: a loop does not compute it at each turn, and gradients with
    respect to the stored kernels go through it once. A tape must have been opened before to record it.
    """
    token = _READY.set({**_READY.get(), **{id(layer): layer.used() for layer in layers}})
    try:
        yield
    finally:
        _READY.reset(token)


def normal_kernel(gain: float, seed: int) -> keras.initializers.Initializer:
    """Kernels from N(0, gain^2 / fan-in)."""
    return keras.initializers.VarianceScaling(
        gain**2, mode="fan_in", distribution="untruncated_normal", seed=seed
    )


def standardised(kernel: tf.Tensor) -> tf.Tensor:
    """A kernel [..., out] with mean 0 and variance 1/fan-in for each output (Qiao et al. 2019)."""
    axes = list(range(kernel.shape.rank - 1))
    fan_in = kernel.shape.num_elements() // kernel.shape[-1]
    centred = kernel - tf.reduce_mean(kernel, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axes, keepdims=True)
    return centred * tf.math.rsqrt(fan_in * variance + 1e-10)


def spectral_estimate(kernel: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
    """|W u|, which is the largest singular value of W once u is its right singular vector; never more.

    Args:
        kernel: W, [..., out]; all axes but the last count as one (Miyato et al. 2018).
        vector: u, unit length, [out].
    """
    return tf.norm(tf.linalg.matvec(_matrix(kernel), vector))


def power_iteration(kernel: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
    """u after one more step towards the right singular vector of the largest singular value, unit length."""
    matrix = _matrix(kernel)
    return _unit(tf.linalg.matvec(matrix, tf.linalg.matvec(matrix, vector), transpose_a=True))


class UsedKernel(keras.layers.Layer):
    """What the layers below do to their `kernel` [..., out] before it is used; they call `_set_up`."""

    standardise: bool
    spectral: bool

    def _set_up(self, options: LayerOptions, seed: int, standardise: bool = False) -> None:
        self.standardise = standardise and options.weight_standardisation
        self.spectral, self.spectral_seed = options.spectral_norm, seed + 5

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        if self.spectral:  # training does not touch the vector, but it is saved with the weights
            self.spectral_vector = self.add_weight(
                name="spectral_vector",
                shape=self.kernel.shape[-1:],
                initializer=_RandomDirection(self.spectral_seed),
                trainable=False,
            )

    def form(self) -> tf.Tensor:
        """The kernel that the layer stands for: the stored one, standardised and scaled as it is asked for."""
        form = self._unscaled()
        return form / spectral_estimate(form, self.spectral_vector) if self.spectral else form

    def in_use(self) -> Used:
        """What is used now: within `computed_once`, what was used at its beginning."""
        return _READY.get().get(id(self)) or self.used()

    def used(self) -> Used:
        """The form as the layer multiplies it, and what else is made of it for that."""
        return Used(self.form())

    def update_spectral_vector(self) -> None:
        """One power iteration, if the kernel is spectrally normalised."""
        if self.spectral:
            self.spectral_vector.assign(power_iteration(self._unscaled(), self.spectral_vector))

    def _unscaled(self) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel)
        return standardised(kernel) if self.standardise else kernel


class Convolution(UsedKernel, keras.layers.Conv2D):
    """Zero-padded convolution: [B, H, W, C] to [B, H, W, width].

    With `options.precision` bfloat16 it rounds its inputs and its kernel to that, adds up their products in float32,
    and rounds the sums; what goes in and comes out keeps its type. The same holds for its derivatives.

    Args:
        width: output channels.
        size: height and width of the kernel.
        options: initial spread, standardisation, spectral normalisation, precision.
        seed: of the kernel; the spectral vector takes the one 5 further on.
        standardise: whether weight standardisation, if on, is for this kernel.
    """

    def __init__(
        self,
        width: int,
        size: int,
        options: LayerOptions,
        seed: int,
        standardise: bool = False,
        use_bias: bool = True,
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            width,
            size,
            padding="same",
            use_bias=use_bias,
            kernel_initializer=normal_kernel(options.init_gain, seed),
            dtype=dtype,
        )
        self._set_up(options, seed, standardise)
        self.products = options.precision if options.precision == "bfloat16" else dtype

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        self.image_shape = tuple(input_shape[1:])

    def used(self) -> Used:
        kernel = tf.cast(self.form(), self.products)
        if not small_images.is_small(self.image_shape, kernel.shape):
            return Used(kernel)
        return Used(kernel, small_images.way_back(kernel, self.image_shape))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        images, (kernel, back) = tf.cast(inputs, self.products), self.in_use()
        if back is None:
            x = tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
        else:
            x = small_images.convolved(images, kernel, back)
        x = tf.cast(x, inputs.dtype)
        return tf.nn.bias_add(x, self.bias) if self.use_bias else x


class Dense(UsedKernel, keras.layers.Dense):
    """Linear map [B, n] to [B, width], spectrally normalised if `options` says so; arguments as of `Convolution`."""

    def __init__(
        self,
        width: int,
        options: LayerOptions,
        seed: int,
        activation: Callable[[tf.Tensor], tf.Tensor] | None = None,
        use_bias: bool = True,
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            width,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=normal_kernel(options.init_gain, seed),
            dtype=dtype,
        )
        self._set_up(options, seed)

    def kernel_layers(self) -> tuple[Dense, ...]:
        """Itself; other blocks name their parts that have a kernel."""
        return (self,)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = tf.matmul(inputs, self.in_use().kernel)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return self.activation(outputs)


class _RandomDirection(keras.initializers.Initializer):
    """Unit vectors of random direction, by a seed."""

    def __init__(self, seed: int) -> None:
        self.normal = keras.initializers.RandomNormal(stddev=1.0, seed=seed)

    def __call__(self, shape: tuple[int, ...], dtype: tf.DType = None, **options: object) -> tf.Tensor:
        return _unit(self.normal(shape, dtype))


def _matrix(kernel: tf.Tensor) -> tf.Tensor:
    return tf.reshape(kernel, [-1, kernel.shape[-1]])


def _unit(vector: tf.Tensor) -> tf.Tensor:
    return vector / tf.norm(vector)
