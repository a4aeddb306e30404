"""The networks: shapes, what an image depends on, and how a trained generator is found again."""

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.baselines.plan import plan
from ebm_tf.baselines.sngan import (
    GENERATOR_FILE,
    Discriminator,
    Generator,
    build_generator,
    double,
    generate,
    load_generator,
)
from ebm_tf.config import SNGAN
from ebm_tf.errors import MissingInput
from tests.chains import no_report

NARROW = SNGAN(width=0.1, latent_size=5)


def drawn(generator, count, seed, batch_size, report=no_report, first=0):
    """The images of all batches."""
    return np.concatenate(list(generate(generator, count, seed, batch_size, report, first)))


@pytest.mark.parametrize(
    "shape",
    [
        (8, 8, 1),
        (8, 8, 3),
        (28, 28, 1),
        (32, 32, 3),
        (32, 48, 1),
        pytest.param((128, 128, 3), marks=pytest.mark.slow),
    ],
)
def test_images_have_their_shape_and_range_and_scores_are_one_each(shape):
    widths = plan(shape, 0.02)
    images = Generator(widths, shape[-1], latent_size=6)(tf.random.stateless_normal([3, 6], [0, 0]))
    assert images.shape == (3, *shape)
    assert images.dtype == tf.float32
    assert 0 <= float(tf.reduce_min(images)) < float(tf.reduce_max(images)) <= 1
    scores = Discriminator(widths, shape)(images)
    assert scores.shape == (3,)


def test_the_published_networks_of_32_pixels_have_as_many_weights_as_by_hand():
    """Dense, three blocks of 2 convolutions 3x3 + 1x1 + 2 norms, norm, end; and the discriminator's kernels."""
    widths = plan((32, 32, 3))
    conv = 256 * 256 * 9 + 256
    norm = 4 * 256
    block = 2 * conv + (256 * 256 + 256) + 2 * norm
    start, end = 128 * 4096 + 4096, 256 * 3 * 9 + 3
    assert Generator(widths, 3, 128).count_params() == start + 3 * block + norm + end
    inner = 128 * 128 * 9 + 128
    first = (3 * 128 * 9 + 128) + inner + (3 * 128 + 128)
    second = 2 * inner + (128 * 128 + 128)
    trained = first + second + 2 * (2 * inner) + 129
    vectors = 3 * 128 + 3 * 128 + 2 * (2 * 128) + 1
    assert Discriminator(widths, (32, 32, 3)).count_params() == trained + vectors


def test_doubling_repeats_each_pixel():
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
    np.testing.assert_array_equal(double(tf.constant(x)), x.repeat(2, axis=1).repeat(2, axis=2))


def test_scores_sum_over_positions():
    """A constant image of which only the bias of the last layer's input grows: four times the pixels, four sums."""
    network = Discriminator(plan((8, 8, 1), 0.1), (8, 8, 1))
    for weight in network.trainable_variables:
        weight.assign(tf.zeros_like(weight))
    last = network.blocks[-1].second.layer
    last.bias.assign(tf.ones_like(last.bias))
    network.end.layer.kernel.assign(tf.ones_like(network.end.layer.kernel))
    channels = last.bias.shape[0]
    np.testing.assert_allclose(network(tf.zeros([2, 8, 8, 1])), 4 * 4 * channels)


def test_outside_training_an_image_depends_on_its_latent_alone():
    generator = build_generator(NARROW, (8, 8, 1), seed=3)
    z = tf.random.stateless_normal([4, 5], [1, 1])
    for _ in range(3):
        generator(3 * z + 1, training=True)  # so that the kept statistics are not those of the start
    whole = generator(z, training=False)
    alone = tf.concat([generator(z[i : i + 1], training=False) for i in range(4)], axis=0)
    np.testing.assert_allclose(whole, alone, atol=1e-6)
    assert np.abs(generator(z, training=True) - whole).max() > 1e-3


def test_in_training_the_kept_statistics_move_by_a_tenth():
    generator = build_generator(NARROW, (8, 8, 1), seed=3)
    z = tf.random.stateless_normal([64, 5], [1, 1])
    start = generator.to_image(generator.start(z))
    norm = generator.blocks[0].norms[0]
    generator(z, training=True)
    np.testing.assert_allclose(norm.moving_mean, 0.1 * np.mean(start, axis=(0, 1, 2)), atol=1e-6)


def test_later_images_alone_are_the_same_bits_in_whole_batches():
    generator = build_generator(NARROW, (8, 8, 1), seed=0)
    whole = drawn(generator, 11, 7, 3)
    np.testing.assert_array_equal(drawn(generator, 5, 7, 3, first=6), whole[6:])
    np.testing.assert_array_equal(drawn(generator, 3, 7, 3, first=3), whole[3:6])


@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_an_image_follows_from_seed_and_index_whatever_the_batches(batch_size):
    generator = build_generator(NARROW, (8, 8, 1), seed=0)
    told = []
    images = drawn(generator, 9, 7, batch_size, lambda done, total: told.append((done, total)))
    assert images.shape == (9, 8, 8, 1)
    assert images.dtype == np.float32
    assert told[-1] == (9, 9)
    np.testing.assert_allclose(images[:5], drawn(generator, 5, 7, 5), atol=1e-6)
    assert np.abs(images - drawn(generator, 9, 8, batch_size)).max() > 1e-3


def test_a_saved_generator_comes_back_with_its_statistics(tmp_path):
    generator = build_generator(NARROW, (8, 8, 1), seed=0)
    generator(tf.random.stateless_normal([16, 5], [2, 2]), training=True)
    generator.save_weights(tmp_path / GENERATOR_FILE)
    loaded = load_generator(NARROW, (8, 8, 1), tmp_path)
    np.testing.assert_array_equal(drawn(loaded, 3, 0, 3), drawn(generator, 3, 0, 3))


@pytest.mark.parametrize("settings", [NARROW, SNGAN(width=0.2, latent_size=5)])
def test_weights_that_are_missing_or_of_another_network_are_refused(tmp_path, settings):
    if settings is not NARROW:
        build_generator(NARROW, (8, 8, 1), seed=0).save_weights(tmp_path / GENERATOR_FILE)
    with pytest.raises(MissingInput, match="as the generator that the config describes") as refusal:
        load_generator(settings, (8, 8, 1), tmp_path)
    assert str(tmp_path / GENERATOR_FILE) in str(refusal.value)
    assert "\n" not in str(refusal.value)
