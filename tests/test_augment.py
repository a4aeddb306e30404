"""Augmentation: the laws of the draws, what they do to known colours, and that a seed alone decides."""

from __future__ import annotations

import colorsys
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ebm_tf.augment import Augmenter, crop_boxes, draw
from ebm_tf.config import Augmentation
from ebm_tf.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parent.parent
SEED = (20, 12)
EVERYTHING = Augmentation(crop_area=0.02, flip=True, colour_strength=1.0)
MANY = 20_000


def run(settings, images, seed=SEED, first=0):
    """The augmented images, by one graph."""
    images = np.asarray(images, np.float32)
    augmenter = Augmenter(settings, images.shape[1:])
    compiled = tf.function(lambda batch, key: augmenter(batch, key, first))
    return compiled(tf.constant(images), tf.constant(seed)).numpy()


def given(settings, images, **changes):
    """The images after draws that are known: nothing but what `changes` names."""
    images = tf.constant(images, tf.float32)
    count = len(images)
    nothing = draw(settings, count, tf.constant(SEED))._replace(
        boxes=tf.tile([[0.0, 0.0, 1.0, 1.0]], [count, 1]),
        hue=tf.zeros(count),
        **dict.fromkeys(("flip", "grey"), tf.zeros(count, tf.bool)),
        jitter=tf.fill(count, len(changes.keys() & {"brightness", "contrast", "saturation", "hue"}) > 0),
        **dict.fromkeys(("brightness", "contrast", "saturation"), tf.ones(count)),
    )
    named = {name: tf.constant(value, nothing._asdict()[name].dtype) for name, value in changes.items()}
    return Augmenter(settings, images.shape[1:]).apply(images, nothing._replace(**named)).numpy()


def pictures(count, size=8, channels=3, seed=0):
    return np.random.default_rng(seed).random((count, size, size, channels), np.float32)


def flat(colours, size=4):
    """One-coloured images [n, size, size, C]."""
    return np.ones((1, size, size, 1), np.float32) * np.asarray(colours, np.float32)[:, None, None, :]


def assert_uniform(values, low, high):
    """A Kolmogorov-Smirnov test; seeds are fixed, so it always comes out the same."""
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.001


def assert_share(chosen, probability):
    """A share of independent events, to within four standard deviations."""
    chosen = np.asarray(chosen)
    assert abs(chosen.mean() - probability) < 4 * np.sqrt(probability * (1 - probability) / chosen.size)


def crops(crop_area):
    """Heights, widths, tops and lefts of many crops, as shares of the image."""
    boxes = draw(Augmentation(crop_area=crop_area), MANY, tf.constant(SEED)).boxes.numpy().astype(np.float64)
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1], boxes[:, 0], boxes[:, 1]


@pytest.mark.parametrize("crop_area", [0.02, 0.6])
def test_crop_areas_are_uniform(crop_area):
    height, width, _, _ = crops(crop_area)
    assert_uniform(height * width, crop_area, 1)


def test_aspect_ratios_are_log_uniform_as_far_as_they_fit():
    height, width, _, _ = crops(0.02)
    aspect, area = np.log(width / height), height * width
    bound = np.minimum(np.log(4 / 3), -np.log(area))
    fits = area < 0.999  # beyond, the bound is as small as rounding
    assert_uniform(aspect[fits] / bound[fits], -1, 1)
    assert np.abs(aspect).max() > np.log(4 / 3) - 0.001
    assert np.abs(np.corrcoef(aspect, area)[0, 1]) < 4 / np.sqrt(MANY)


def test_crops_lie_anywhere_in_the_image():
    height, width, top, left = crops(0.02)
    room = (height < 0.99) & (width < 0.99)
    assert_uniform((top / (1 - height))[room], 0, 1)
    assert_uniform((left / (1 - width))[room], 0, 1)
    assert top.min() >= 0 and left.min() >= 0
    assert (top + height).max() <= 1 and (left + width).max() <= 1


@pytest.mark.parametrize("size", [8, 28, 32])
def test_no_crop_takes_black_from_outside_the_image(size):
    """Crops that touch the lower right border, where rounding may lead out of the image."""
    count = 200
    area, shape = np.random.default_rng(size).uniform(0.02, 1, (2, count)).astype(np.float32)
    edge = tf.fill([count], np.float32(1 - 2**-24))
    boxes = crop_boxes(tf.constant(area), tf.constant(shape), edge, edge)
    white = np.ones((count, size, size, 1))
    np.testing.assert_array_equal(given(Augmentation(crop_area=0.02), white, boxes=boxes), 1)


def test_a_crop_of_a_ramp_is_the_ramp_of_its_part():
    across = np.linspace(0, 1, 9, dtype=np.float32)
    ramps = np.zeros((2, 9, 9, 1), np.float32)
    ramps[0, ..., 0], ramps[1, ..., 0] = across[None, :], across[:, None]
    boxes = [[0.1, 0.25, 0.9, 0.75], [0.3, 0.0, 0.5, 0.6]]
    out = given(Augmentation(crop_area=0.02), ramps, boxes=boxes)[..., 0]
    np.testing.assert_allclose(out[0], np.tile(np.linspace(0.25, 0.75, 9), (9, 1)), atol=1e-6)
    np.testing.assert_allclose(out[1], np.tile(np.linspace(0.3, 0.5, 9)[:, None], (1, 9)), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_draws_that_change_nothing_keep_every_bit(channels):
    images = pictures(5, 11, channels)
    np.testing.assert_array_equal(given(EVERYTHING, images), images)


def test_half_of_the_images_are_mirrored_and_the_others_kept():
    images = pictures(2000, 4, 1)
    out = run(Augmentation(flip=True), images)
    mirrored = (out == images[:, :, ::-1]).all((1, 2, 3))
    assert_share(mirrored, 0.5)
    np.testing.assert_array_equal(out[~mirrored], images[~mirrored])


def test_brightness_multiplies():
    images = flat([[0.4, 0.2, 0.0], [0.8, 0.5, 1.0]])
    out = given(EVERYTHING, images, brightness=[0.5, 1.8])
    np.testing.assert_allclose(out[:, 0, 0], [[0.2, 0.1, 0.0], [1.0, 0.9, 1.0]], atol=1e-6)


def test_contrast_stretches_each_channel_about_its_mean():
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[0, 0], image[0, 1] = [0.5, 0.2, 0.9], [0.7, 0.6, 0.9]  # means 0.6, 0.4, 0.9
    out = given(EVERYTHING, np.tile(image, (2, 1, 1, 1)), contrast=[0.5, 3.0])
    np.testing.assert_allclose(out[0, 0], [[0.55, 0.3, 0.9]] * 2, atol=1e-6)
    np.testing.assert_allclose(out[1, 0], [[0.3, 0.0, 0.9]] * 2, atol=1e-6)
    np.testing.assert_allclose(out[1, 1], [[0.9, 1.0, 0.9]] * 2, atol=1e-6)


@pytest.mark.parametrize("factor", [0.0, 0.2, 1.8, 2.0])
def test_saturation_is_scaled_as_in_hsv(factor):
    colours = pictures(20, 1)[:, 0, 0]
    out = given(EVERYTHING, flat(colours), saturation=np.full(20, factor))[:, 0, 0]
    for colour, changed in zip(colours, out):
        h, s, v = colorsys.rgb_to_hsv(*map(float, colour))
        np.testing.assert_allclose(changed, colorsys.hsv_to_rgb(h, min(1, factor * s), v), atol=1e-5)


@pytest.mark.parametrize("turn", [-0.4, -0.1, 0.2, 0.5])
def test_hue_turns_as_in_hsv(turn):
    colours = pictures(20, 1)[:, 0, 0]
    out = given(EVERYTHING, flat(colours), hue=np.full(20, turn))[:, 0, 0]
    for colour, changed in zip(colours, out):
        h, s, v = colorsys.rgb_to_hsv(*map(float, colour))
        np.testing.assert_allclose(changed, colorsys.hsv_to_rgb((h + turn) % 1, s, v), atol=1e-5)


def test_a_third_of_the_circle_turns_red_into_green():
    np.testing.assert_allclose(
        given(EVERYTHING, flat([[1, 0, 0]]), hue=[1 / 3])[0, 0, 0], [0, 1, 0], atol=1e-6
    )


def test_grey_is_luminance():
    out = given(EVERYTHING, flat(np.eye(3)), grey=[True] * 3)[:, 0, 0]
    np.testing.assert_allclose(out, np.array([[0.299], [0.587], [0.114]]) * np.ones(3), atol=2e-4)


@pytest.mark.parametrize(("strength", "low", "high"), [(1.0, 0.2, 1.8), (0.5, 0.6, 1.4), (1.25, 0.0, 2.0)])
def test_strength_sets_the_ranges(strength, low, high):
    draws = draw(Augmentation(colour_strength=strength, hue=0.4), MANY, tf.constant(SEED))
    for factor in (draws.brightness, draws.contrast, draws.saturation):
        assert_uniform(factor.numpy(), low, high)
    assert_uniform(draws.hue.numpy(), -0.4 * strength, 0.4 * strength)


def test_the_draws_of_an_image_are_independent():
    draws = draw(EVERYTHING, MANY, tf.constant(SEED))
    boxes = draws.boxes.numpy()
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    numbers = np.stack([area, boxes[:, 0], boxes[:, 1], *(np.float64(part) for part in draws[1:])])
    between = np.corrcoef(numbers) - np.eye(len(numbers))
    between[0, 1:3] = between[1:3, 0] = between[1, 2] = between[2, 1] = 0  # small crops have more room
    assert np.abs(between).max() < 4.5 / np.sqrt(MANY)


def test_red_is_turned_no_further_than_the_settings_say():
    """The whole augmentation on pure red: neither brightness, contrast nor saturation changes its hue."""
    settings = Augmentation(colour_strength=0.5, hue=0.2, grey_probability=0.0, jitter_probability=1.0)
    out = run(settings, flat([[1, 0, 0]] * 1000, size=1))[:, 0, 0]
    hues = np.array([colorsys.rgb_to_hsv(*map(float, colour))[0] for colour in out])
    turns = (hues + 0.5) % 1 - 0.5
    assert 0.099 < np.abs(turns).max() <= 0.1 + 1e-6
    assert_uniform(turns, -0.1, 0.1)


def test_shares_of_images_with_other_colours_and_without():
    images = flat([[0.6, 0.3, 0.1]] * 4000, size=1)
    out = run(Augmentation(colour_strength=1.0), images)
    grey = np.ptp(out, axis=3).max((1, 2)) == 0
    assert_share(grey, 0.2)
    assert_share((out != images).any((1, 2, 3))[~grey], 0.8)
    none = Augmentation(colour_strength=1.0, jitter_probability=0.0, grey_probability=0.0)
    np.testing.assert_array_equal(run(none, images), images)


def test_images_without_colours_get_brightness_and_contrast_alone():
    images = pictures(6, channels=1)
    settings = Augmentation(colour_strength=1.0, jitter_probability=1.0, grey_probability=1.0)
    draws = draw(settings, 6, tf.constant(SEED))
    bright = np.clip(images * np.reshape(draws.brightness, (6, 1, 1, 1)), 0, 1)
    mean = bright.mean((1, 2, 3), keepdims=True)
    expected = np.clip((bright - mean) * np.reshape(draws.contrast, (6, 1, 1, 1)) + mean, 0, 1)
    np.testing.assert_allclose(run(settings, images), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stay_float32_of_their_shape_and_in_range(channels):
    images = pictures(300, 6, channels).round()  # black and white, where clipping is needed most
    settings = Augmentation(crop_area=0.02, flip=True, colour_strength=1.25, hue=0.4)
    out = run(settings, images)
    assert out.dtype == np.float32
    assert out.shape == images.shape
    assert out.min() == 0 and out.max() == 1


def test_a_seed_decides_whatever_else_was_drawn():
    images = pictures(8)
    tf.random.set_seed(1)
    once = run(EVERYTHING, images)
    tf.random.set_seed(2)
    tf.random.get_global_generator().normal([3])
    np.testing.assert_array_equal(run(EVERYTHING, images), once)
    differs = (run(EVERYTHING, images, seed=(20, 13)) != once).any((1, 2, 3))
    assert differs.all()


def test_an_image_is_treated_alike_in_any_batch():
    images = pictures(33)
    whole = run(EVERYTHING, images)
    np.testing.assert_array_equal(run(EVERYTHING, images[:5]), whole[:5])
    np.testing.assert_array_equal(run(EVERYTHING, images[7:20], first=7), whole[7:20])
    same = run(EVERYTHING, np.repeat(images[:1], 33, axis=0))
    np.testing.assert_array_equal(same[0], whole[0])
    assert len(np.unique(same, axis=0)) == 33, "each image has a draw of its own"


def test_draws_are_the_same_bits_however_many_are_made():
    """Vectorised functions round the last few of a batch otherwise than the rest."""
    whole = draw(EVERYTHING, 180, tf.constant(SEED)).boxes.numpy()
    parts = [draw(EVERYTHING, 3, tf.constant(SEED), first).boxes for first in range(0, 180, 3)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_one_graph_serves_all_seeds_and_equals_eager():
    augmenter, images = Augmenter(EVERYTHING, (8, 8, 3)), tf.constant(pictures(6))
    compiled = tf.function(augmenter)
    for number in range(3):
        seed = tf.constant([number, 0])
        np.testing.assert_array_equal(compiled(images, seed), augmenter(images, seed))
    assert compiled.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_graph_for_batches_of_any_size_equals_eager(channels):
    augmenter = Augmenter(EVERYTHING, (8, 8, channels))
    shape = tf.TensorSpec([None, 8, 8, channels], tf.float32)
    compiled = tf.function(augmenter, input_signature=[shape, tf.TensorSpec([2], tf.int32)])
    for count in (1, 6, 33):
        images = tf.constant(pictures(count, channels=channels))
        out = compiled(images, tf.constant(SEED))
        np.testing.assert_array_equal(out, augmenter(images, tf.constant(SEED)))
        assert (out.numpy() != images.numpy()).any((1, 2, 3)).all()
    assert compiled.experimental_get_tracing_count() == 1


def test_nothing_is_done_by_default():
    images = tf.constant(pictures(3))
    assert Augmenter(Augmentation(), (8, 8, 3))(images, tf.constant(SEED)) is images


def test_colours_need_one_channel_or_three():
    with pytest.raises(
        ConfigError, match=r"colour_strength is 0\.5, but the images have 4 channels; .* give 0"
    ):
        Augmenter(Augmentation(colour_strength=0.5), (8, 8, 4))


ON_TWO_DEVICES = """
import sys
import numpy as np
import tensorflow as tf
from ebm_tf import config, devices
devices.configure(config.Compute(logical_cpus=2, deterministic=True))
from ebm_tf.augment import Augmenter
from tests.test_augment import EVERYTHING, SEED, pictures
Augmenter(config.Augmentation(), (8, 8, 3))
assert "keras_cv" not in sys.modules, "not imported where it is not needed"
strategy = devices.mirrored_strategy()
with strategy.scope():
    augmenter = Augmenter(EVERYTHING, (8, 8, 3))
@tf.function
def step(images):
    augmented = augmenter(images, tf.constant(SEED))
    def part():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return augmented[4 * number : 4 * number + 4]
    return tf.concat(strategy.experimental_local_results(strategy.run(part)), axis=0)
np.save(sys.argv[1], step(tf.constant(pictures(8))).numpy())
"""


def test_two_devices_in_deterministic_mode_get_the_same_images(tmp_path):
    file = tmp_path / "images.npy"
    subprocess.run([sys.executable, "-c", ON_TWO_DEVICES, str(file)], cwd=REPOSITORY, check=True)
    np.testing.assert_array_equal(np.load(file), run(EVERYTHING, pictures(8)))
