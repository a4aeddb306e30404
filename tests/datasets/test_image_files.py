"""Every kind of image file, made by Pillow with known pixels; damaged ones say why."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ebm_tf.datasets.image_files import Unusable, read_header, read_image

RED, HALF = (200, 40, 10), 128


def rgba():
    """Red at the left, half transparent black in the middle, nothing at the right."""
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, :2] = (*RED, 255)
    pixels[:, 2:4, 3] = HALF
    return Image.fromarray(pixels)


def test_transparent_parts_are_laid_on_white(tmp_path):
    rgba().save(tmp_path / "x.png")
    pixels = read_image(tmp_path / "x.png", 3)
    assert np.all(pixels[:, :2] == RED)
    assert np.all(np.abs(pixels[:, 2:4].astype(int) - (255 - HALF)) <= 1)
    assert np.all(pixels[:, 4:] == 255)


def test_grey_with_alpha(tmp_path):
    pixels = np.stack([np.full((3, 4), 90, np.uint8), np.tile(np.uint8([0, 255, 255, 0]), (3, 1))], axis=2)
    grey, alpha = (Image.fromarray(np.ascontiguousarray(pixels[..., i])) for i in (0, 1))
    Image.merge("LA", (grey, alpha)).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(tmp_path / "x.png", 1)[0, :, 0], [255, 90, 90, 255])
    assert read_header(tmp_path / "x.png") == (3, 4, True, "PNG")


def test_a_palette_with_a_transparent_entry(tmp_path):
    image = Image.new("P", (4, 2))
    image.putpalette([*RED, 0, 0, 255, *[0] * 750])
    image.putdata([0, 1, 1, 0, 0, 0, 1, 1])
    image.save(tmp_path / "x.png", transparency=1)
    pixels = read_image(tmp_path / "x.png", 3)
    np.testing.assert_array_equal(pixels[0], [RED, (255,) * 3, (255,) * 3, RED])
    assert not read_header(tmp_path / "x.png").grey


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_become_eight(tmp_path, suffix):
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(values).save(tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"x.{suffix}", 1)[..., 0].ravel(), np.arange(256))
    assert read_header(tmp_path / f"x.{suffix}").grey
    assert np.ptp(read_image(tmp_path / f"x.{suffix}", 3), axis=2).max() == 0


def test_one_bit_is_black_and_white(tmp_path):
    Image.fromarray(np.eye(5, dtype=bool)).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(tmp_path / "x.png", 1)[..., 0], 255 * np.eye(5))


def test_cmyk_becomes_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "x.tif")  # magenta and yellow ink: red
    assert np.all(read_image(tmp_path / "x.tif", 3) == (255, 0, 0))
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(tmp_path / "x.jpg", quality=95)
    assert read_image(tmp_path / "x.jpg", 3).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    """The table of the EXIF standard: which side of the scene the first row and the first column show."""
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :16] = 250  # bright at the top left
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored[orientation])).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "x.png", 1)[..., 0], upright)
    assert read_header(tmp_path / "x.png")[:2] == upright.shape


FORMAT_OF = {
    "jpg": "JPEG", "bmp": "BMP", "gif": "GIF", "webp": "WEBP", "ppm": "PPM", "tif": "TIFF", "jp2": "JPEG2000"
}  # fmt: skip


@pytest.mark.parametrize("suffix", FORMAT_OF)
def test_common_formats_keep_a_flat_colour(tmp_path, suffix):
    Image.new("RGB", (16, 16), RED).save(tmp_path / f"x.{suffix}")
    assert np.abs(read_image(tmp_path / f"x.{suffix}", 3).astype(int) - RED).max() <= 4
    assert read_header(tmp_path / f"x.{suffix}") == (16, 16, False, FORMAT_OF[suffix])


def test_the_format_is_that_of_the_bytes_whatever_the_name(tmp_path):
    Image.new("RGB", (16, 16), RED).save(tmp_path / "x.png", format="JPEG")
    assert read_header(tmp_path / "x.png").format == "JPEG"
    Image.new("RGB", (16, 16), RED).save(
        tmp_path / "two.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))]
    )
    assert read_header(tmp_path / "two.jpg").format == "MPO"


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    frames = [Image.new("L", (8, 8), value) for value in (30, 220)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert np.all(read_image(tmp_path / "x.gif", 1) == 30)


def test_what_is_no_image_says_so(tmp_path):
    Image.new("RGB", (64, 64), RED).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-40])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("holidays")
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name, reason in {
        "cut.jpg": "truncated",
        "empty.png": "no image in a known format",
        "notes.txt": "no image in a known format",
        "float.tif": "its pixels are not of 8 or 16 bits",
    }.items():
        with pytest.raises(Unusable, match=reason):
            read_image(tmp_path / name, 3)
    with pytest.raises(Unusable, match="no image in a known format"):
        read_header(tmp_path / "notes.txt")
