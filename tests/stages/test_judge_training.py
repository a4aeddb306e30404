"""JudgeTraining: samples of a model in its numbers, and what is a result here that elsewhere is an error."""

import json

import numpy as np
import pytest

from ebm_tf.config import Langevin, Model, Sampling
from ebm_tf.evaluation.distances import class_share, entropy_of
from ebm_tf.evaluation.diversity import mean_pairwise_distance
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.models.energy import build_energy_model
from tests.stages.running import run_stage
from tests.stages.small_models import CLASSES, SEED, SHAPE, energy_model_in

LANGEVIN = Langevin(steps=3, step_size=0.5, noise_scale=0.01)
SMALL = {"count": 30, "steps": 4, "buffer_steps": 2, "batch_size": 8}


@pytest.fixture
def judge(real, tmp_path):
    """Run the stage on a model in a folder as TrainEBM leaves it; returns its output, its metrics and summary."""

    def run(diverged=None, langevin=LANGEVIN, labels=30, weights=None, stored=None, **sampling):
        trained = tmp_path / "trained"
        trained.mkdir()
        _, model = energy_model_in(trained, Model(architecture="tiny"), np.full(labels, -1))
        if weights is not None:
            network = build_energy_model(model, SHAPE, 1, 0)
            network.set_weights([np.full_like(old, weights) for old in network.get_weights()])
            network.save_weights(trained / "average.weights.h5")
        if stored is not None:
            np.savez(trained / "replay.npz", images=stored, labels=np.full(len(stored), -1, np.int32))
        (trained / "metrics.json").write_text(json.dumps({"diverged": diverged}))
        changes = {"seed": SEED, "model": model, "langevin": langevin}
        changes["sampling"] = Sampling(**{**SMALL, **sampling})
        out, _ = run_stage("JudgeTraining", tmp_path / "judged", {**real, "TrainEBM": trained}, **changes)
        return out, json.loads((out / "metrics.json").read_text()), (out / "summary.txt").read_text()

    return run


def test_numbers_are_those_of_the_images(judge, real):
    out, metrics, summary = judge()
    with np.load(out / "first.npz") as file:
        samples = {kind: file[kind] for kind in file}
    shapes = {kind: images.shape for kind, images in samples.items()}
    assert shapes == dict.fromkeys(("fresh", "buffer"), (30, *SHAPE))
    reference = FeatureSet.open(real["ReferenceStatistics"] / "train")
    for kind, images in samples.items():
        found = load_extractor(real["Extractor"])(images)
        share = class_share(np.argmax(found.logits, axis=1), len(CLASSES))
        assert metrics["class_entropy"][kind] == pytest.approx(entropy_of(share))
        flat = images.reshape(len(images), -1) / 255
        assert metrics["pairwise_pixels"][kind] == pytest.approx(mean_pairwise_distance(flat))
        assert metrics["pairwise_features"][kind] == pytest.approx(mean_pairwise_distance(found.features))
        assert metrics["frechet_distance"][kind] == pytest.approx(
            reference.gaussian.distance_from(found.features), rel=1e-4
        )
        assert 0 <= metrics["recall"][kind] <= 1
        assert (out / f"{kind}.png").is_file()
    assert metrics["even_class_entropy"] == pytest.approx(np.log(3))
    assert metrics["protocol"]["extractor"]["name"] == "classifier"
    assert metrics["not_drawn"] == {}
    assert "Apart: mean L2 distance of two images" in summary


def test_samples_that_are_all_the_same_image_are_a_result(judge):
    """Of chains of no steps, from a buffer of one image many times; GenerateSamples refuses such samples."""
    one = np.tile(np.full(SHAPE, 239, np.uint8), (30, 1, 1, 1))  # 15 of 16 levels of grey
    out, metrics, _ = judge(stored=one, buffer_steps=0)
    with np.load(out / "first.npz") as file:
        assert (file["buffer"] == 239).all()
    assert metrics["pairwise_pixels"]["buffer"] == metrics["pairwise_features"]["buffer"] == 0
    assert metrics["class_entropy"]["buffer"] == 0
    assert metrics["inception_score"]["buffer"] == pytest.approx(1)
    assert metrics["pairwise_pixels"]["fresh"] > 1


def test_a_training_that_broke_at_once_has_no_samples_and_says_why(judge):
    """Its buffer is empty, too."""
    broken = {"step": 12, "problem": "it broke", "weights_of_step": 0}
    out, metrics, summary = judge(diverged=broken, labels=0)
    words = "training diverged at step 12, before its first checkpoint"
    assert metrics["not_drawn"] == {"fresh": words, "buffer": words}
    assert metrics["frechet_distance"] == metrics["pairwise_pixels"] == {}
    assert f"No fresh samples: {words}." in summary
    assert not (out / "fresh.png").exists()


def test_a_training_that_broke_later_is_judged_by_the_weights_it_left(judge):
    _, metrics, _ = judge(diverged={"step": 300, "problem": "it broke", "weights_of_step": 250})
    assert set(metrics["recall"]) == {"fresh", "buffer"}


def test_chains_that_end_in_no_numbers_are_a_result(judge):
    _, metrics, summary = judge(weights=np.nan)
    assert metrics["recall"] == {}
    for kind in ("fresh", "buffer"):
        assert "8 of 8 samples have pixels that are not numbers" in metrics["not_drawn"][kind]
        assert f"No {kind} samples: 8 of 8 samples have pixels" in summary
