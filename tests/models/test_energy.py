"""The energy model: seeds, independence of the batch, scales, labels, weight files."""

from __future__ import annotations

import json

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Model
from ebm_tf.errors import ConfigError, EBMError, MissingInput
from ebm_tf.models.architectures import ARCHITECTURES, LayerOptions
from ebm_tf.models.energy import (
    EnergyModel,
    build_energy_model,
    load_energy_model,
    load_trained,
    save_model_card,
)
from tests.models.derivatives import check_all, shaken

TINY = ARCHITECTURES["tiny"].blocks
SHAPE = (8, 8, 1)
SMALL = Model(architecture="table1", width=0.125, groups=4)


@pytest.fixture(scope="module")
def model():
    return EnergyModel(TINY, SHAPE, seed=1, dtype="float64")


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.default_rng(0).random((6, *SHAPE)))


def small_images(count, size=16, channels=3):
    return tf.constant(np.random.default_rng(0).random((count, size, size, channels), dtype=np.float32))


def test_the_parameters_of_tiny_are_those_counted_by_hand(model):
    stem = 9 * 1 * 16 + 16
    residual = 2 * (9 * 16 * 16 + 16)
    last = 9 * 16 * 32 + 32
    head = 2 * 2 * 32 * 128 + 128 + 128
    assert model.count_params() == stem + residual + last + head == 26_080


def test_derivatives_of_tiny(model, images):
    check_all(model, images)


@pytest.mark.parametrize(
    "change",
    [{"norm": "group"}, {"norm": "instance"}, {"norm": "none", "scales": 2}, {"spectral_norm": True}],
    ids=str,
)
def test_the_energy_of_an_image_does_not_depend_on_its_batch(change):
    settings = SMALL.model_copy(update=change)
    model = shaken(build_energy_model(settings, (16, 16, 3), seed=0), scale=0.1)
    images = small_images(5)
    one_by_one = tf.concat([model(images[i : i + 1]) for i in range(5)], axis=0).numpy()
    np.testing.assert_allclose(model(images), one_by_one, rtol=1e-4, atol=1e-5 * np.abs(one_by_one).max())
    assert one_by_one.std() > 1e-3 * np.abs(one_by_one).max()


def test_the_energy_is_the_same_within_a_graph(images):
    options = LayerOptions(norm="group", groups=4, spectral_norm=True, weight_standardisation=True)
    model = EnergyModel(TINY, SHAPE, options, dtype="float64")
    np.testing.assert_allclose(tf.function(model)(images), model(images), rtol=1e-12)


def test_kernels_start_with_the_stated_spread():
    wide = EnergyModel(TINY, SHAPE, LayerOptions(init_gain=1.4), seed=3)
    kernels = [
        w.numpy() for w in wide.trainable_variables if w.shape.rank > 1 and w.shape.num_elements() > 1000
    ]
    for kernel in kernels:
        fan_in = np.prod(kernel.shape[:-1])
        assert kernel.std() == pytest.approx(1.4 / np.sqrt(fan_in), rel=0.1)
    assert not np.allclose(kernels[0][..., 0], kernels[0][..., 1])


def test_the_architecture_says_the_spread_where_the_config_does_not():
    kernels = {
        (name, gain): build_energy_model(
            Model(architecture=name, width=width, init_gain=gain), shape, seed=0
        ).kernel_layers()[1].kernel.numpy()
        for name, width, shape in (("tiny", 4, SHAPE), ("mnist", 0.5, (28, 28, 1)))
        for gain in (None, 1.0)
    }  # fmt: skip
    for name, default in (("tiny", 1.4), ("mnist", 3**-0.5)):
        np.testing.assert_allclose(kernels[name, None], default * kernels[name, 1.0], rtol=1e-5)


def test_the_seed_decides_the_weights():
    first, same, other = (EnergyModel(TINY, SHAPE, seed=s).get_weights() for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same))
    assert not np.array_equal(first[0], other[0])


def test_block_i_of_tiny_has_the_seed_1000_seed_plus_10_i():
    """Fixed, so that a seed goes on meaning the same run."""
    kernels = [weight for weight in EnergyModel(TINY, SHAPE, seed=3).get_weights() if weight.ndim > 1]
    seeds = [3000, 3020, 3021, 3040, 3060, 3070]
    for kernel, seed in zip(kernels, seeds):
        initial = keras.initializers.VarianceScaling(
            1.4**2, mode="fan_in", distribution="untruncated_normal", seed=seed
        )
        np.testing.assert_array_equal(kernel, initial(kernel.shape))


def test_all_kernels_of_all_scales_start_differently():
    settings = SMALL.model_copy(update={"scales": 3})
    model = build_energy_model(settings, (16, 16, 3), seed=0)
    same_shape = [
        layer.kernel.numpy() for layer in model.kernel_layers() if layer.kernel.shape == (3, 3, 8, 8)
    ]
    full, half, quarter = 2 + 3 + 2 + 2, 2 + 2 + 2, 2 + 2 + 2 + 2  # of residual blocks with 8 channels
    assert len(same_shape) == full + half + quarter
    assert len({kernel.tobytes() for kernel in same_shape}) == len(same_shape)


def test_the_scales_are_energies_of_shrunken_images_that_add_up():
    model = build_energy_model(SMALL.model_copy(update={"scales": 3}), (16, 16, 3), seed=0)
    images = small_images(4).numpy()
    half = images.reshape(4, 8, 2, 8, 2, 3).mean((2, 4))
    quarter = images.reshape(4, 4, 4, 4, 4, 3).mean((2, 4))
    energies = model.energies(images).numpy()
    np.testing.assert_allclose(energies[:, 1:], model.coarser.energies(half), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(energies[:, 2], model.coarser.coarser(quarter), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(model(images), energies.sum(axis=1), rtol=1e-5)
    assert model.coarser.coarser.image_shape == (4, 4, 3)
    assert np.all(energies.std(axis=0) > 0)


@pytest.fixture(scope="module")
def conditional():
    settings = Model(conditional=True, scales=2)
    return shaken(build_energy_model(settings, SHAPE, seed=0, classes=10), scale=0.1)


def test_a_new_conditional_network_does_not_tell_labels_apart():
    images = small_images(3, 8, 1)
    model = build_energy_model(Model(conditional=True), SHAPE, seed=0, classes=10)
    plain = build_energy_model(Model(), SHAPE, seed=0)
    np.testing.assert_allclose(model(images, tf.constant([0, 7, -1])), plain(images), rtol=1e-5)


def test_a_label_changes_the_energy_at_every_scale(conditional):
    image = tf.repeat(small_images(1, 8, 1), 11, axis=0)
    energies = conditional.energies(image, tf.range(-1, 10)).numpy()
    for scale in range(2):
        assert len(np.unique(energies[:, scale])) == 11
    np.testing.assert_allclose(conditional(image, tf.range(-1, 10)), energies.sum(axis=1), rtol=1e-5)


def test_labels_and_conditional_models_belong_together(conditional, images):
    with pytest.raises(ConfigError, match=r"conditional, and was called without labels; give .* 0 to 9\n"):
        conditional(images)
    with pytest.raises(ConfigError, match=r"unconditional and takes no labels"):
        EnergyModel(TINY, SHAPE)(images, tf.zeros([6], tf.int32))


@pytest.mark.parametrize("classes", [0, 1])
def test_a_conditional_model_needs_two_classes(classes):
    with pytest.raises(ConfigError, match=f"conditional is true, but the data set has {classes} classes"):
        build_energy_model(Model(conditional=True), SHAPE, seed=0, classes=classes)


def test_an_unconditional_model_does_not_mind_that_there_are_classes():
    assert build_energy_model(Model(), SHAPE, seed=0, classes=10).classes == 0
    assert build_energy_model(Model(conditional=True), SHAPE, seed=0, classes=10).classes == 10


def test_weight_files_of_tiny_keep_their_layout(model, tmp_path):
    """So that files of other releases load, and theirs load these."""
    model.save_weights(tmp_path / "some.weights.h5")
    found = []
    with h5py.File(tmp_path / "some.weights.h5") as file:
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    convolutions = ["conv_swish", "conv_swish_1", "residual_block/first", "residual_block/second"]
    expected = [f"layers/{name}/convolution/vars/{i}" for name in convolutions for i in (0, 1)]
    expected += ["layers/dense/vars/0", "layers/dense/vars/1", "layers/dense_1/vars/0"]
    assert sorted(found) == sorted(expected)


def test_weights_are_written_and_read_without_a_warning(model, tmp_path, caplog):
    model.save_weights(tmp_path / "a.weights.h5")
    model.load_weights(tmp_path / "a.weights.h5")
    assert not caplog.records


ALL_SETTINGS = Model(
    architecture="table1",
    width=0.125,
    scales=2,
    spectral_norm=True,
    weight_standardisation=True,
    downsample="blur",
    conditional=True,
)


@pytest.mark.parametrize("settings", [Model(width=0.5), ALL_SETTINGS], ids=["tiny", "everything"])
def test_a_trained_model_is_loaded_from_its_folder_alone(settings, tmp_path):
    images, labels = small_images(3), tf.constant([0, 1, -1])
    given = (images, labels) if settings.conditional else (images,)
    model = shaken(build_energy_model(settings, (16, 16, 3), seed=1, classes=4), scale=0.1)
    save_model_card(tmp_path, settings, (16, 16, 3), classes=4)
    model.save_weights(tmp_path / "average.weights.h5")
    average = model(*given).numpy()
    model.update_spectral_vectors()
    shaken(model, seed=1).save_weights(tmp_path / "last.weights.h5")
    np.testing.assert_array_equal(load_trained(tmp_path)(*given), average)
    np.testing.assert_array_equal(load_trained(tmp_path, "last")(*given), model(*given))


def test_what_is_missing_or_belongs_to_another_network_is_said_in_one_line(model, tmp_path):
    with pytest.raises(MissingInput, match=r"cannot read the model card .*model.json.*run TrainEBM again"):
        load_trained(tmp_path)
    save_model_card(tmp_path, Model(), SHAPE)
    with pytest.raises(MissingInput, match=r"there are no weights .*average.weights.h5"):
        load_trained(tmp_path)
    (tmp_path / "model.json").unlink()
    model.save_weights(tmp_path / "average.weights.h5")
    with pytest.raises(EBMError, match=r"average.weights.h5 does not hold .* \(mnist, 28x28x1\)"):
        load_energy_model(
            Model(architecture="mnist", width=0.125), (28, 28, 1), tmp_path / "average.weights.h5"
        )
    with pytest.raises(EBMError, match=r"does not hold .* \(tiny, 8x8x1\)"):
        load_energy_model(Model(width=0.5), SHAPE, tmp_path / "average.weights.h5")
    (tmp_path / "model.json").write_text(
        json.dumps({"model": {"architecture": "huge", "depth": 3}, "image_shape": SHAPE, "classes": 0})
    )
    with pytest.raises(
        MissingInput, match=r"cannot read the model card .*model\.depth|model\.architecture"
    ) as error:
        load_trained(tmp_path)
    assert "\n" not in str(error.value)


def test_settings_that_leave_no_trace_in_the_weights_are_compared_with_the_model_card(tmp_path):
    """Each of these loads by its shapes alone, and is another energy."""
    trained = SMALL.model_copy(update={"scales": 2})
    weights, shape = tmp_path / "average.weights.h5", (16, 16, 3)
    shaken(build_energy_model(trained, shape, seed=1), scale=0.1).save_weights(weights)
    images = small_images(3)
    expected = load_energy_model(trained, shape, weights)(images)
    others = {
        "scales was 2, is 1": {"scales": 1},
        "skip was True, is False": {"skip": False},
        "downsample was average, is blur": {"downsample": "blur"},
    }
    for change in others.values():
        other = load_energy_model(trained.model_copy(update=change), shape, weights)(images)
        assert not np.allclose(other, expected, rtol=1e-3)
    save_model_card(tmp_path, trained, shape)
    for words, change in others.items():
        with pytest.raises(EBMError, match=rf"holds the weights of another network: model\.{words}; load"):
            load_energy_model(trained.model_copy(update=change), shape, weights)
    with pytest.raises(EBMError, match=r"model\.scales was 2, is 1; model\.skip was True, is False; load"):
        load_energy_model(trained.model_copy(update={"scales": 1, "skip": False}), shape, weights)
    same = trained.model_copy(update={"init_gain": 3.0})
    np.testing.assert_array_equal(load_energy_model(same, shape, weights)(images), expected)
