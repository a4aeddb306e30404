"""The tasks beside the main job, as a user runs them: briefly in the fast tier, at full length in the slow one."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from ebm_tf.training.history import read_csv
from tests.test_main_job import SHORT, cli, states

BRIEF = [
    *SHORT,
    "selection.every=0",
    "sampling.count=60",
    "compose.count=40",
    "compose.steps=3",
    "sngan.steps=4",
    "sngan.log_every=2",
]


def ran_well(task, root, config="digits", settings=()):
    code, outcome, errors = cli("run", "--task", task, "--config", config, "--root", root, settings=settings)
    assert code == 0, errors
    return outcome


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One root for all, so that what they share is made once."""
    return tmp_path_factory.mktemp("root")


@pytest.mark.slow
def test_the_models_are_compared_by_one_protocol(root):
    outcome = ran_well("CompareModels", root, settings=BRIEF)
    assert states(outcome)["EvaluateFID (sngan)"] == "ran"
    assert (root / "runs/digits/GenerateSamples (sngan)/fresh.npz").is_file()
    judged = [
        json.loads((root / f"runs/digits/{name}/metrics.json").read_text())
        for name in ("EvaluateFID", "EvaluateFID (sngan)")
    ]
    assert judged[0]["protocol"]["extractor"] == judged[1]["protocol"]["extractor"]
    assert judged[0]["frechet_distance"]["real_test"] == judged[1]["frechet_distance"]["real_test"]
    assert judged[0]["frechet_distance"]["fresh"] != judged[1]["frechet_distance"]["fresh"]


@pytest.mark.slow
def test_training_starts_from_the_averaged_weights_of_another_run(root):
    trained = Path(ran_well("TrainEBM", root, settings=BRIEF)["artifact"])
    hardly = ["training.steps=1", "optimiser.learning_rate=1e-9", "name=on"]
    settings = [*BRIEF, f"training.initial_model={trained}", *hardly]
    tuned = Path(ran_well("TrainEBM", root, settings=settings)["artifact"])
    record = json.loads((tuned / "params.json").read_text())
    weights = trained / "average.weights.h5"
    assert (
        record["settings"]["training"]["initial_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    )
    for name in ("last", "average"):
        for was, now in zip(weights_in(weights), weights_in(tuned / f"{name}.weights.h5")):
            np.testing.assert_allclose(now, was, atol=1e-7)


def weights_in(path):
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    assert found
    return found


@pytest.mark.slow
def test_a_conditional_model_draws_a_row_for_each_class(root):
    outcome = ran_well("GenerateSamples", root, "digits_conditional", BRIEF)
    drawn = np.load(Path(outcome["artifact"]) / "fresh.npz", allow_pickle=False)
    np.testing.assert_array_equal(np.bincount(drawn["labels"]), np.full(10, 6))
    assert (Path(outcome["artifact"]) / "classes.png").is_file()


@pytest.mark.slow
def test_classes_are_composed_and_success_is_measured(root):
    outcome = ran_well("ComposeModels", root, "digits_or", BRIEF)
    assert states(outcome)["TrainEBM"] in ("ran", "reused")
    assert (Path(outcome["artifact"]) / "samples.png").is_file()
    assert outcome["metrics"]


@pytest.mark.slow
def test_a_composition_of_two_configs_trains_both(root, tmp_path):
    """--set does not reach the second config, which is made brief by a file beside the first."""
    brief = "training: {steps: 30}\nlangevin: {steps: 3}\nselection: {every: 0}\n"
    (tmp_path / "stroke.yaml").write_text(f"extends: digits_stroke\nname: stroke\n{brief}")
    composed = "extends: digits_and\ncompose: {members: [{label: 7}, {config: stroke, label: 2}]}\n"
    (tmp_path / "both.yaml").write_text(composed)
    outcome = ran_well("ComposeModels", root, tmp_path / "both.yaml", BRIEF)
    assert states(outcome)["TrainEBM (stroke)"] == "ran"
    assert states(outcome)["PrepareDataset (stroke)"] == "ran"


@pytest.mark.slow
def test_other_images_are_told_apart_by_energy(root):
    outcome = ran_well("EvaluateOOD", root, settings=BRIEF)
    assert (Path(outcome["artifact"]) / "summary.txt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kl", "entropy"), [(1.0, 0.0), (0.0, 0.3), (1.0, 0.3), (0.0, 0.0)], ids=["opt", "ent", "both", "none"]
)
def test_each_ablation_of_the_kl_terms_runs(tmp_path, kl, entropy):
    """L_opt only, L_ent only, both, none: by two settings."""
    settings = [f"loss.kl={kl}", f"loss.entropy={entropy}", "training.steps=300"]
    ran_well("TrainEBM", tmp_path, settings=settings)
    history = read_csv(tmp_path / "runs/digits/TrainEBM/history.csv")
    assert all(np.isfinite(column).all() for column in history.values())
    reaches_the_weights = history["gradient_norm_kl"][-1] > 0
    assert reaches_the_weights == (kl > 0 or entropy > 0)
