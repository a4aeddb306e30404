"""The command of the README as a user types it: short training in the fast tier, the real thing in the slow one."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
SHORT = [
    "training.steps=30",
    "training.log_every=10",
    "training.grid_every=15",
    "langevin.steps=3",
    "sampling.steps=5",
    "sampling.buffer_steps=2",
    "sampling.count=120",
    "extractor.epochs=6",
    "evaluation.baseline_count=120",
    "evaluation.kid_subsets=5",
    "evaluation.bootstrap=20",
    "selection.steps=5",
    "selection.count=500",
]
STAGES = {
    "PrepareDataset", "TrainFeatureExtractor", "ReferenceStatistics", "BaselineStatistics", "TrainEBM",
    "GenerateSamples", "RetrieveNeighbours", "EvaluateFID", "ExportModel", "Report",
}  # fmt: skip
ROWS = {"fresh", "buffer", "real_test", "uniform_noise", "gaussian_pixels"}


def cli(*arguments, settings=()):
    """Exit code, the JSON object on stdout, stderr."""
    sets = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "cli.py", *map(str, arguments), *sets, "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def states(outcome):
    return {task["task"]: task["state"] for task in outcome["tasks"]}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A root in which everything was run once, and what the run printed."""
    root = tmp_path_factory.mktemp("root")
    code, outcome, errors = cli("run", "--task", "Report", "--root", root, settings=SHORT)
    assert code == 0, errors
    return root, outcome


def test_a_first_run_makes_every_artifact(reported):
    root, outcome = reported
    assert states(outcome) == dict.fromkeys(STAGES, "ran")
    assert outcome["status"] == "done"
    assert Path(outcome["artifact"]).is_dir()
    assert {path.name for path in (root / "runs" / "digits").iterdir()} >= STAGES
    assert not list((root / "artifacts").glob("*/.work-*"))


def test_the_metrics_have_their_keys_and_their_protocol(reported):
    root, _ = reported
    metrics = json.loads((root / "runs/digits/EvaluateFID/metrics.json").read_text())
    assert set(metrics["frechet_distance"]) == set(metrics["kid"]) == ROWS
    assert sum(metrics["class_share"]) == pytest.approx(1)
    assert len(metrics["class_share"]) == 10
    protocol = metrics["protocol"]
    assert re.fullmatch(r"[0-9a-f]{64}", protocol["extractor"]["sha256"])
    assert protocol["reference"]["images"] == 1297
    assert protocol["names"]["reference"] == "train split"
    assert protocol["images"]["real_test"] == 500
    assert protocol["chains"]["fresh"]["steps"] == 5
    assert metrics["frechet_distance"]["real_test"] < metrics["frechet_distance"]["uniform_noise"]


def test_samples_are_uint8_on_the_levels_of_the_data(reported):
    root, _ = reported
    for kind in ("fresh", "buffer"):
        images = np.load(root / f"runs/digits/GenerateSamples/{kind}.npz", allow_pickle=False)["images"]
        assert images.dtype == np.uint8
        assert images.shape == (120, 8, 8, 1)
        assert set(np.unique(images)) <= {round(level * 255 / 16) for level in range(17)}


def test_the_report_stands_alone(reported):
    root, _ = reported
    page = (root / "runs/digits/Report/report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page), "the page must not load anything"
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 11
    for number, picture in enumerate(pictures):
        file = root / f"{number}.png"
        file.write_bytes(base64.b64decode(picture))
        with Image.open(file) as image:
            image.verify()
    assert "count: 120" in page, "settings of all tasks, also where one task names but a part of a section"
    for words in ("Fréchet distance", "langevin", "real test images", "TrainEBM", "tensorflow 2.15"):
        assert words in page


def test_a_second_run_reuses_everything(reported):
    root, first = reported
    code, outcome, _ = cli("run", "--task", "Report", "--root", root, settings=SHORT)
    assert code == 0
    assert states(outcome) == dict.fromkeys(STAGES, "reused")
    assert outcome["artifact"] == first["artifact"]


def test_a_setting_of_the_chain_reuses_data_extractor_and_reference(reported):
    root, _ = reported
    changed = [*SHORT, "langevin.steps=4"]
    _, planned, _ = cli("plan", "--task", "EvaluateFID", "--root", root, settings=changed)
    reused = {"PrepareDataset", "TrainFeatureExtractor", "ReferenceStatistics", "BaselineStatistics"}
    assert {name for name, state in states(planned).items() if state == "reuse"} == reused
    reasons = {task["task"]: task["reason"] for task in planned["tasks"]}
    assert "langevin.steps was 3, is 4" in reasons["TrainEBM"]


def test_a_setting_of_the_evaluation_trains_nothing(reported):
    root, _ = reported
    changed = [*SHORT, "evaluation.kid_subsets=6"]
    code, outcome, errors = cli("run", "--task", "EvaluateFID", "--root", root, settings=changed)
    assert code == 0, errors
    ran = {name for name, state in states(outcome).items() if state == "ran"}
    assert ran == {"EvaluateFID"}


def test_samples_judged_from_outside_get_the_same_numbers(reported):
    root, _ = reported
    runs = root / "runs" / "digits"
    places = ("--samples", runs / "GenerateSamples" / "fresh.npz", "--reference", "digits", "--root", root)
    extractor = ("--extractor", f"classifier:{runs / 'TrainFeatureExtractor'}")
    judged = json.loads((runs / "EvaluateFID" / "metrics.json").read_text())
    subsets = judged["protocol"]["kid"]["subsets"]
    settings = [f"evaluation.kid_subsets={subsets}", "evaluation.bootstrap=20"]
    code, found, errors = cli("evaluate", *places, *extractor, settings=settings)
    assert code == 0, errors
    for metric in (
        "frechet_distance",
        "kid",
        "kid_spread",
        "inception_score",
        "precision",
        "recall",
        "coverage",
    ):
        assert found[metric] == pytest.approx(judged[metric]["fresh"], rel=1e-6), metric
    for metric, interval in judged["intervals"]["fresh"].items():
        assert found["intervals"][metric] == pytest.approx(interval, rel=1e-6), metric
    (root / "outside.json").write_text(json.dumps(found))
    code, compared, errors = cli("compare", "digits", root / "outside.json", "--root", root)
    assert code == 0, errors
    assert len(compared["groups"]) == 1, "they were measured alike"


@pytest.mark.slow
def test_the_best_weights_can_be_sampled(reported):
    root, _ = reported
    code, outcome, errors = cli(
        "run",
        "--task",
        "GenerateSamples",
        "--root",
        root,
        settings=[*SHORT, "sampling.weights=best", "name=best"],
    )
    assert code == 0, errors
    assert states(outcome)["TrainEBM"] == "reused"
    told = json.loads((root / "runs/best/GenerateSamples/samples.json").read_text())
    assert told["weights"] == "average (EMA), at the step that selection found best"


@pytest.mark.slow
def test_a_forced_training_that_comes_out_identical_leaves_what_stands_on_it(reported):
    root, _ = reported
    code, outcome, errors = cli(
        "run", "--task", "GenerateSamples", "--force", "TrainEBM", "--root", root, settings=SHORT
    )
    assert code == 0, errors
    ran = {name for name, state in states(outcome).items() if state == "ran"}
    assert ran == {"TrainEBM"}
    assert states(outcome)["GenerateSamples"] == "reused"


def test_the_export_answers_in_a_process_without_the_project(reported):
    root, _ = reported
    metrics = json.loads((root / "runs/digits/ExportModel/metrics.json").read_text())
    assert metrics["signatures"] == ["energy", "score", "sample", "refine"]
    assert max(metrics["largest_difference"].values()) <= 1e-5


@pytest.mark.slow
def test_the_default_run_learns_digits(tmp_path):
    """Samples are far nearer to digits than draws of a Gaussian are, and of every class."""
    code, outcome, errors = cli("run", "--task", "EvaluateFID", "--root", tmp_path)
    assert code == 0, errors
    distance = outcome["metrics"]["frechet_distance"]
    assert distance["fresh"] <= distance["gaussian_pixels"] / 3
    assert distance["buffer"] <= 2 * distance["real_test"]
    assert min(outcome["metrics"]["class_share"]) >= 0.03
    trained = json.loads((tmp_path / "runs/digits/TrainEBM/metrics.json").read_text())
    assert trained["rollbacks"] == [], "the default must not need its guard"
