"""The energy networks as data: a network is a tuple of the blocks below, listed by name in `ARCHITECTURES`.

To add one, add a row. Blocks say what they do and how wide they come out; `energy.py` turns them into layers, and
`summary.py` counts them. No TensorFlow here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Union

from ebm_tf.config import Model
from ebm_tf.errors import ConfigError


@dataclass(frozen=True)
class Conv:
    """3x3 convolution to `width` channels, then swish."""

    width: int


@dataclass(frozen=True)
class Residual:
    """x + swish(norm(conv(swish(norm(conv(x)))))), both convolutions 3x3, at the width of x."""


@dataclass(frozen=True)
class ResidualDown:
    """The same, then a 3x3 convolution to `width` channels, halved height and width, swish."""

    width: int


@dataclass(frozen=True)
class Attention:
    """x + gamma times what each position gathers from all others; gamma starts at 0."""


@dataclass(frozen=True)
class Pool:
    """Halved height and width."""


@dataclass(frozen=True)
class GlobalMean:
    """Swish, then the mean over all positions."""


@dataclass(frozen=True)
class Flatten:
    """All positions and channels side by side."""


@dataclass(frozen=True)
class Dense:
    """Linear map to `width` numbers, then swish."""

    width: int


@dataclass(frozen=True)
class Energy:
    """Linear map to one number, without bias: a constant changes no distribution."""


Block = Union[Conv, Residual, ResidualDown, Attention, Pool, GlobalMean, Flatten, Dense, Energy]
Blocks = tuple[Block, ...]
WITH_WIDTH = (Conv, ResidualDown, Dense)


@dataclass(frozen=True)
class Architecture:
    """A named network.

    Attributes:
        blocks: from image to energy.
        norm, init_gain: where the config names none.
        source: where the table stands.
        image_size: height and width in pixels that it was made for.
    """

    blocks: Blocks
    norm: str
    init_gain: float
    source: str
    image_size: int


@dataclass(frozen=True)
class LayerOptions:
    """What all layers of a network have in common; the meaning of each stands in `config.Model`.

    Attributes:
        classes: labels that the energy knows; 0 where it takes none.
    """

    init_gain: float = 1.4
    norm: str = "none"
    groups: int = 32
    skip: bool = True
    downsample: str = "average"
    weight_standardisation: bool = False
    spectral_norm: bool = False
    classes: int = 0
    precision: str = "float32"


# The spread 1/sqrt(3 fan-in) that PyTorch's layers start with, and so the authors' networks: with larger ones, the
# paper's step sizes throw the first chains out of the image range at once.
PYTORCH_GAIN = 3**-0.5

ARCHITECTURES: dict[str, Architecture] = {
    # Wide enough for digits, and small enough that a chain step takes about 1 ms on a core. Most of it is 4x4 pixels
    # of 16 channels: convolutions of 8 channels, or at 8x8 pixels, take about twice as long for what they do.
    "tiny": Architecture(
        (
            Conv(16), Pool(), Residual(), Pool(),
            Conv(32), Flatten(), Dense(128), Energy(),
        ),
        "none", 1.4, "this project", 8,
    ),
    # The same for garments: no layer is wide where there are many pixels, and every stage takes about as long.
    "small": Architecture(
        (
            Conv(16), Pool(), Residual(), Conv(32), Pool(), Residual(),
            Conv(64), Pool(), Flatten(), Dense(128), Energy(),
        ),
        "none", 1.4, "this project", 28,
    ),
    "mnist": Architecture(
        (Conv(64), ResidualDown(128), ResidualDown(256), ResidualDown(512), GlobalMean(), Energy()),
        "group", PYTORCH_GAIN, "the authors' code", 28,
    ),
    # S names the attention "64"; where it stands, it sees 128 channels.
    "table1": Architecture(
        (
            Conv(64), Residual(), ResidualDown(64), Residual(), ResidualDown(128), Attention(),
            Residual(), ResidualDown(256), Residual(), ResidualDown(512), GlobalMean(), Energy(),
        ),
        "group", PYTORCH_GAIN, "S table 1", 32,
    ),
    "table2": Architecture(
        (
            Conv(64), ResidualDown(128), ResidualDown(128), ResidualDown(256), Residual(), ResidualDown(512),
            Attention(), Residual(), ResidualDown(1024), GlobalMean(), Energy(),
        ),
        "group", PYTORCH_GAIN, "S table 2", 128,
    ),
    # The authors' code halves once more than their table.
    "table2_code": Architecture(
        (
            Conv(64), ResidualDown(128), ResidualDown(128), ResidualDown(128), ResidualDown(256), Residual(),
            ResidualDown(512), Attention(), Residual(), ResidualDown(1024), GlobalMean(), Energy(),
        ),
        "group", PYTORCH_GAIN, "S table 2 with the sixth down block of the authors' code", 128,
    ),
}  # fmt: skip


def architecture(name: str) -> Architecture:
    """A named network.

    Raises:
        ConfigError: no network has this name.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"no architecture {name!r}; there are: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def layer_options(settings: Model, classes: int = 0) -> LayerOptions:
    """The options of a config's network, for a data set with so many classes (0: no labels).

    Raises:
        ConfigError: the network is conditional, but there are not two classes to tell apart.
    """
    if settings.conditional and classes < 2:
        raise ConfigError(
            f"model.conditional is true, but the data set has {classes} classes; it takes 2 or more, or set "
            "model.conditional=false"
        )
    plan = architecture(settings.architecture)
    return LayerOptions(
        plan.init_gain if settings.init_gain is None else settings.init_gain,
        settings.norm or plan.norm,
        settings.groups,
        settings.skip,
        settings.downsample,
        settings.weight_standardisation,
        settings.spectral_norm,
        classes if settings.conditional else 0,
        settings.precision,
    )


def networks(settings: Model) -> list[Blocks]:
    """The blocks of a config's networks, one per scale, finest first (S B.1).

    Raises:
        ConfigError: the architecture has too few down blocks for so many scales.
    """
    plan = architecture(settings.architecture)
    options = layer_options(settings.model_copy(update={"conditional": False}))
    step = options.groups if options.norm == "group" else 1
    blocks = widened(plan.blocks, settings.width, step)
    return [without_downs(blocks, scale, settings.drop) for scale in range(settings.scales)]


def widened(blocks: Blocks, factor: float, groups: int) -> Blocks:
    """Blocks with all widths times `factor`.

    At 1 they stay as they are. Otherwise a width is rounded to the nearest whole number, and from `groups` on to the
    nearest multiple of `groups`, so that the groups of group norm divide it; at least 1.
    """
    if factor == 1:
        return blocks

    def rounded(width: float) -> int:
        step = groups if width >= groups else 1
        return max(int(width / step + 0.5), 1) * step

    return tuple(
        replace(block, width=rounded(block.width * factor)) if isinstance(block, WITH_WIDTH) else block
        for block in blocks
    )


def without_downs(blocks: Blocks, count: int, drop: str) -> Blocks:
    """Blocks of a coarser scale: without `count` of their down blocks (ResidualDown, or Pool).

    "first" (S B.1) takes the first ones out, and nothing else: the blocks after them run at the width that then
    reaches them, and the next down block comes out as wide as ever. "last" (the authors' code) takes the last stages
    out: a down block and what stands between it and the one before.

    Raises:
        ConfigError: there would be no down block left to take.
    """
    downs = [index for index, block in enumerate(blocks) if isinstance(block, (ResidualDown, Pool))]
    if count > len(downs):
        raise ConfigError(
            f"model.scales is {count + 1}, but the network has only {len(downs)} down blocks to do without; "
            f"give 1 to {len(downs) + 1}"
        )
    if not count:
        return blocks
    if drop == "first":
        return tuple(block for index, block in enumerate(blocks) if index not in downs[:count])
    kept = downs[-count - 1] + 1 if count < len(downs) else downs[0]
    return blocks[:kept] + blocks[downs[-1] + 1 :]


def groups_of(channels: int, groups: int) -> int:
    """How many groups so many channels get: `groups`, but at most one per channel.

    Raises:
        ConfigError: they do not divide the channels.
    """
    groups = min(groups, channels)
    if channels % groups:
        raise ConfigError(
            f"model.groups is {groups}, which does not divide a layer of {channels} channels; give a divisor of "
            "the widths of the network"
        )
    return groups


def attention_width(channels: int) -> int:
    """Channels of query and key: an eighth (Zhang et al. 2019), at least 1."""
    return max(channels // 8, 1)


def halved(size: int) -> int:
    """Height or width after a down block: an odd one is rounded up, so that no pixel goes unseen."""
    return (size + 1) // 2


def check_size(blocks: Blocks, image_shape: tuple[int, int, int], coarser: int = 0) -> None:
    """Refuse images that a network cannot take.

    Args:
        image_shape: height, width, channels.
        coarser: scales below this one, for each of which the image is halved exactly.

    Raises:
        ConfigError: they are too small for the network's halvings, or do not divide by 2^coarser.
    """
    height, width, _ = image_shape
    halvings = sum(isinstance(block, (ResidualDown, Pool)) for block in blocks)
    smallest = 2 ** (halvings - 1) + 1 if halvings else 1  # so that the last halving still has two pixels
    if min(height, width) < smallest:
        raise ConfigError(
            f"the network halves its images {halvings} times, which takes at least {smallest}x{smallest} pixels; "
            f"received images of {height}x{width}: give a larger dataset.size or another model.architecture"
        )
    if height % 2**coarser or width % 2**coarser:
        raise ConfigError(
            f"with {coarser + 1} scales, height and width must be multiples of {2**coarser}; received images of "
            f"{height}x{width}: change dataset.size or model.scales"
        )
