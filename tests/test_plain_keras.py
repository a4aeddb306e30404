"""Networks of Keras's own layers: the energies of the models that they were made from, in Keras alone."""

from __future__ import annotations

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from ebm_tf.config import Model
from ebm_tf.errors import EBMError
from ebm_tf.export import CHECK_PROGRAM, check_plain
from ebm_tf.models import architectures as blocks
from ebm_tf.models.architectures import LayerOptions
from ebm_tf.models.energy import EnergyModel, build_energy_model
from ebm_tf.plain_keras import in_full_precision, plain_model, write_plain

WITHOUT_THE_PROJECT = CHECK_PROGRAM.partition("import numpy")[0]
PROGRAM = """
import keras, numpy
model = keras.models.model_from_json(open("keras/network.json").read())
model.load_weights("keras/energy.weights.h5")
with numpy.load("shown.npz", allow_pickle=False) as shown:
    numpy.save("energies.npy", model([shown["images"], shown["labels"]]))
"""
HEAD = (blocks.Conv(4), blocks.Residual(), blocks.Pool())
TAIL = (blocks.ResidualDown(8), blocks.Attention(), blocks.GlobalMean(), blocks.Energy())
DENSE = (blocks.Conv(4), blocks.Residual(), blocks.Pool(), blocks.Flatten(), blocks.Dense(8), blocks.Energy())
EVERYTHING = {
    "norm": "group",
    "groups": 2,
    "classes": 3,
    "downsample": "blur",
    "weight_standardisation": True,
    "spectral_norm": True,
}


def made(network, shape, coarser=(), **options):
    """A model with random weights everywhere, so that every one matters."""
    model = EnergyModel(network, shape, LayerOptions(**options), seed=1, coarser=coarser)
    random = np.random.default_rng(2)
    for weight in model.trainable_variables:
        weight.assign_add(0.3 * random.standard_normal(weight.shape).astype(np.float32))
    return model


def shown(model, count=5):
    random = np.random.default_rng(0)
    images = random.random((count, *model.image_shape), dtype=np.float32)
    return images, random.integers(3, size=count, dtype=np.int32) if model.classes else None


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: made(DENSE, (8, 8, 1)), id="dense"),
        pytest.param(lambda: made(HEAD + TAIL, (9, 7, 3), norm="instance", skip=False), id="odd, no skip"),
        pytest.param(lambda: made(HEAD + TAIL, (9, 7, 3), downsample="blur", classes=3), id="odd, blurred"),
        pytest.param(lambda: made(HEAD + TAIL, (9, 8, 1), norm="group", groups=4), id="group norm"),
        pytest.param(
            lambda: made(HEAD + TAIL, (12, 20, 3), coarser=(HEAD[:2] + TAIL,), **EVERYTHING), id="everything"
        ),
    ],
)
def test_energies_are_those_of_the_model(model):
    model = model()
    images, labels = shown(model)
    network = plain_model(model)
    received = network(images if labels is None else [images, labels])
    assert received.shape == (5,)
    np.testing.assert_allclose(received, model(images, labels), rtol=2e-5, atol=1e-6)
    assert check_plain(network, model, images, labels) < 1e-5
    if labels is not None:
        assert not np.allclose(received, network([images, (labels + 1) % 3]), rtol=1e-3)


def test_all_layers_are_kerass_own():
    network = plain_model(made(HEAD + TAIL, (12, 20, 3), coarser=(HEAD[:2] + TAIL,), **EVERYTHING))
    assert {type(layer).__module__.partition(".")[0] for layer in network.layers} == {"keras"}
    known = json.loads(network.to_json())["config"]["layers"]
    assert {layer["module"] for layer in known} == {"keras.layers"}
    assert not {"Lambda", "TFOpLambda"} & {layer["class_name"] for layer in known}


@pytest.mark.slow
def test_it_is_read_by_keras_without_the_project(tmp_path):
    model = made(HEAD + TAIL, (12, 20, 3), coarser=(HEAD[:2] + TAIL,), **EVERYTHING)
    write_plain(plain_model(model), tmp_path / "keras")
    images, labels = shown(model)
    np.savez(tmp_path / "shown.npz", images=images, labels=labels)
    command = [sys.executable, "-I", "-c", WITHOUT_THE_PROJECT + PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    energies = np.load(tmp_path / "energies.npy", allow_pickle=False)
    np.testing.assert_allclose(energies, model(images, labels), rtol=2e-5, atol=1e-6)


def test_it_can_be_trained_on():
    """Plain Keras pulls the energies of some images down."""
    model = made(DENSE, (8, 8, 1))
    network, (images, _) = plain_model(model), shown(model)
    network.compile(keras.optimizers.SGD(1e-4), loss=lambda _, energies: energies)
    before = network(images).numpy().mean()
    network.fit(images, np.zeros(5), epochs=2, verbose=0)
    assert network(images).numpy().mean() < before


def test_a_model_of_less_precision_is_written_in_full():
    """The same weights, in float32: the energies of a model that was in float32 from the start."""
    settings = Model(architecture="tiny", conditional=True, precision="bfloat16", spectral_norm=True)
    full = build_energy_model(settings.model_copy(update={"precision": "float32"}), (8, 8, 1), 3, 3)
    model = build_energy_model(settings, (8, 8, 1), 3, 3)
    model.set_weights(full.get_weights())
    images, labels = shown(model)
    assert not np.array_equal(model(images, labels), full(images, labels))
    again = in_full_precision(model, settings)
    np.testing.assert_array_equal(again(images, labels), full(images, labels))
    assert in_full_precision(full, settings.model_copy(update={"precision": "float32"})) is full


def test_other_energies_are_refused():
    network = plain_model(made(DENSE, (8, 8, 1)))
    other = EnergyModel(DENSE, (8, 8, 1), seed=7)
    with pytest.raises(EBMError, match=r"the network of Keras's layers has other energies .* by \d"):
        check_plain(network, other, *shown(other))
