"""Samples drawn by several tasks: side by side, and each on its own when something goes wrong."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError
from tests.pipelines.conftest import PATIENCE_SECONDS, wait_for
from tests.test_main_job import cli
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[2]
IN_THREE = [f"sampling.{setting}" for setting in ("count=10", "batch_size=2", "shard_size=4")]


def asked(*more: str) -> list[str]:
    """The samples, in three shards."""
    sets = [word for setting in IN_THREE for word in ("--set", setting)]
    return ["--task", "GenerateSamples", *sets, *more]


def inode_of(path: Path) -> int:
    """What tells a folder from one that was put in its place."""
    return path.stat().st_ino


def after_the_first_shard(lab: Any, behaviour: str) -> subprocess.Popen[str]:
    """A run of which the first shard is drawn well, and every other one behaves so."""
    lab.behave(DrawSamples="gate")
    running = lab.start("run", *asked())
    wait_for(lab.folder / "at the gate")
    lab.behave(DrawSamples=behaviour)
    (lab.folder / "open").touch()
    return running


def test_every_shard_is_a_task_and_what_was_drawn_is_reused(lab: Any) -> None:
    answer = lab.answer("run", *asked())
    assert [row["task"] for row in answer["tasks"]] == [
        "PrepareDataset",
        "TrainEBM",
        *(f"DrawSamples (shard {number} of 3)" for number in (1, 2, 3)),
        "GenerateSamples",
    ]
    assert lab.calls() == ["PrepareDataset", "TrainEBM", *["DrawSamples"] * 3, "GenerateSamples"]
    record = json.loads((lab.artifacts("GenerateSamples")[0] / "params.json").read_text())
    assert list(record["inputs"]) == ["PrepareDataset", "TrainEBM", "shard 1", "shard 2", "shard 3"]
    assert "shard_size" not in record["settings"]["sampling"]
    lab.run("run", *asked("--set", "sampling.film_frames=7"))
    assert lab.calls() == ["GenerateSamples"]
    lab.run("run", *asked("--force", "DrawSamples"))
    assert lab.calls() == ["DrawSamples"] * 3


def test_a_failed_shard_is_drawn_again_alone(lab: Any) -> None:
    failed = after_the_first_shard(lab, "fail")
    _, said = failed.communicate(timeout=PATIENCE_SECONDS)
    assert failed.returncode == 3
    assert re.search(
        r"^error: DrawSamples \(shard [123] of 3\): the data are gone; log: ", said, re.MULTILINE
    )
    (first,) = lab.artifacts("DrawSamples")
    was = inode_of(first)
    lab.calls()
    lab.behave()
    assert lab.run("run", *asked()).returncode == 0
    assert lab.calls() == ["DrawSamples", "DrawSamples", "GenerateSamples"]
    assert len(lab.artifacts("DrawSamples")) == 3
    assert inode_of(first) == was


def test_a_killed_shard_is_drawn_again_alone(lab: Any) -> None:
    running = after_the_first_shard(lab, "sleep")
    lab.sleeping_stage()
    running.send_signal(signal.SIGKILL)
    running.communicate()
    (first,) = lab.artifacts("DrawSamples")
    was = inode_of(first)
    lab.calls()
    lab.behave()
    assert lab.run("run", *asked()).returncode == 0
    assert lab.calls() == ["DrawSamples", "DrawSamples", "GenerateSamples"]
    assert inode_of(first) == was


def test_every_shard_is_measured_on_its_own_and_measured_once(lab: Any) -> None:
    def judged(*more: str) -> list[str]:
        return ["--task", "EvaluateFID", *asked(*more)[2:]]

    lab.behave(MeasureShard="fail")
    assert lab.run("run", *judged()).returncode == 3
    lab.calls()
    lab.behave()
    answer = lab.answer("run", *judged())
    measured = [f"MeasureShard (shard {number} of 3)" for number in (1, 2, 3)]
    assert [row["task"] for row in answer["tasks"]][-4:] == [*measured, "EvaluateFID"]
    calls = lab.calls()
    assert (calls.count("MeasureShard"), calls[-1]) == (3, "EvaluateFID")
    assert "TrainEBM" not in calls
    record = json.loads((lab.artifacts("EvaluateFID")[0] / "params.json").read_text())
    assert [made["task"] for name, made in record["inputs"].items() if name.startswith("shard ")] == [
        "MeasureShard"
    ] * 3
    lab.run("run", *judged("--set", "evaluation.kid_subsets=7"))
    assert lab.calls() == ["EvaluateFID"]
    lab.run("run", *judged("--set", "extractor.name=pixels"))
    assert lab.calls().count("MeasureShard") == 3


def test_shards_are_drawn_side_by_side_where_there_are_accelerators(lab: Any) -> None:
    lab.behave(DrawSamples="gate")
    running = lab.start("run", *asked("--workers", "3", "--accelerators", "2"))
    calls = wait_for(lab.folder / "calls.txt")
    until(lambda: calls.read_text().count("DrawSamples") >= 2, "two shards drawn at once")
    assert lab.artifacts("DrawSamples") == []
    (lab.folder / "open").touch()
    running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 0


@pytest.mark.parametrize(
    "settings, words",
    [
        (
            ["sampling.batch_size=4", "sampling.shard_size=6", "sampling.count=10"],
            "sampling.shard_size is 6, no multiple of sampling.batch_size (4), so that chains would run in other "
            "batches and end in other last bits than in one task; give 4 or 8, or another batch_size",
        ),
        (
            ["sampling.batch_size=1", "sampling.shard_size=1", "sampling.count=2500"],
            "sampling.shard_size is 1, which makes 2500 tasks of 2500 images, more than 1000; give 3 or more",
        ),
    ],
)
def test_a_size_that_will_not_do_is_refused(settings: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_experiment("digits", settings)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_of_samples_that_fit_into_one_shard_the_size_is_not_asked() -> None:
    assert (
        load_experiment("digits", ["sampling.count=10", "sampling.shard_size=17"]).sampling.shard_size == 17
    )


def brief_run(root: Path, task: str, *more: str) -> Path:
    """The artifact of a task of a brief real experiment."""
    sets = [
        "training.steps=20", "training.batch_size=16", "langevin.steps=3", "selection.every=0", "sngan.steps=20",
        "sngan.width=0.1", "sampling.count=50", "sampling.batch_size=10", "sampling.steps=20",
        "sampling.buffer_steps=5", "extractor.name=random-conv", "evaluation.baseline_count=60",
        "evaluation.kid_subset_size=20", "evaluation.bootstrap=20", *more,
    ]  # fmt: skip
    code, found, errors = cli("run", "--task", task, "--root", root, settings=sets)
    assert code == 0, errors
    return Path(found["artifact"])


@pytest.mark.slow
@pytest.mark.parametrize("source", ["ebm", "sngan"])
def test_real_samples_in_shards_have_the_content_of_those_of_one_task(tmp_path: Path, source: str) -> None:
    def content(*more: str) -> str:
        artifact = brief_run(tmp_path, "GenerateSamples", f"sampling.source={source}", *more)
        return str(json.loads((artifact / "params.json").read_text())["content"])

    assert content("sampling.shard_size=20") == content()
    assert len(list((tmp_path / "artifacts" / "DrawSamples").glob("[!.]*"))) == 3
    assert len(list((tmp_path / "artifacts" / "GenerateSamples").glob("[!.]*"))) == 2


@pytest.mark.slow
def test_real_samples_in_shards_are_judged_as_those_of_one_task(tmp_path: Path) -> None:
    """Distances to six digits; the protocol, in which the sha256 of the samples is not, to the letter."""

    def judged(*more: str) -> dict[str, Any]:
        found = brief_run(tmp_path, "EvaluateFID", *more) / "metrics.json"
        return dict(json.loads(found.read_text()))

    whole, merged = judged(), judged("sampling.shard_size=20")
    assert len(list((tmp_path / "artifacts" / "MeasureShard").glob("[!.]*"))) == 3
    assert merged["protocol"] == whole["protocol"]
    for metric in ("frechet_distance", "kid", "precision", "recall", "density", "coverage"):
        for row in ("fresh", "buffer"):
            assert merged[metric][row] == pytest.approx(whole[metric][row], rel=1e-6), (metric, row)
