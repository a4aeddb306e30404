"""Killed and resumed against undisturbed, bit for bit, with the real stage in real processes."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ebm_tf.config_files import load_experiment
from ebm_tf.models.energy import load_trained
from ebm_tf.training.history import read_csv
from pipelines.tasks import TrainEBM
from tests.damage import cut, empty, flip, lose
from tests.small_disk import make_room, small_disk
from tests.stages.running import stage_command
from tests.stages.small_models import features_in
from tests.training.short_runs import images_like_digits_in
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = 60
PATIENCE_SECONDS = 250


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of random digits-like images, written without TFDS."""
    return images_like_digits_in(tmp_path_factory.mktemp("store"))


class Run:
    """One TrainEBM stage with a folder of its own."""

    def __init__(self, folder, store, *overrides, inputs=None):
        sets = [f"training.steps={STEPS}", "training.batch_size=8", "training.log_every=4",
                "training.grid_every=20", "langevin.steps=3", "replay.capacity=100",
                "loss.entropy_minimum_fill=40", "training.checkpoint_every=7",
                "selection.every=0", *overrides]  # fmt: skip
        experiment = load_experiment("digits", sets).model_dump(mode="json")
        settings, read = TrainEBM.slice_of(experiment), {"PrepareDataset": store, **(inputs or {})}
        self.work, self.out = folder / "work", folder / "out"
        self.command = stage_command(folder, "TrainEBM", settings, read, experiment["compute"])

    def start(self):
        return subprocess.Popen(
            self.command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def finish(self):
        process = self.start()
        out, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, [json.loads(line) for line in out.splitlines()], errors

    def finish_well(self):
        """The events of a run that ends with 0."""
        code, events, errors = self.finish()
        assert code == 0, errors
        return events

    def kill_at(self, step):
        """SIGKILL once history.csv has reached `step`."""
        process = self.start()
        until(lambda: self.reached() >= step or process.poll() is not None, f"step {step}", PATIENCE_SECONDS)
        assert process.poll() is None, process.stderr.read()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    def reached(self):
        steps = read_csv(self.work / "record" / "history.csv").get("step", [0])
        return steps[-1] if len(steps) else 0

    def results(self):
        """Name to sha256 of what must not depend on interruptions."""
        names = ["history.csv", "last.weights.h5", "average.weights.h5", "replay.npz"]
        names += sorted(f"grids/{path.name}" for path in (self.out / "grids").iterdir())
        arrays = dict(np.load(self.out / "replay.npz", allow_pickle=False))
        names += [name for name in ("selection.csv", "best.weights.h5") if (self.out / name).exists()]
        digests = {
            n: hashlib.sha256((self.out / n).read_bytes()).hexdigest() for n in names if "npz" not in n
        }
        return {**digests, **{n: hashlib.sha256(a.tobytes()).hexdigest() for n, a in arrays.items()}}


@pytest.fixture(scope="module")
def judged_by(tmp_path_factory, store):
    """The inputs of a run with selection: a classifier that nobody trained, and its features of the store."""
    return features_in(tmp_path_factory.mktemp("judged_by"), store)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, store):
    run = Run(tmp_path_factory.mktemp("undisturbed"), store)
    run.finish_well()
    return run


def test_a_whole_run_leaves_what_it_promises(undisturbed):
    history = read_csv(undisturbed.out / "history.csv")
    np.testing.assert_array_equal(history["step"], range(4, STEPS + 1, 4))
    for name in ("loss_cd", "loss_opt", "loss_entropy", "loss_regularisation", "energy_real_spread",
                 "gradient_norm_cd_reg", "gradient_norm_kl", "displacement", "score_size", "clipped_share",
                 "buffer_fill", "buffer_age"):  # fmt: skip
        assert np.isfinite(history[name]).all()
    assert json.loads((undisturbed.out / "metrics.json").read_text())["steps"] == STEPS
    assert {"images_per_second", "chain_steps_per_second"} <= set(read_csv(undisturbed.out / "speed.csv"))
    assert list((undisturbed.out / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_killed_twice_and_resumed_gives_the_same_bits(tmp_path, store, undisturbed):
    run = Run(tmp_path, store)
    first, second = sorted(random.SystemRandom().sample(range(8, STEPS - 4), 2))
    run.kill_at(first)
    run.kill_at(max(second, first + 4))
    events = run.finish_well()
    assert any("resumed at step" in event.get("message", "") for event in events)
    assert run.results() == undisturbed.results(), f"killed at steps {first} and {second}"


@pytest.mark.slow
def test_an_unfinished_checkpoint_is_not_taken_for_one(tmp_path, store, undisturbed):
    run = Run(tmp_path, store)
    run.kill_at(30)
    debris = run.work / "checkpoints" / "step-00000059.unfinished"
    debris.mkdir()
    (debris / "run.json").write_text("{")
    run.finish_well()
    assert run.results() == undisturbed.results()


@pytest.mark.slow
def test_a_kill_while_history_is_created_does_no_harm(tmp_path, store, undisturbed):
    run = Run(tmp_path, store)
    run.kill_at(8)
    (run.work / "record" / "history.csv").write_text("")
    shutil.rmtree(run.work / "checkpoints")
    run.finish_well()
    assert run.results() == undisturbed.results()


@pytest.mark.slow
def test_a_kill_between_the_renames_of_a_checkpoint_loses_none(tmp_path, store, undisturbed):
    run = Run(tmp_path, store)
    run.kill_at(30)
    for checkpoint in (run.work / "checkpoints").glob("step-*[0-9]"):
        checkpoint.rename(checkpoint.with_suffix(".replaced"))
    events = run.finish_well()
    assert any("resumed at step" in event.get("message", "") for event in events)
    assert run.results() == undisturbed.results()


@pytest.fixture(scope="module")
def killed(tmp_path_factory, store):
    """A run that was killed when it had several checkpoints."""
    run = Run(tmp_path_factory.mktemp("killed"), store)
    run.kill_at(40)
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, harm",
    [
        ("state.data-00000-of-00001", flip),
        ("state.data-00000-of-00001", cut),
        ("state.index", cut),
        ("run.json", cut),
        ("run.json", lose),
        ("files.json", empty),
    ],
)
def test_with_a_damaged_checkpoint_the_one_before_gives_the_same_bits(
    tmp_path, store, undisturbed, killed, name, harm
):
    run = Run(tmp_path, store)
    shutil.copytree(killed.work, run.work, dirs_exist_ok=True)
    before, newest = sorted((run.work / "checkpoints").glob("step-*[0-9]"))[-2:]
    harm(newest / name)
    code, events, errors = run.finish()
    assert code == 0, errors
    assert events[0]["message"] == f"resumed at step {int(before.name[5:])}"
    assert f"the checkpoint of step {int(newest.name[5:])} is damaged (" in errors
    assert run.results() == undisturbed.results()


@pytest.mark.slow
def test_without_a_whole_checkpoint_a_run_starts_over_and_gives_the_same_bits(
    tmp_path, store, undisturbed, killed
):
    run = Run(tmp_path, store)
    shutil.copytree(killed.work, run.work, dirs_exist_ok=True)
    for file in (run.work / "checkpoints").glob("step-*[0-9]/state.index"):
        cut(file)
    events = run.finish_well()
    assert events[0]["message"] == "every checkpoint is damaged: starting from the beginning"
    assert run.results() == undisturbed.results()


@pytest.mark.slow
def test_a_full_disk_ends_a_run_with_one_line_and_with_room_it_goes_on(tmp_path, store, undisturbed):
    """Full while a checkpoint is written: those before it stay, and are gone on from."""
    with small_disk(tmp_path / "disk", "100m") as disk:
        run = Run(disk / "run", store)
        run.kill_at(16)
        per_checkpoint = sum(
            file.stat().st_size for file in (run.work / "checkpoints" / "step-00000007").iterdir()
        )
        used = shutil.disk_usage(disk).used
        make_room(disk, str(used + per_checkpoint))
        code, events, errors = run.finish()
        assert code == 4, errors
        assert events[-1]["event"] == "error"
        assert re.fullmatch(
            r"the disk is full, make room and run again \(\S.*No space left on device\S*\)",
            events[-1]["message"],
        )
        assert "{{" not in events[-1]["message"]
        saved = sorted(path.name for path in (run.work / "checkpoints").iterdir())
        assert all(re.fullmatch(r"step-\d{8}", name) for name in saved), (
            "nothing is left of the one that failed"
        )
        make_room(disk, "100m")
        events = run.finish_well()
        assert events[0]["message"] == f"resumed at step {int(saved[-1][5:])}"
        assert run.results() == undisturbed.results()


def test_a_diverging_run_rolls_back_and_then_says_what_it_saw(tmp_path, store):
    run = Run(tmp_path, store, "optimiser.learning_rate=0.9", "optimiser.warmup_steps=0", "health.grace_steps=0",
              "optimiser.clip_norm=1000", "health.rollbacks=2", "training.steps=400")  # fmt: skip
    code, events, _ = run.finish()
    assert code == 3
    assert events[-1]["event"] == "error"
    assert "training diverged: " in events[-1]["message"]
    assert "after 2 roll-backs" in events[-1]["message"]
    assert re.search("a smaller optimiser.learning_rate($|,)", events[-1]["message"])
    newest = sorted((run.work / "checkpoints").glob("step-*"))[-1]
    told = json.loads((newest / "run.json").read_text())["position"]["rollbacks"]
    assert [event["learning_rate_factor"] for event in told] == [0.5, 0.25]
    assert all(event["back_to"] <= event["step"] for event in told)
    assert not list(run.out.iterdir()), "a failed run leaves no artifact files"


@pytest.mark.slow
def test_a_run_that_recovers_finishes_with_the_smaller_rate(tmp_path, store):
    run = Run(tmp_path, store, "optimiser.learning_rate=0.3", "optimiser.warmup_steps=0", "health.grace_steps=0",
              "optimiser.clip_norm=1000", "health.learning_rate_factor=0.001", "health.max_gap_spreads=50",
              "health.max_spread_ratio=50")  # fmt: skip
    run.finish_well()
    metrics = json.loads((run.out / "metrics.json").read_text())
    assert len(metrics["rollbacks"]) >= 1
    history = read_csv(run.out / "history.csv")
    np.testing.assert_array_equal(history["step"], np.unique(history["step"]))
    assert history["learning_rate"][-1] < 0.001


SELECTION = ("selection.every=9", "selection.count=500", "selection.steps=5")


@pytest.mark.slow
def test_evaluations_leave_the_run_as_it_is_and_their_own_record(tmp_path, store, undisturbed, judged_by):
    run = Run(tmp_path, store, *SELECTION, inputs=judged_by)
    events = run.finish_well()
    assert any("evaluating: chains 1 to 250 of 500" in event.get("message", "") for event in events)
    results = run.results()
    assert {name: results[name] for name in undisturbed.results()} == undisturbed.results()
    judged = read_csv(run.out / "selection.csv")
    np.testing.assert_array_equal(judged["step"], [9, 18, 27, 36, 45, 54, 60])
    assert list(judged) == ["step", "frechet_distance", "kid", "inception_score"]
    best = int(np.argmin(judged["frechet_distance"]))
    metrics = json.loads((run.out / "metrics.json").read_text())
    assert metrics["selection"] == {
        "metric": "frechet_distance", "evaluations": 7, "last": judged["frechet_distance"][-1],
        "best": judged["frechet_distance"][best], "best_step": judged["step"][best], "warnings": [],
    }  # fmt: skip
    assert (run.out / "selection.png").is_file()
    images = np.zeros((2, 8, 8, 1), np.float32)
    load_trained(run.out, "best")(images)
    told = b"".join(path.read_bytes() for path in (run.out / "tensorboard").iterdir())
    assert b"selection/frechet_distance" in told


@pytest.mark.slow
def test_evaluations_after_a_damaged_checkpoint_are_made_again(tmp_path, store, judged_by):
    whole = Run(tmp_path / "whole", store, *SELECTION, inputs=judged_by)
    whole.finish_well()
    run = Run(tmp_path / "killed", store, *SELECTION, inputs=judged_by)
    run.kill_at(48)
    newest = sorted((run.work / "checkpoints").glob("step-*[0-9]"))[-1]
    flip(newest / "state.data-00000-of-00001")
    run.finish_well()
    assert run.results() == whole.results()


@pytest.mark.slow
def test_killed_and_resumed_with_evaluations_gives_the_same_bits(tmp_path, store, judged_by):
    whole = Run(tmp_path / "whole", store, *SELECTION, inputs=judged_by)
    whole.finish_well()
    run = Run(tmp_path / "killed", store, *SELECTION, inputs=judged_by)
    step = random.SystemRandom().randrange(8, STEPS - 4)
    run.kill_at(step)
    run.finish_well()
    assert run.results() == whole.results(), f"killed at step {step}"
    assert {"selection.csv", "best.weights.h5"} <= set(run.results())
