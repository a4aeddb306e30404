"""The studies' stages on trainings that nobody ran: what is written, and that the claims follow what is read."""

import json

import numpy as np
import pytest
from PIL import Image

from ebm_tf.config import Langevin, Studies
from ebm_tf.evaluation.diversity import mean_pairwise_distance
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.studies.design import STUDIES, called, inputs_of, trainings
from ebm_tf.studies.evidence import JUDGED
from ebm_tf.studies.rules import FAILS, HOLDS
from tests.stages.running import experiment_of, run_stage
from tests.stages.small_models import REAL

CHANGES = {"studies": Studies(seeds=(3, 4), training_steps=100), "langevin": Langevin(steps=4)}


def planned(name):
    """The trainings of a study, case and seed."""
    return list(trainings(name, experiment_of(**CHANGES)))


def trained(folder, steps=100, gap=0.1, rate=50.0, diverged=None):
    """What a study reads of TrainEBM."""
    folder.mkdir()
    params = {"settings": {"training": {"steps": 100}}, "seconds": 60.0, "peak_memory_mib": 700.0}
    (folder / "params.json").write_text(json.dumps(params))
    (folder / "metrics.json").write_text(json.dumps({"steps": steps, "diverged": diverged}))
    rows = range(10, steps + 1, 10)
    history = "".join(f"{row},{gap},0.0,1.0\n" for row in rows)
    (folder / "history.csv").write_text(f"step,energy_real,energy_sample,energy_real_spread\n{history}")
    (folder / "speed.csv").write_text("step,steps_per_second\n" + "".join(f"{row},{rate}\n" for row in rows))
    evaluated = "".join(f"{row},5.0,0.1,{row / 20}\n" for row in range(50, steps + 1, 50))
    if evaluated:
        (folder / "selection.csv").write_text(f"step,frechet_distance,kid,inception_score\n{evaluated}")
    return folder


def judged(folder, not_drawn=None, **metrics):
    """What a study reads of JudgeTraining."""
    folder.mkdir()
    kinds = () if not_drawn else ("fresh", "buffer")
    values = {metric: dict.fromkeys(kinds, metrics.get(metric, 1.0)) for metric in JUDGED}
    found = {**values, "not_drawn": not_drawn or {}, "protocol": {"extractor": {"name": "classifier"}}}
    (folder / "metrics.json").write_text(json.dumps(found))
    (folder / "params.json").write_text(json.dumps({"seconds": 5.0}))
    np.savez(folder / "first.npz", **dict.fromkeys(kinds, REAL["train"][:20]))
    return folder


@pytest.fixture
def study(real, tmp_path):
    """Run a study; `of_training` and `of_judging` say what its trainings are like, by case and seed."""

    def run(name, of_training=lambda case, seed: {}, of_judging=lambda case, seed: {}):
        inputs = {name: real[name] for name in ("PrepareDataset", "ReferenceStatistics")}
        for case, seed in planned(name):
            title = called(case.title, seed)
            inputs[inputs_of(title).training] = trained(tmp_path / f"{title} t", **of_training(case, seed))
            inputs[inputs_of(title).judged] = judged(tmp_path / f"{title} j", **of_judging(case, seed))
        out, _ = run_stage(name, tmp_path, inputs, **CHANGES)
        return out, json.loads((out / "metrics.json").read_text()), (out / "summary.txt").read_text()

    return run


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_leaves_numbers_words_and_pictures(study, name):
    out, metrics, summary = study(name)
    pictures = {"curves.png", "fresh.png", "buffer.png"} | (
        {"diversity.png"} if name == "StudyCollapse" else set()
    )
    assert {path.name for path in out.iterdir()} == {"metrics.json", "summary.txt", *pictures}
    for picture in pictures:
        with Image.open(out / picture) as image:
            assert min(image.size) > 100
    titles = [case.title for case, seed in planned(name) if seed == 3]
    assert list(metrics["cases"]) == titles
    assert (metrics["seeds"], metrics["planned_steps"], metrics["confidence"]) == ([3, 4], 100, 0.95)
    assert metrics["seconds"] == {f"{title}, seed {seed}": 65.0 for title in titles for seed in (3, 4)}
    for title in titles:
        assert metrics["cases"][title]["numbers"]["milliseconds_per_step"]["mean"] == pytest.approx(20)
        assert title in summary
    entropy = metrics["real_test"]["class_entropy"]
    (real,) = [line.split() for line in summary.splitlines() if line.startswith("real test images")]
    assert real[3:5] == ["-", "-"] and float(real[7]) == pytest.approx(entropy, abs=0.01)
    for claim in metrics["claims"]:
        assert f"{claim['claim']} ({claim['place']}): {claim['verdict']}." in summary


def test_grids_have_a_row_for_each_training_and_one_of_real_images(study):
    out, _, _ = study("StudyCollapse")
    with Image.open(out / "fresh.png") as image:
        assert image.height == (4 * 2 + 1) * (48 + 4) + 4


def test_real_test_images_are_measured_by_the_same_arithmetic(study, real):
    _, metrics, _ = study("StudyCollapse")
    features = FeatureSet.open(real["ReferenceStatistics"] / "test").features
    assert metrics["real_test"]["pairwise_features"] == pytest.approx(mean_pairwise_distance(features))
    flat = REAL["test"].reshape(40, -1) / 255
    assert metrics["real_test"]["pairwise_pixels"] == pytest.approx(mean_pairwise_distance(flat))
    assert 0 <= metrics["real_test"]["class_entropy"] <= np.log(3) + 1e-9


def test_a_case_that_diverged_is_a_row_and_no_failure(study):
    """Without a single evaluation, without samples, and with two rows of history."""

    def broken(case, seed):
        event = {"step": 23, "problem": "E(real) - E(samples) is 9", "weights_of_step": 0}
        return {"steps": 20, "diverged": event} if case.terms == "without L_KL" else {}

    def without_samples(case, seed):
        return {"not_drawn": {"fresh": "it diverged"}} if case.terms == "without L_KL" else {}

    out, metrics, summary = study("StudyNoiseInit", broken, without_samples)
    assert "without L_KL, seed 4: diverged at step 23: E(real) - E(samples) is 9." in summary
    assert "without L_KL, seed 3: no fresh samples: it diverged." in summary
    case = metrics["cases"]["without L_KL, chains from noise"]
    assert {seed: event["step"] for seed, event in case["diverged"].items()} == {"3": 23, "4": 23}
    assert case["numbers"]["recall_fresh"] == {"mean": None, "interval": None, "by_seed": {}}
    assert [claim["verdict"] for claim in metrics["claims"]] == [HOLDS, HOLDS]
    assert (out / "curves.png").is_file()


def test_claims_follow_what_was_read(study):
    """Through all steps four times slower, and with samples that are twice as far."""

    def slow(case, seed):
        return {"rate": (12.5 if case.tail == 4 else 50.0) + 0.01 * seed}

    def far(case, seed):
        return {"frechet_distance": (10.0 if case.tail == 1 else 5.0) + 0.01 * seed}

    _, metrics, _ = study("StudyTruncation", slow, far)
    assert [claim["verdict"] for claim in metrics["claims"]] == [FAILS, HOLDS]
    assert list(metrics["cases"]) == ["with L_KL", "with L_KL, last 2 steps", "with L_KL, all steps"]
