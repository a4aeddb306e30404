"""The energy networks as data: a network is a tuple of the blocks below, listed by name in `ARCHITECTURES`.

To add one, add a row. Blocks say what they do and how wide they come out; `energy.py` turns them into layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ebm_tf.errors import ConfigError


@dataclass(frozen=True)
class Conv:
    """3x3 convolution to `width` channels, then swish."""

    width: int


@dataclass(frozen=True)
class Residual:
    """x + swish(conv(swish(conv(x)))), both convolutions 3x3, at the width of x."""


@dataclass(frozen=True)
class Pool:
    """Mean of each 2x2 square."""


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


Block = Union[Conv, Residual, Pool, Flatten, Dense, Energy]
Architecture = tuple[Block, ...]

ARCHITECTURES: dict[str, Architecture] = {
    # For 8x8 images on two cores: wide enough for digits, and small enough that a chain step takes about 2 ms.
    "tiny": (
        Conv(8), Residual(), Pool(),
        Conv(16), Residual(), Pool(),
        Conv(32), Flatten(), Dense(128), Energy(),
    ),
}  # fmt: skip


def architecture(name: str) -> Architecture:
    """The blocks of a named network.

    Raises:
        ConfigError: no network has this name.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"no architecture {name!r}; there are: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
