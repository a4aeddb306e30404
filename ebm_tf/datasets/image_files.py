"""Image files of any kind as uint8 arrays, by Pillow.

EXIF orientation is applied; transparent parts are laid on white; 16-bit pixels are scaled to 8 bits; palettes, CMYK
and other colour models become RGB (colour profiles are ignored); of an animation or a multi-page file the first
picture is taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})
ORIENTATION, SIDEWAYS = 0x0112, frozenset({5, 6, 7, 8})  # EXIF tag, and its values that swap height and width


class Unusable(Exception):
    """A file that is no image to be used; the text is the reason, in a few words."""


class Header(NamedTuple):
    """What the first bytes of a file tell: pixels upright, whether it has no colours, and its format.

    The format is one of `FORMATS`, or "MPO", a JPEG file of several pictures; its name has no say in that.
    """

    height: int
    width: int
    grey: bool
    format: str


def read_header(path: Path) -> Header:
    """Size and colour of an image file, without decoding it.

    Raises:
        Unusable: it is not an image.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION) in SIDEWAYS:
                width, height = height, width
            return Header(height, width, image.mode in GREY_MODES, str(image.format))
    except Exception as error:  # damaged bytes make decoders raise whatever they like
        raise Unusable(_reason(error)) from error


def read_image(path: Path, channels: int) -> np.ndarray:
    """An image file, upright and opaque: uint8 [H, W, channels], channels 1 (luma) or 3.

    Raises:
        Unusable: it is not an image, is damaged, or has pixels that do not fit 16 bits.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            opaque = _eight_bits(upright) if upright.mode[0] in "IF" else _on_white(upright)
            return np.asarray(opaque.convert("L" if channels == 1 else "RGB")).reshape(
                opaque.height, opaque.width, channels
            )
    except Unusable:
        raise
    except Exception as error:  # as above
        raise Unusable(_reason(error)) from error


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
        raise Unusable("its pixels are not of 8 or 16 bits")
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8))


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image in a known format"
    return (str(error).strip() or type(error).__name__).splitlines()[0]
