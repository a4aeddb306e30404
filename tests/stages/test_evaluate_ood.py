"""EvaluateOOD on small untrained models: what its numbers are of, and that like images come out alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from ebm_tf.config import OOD, Model
from ebm_tf.errors import ConfigError, EBMError
from ebm_tf.models.energy import load_trained
from ebm_tf.stages import evaluate_ood
from ebm_tf.stages.evaluate_ood import chosen
from tests.stages.running import run_stage
from tests.stages.small_models import LEVELS, SHAPE, weights_in
from tests.stores import write_store

TINY = Model(architecture="tiny")


def images_of(count, seed=0, levels=LEVELS, shape=SHAPE):
    level = np.random.default_rng(seed).integers(0, levels, (count, *shape))
    return np.round(level * (255 / (levels - 1))).astype(np.uint8)


def store(folder, train, test, name="own", levels=LEVELS):
    """A data set of these images, labelled 0 and 2 in turn."""
    images = {"train": train, "test": test}
    labels = {split: 2 * (np.arange(len(part)) % 2) for split, part in images.items()}
    return write_store(folder, images, labels, ["a", "b", "c"], levels, name)


@pytest.fixture
def inputs(tmp_path):
    """The data set and a model."""
    images = images_of(40)
    return {
        "PrepareDataset": store(tmp_path / "own", images, images[:30]),
        "TrainEBM": weights_in(tmp_path / "trained", TINY),
    }


def evaluate(tmp_path, inputs, others=(), **settings):
    """Run the stage: its metrics, its summary, its energies by set, and the progress it told."""
    stores = {f"PrepareDataset {number}": folder for number, folder in enumerate(others, start=1)}
    names = [json.loads((other / "manifest.json").read_text())["dataset"] for other in others]
    section = OOD(datasets=[{"name": name} for name in names], **settings)
    out, told = run_stage("EvaluateOOD", tmp_path, {**inputs, **stores}, ood=section)
    with np.load(out / "energies.npz") as file:
        energies = dict(file)
    return json.loads((out / "metrics.json").read_text()), (out / "summary.txt").read_text(), energies, told


def test_every_set_has_a_row_whose_auroc_is_that_of_its_energies(tmp_path, inputs):
    other = store(tmp_path / "other", images_of(5), images_of(20, seed=1), "mnist")
    metrics, summary, energies, told = evaluate(tmp_path, inputs, [other])
    sets = metrics["sets"]
    assert list(sets) == [
        "test", "train", "uniform_noise", "rotated", "inverted", "constant", "shuffled", "mnist",
    ]  # fmt: skip
    for name, row in sets.items():
        assert row["images"] == len(energies[name])
        assert row["mean_energy"] == pytest.approx(energies[name].mean(), rel=1e-5)
        if name != "test":
            truth = np.repeat([1, 0], [len(energies["test"]), len(energies[name])])
            scores = -np.concatenate([energies["test"], energies[name]])
            assert row["auroc"] == pytest.approx(roc_auc_score(truth, scores))
            assert 0 <= row["gaussian_pixels"]["auroc"] <= 1
            assert f"{row['auroc']:.3f}" in summary
    assert sets["mnist"]["images"] == 20, "its test split"
    assert (tmp_path / "out" / "energies.png").stat().st_size > 1000
    assert [event["message"] for event in told][-1] == "mnist"
    assert told[-1]["done"] == told[-1]["total"]
    assert metrics["warnings"] == []


def test_energies_are_those_of_the_averaged_weights_at_mid_level(tmp_path, inputs):
    metrics, _, energies, _ = evaluate(tmp_path, inputs, synthetic=[])
    pixels = (np.rint(images_of(40)[:30] / 255 * 16) + 0.5) / 17
    expected = load_trained(inputs["TrainEBM"])(tf.constant(pixels, tf.float32))
    np.testing.assert_allclose(energies["test"], expected, rtol=1e-4, atol=1e-4)
    assert metrics["protocol"]["score"] == "-E(x)"
    assert metrics["protocol"]["positives"] == "test images"


def test_images_like_those_of_the_data_set_cannot_be_told_from_them(tmp_path, inputs):
    """The same images as another data set of 256 greys, each off by less than half of one of our 17 levels."""
    own = images_of(40)[:30]
    noise = np.random.default_rng(0).integers(-7, 8, own.shape)
    other = store(
        tmp_path / "other", own, np.clip(own.astype(int) + noise, 0, 255).astype(np.uint8), "mnist", 256
    )
    metrics, *_ = evaluate(tmp_path, inputs, [other], synthetic=[])
    row = metrics["sets"]["mnist"]
    assert row["auroc"] == row["gaussian_pixels"]["auroc"] == 0.5


def test_a_conditional_model_scores_by_the_label_that_fits_best_above_its_level(tmp_path, inputs):
    """Of the labels that there are training images of, 0 and 2; a label's level is their mean energy."""
    inputs["TrainEBM"] = weights_in(tmp_path / "conditional", TINY.model_copy(update={"conditional": True}))
    metrics, _, energies, _ = evaluate(tmp_path, inputs, synthetic=["constant"])
    pixels = tf.constant((np.rint(images_of(40) / 255 * 16) + 0.5) / 17, tf.float32)
    model = load_trained(inputs["TrainEBM"])
    by_label = [model(pixels, tf.fill([40], label)).numpy() for label in (0, 2)]
    levels = [by_label[0][::2].mean(), by_label[1][1::2].mean()]
    assert abs(levels[0] - levels[1]) > 0.01
    expected = np.minimum(by_label[0] - levels[0], by_label[1] - levels[1])
    np.testing.assert_allclose(energies["train"], expected, rtol=1e-4, atol=1e-4)
    protocol = metrics["protocol"]
    assert protocol["score"] == "-E(x), by the label that fits best, all labels at one level"
    assert list(protocol["label_levels"]) == ["0", "2"]
    np.testing.assert_allclose(list(protocol["label_levels"].values()), levels, atol=1e-4)


def test_the_same_data_set_twice_has_two_rows(tmp_path, inputs):
    first, second = (store(tmp_path / f"other {n}", images_of(2), images_of(n + 2), "dtd") for n in (1, 2))
    metrics, *_ = evaluate(tmp_path, inputs, [first, second], synthetic=[])
    assert metrics["sets"]["dtd"]["images"] == 3
    assert metrics["sets"]["dtd (2)"]["images"] == 4


def test_a_data_set_of_fewer_greys_is_warned_of(tmp_path, inputs):
    other = store(tmp_path / "other", images_of(2, levels=2), images_of(5, levels=2), "mnist", 2)
    metrics, summary, *_ = evaluate(tmp_path, inputs, [other], synthetic=[])
    assert metrics["warnings"] == [
        "mnist has 2 grey levels, fewer than the 17 of the data set: the energy may know it by that."
    ]
    assert metrics["warnings"][0] in summary


def test_images_of_another_size_are_refused(tmp_path, inputs):
    large = images_of(3, shape=(28, 28, 3))
    other = store(tmp_path / "other", large, large, "svhn_cropped", 256)
    words = (
        "ood.datasets has svhn_cropped with images of 28x28x3, but the model is of 8x8x1; give that entry size=8 "
        "and colour=grey"
    )
    with pytest.raises(ConfigError, match=words):
        evaluate(tmp_path, inputs, [other])


def test_energies_that_are_no_numbers_are_an_error(tmp_path, inputs):
    model = load_trained(inputs["TrainEBM"])
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    model.save_weights(inputs["TrainEBM"] / "average.weights.h5")
    with pytest.raises(
        EBMError, match="30 of 30 energies of test images are not numbers: the model is broken"
    ):
        evaluate(tmp_path, inputs)


def test_large_images_have_no_gaussian_and_the_summary_says_so(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(evaluate_ood, "GAUSSIAN_PIXELS", 63)
    metrics, summary, *_ = evaluate(tmp_path, inputs, synthetic=["constant"])
    assert "gaussian_pixels" not in metrics["sets"]["constant"]
    assert "Gaussian: not fitted to images of more than 63 values." in summary


def test_no_more_images_than_asked_for_and_the_same_again(tmp_path, inputs):
    metrics, _, energies, _ = evaluate(tmp_path, inputs, count=12)
    assert {row["images"] for row in metrics["sets"].values()} == {12}
    again = evaluate(tmp_path, inputs, count=12)[2]
    for name, values in energies.items():
        np.testing.assert_array_equal(values, again[name])


def test_images_are_chosen_from_all_over_a_sorted_data_set():
    images = np.arange(200, dtype=np.uint8)
    found = chosen(images, 50, seed=0)
    assert len(np.unique(found)) == 50
    assert np.all(np.diff(found.astype(int)) > 0), "in their order"
    assert found.mean() == pytest.approx(99.5, abs=4 * 200 / np.sqrt(12 * 50))
    np.testing.assert_array_equal(chosen(images, 200, seed=0), images)
