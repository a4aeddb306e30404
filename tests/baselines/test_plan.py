"""The networks as data: the published widths at the published sizes, and which sizes there are networks for."""

import pytest

from ebm_tf.baselines.plan import Down, plan
from ebm_tf.errors import ConfigError


def test_32_pixels_have_the_widths_of_table_3():
    widths = plan((32, 32, 3))
    assert widths.base == (4, 4)
    assert widths.generator == (256, 256, 256, 256)
    assert widths.discriminator == (Down(128, True), Down(128, True), Down(128, False), Down(128, False))


def test_128_pixels_have_the_widths_of_table_4():
    widths = plan((128, 128, 3))
    assert widths.base == (4, 4)
    assert widths.generator == (1024, 1024, 512, 256, 128, 64)
    down = [Down(width, True) for width in (64, 128, 256, 512, 1024)]
    assert widths.discriminator == (*down, Down(1024, False))


@pytest.mark.parametrize(
    ("size", "base"), [(8, 2), (12, 3), (16, 4), (28, 7), (48, 6), (64, 4), (112, 7), (1024, 4)]
)
def test_the_base_doubled_by_every_block_is_the_image(size, base):
    widths = plan((size, size, 1))
    assert widths.base == (base, base)
    assert base * 2 ** (len(widths.generator) - 1) == size


def test_images_may_be_oblong():
    assert plan((32, 48, 3)).base == (4, 6)


def test_the_factor_scales_every_width_to_at_least_one():
    assert plan((32, 32, 3), 0.25).generator == (64, 64, 64, 64)
    assert {block.width for block in plan((32, 32, 3), 0.001).discriminator} == {1}


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((30, 30, 1), "images of 30x30; bring them to 28 or 32 by dataset.size"),
        ((4, 4, 1), "images of 4x4; bring them to 8 by dataset.size"),
        ((32, 30, 1), "images of 32x30; bring them to 28 or 32 by dataset.size"),
        ((100, 100, 3), "images of 100x100; bring them to 96 or 112 by dataset.size"),
    ],
)
def test_other_sizes_are_refused_with_the_nearest_that_work(shape, advice):
    with pytest.raises(ConfigError, match="doubles 2 to 7 pixels at least twice") as refusal:
        plan(shape)
    assert advice in str(refusal.value)
