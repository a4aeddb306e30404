"""The residual SNGAN as data: how wide each block is, for each image size (Miyato et al. 2018, tables 3 and 4).

32x32 has the published widths of CIFAR-10 (table 3), 128x128 those of ImageNet (table 4). Sizes in between are built
alike: up to three doublings as for 32x32, more as for 128x128. Images below 16 pixels, which the paper has none
of, get narrow blocks.
"""

from __future__ import annotations

from typing import NamedTuple

from ebm_tf.errors import ConfigError

NARROW, PUBLISHED_GENERATOR, PUBLISHED_DISCRIMINATOR = 64, 256, 128
NARROWEST, WIDEST = 64, 1024  # of the pyramid for large images


class Down(NamedTuple):
    """A residual block of the discriminator: channels that leave it, and whether it halves the image."""

    width: int
    halves: bool


class Plan(NamedTuple):
    """Both networks.

    base: height and width that the generator starts from. generator: channels of that start, then of each block,
    all of which double the image. discriminator: its blocks.
    """

    base: tuple[int, int]
    generator: tuple[int, ...]
    discriminator: tuple[Down, ...]


def plan(image_shape: tuple[int, int, int], factor: float = 1.0) -> Plan:
    """The networks for images [H, W, C], with `factor` times the channels.

    Raises:
        ConfigError: the size is not 2 to 7 doubled at least twice.
    """
    height, width, _ = image_shape
    doublings = _doublings(height, width)
    if doublings is None:
        raise ConfigError(
            "the SNGAN doubles 2 to 7 pixels at least twice, both ways alike, which does not give images of "
            f"{height}x{width}; {_advice(min(height, width))} by dataset.size"
        )
    base = (height >> doublings, width >> doublings)
    if doublings > 3:
        widths = [min(NARROWEST << level, WIDEST) for level in range(doublings)]
        generator = [widths[-1], *reversed(widths)]
        discriminator = [*(Down(width, True) for width in widths), Down(widths[-1], False)]
    else:
        tiny = min(base) < 4
        generator = [NARROW if tiny else PUBLISHED_GENERATOR] * (doublings + 1)
        channels, halvings = (NARROW, 1) if tiny else (PUBLISHED_DISCRIMINATOR, 2)
        discriminator = [Down(channels, block < halvings) for block in range(halvings + 2)]

    def scaled(channels: int) -> int:
        return max(1, round(channels * factor))

    return Plan(
        base,
        tuple(map(scaled, generator)),
        tuple(block._replace(width=scaled(block.width)) for block in discriminator),
    )


def _doublings(height: int, width: int) -> int | None:
    """From the base to the image: down to 4..7 pixels if that leaves two, else two; None if it does not divide."""
    smaller = min(height, width)
    count = max(2, (smaller // 4).bit_length() - 1)
    fits = smaller >> count >= 2 and height % (1 << count) == 0 and width % (1 << count) == 0
    return count if fits else None


def _advice(size: int) -> str:
    """The square sizes around `size` that work."""
    below = next((s for s in range(size, 7, -1) if _doublings(s, s)), None)
    above = next(s for s in range(max(size + 1, 8), 2 * size + 16) if _doublings(s, s))
    return f"bring them to {above}" if below is None else f"bring them to {below} or {above}"
