"""The networks as tables: parameters counted by hand, widths, scales, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Model
from ebm_tf.errors import ConfigError
from ebm_tf.models.architectures import (
    Attention,
    Conv,
    Energy,
    GlobalMean,
    Residual,
    ResidualDown,
    architecture,
    networks,
    widened,
    without_downs,
)
from ebm_tf.models.energy import build_energy_model
from ebm_tf.models.summary import summarise

NETWORKS = ("tiny", "small", "mnist", "table1", "table2", "table2_code")
SIZES = {name: architecture(name).image_size for name in NETWORKS}
CHANNELS = {"tiny": 1, "small": 1, "mnist": 1, "table1": 3, "table2": 3, "table2_code": 3}


# Parameters of a row of S's tables, as a reader counts them: kernels, biases, group norm's gain and bias.
def conv(wide, out):
    return 9 * wide * out + out


def residual(wide):
    return 2 * (conv(wide, wide) + 2 * wide)


def down(wide, out):
    return residual(wide) + conv(wide, out)


def attention(wide):
    query, key, value, gamma = wide * wide // 8 + wide // 8, wide * wide // 8, wide * wide + wide, 1
    return query + key + value + gamma


TABLE_1 = (
    conv(3, 64) + residual(64) + down(64, 64) + residual(64) + down(64, 128) + attention(128)
    + residual(128) + down(128, 256) + residual(256) + down(256, 512) + 512
)  # fmt: skip
TABLE_1_HALF = (
    conv(3, 64) + residual(64) + residual(64) + down(64, 128) + attention(128)
    + residual(128) + down(128, 256) + residual(256) + down(256, 512) + 512
)  # fmt: skip
TABLE_1_QUARTER = (
    conv(3, 64) + residual(64) + residual(64) + attention(64)
    + residual(64) + down(64, 256) + residual(256) + down(256, 512) + 512
)  # fmt: skip
TABLE_2 = (
    conv(3, 64) + down(64, 128) + down(128, 128) + down(128, 256) + residual(256) + down(256, 512)
    + attention(512) + residual(512) + down(512, 1024) + 1024
)  # fmt: skip
SMALL = (
    conv(1, 16) + 2 * conv(16, 16) + conv(16, 32) + 2 * conv(32, 32) + conv(32, 64)
    + (4 * 4 * 64 + 1) * 128 + 128
)  # fmt: skip
MNIST = conv(1, 64) + down(64, 128) + down(128, 256) + down(256, 512) + 512


@pytest.mark.parametrize(
    ("name", "scales", "parameters"),
    [
        ("table1", 1, TABLE_1),
        ("table1", 3, TABLE_1 + TABLE_1_HALF + TABLE_1_QUARTER),
        ("table2", 1, TABLE_2),
        ("mnist", 1, MNIST),
        ("small", 1, SMALL),
    ],
)
def test_the_parameters_of_the_networks_are_those_counted_by_hand(name, scales, parameters):
    shape = (SIZES[name], SIZES[name], CHANNELS[name])
    settings = Model(architecture=name, scales=scales)
    assert summarise(settings, shape).parameters == parameters
    if name in ("small", "mnist") or scales == 3:  # the others are built by the slow tests
        assert build_energy_model(settings, shape, seed=0).count_params() == parameters


def test_the_code_s_network_has_one_more_down_block_than_table_2():
    plain, code = (
        summarise(Model(architecture=name), (128, 128, 3)).parameters for name in ("table2", "table2_code")
    )
    assert code == plain + down(128, 128)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["table2", "table2_code"])
def test_the_large_networks_at_full_width_and_three_scales(name):
    settings = Model(architecture=name, scales=3)
    model = build_energy_model(settings, (128, 128, 3), seed=0)
    assert model.count_params() == summarise(settings, (128, 128, 3)).parameters
    assert model.energies(tf.zeros([2, 128, 128, 3])).shape == (2, 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_energy_per_image_and_scale(name):
    shape = (SIZES[name], SIZES[name], CHANNELS[name])
    model = build_energy_model(Model(architecture=name, width=0.125, scales=3), shape, seed=0)
    images = tf.constant(np.random.default_rng(0).random((2, *shape), dtype=np.float32))
    assert model(images).shape == (2,)
    assert model.energies(images).shape == (2, 3)


def test_table_1_reads_as_in_the_supplement():
    assert architecture("table1").source == "S table 1"
    assert architecture("table1").blocks == (
        Conv(64), Residual(), ResidualDown(64), Residual(), ResidualDown(128), Attention(), Residual(),
        ResidualDown(256), Residual(), ResidualDown(512), GlobalMean(), Energy(),
    )  # fmt: skip


def test_the_first_down_blocks_go_at_coarser_scales():
    _, half, quarter = networks(Model(architecture="table1", scales=3))
    assert half == (
        Conv(64), Residual(), Residual(), ResidualDown(128), Attention(), Residual(),
        ResidualDown(256), Residual(), ResidualDown(512), GlobalMean(), Energy(),
    )  # fmt: skip
    assert quarter == (
        Conv(64), Residual(), Residual(), Attention(), Residual(),
        ResidualDown(256), Residual(), ResidualDown(512), GlobalMean(), Energy(),
    )  # fmt: skip


def test_the_code_s_coarser_scales_go_without_the_last_stages():
    _, half, quarter = networks(Model(architecture="table1", scales=3, drop="last"))
    stem = (Conv(64), Residual(), ResidualDown(64), Residual(), ResidualDown(128))
    head = (GlobalMean(), Energy())
    assert half == (*stem, Attention(), Residual(), ResidualDown(256), *head)
    assert quarter == (*stem, *head)


@pytest.mark.parametrize("drop", ["first", "last"])
def test_more_scales_than_down_blocks_are_refused(drop):
    blocks = (Conv(4), ResidualDown(8), GlobalMean(), Energy())
    assert without_downs(blocks, 1, drop) == (Conv(4), GlobalMean(), Energy())
    with pytest.raises(ConfigError, match=r"model.scales is 3, but .* only 1 down blocks.*; give 1 to 2"):
        without_downs(blocks, 2, drop)


def test_widths_are_rounded_so_that_groups_divide_them():
    blocks = (Conv(64), ResidualDown(128), Energy())
    assert widened(blocks, 1, 5) == blocks
    assert widened(blocks, 0.125, 32) == (Conv(8), ResidualDown(16), Energy())
    assert widened(blocks, 0.7, 32) == (Conv(32), ResidualDown(96), Energy())  # 44.8 and 89.6
    assert widened(blocks, 0.7, 1) == (Conv(45), ResidualDown(90), Energy())
    assert widened(blocks, 0.001, 32) == (Conv(1), ResidualDown(1), Energy())


@pytest.mark.parametrize("width", [0.3, 0.7, 1.3])
def test_every_width_can_be_built_with_group_norm(width):
    assert summarise(Model(architecture="table1", width=width, groups=24), (32, 32, 3)).parameters > 0


def test_groups_that_do_not_divide_are_refused():
    settings = Model(architecture="mnist", groups=24)
    message = r"model.groups is 24, which does not divide a layer of 64 channels; give a divisor"
    with pytest.raises(ConfigError, match=message):
        summarise(settings, (28, 28, 1))
    with pytest.raises(ConfigError, match=message):
        build_energy_model(settings, (28, 28, 1), seed=0)


@pytest.mark.parametrize("make", [summarise, lambda *given: build_energy_model(*given, seed=0)])
def test_images_that_are_too_small_or_do_not_divide_are_refused(make):
    with pytest.raises(ConfigError, match=r"halves its images 4 times.* at least 9x9.*images of 8x8"):
        make(Model(architecture="table1"), (8, 8, 3))
    with pytest.raises(ConfigError, match=r"with 3 scales, .* multiples of 4; received images of 30x32"):
        make(Model(architecture="table1", scales=3), (30, 32, 3))


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no architecture 'huge'; there are: tiny, small, mnist, table1"):
        architecture("huge")
