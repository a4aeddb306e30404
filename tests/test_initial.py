"""What training may start from: told from its records, refused where it does not fit, loaded as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ebm_tf.config import Model
from ebm_tf.errors import ConfigError, MissingInput
from ebm_tf.exported import load_weights_into
from ebm_tf.initial import demand_same_network, initial_model, pinned
from ebm_tf.models.energy import build_energy_model, load_trained
from ebm_tf.signature import SIGNATURE
from tests.damage import flip
from tests.exports import network, record_in, signature_of, trained_in
from tests.refusals import refused
from tests.stages.small_models import CLASSES, SHAPE

REPOSITORY = Path(__file__).resolve().parents[1]
LABELS = np.array([2, 0, 1], np.int32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished artifact of TrainEBM, of a conditional model."""
    return trained_in(tmp_path_factory.mktemp("artifacts") / "trained", True)


@pytest.fixture(scope="module")
def export(trained, tmp_path_factory):
    """The same weights as an export has them."""
    return exported_of(trained, tmp_path_factory.mktemp("export"))


def exported_of(trained, folder):
    for name in ("average.weights.h5", "model.json"):
        shutil.copyfile(trained / name, folder / name)
    signature_of(folder, {}, len(CLASSES)).write(folder)
    return folder


@pytest.fixture
def copied(export, tmp_path):
    """An export to be damaged."""
    return Path(shutil.copytree(export, tmp_path / "copied"))


def fresh():
    return build_energy_model(network(True), SHAPE, 5, len(CLASSES))


def test_a_network_gets_the_energies_of_the_one_that_was_trained(trained, export):
    shown = np.random.default_rng(0).random((3, *SHAPE), np.float32)
    expected = load_trained(trained)(shown, LABELS)
    for place in (export, trained):
        made = fresh()
        assert not np.allclose(made(shown, LABELS), expected, rtol=1e-3)
        load_weights_into(made, place, network(True))
        np.testing.assert_array_equal(made(shown, LABELS), expected)


def test_how_weights_began_and_their_precision_do_not_matter(export):
    other = network(True).model_copy(update={"init_gain": 2.0, "precision": "bfloat16"})
    demand_same_network(initial_model(export), other, SHAPE, 3)


@pytest.mark.parametrize(
    "settings, shape, classes, said",
    [
        ({"architecture": "mnist"}, SHAPE, 3, "model.architecture was tiny, is mnist"),
        ({"skip": False}, SHAPE, 3, "model.skip was True, is False"),
        ({"width": 2.0, "scales": 2}, SHAPE, 3, "model.width was 1.0, is 2.0; model.scales was 1, is 2"),
        ({"conditional": False}, SHAPE, 0, "model.conditional was True, is False"),
        ({}, SHAPE, 4, "classes were 3, are 4"),
        ({}, (8, 8, 3), 3, "images were 8x8x1, are 8x8x3"),
    ],
)
def test_another_network_is_refused_by_its_differences(export, trained, settings, shape, classes, said):
    wanted = Model(**{"architecture": "tiny", "conditional": True, **settings})
    for place in (export, trained):
        with pytest.raises(ConfigError) as caught:
            demand_same_network(initial_model(place), wanted, shape, classes)
        assert str(caught.value) == (
            f"training.initial_model {place} is another network: {said}; train with the settings that it has, or "
            "leave training.initial_model out"
        )


def test_nothing_is_loaded_into_another_network(export):
    other = network(True).model_copy(update={"scales": 2})
    made = build_energy_model(other, SHAPE, 5, len(CLASSES))
    before = made.get_weights()
    refused("model.scales was 1, is 2", load_weights_into, made, export, other)
    assert all(np.array_equal(was, now) for was, now in zip(before, made.get_weights()))


def test_it_is_named_by_what_it_holds(export, trained, tmp_path):
    """The same weights at two places, and others."""
    same = pinned(str(export), None)
    assert same == pinned(str(trained), None)
    assert same != pinned(str(trained_in(tmp_path / "other", False)), None)
    assert pinned("nowhere", same) == same


def test_weights_that_were_changed_are_refused(copied):
    flip(copied / "average.weights.h5")
    said = "average.weights.h5 has the sha256 [0-9a-f]{64}, not [0-9a-f]{64}, which it was recorded with"
    refused(said, load_weights_into, fresh(), copied, network(True), kind=MissingInput)


def test_weights_that_are_not_those_of_the_config_are_refused(export):
    ask = (load_weights_into, fresh(), export, network(True))
    refused(f"not {'0' * 64}, which", *ask, "0" * 64, kind=MissingInput)
    load_weights_into(fresh(), export, network(True), pinned(str(export), None))


def test_a_file_that_holds_no_weights_is_refused(trained, tmp_path):
    folder = exported_of(trained, tmp_path)
    (folder / "average.weights.h5").write_bytes(b"no weights")
    signature_of(folder, {}, len(CLASSES)).write(folder)
    said = "average.weights.h5 does not hold the weights of its own network"
    refused(said, load_weights_into, fresh(), folder, network(True), kind=MissingInput)


def test_folders_that_are_neither_are_refused(tmp_path, trained):
    def ask(folder):
        initial_model(folder)

    refused(f"^there is no folder {tmp_path}/none to start", ask, tmp_path / "none", kind=MissingInput)
    (tmp_path / "empty").mkdir()
    refused("empty is no export, and no finished artifact; give", ask, tmp_path / "empty", kind=MissingInput)
    other = record_in(Path(shutil.copytree(trained, tmp_path / "other")), "TrainSNGAN", {})
    refused("other is an artifact of TrainSNGAN; give", ask, other)


def test_what_is_being_built_is_not_taken_for_finished(tmp_path, trained, export):
    for place, name in ((trained, ".work-0123"), (export, ".work-4567")):
        unfinished = Path(shutil.copytree(place, tmp_path / name / "output"))
        refused("output is no export, and no finished artifact", initial_model, unfinished, kind=MissingInput)


def test_damaged_records_are_refused(tmp_path, trained, copied):
    broken = Path(shutil.copytree(trained, tmp_path / "broken"))
    card = {"model": {"width": "wide"}, "image_shape": [8, 8, 1], "classes": 0}
    (broken / "model.json").write_text(json.dumps(card))
    refused("cannot read .*model.json: ", initial_model, broken, kind=MissingInput)
    (broken / "params.json").write_text("{")
    refused("cannot read .*params.json", initial_model, broken, kind=MissingInput)
    (copied / "model.json").unlink()
    refused("copied has no model.json; get it anew", initial_model, copied, kind=MissingInput)
    (copied / SIGNATURE).write_text(json.dumps({"format": 9}))
    refused("is of format 9, and this program knows", initial_model, copied, kind=MissingInput)


def test_it_is_asked_without_tensorflow(export):
    program = (
        "import sys\nfrom pathlib import Path\nfrom ebm_tf.initial import initial_model\n"
        "print(initial_model(Path(sys.argv[1])).sha256, 'tensorflow' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", program, str(export)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [initial_model(export).sha256, "False"], done.stderr
