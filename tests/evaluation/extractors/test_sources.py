"""Extractors by name: what is missing is said first, and what is kept comes back the same or not at all."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Extractor
from ebm_tf.errors import ConfigError, MissingInput
from ebm_tf.evaluation.extractors.classifier import Classifier, classifier_network, save_classifier
from ebm_tf.evaluation.extractors.classifier_files import CARD_FILE, WEIGHTS_FILE
from ebm_tf.evaluation.extractors.sources import (
    CARD,
    NAMES,
    demand_source,
    load_extractor,
    open_extractor,
    save_extractor,
)
from tests.evaluation.extractors.reference_graph import graph_definition

SHAPE = (8, 8, 1)


def images(count=3):
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """What each extractor is opened from, but for keras-inception, which has its own test."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "classifier").mkdir()
    save_classifier(classifier_network(SHAPE, 4, seed=2), 4, 0.75, folder / "classifier")
    (folder / "graph.pb").write_bytes(graph_definition().SerializeToString())

    class Flat(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE], tf.float32)])
        def __call__(self, x):
            return {"features": tf.reshape(x, [-1, 64]), "logits": tf.reshape(x, [-1, 64])[:, :3]}

    flat = Flat()
    tf.saved_model.save(flat, str(folder / "model"), signatures=flat.__call__)
    return {
        "classifier": folder / "classifier",
        "inception": folder / "graph.pb",
        "pixels": None,
        "random-conv": None,
        "saved-model": folder / "model",
    }


def opened(paths, name, **more):
    return open_extractor(name, paths[name], SHAPE, **more)


KEPT = ["classifier", "inception", "pixels", "random-conv", "saved-model"]


def test_the_names_are_those_of_the_settings():
    assert Extractor.model_fields["name"].annotation.__args__ == NAMES


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_comes_back_without_what_it_was_made_of(paths, name, tmp_path, monkeypatch):
    extractor = opened(paths, name, seed=5)
    extractor.notes += ("told by a test",)
    save_extractor(extractor, tmp_path / "written")
    moved = (tmp_path / "written").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)  # nothing is found by a relative path either
    again = load_extractor(moved)
    assert type(again) is type(extractor)
    assert again.identity == extractor.identity
    assert again.identity.name == name
    assert again.notes == extractor.notes
    assert again.image_shape == extractor.image_shape
    for received, expected in zip(again(images()), extractor(images())):
        np.testing.assert_array_equal(received, expected)


def test_a_folder_depends_on_no_file_outside(paths, tmp_path):
    for name in KEPT:
        save_extractor(opened(paths, name), tmp_path / name)
        assert str(paths[name]) not in (tmp_path / name / CARD).read_text()


def test_the_card_says_all_that_numbers_are_stamped_with(paths, tmp_path):
    extractor = opened(paths, "random-conv", seed=5)
    save_extractor(extractor, tmp_path)
    assert json.loads((tmp_path / CARD).read_text()) == {
        "identity": extractor.identity.as_json(),
        "image_shape": None,
        "notes": [],
        "opened_by": {"seed": 5},
    }


def test_a_folder_of_save_classifier_is_one_too(paths):
    extractor = load_extractor(paths["classifier"])
    assert isinstance(extractor, Classifier)
    assert extractor.test_accuracy == 0.75
    assert extractor.identity.sha256 == json.loads((paths["classifier"] / CARD_FILE).read_text())["sha256"]


@pytest.mark.parametrize(
    ("name", "file"),
    [("inception", "classify_image_graph_def.pb"), ("saved-model", "saved_model/fingerprint.pb")],
)
def test_a_changed_file_is_refused(paths, name, file, tmp_path):
    save_extractor(opened(paths, name), tmp_path)
    before = opened(paths, name).identity.sha256
    with (tmp_path / file).open("ab") as changed:
        changed.write(b"\x80\x7d\x01")  # a field that protobuf knows nothing of and keeps
    with pytest.raises(
        MissingInput, match=rf"the extractor {name} of .* has sha256 .*, and {before} is demanded"
    ):
        load_extractor(tmp_path)


def test_a_definition_that_has_changed_since_is_refused(paths, tmp_path):
    save_extractor(opened(paths, "random-conv"), tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    card["identity"]["version"] = "0, seed 0"
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(
        MissingInput, match=r"another version of random-conv \(version 0, seed 0, now 1, seed 0\)"
    ):
        load_extractor(tmp_path)


@pytest.mark.parametrize("card", ["{", "[]", "{}", '{"identity": {}, "image_shape": null, "notes": []}'])
def test_a_card_that_is_none_is_missing_input(tmp_path, card):
    (tmp_path / CARD).write_text(card)
    with pytest.raises(MissingInput, match=rf"cannot read .*{CARD}: it is no card of a feature extractor"):
        load_extractor(tmp_path)


def test_an_empty_folder_is_missing_input(tmp_path):
    with pytest.raises(MissingInput, match=rf"no feature extractor in {tmp_path}: {CARD} is missing"):
        load_extractor(tmp_path)


def test_the_sha256_may_be_demanded(paths):
    known = opened(paths, "inception").identity.sha256
    assert opened(paths, "inception", sha256=known.upper()).identity.sha256 == known
    other = "0" * 64
    with pytest.raises(MissingInput) as caught:
        opened(paths, "inception", sha256=other)
    assert str(caught.value) == (
        f"the extractor inception of {paths['inception']} has sha256 {known}, and {other} is demanded; give the "
        "right file, or demand its sha256"
    )


@pytest.mark.parametrize("name", KEPT)
def test_what_is_there_is_not_refused(paths, name):
    demand_source(name, paths[name])


def test_a_name_that_is_none_is_refused():
    with pytest.raises(
        ConfigError, match=r"extractor must be one of classifier, inception, .*; received 'fid'"
    ):
        demand_source("fid", None)


@pytest.mark.parametrize("name", ["pixels", "random-conv"])
def test_a_path_that_would_do_nothing_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match=f"the extractor {name} takes no path; received {tmp_path}"):
        demand_source(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("classifier", "no feature extractor in .*: classifier.json is missing"),
        (
            "inception",
            "the inception network is not there: no file .*; download http://download.tensorflow.org/",
        ),
        (
            "keras-inception",
            "no weights of keras-inception: no file .*; give the path of inception_v3_weights",
        ),
        ("saved-model", "no SavedModel in .*: saved_model.pb is missing"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_opened(name, said, tmp_path):
    with pytest.raises(MissingInput, match=said):
        demand_source(name, tmp_path / "absent")


@pytest.mark.parametrize("name", ["classifier", "inception", "saved-model"])
def test_no_path_is_said_too(name, monkeypatch):
    monkeypatch.delenv("EBM_INCEPTION", raising=False)
    with pytest.raises(MissingInput, match=rf"the (extractor |)({name}) (network |)is not given; "):
        demand_source(name, None)


def test_a_classifier_without_weights_is_said(tmp_path):
    (tmp_path / CARD_FILE).write_text("{}")
    with pytest.raises(MissingInput, match=f"no feature extractor in .*: {WEIGHTS_FILE} is missing"):
        demand_source("classifier", tmp_path)


def test_an_archive_without_the_graph_is_said_before_anything_is_opened(tmp_path):
    with tarfile.open(tmp_path / "empty.tgz", "w:gz"):
        pass
    with pytest.raises(MissingInput, match=r"empty\.tgz holds no classify_image_graph_def\.pb"):
        demand_source("inception", tmp_path / "empty.tgz")


def test_images_of_another_shape_are_refused(paths):
    with pytest.raises(ConfigError, match="the extractor classifier takes images of 8x8x1; received 8x8x3"):
        open_extractor("classifier", paths["classifier"], (8, 8, 3))


def test_images_of_two_channels_are_refused():
    with pytest.raises(
        ConfigError, match="the extractor random-conv takes images of 1 or 3 channels; received 2"
    ):
        open_extractor("random-conv", None, (8, 8, 2))


@pytest.mark.parametrize("name", ["pixels", "saved-model"])
def test_a_shape_that_is_needed_has_to_be_given(paths, name):
    with pytest.raises(
        ConfigError, match=f"the extractor {name} is made for images of one shape, which was not"
    ):
        open_extractor(name, paths[name], None)
