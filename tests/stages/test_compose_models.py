"""ComposeModels on small untrained models: compositions that have to equal a member, rates, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ebm_tf.config import Compose, Langevin, Model, Sampling
from ebm_tf.errors import ConfigError
from ebm_tf.evaluation.extractors.classifier import Classifier, classifier_network, save_classifier
from ebm_tf.stages import compose_models
from tests.stages.running import run_stage
from tests.stages.small_models import SHAPE, weights_in
from tests.stores import write_store

TINY = Model(architecture="tiny")
CLASSES = ["zero", "one", "two"]


def store(folder, name, labels, classes=CLASSES, shape=SHAPE):
    """A data set of 17 greys whose images have more ink the higher their label."""
    level = np.random.default_rng(0).integers(0, 5, (len(labels), *shape)) + 4 * labels[:, None, None, None]
    images = np.round(level * (255 / 16)).astype(np.uint8)
    parts = {"train": slice(None), "test": slice(0, len(labels) // 2)}
    of_images, of_labels = ({split: all_[part] for split, part in parts.items()} for all_ in (images, labels))
    return write_store(folder, of_images, of_labels, classes, name=name)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data sets, a classifier and models, by name."""
    folder = tmp_path_factory.mktemp("made")
    labels = np.random.default_rng(1).integers(0, 3, 60)
    (folder / "classifier").mkdir()
    save_classifier(classifier_network(SHAPE, 3, seed=1), 3, 0.5, folder / "classifier")
    conditional = TINY.model_copy(update={"conditional": True})
    return {
        "classifier": folder / "classifier",
        "digits": store(folder / "digits", "digits", labels),
        "stroke": store(folder / "stroke", "digits_stroke", labels, ["thin", "medium", "thick"]),
        "large": store(folder / "large", "large", labels, shape=(12, 12, 1)),
        "conditional": weights_in(folder / "conditional", conditional),
        "unconditional": weights_in(folder / "unconditional", TINY),
        "of large": weights_in(folder / "of large", TINY, (12, 12, 1)),
    }


def compose(made, folder, members, **settings):
    """Run the stage on members (model, data set, label): its output and the events that it told."""
    inputs = {"PrepareDataset": made["digits"], "TrainFeatureExtractor": made["classifier"]}
    for number, (model, data, _) in enumerate(members, start=1):
        inputs |= {f"member {number}": made[model], f"member {number} data": made[data]}
    labels = [{"label": label} for *_, label in members]
    return run_stage(
        "ComposeModels",
        folder,
        inputs,
        seed=3,
        compose=Compose(members=labels, **{"count": 24, "steps": 5, **settings}),
        sampling=Sampling(steps=7, batch_size=16),
        langevin=Langevin(step_size=0.5, noise_scale=0.02),
    )


def run(made, folder, members, **settings):
    """Run the stage: its samples, metrics and summary."""
    out, _ = compose(made, folder, members, **settings)
    with np.load(out / "samples.npz") as file:
        samples = file["images"]
    return samples, json.loads((out / "metrics.json").read_text()), (out / "summary.txt").read_text()


ONE, TWO = ("conditional", "digits", 1), ("conditional", "digits", 2)


@pytest.fixture(scope="module")
def alone(made, tmp_path_factory):
    """Samples of the first member alone: what `not` without weight draws."""
    return run(made, tmp_path_factory.mktemp("alone"), [ONE, TWO], operation="not", weight=0.0)[0]


@pytest.mark.parametrize("operation", ["and", "or"])
def test_a_member_with_itself_draws_what_it_draws_alone(made, tmp_path, alone, operation):
    """and: 2 E with half the step size; or: E less a constant. Both are chains of E."""
    samples, metrics, _ = run(made, tmp_path, [ONE, ONE], operation=operation)
    different = samples != alone
    assert different.mean() < 0.002, "but for a rounding at the edge of a grey level"
    assert metrics["protocol"]["chain"]["step_scale"] == {"and": 0.5, "or": 1.0}[operation]
    composed, *members = [row["success"]["rate"] for row in metrics["rows"][:3]]
    assert members == [composed, composed]


def test_members_change_what_is_drawn(made, tmp_path, alone):
    for operation in ("and", "not"):
        samples, *_ = run(made, tmp_path / operation, [ONE, TWO], operation=operation, weight=1.0)
        assert np.mean(samples != alone) > 0.02, operation


@pytest.mark.parametrize("operation", ["and", "or", "not"])
def test_rates_are_those_of_the_classifier_on_the_samples(made, tmp_path, operation):
    samples, metrics, summary = run(made, tmp_path, [ONE, TWO], operation=operation)
    assert samples.dtype == np.uint8
    assert samples.shape == (24, *SHAPE)
    classifier = Classifier.open(made["classifier"])
    told = classifier(samples).logits.argmax(axis=1)
    first, second = told == 1, told == 2
    row = metrics["rows"][0]
    asked = {"and": first & second, "or": first | second, "not": first & ~second}[operation]
    assert row["success"]["rate"] == asked.mean()
    assert [rate["rate"] for rate in row["members"]] == [first.mean(), second.mean()]
    assert [row["name"] for row in metrics["rows"]] == [
        f"digits one {operation} digits two",
        "digits one alone",
        "digits two alone",
        "real test images",
    ]
    assert f"{asked.mean():.1%} (" in summary
    assert metrics["protocol"]["extractor"] == {
        "name": "classifier",
        "sha256": classifier.identity.sha256,
        "test_accuracy": 0.5,
    }
    assert (tmp_path / "out" / "samples.png").stat().st_size > 1000


def test_an_amount_of_ink_is_told_from_the_pixels(made, tmp_path):
    """The real test images have known labels of ink; a share of them by the classifier goes with it."""
    _, metrics, summary = run(made, tmp_path, [ONE, ("conditional", "stroke", 2)], operation="and")
    real = metrics["rows"][-1]
    labels = np.load(made["stroke"] / "test_labels.npy")
    assert real["members"][1]["rate"] == np.mean(labels == 2)
    assert real["success"]["rate"] <= min(rate["rate"] for rate in real["members"])
    assert metrics["members"] == ["digits one", "digits_stroke thick"]
    assert "or by amount of ink" in summary


def test_a_rate_that_nothing_can_tell_is_left_out(made, tmp_path):
    _, metrics, summary = run(made, tmp_path, [ONE, ("unconditional", "digits", None)], operation="and")
    for row in metrics["rows"]:
        assert row["success"] is None
        assert row["members"][0] is not None
        assert row["members"][1] is None
    assert "not measured" in summary


def test_or_brings_members_to_one_level_and_says_by_how_much(made, tmp_path):
    """A member whose energy is higher by a constant is the same model."""
    samples, metrics, _ = run(made, tmp_path / "plain", [ONE, TWO], operation="or", temperature=0.01)
    raised = compose_models.of_label

    def of_label(model, label):
        energy = raised(model, label)
        return (lambda images: energy(images) + 5.0) if label == 2 else energy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose_models, "of_label", of_label)
        again, raised_metrics, _ = run(
            made, tmp_path / "raised", [ONE, TWO], operation="or", temperature=0.01
        )
    assert np.mean(samples != again) < 0.002
    levels, raised_levels = metrics["protocol"]["levels"], raised_metrics["protocol"]["levels"]
    np.testing.assert_allclose(np.subtract(raised_levels, levels), [0, 5], atol=1e-4)


def test_progress_runs_over_all_rows(made, tmp_path):
    _, told = compose(made, tmp_path, [ONE, TWO])
    assert [event["done"] for event in told] == sorted(event["done"] for event in told)
    assert told[-1]["done"] == told[-1]["total"] == 3 * 24 * 5, "steps of all chains"


def test_steps_are_by_default_those_of_sampling(made, tmp_path):
    _, metrics, _ = run(made, tmp_path, [ONE, TWO], steps=None)
    assert metrics["protocol"]["chain"]["steps"] == 7


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (("conditional", "digits", 3), "has label 3, but its model is conditional; give a label from 0 to 2"),
        (
            ("conditional", "digits", None),
            "has no label, but its model is conditional; give a label from 0 to 2",
        ),
        (
            ("unconditional", "digits", 1),
            "has label 1, but its model is not conditional; leave the label out, or train it with "
            "model.conditional=true",
        ),
        (
            ("of large", "large", None),
            "is a model of images of 12x12x1, this experiment's are 8x8x1; give members of one size and colour",
        ),
    ],
)
def test_members_that_do_not_fit_are_refused(made, tmp_path, second, words):
    with pytest.raises(ConfigError, match=f"^member 2 of compose.members {words}$"):
        run(made, tmp_path, [ONE, second])


def test_one_member_is_no_composition(made, tmp_path):
    with pytest.raises(
        ConfigError, match=r"compose\.members has 1 of the at least 2 energies that or puts together"
    ):
        run(made, tmp_path, [ONE])


def test_a_label_without_training_images_is_refused(made, tmp_path, tmp_path_factory):
    lacking = store(tmp_path_factory.mktemp("lacking") / "digits", "digits", np.array([0, 1, 1, 0]))
    words = "no training image of digits has label 2; give the label of a class that the model was trained on"
    with pytest.raises(ConfigError, match=words):
        run({**made, "lacking": lacking}, tmp_path, [ONE, ("conditional", "lacking", 2)])
