"""Marks for a rebuild: what they touch, what they cost, and that the next run honours them."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ebm_tf.errors import Busy
from pipelines.artifact import Artifact
from pipelines.keeping.invalidation import BUILT, IN_WORK, MARKED, MISSING, Row, mark
from pipelines.lock import locked
from pipelines.publishing import prepare_work
from tests.pipelines.artifact_trees import published


def states(lab: Any, *arguments: str) -> dict[str, tuple[str, bool]]:
    """State and whether it was marked, by task, of what the command says."""
    rows = lab.answer("invalidate", *arguments)["tasks"]
    return {row["task"]: (row["state"], row["marked"]) for row in rows}


@pytest.mark.slow
def test_the_next_run_rebuilds_what_was_marked(lab: Any) -> None:
    lab.behave(TrainEBM="other")
    lab.run("run", "--task", "GenerateSamples")
    lab.calls()
    (model,) = lab.artifacts("TrainEBM")
    before = (model / "data.json").read_text()
    assert states(lab, "TrainEBM") == {"TrainEBM": (BUILT, False)}
    assert lab.states("plan", "--task", "TrainEBM")["TrainEBM"] == "reuse"
    assert states(lab, "TrainEBM", "--yes") == {"TrainEBM": (BUILT, True)}
    assert (model / "data.json").read_text() == before, "it stays until the new one is ready"
    rows = {row["task"]: row["reason"] for row in lab.answer("plan", "--task", "GenerateSamples")["tasks"]}
    assert (rows["TrainEBM"], rows["GenerateSamples"]) == ("forced", "input TrainEBM changes")
    assert states(lab, "TrainEBM", "--yes") == {"TrainEBM": (MARKED, False)}
    lab.run("run", "--task", "GenerateSamples")
    assert lab.calls() == ["TrainEBM", "GenerateSamples"]
    assert (model / "data.json").read_text() != before


def test_downstream_is_all_that_stands_on_it_and_is_built(lab: Any) -> None:
    lab.run("run", "--task", "EvaluateFID")
    lab.calls()
    marked = states(lab, "GenerateSamples", "--downstream", "--yes")
    assert marked["GenerateSamples"] == marked["EvaluateFID"] == (BUILT, True)
    assert marked["Report"] == marked["RetrieveNeighbours"] == (MISSING, False)
    assert not {"TrainEBM", "PrepareDataset", "ReferenceStatistics", "ExportModel"} & set(marked)
    lab.run("run", "--task", "EvaluateFID")
    assert lab.calls() == ["GenerateSamples", "EvaluateFID"], "although what came out is the same"


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["TrainEBM", "--yes"], 4, "TrainEBM is not built for tiny with these settings"),
        (
            ["TrainEBM", "--downstream"],
            4,
            "neither TrainEBM nor anything that stands on it is built for tiny",
        ),
        (["TrainEbn"], 2, "unknown task 'TrainEbn'; did you mean TrainEBM"),
        (
            ["ImportFeatureExtractor"],
            2,
            "the experiment tiny has no use for ImportFeatureExtractor; did you mean TrainFeatureExtractor?",
        ),
    ],
)
def test_what_cannot_be_marked_is_one_line(lab: Any, arguments: list[str], code: int, said: str) -> None:
    done = lab.run("invalidate", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not lab.root.exists()


def built_again_by_half(root: Path, seed: int = 0) -> Artifact:
    """An artifact, and a later build of it that was cut short."""
    artifact = published(root, "TrainEBM", {"seed": seed})
    prepare_work(artifact, {})
    (artifact.checkpoints / "step-1").write_text("1" * 2048)
    return artifact


def test_unfinished_work_is_told_of_before_it_is_lost(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    (model,) = lab.artifacts("TrainEBM")
    artifact = Artifact(lab.root, "TrainEBM", model.name)
    (artifact.checkpoints).mkdir(parents=True)
    (artifact.checkpoints / "step-1").write_text("1" * 2048)
    ours, theirs = pty.openpty()
    command = [sys.executable, str(Path(__file__).with_name("command.py")), "invalidate", "TrainEBM"]
    given = ["--config", str(lab.config), "--root", str(lab.root)]
    process = subprocess.Popen(
        [*command, *given], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(ours, b"n\n")
    stdout, stderr = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert b"its unfinished work is thrown away" in stdout
    assert b"mark 1 artifact for a rebuild, and throw 2.0 KiB of unfinished work away? [y/N] " in stderr
    assert stderr.endswith(b"nothing was marked\n")
    assert not artifact.rebuild_wanted
    done = lab.run("invalidate", "TrainEBM")
    assert done.returncode == 2
    assert "invalidate asks before it acts, and there is no terminal to ask at; give --yes" in done.stderr
    assert (artifact.checkpoints / "step-1").exists()
    assert lab.run("invalidate", "TrainEBM", "--yes").returncode == 0
    assert artifact.rebuild_wanted
    assert not artifact.checkpoints.exists()


def test_all_are_marked_or_none(tmp_path: Path) -> None:
    first, second = built_again_by_half(tmp_path), built_again_by_half(tmp_path, 1)
    rows = [Row("TrainEBM", each, BUILT, 2048, "") for each in (first, second)]
    with locked(second), pytest.raises(Busy, match="is being built by process"):
        mark(rows)
    assert not first.rebuild_wanted
    assert (first.checkpoints / "step-1").exists()
    mark(rows)
    assert first.rebuild_wanted
    assert second.rebuild_wanted
    assert first.complete()


def test_what_is_being_built_is_busy(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM", "--force", "TrainEBM")
    lab.sleeping_stage()
    answer = lab.answer("invalidate", "TrainEBM", "--yes")
    assert (answer["status"], answer["exit_code"]) == ("busy", 5)
    assert "TrainEBM" in answer["error"]
    (row,) = lab.answer("invalidate", "TrainEBM")["tasks"]
    assert row["state"] == "in work"
    process.terminate()
    process.communicate(timeout=60)


def test_what_is_being_built_for_the_first_time_is_busy_too(lab: Any) -> None:
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    (row,) = lab.answer("invalidate", "TrainEBM")["tasks"]
    assert row["state"] == "in work"
    assert re.fullmatch(r"by process \d+ on .*, for the first time", row["note"])
    answer = lab.answer("invalidate", "TrainEBM", "--yes")
    assert (answer["status"], answer["exit_code"]) == ("busy", 5)
    assert re.search(r"TrainEBM \w+ is being built by process \d+", answer["error"])
    process.terminate()
    process.communicate(timeout=60)


def test_a_first_build_that_failed_meanwhile_keeps_its_work(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "TrainEBM", "a" * 16)
    prepare_work(artifact, {})
    (artifact.checkpoints / "step-1").write_text("1")
    assert mark([Row("TrainEBM", artifact, IN_WORK, 0, "")]) == []
    assert (artifact.checkpoints / "step-1").exists()
    assert not artifact.rebuild_wanted


def test_a_task_is_called_as_status_calls_it(lab: Any) -> None:
    lab.run("run", "--task", "CompareModels")
    title = "GenerateSamples (sngan)"
    assert lab.states("status")[title] == lab.states("status")["GenerateSamples"] == "whole"
    assert states(lab, title, "--yes") == {title: (BUILT, True)}
    now = lab.states("status")
    assert (now[title], now["GenerateSamples"]) == ("stale", "whole")
    assert set(states(lab, title, "--downstream")) == {title, "EvaluateFID (sngan)", "CompareModels"}
    assert states(lab, "GenerateSamples") == {"GenerateSamples": (BUILT, False)}
    done = lab.run("invalidate", "GenerateSamples (other)")
    assert done.returncode == 2
    assert "unknown task 'GenerateSamples (other)'; did you mean GenerateSamples?" in done.stderr


def test_a_damaged_artifact_can_be_marked(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    (lab.artifacts("TrainEBM")[0] / "data.json").unlink()
    assert lab.run("invalidate", "TrainEBM", "--yes").returncode == 0
    assert lab.run("run", "--task", "TrainEBM").returncode == 0
    assert lab.states("status")["TrainEBM"] == "whole"


def test_json_without_yes_only_reports(lab: Any) -> None:
    lab.run("run", "--task", "PrepareDataset")
    answer = json.loads(lab.run("invalidate", "PrepareDataset", "--json").stdout)
    assert (answer["status"], answer["exit_code"], answer["dry_run"]) == ("done", 0, True)
    assert lab.states("plan", "--task", "PrepareDataset")["PrepareDataset"] == "reuse"
