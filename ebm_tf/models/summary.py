"""What a network consists of and costs, counted from its blocks without building it. No TensorFlow here.

Counted as multiply-adds, for one image and one evaluation of the energy: convolutions (kernel height x width x
channels in x channels out x output positions), linear maps (in x out), and the two matrix products of attention
(positions^2 x (query width + value width)). Not counted: biases, norms and label gains, swish, halving, softmax,
sums, and what is done to kernels (standardisation, spectral normalisation). A step of a chain costs about twice as
much, the energy and its gradient. Parameters are those that training changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebm_tf.config import Model
from ebm_tf.models import architectures
from ebm_tf.models.architectures import Block, Blocks, LayerOptions

SCALES = ("full", "half", "quarter")
Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerRow:
    """One block: the scale it stands in, what it is, its output without the batch, and its cost."""

    scale: str
    layer: str
    output: Shape
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """A network: where it comes from, its blocks, and their sums."""

    architecture: str
    source: str
    image_shape: Shape
    parameters: int
    multiply_adds: int
    layers: list[LayerRow]


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-adds."""

    parameters: int
    multiply_adds: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.multiply_adds + other.multiply_adds)


def summarise(settings: Model, image_shape: tuple[int, int, int], classes: int = 0) -> Summary:
    """Count the network of a config.

    Args:
        image_shape: height, width, channels.
        classes: of the data set, 0 for none; only a conditional model asks for them.

    Raises:
        ConfigError: settings, image and classes do not go together.
    """
    options = architectures.layer_options(settings, classes)
    scales = architectures.networks(settings)
    architectures.check_size(scales[0], image_shape, len(scales) - 1)
    rows: list[LayerRow] = []
    height, width, channels = image_shape
    for index, blocks in enumerate(scales):
        shape = (height // 2**index, width // 2**index, channels)
        architectures.check_size(blocks, shape)
        rows += _rows(SCALES[index], blocks, shape, options)
    return Summary(
        settings.architecture,
        architectures.architecture(settings.architecture).source,
        image_shape,
        sum(row.parameters for row in rows),
        sum(row.multiply_adds for row in rows),
        rows,
    )


def _rows(scale: str, blocks: Blocks, shape: Shape, options: LayerOptions) -> list[LayerRow]:
    rows = []
    for block in blocks:
        name, output, cost = _counted(block, shape, options)
        rows.append(LayerRow(scale, name, output, cost.parameters, cost.multiply_adds))
        shape = output
    return rows


def _counted(block: Block, shape: Shape, options: LayerOptions) -> tuple[str, Shape, Cost]:
    """Name, output shape and cost of a block that gets `shape`."""
    channels = shape[-1]
    if isinstance(block, (architectures.Conv, architectures.Residual, architectures.ResidualDown)):
        return _convolutional(block, shape, options)
    if isinstance(block, architectures.Attention):
        return f"self-attention {channels}", shape, _attention(shape)
    if isinstance(block, architectures.Pool):
        return "halve", _half(shape), Cost(0, 0)
    if isinstance(block, architectures.GlobalMean):
        return "swish, mean over positions", (channels,), Cost(0, 0)
    if isinstance(block, architectures.Flatten):
        size = shape[0] * shape[1] * channels
        return "flatten", (size,), Cost(0, 0)
    if isinstance(block, architectures.Dense):
        cost = Cost((channels + 1) * block.width, channels * block.width)
        return f"dense {channels} → {block.width}, swish", (block.width,), cost
    return f"dense {channels} → 1", (1,), Cost(channels, channels)


def _convolutional(
    block: architectures.Conv | architectures.Residual | architectures.ResidualDown,
    shape: Shape,
    options: LayerOptions,
) -> tuple[str, Shape, Cost]:
    channels = shape[-1]
    if isinstance(block, architectures.Conv):
        cost = _convolution(3, shape, block.width)
        return f"3x3 conv {block.width}, swish", (*shape[:-1], block.width), cost
    half = _convolution(3, shape, channels) + _norm(channels, options)
    residual = half + half
    if isinstance(block, architectures.Residual):
        return f"residual {channels}", shape, residual
    cost = residual + _convolution(3, shape, block.width)
    return f"residual down {channels} → {block.width}", _half((*shape[:-1], block.width)), cost


def _convolution(size: int, shape: Shape, width: int, bias: bool = True) -> Cost:
    height, across, channels = shape
    weights = size * size * channels * width
    return Cost(weights + (width if bias else 0), weights * height * across)


def _norm(channels: int, options: LayerOptions) -> Cost:
    if options.norm == "group":
        architectures.groups_of(channels, options.groups)
    own = 0 if options.norm == "none" else 2 * channels
    return Cost(own + 2 * options.classes * channels, 0)


def _attention(shape: Shape) -> Cost:
    height, across, channels = shape
    narrow, positions = architectures.attention_width(channels), height * across
    query, key = _convolution(1, shape, narrow), _convolution(1, shape, narrow, bias=False)
    value, gamma = _convolution(1, shape, channels), Cost(1, 0)
    products = Cost(0, positions**2 * (narrow + channels))
    return query + key + value + gamma + products


def _half(shape: Shape) -> Shape:
    height, across, channels = shape
    return architectures.halved(height), architectures.halved(across), channels
