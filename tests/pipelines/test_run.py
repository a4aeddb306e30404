"""Runs to their end: reuse, force, failure, refusal; the stages are fake, the processes are real."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

EVALUATION = [
    "PrepareDataset", "TrainFeatureExtractor", "ReferenceStatistics", "BaselineStatistics", "TrainEBM",
    "GenerateSamples",
]  # fmt: skip


def test_a_second_run_reuses_everything(lab: Any) -> None:
    first = lab.run("run", "--task", "EvaluateFID")
    assert first.returncode == 0, first.stderr
    assert first.stdout == "resumed: False\nrows.fresh: 1.5\n"
    assert sorted(lab.calls()) == sorted([*EVALUATION, "EvaluateFID"])
    again = lab.answer("run", "--task", "EvaluateFID")
    assert lab.calls() == []
    assert {row["state"] for row in again["tasks"]} == {"reused"}
    assert [row["task"] for row in again["tasks"]] == [*EVALUATION, "EvaluateFID"]
    assert (again["status"], again["exit_code"], again["task"]) == ("done", 0, "EvaluateFID")
    assert again["metrics"] == {"resumed": False, "rows": {"fresh": 1.5}}
    assert again["artifact"] == str(lab.artifacts("EvaluateFID")[0])


def test_a_setting_reruns_only_what_depends_on_it(lab: Any) -> None:
    lab.run("run", "--task", "EvaluateFID")
    lab.calls()
    lab.run("run", "--task", "EvaluateFID", "--set", "langevin.steps=7")
    assert lab.calls() == ["TrainEBM", "GenerateSamples", "EvaluateFID"]
    lab.run("run", "--task", "EvaluateFID", "--set", "evaluation.kid_subsets=7")
    assert lab.calls() == ["EvaluateFID"]


def test_links_lead_to_the_current_artifacts(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    lab.run("run", "--task", "TrainEBM", "--set", "langevin.steps=7")
    links = lab.root / "runs" / "tiny"
    assert sorted(path.name for path in links.iterdir()) == ["PrepareDataset", "TrainEBM"]
    assert not (links / "TrainEBM").readlink().is_absolute()
    params = json.loads((links / "TrainEBM" / "params.json").read_text())
    assert params["settings"]["langevin"]["steps"] == 7


def test_a_run_that_takes_over_the_name_of_an_earlier_one_says_so(lab: Any) -> None:
    first = lab.run("run", "--task", "TrainEBM")
    assert "no longer" not in first.stderr
    (model,) = lab.artifacts("TrainEBM")
    assert "no longer" not in lab.run("run", "--task", "TrainEBM").stderr
    found = lab.run("run", "--task", "TrainEBM", "--set", "langevin.steps=7")
    told = f"runs/tiny shows this now, and no longer TrainEBM/{model.name}; to keep both"
    assert told in found.stderr
    named = lab.run("run", "--task", "TrainEBM", "--set", "langevin.steps=8", "--set", "name=eight")
    assert "no longer" not in named.stderr
    back = lab.answer("run", "--task", "TrainEBM")
    (other,) = [
        path for path in lab.artifacts("TrainEBM") if '"steps": 7' in (path / "params.json").read_text()
    ]
    assert (back["experiment"], back["replaced"]) == ("tiny", [f"TrainEBM/{other.name}"])


def test_params_tell_what_was_read(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    data = json.loads((lab.artifacts("PrepareDataset")[0] / "params.json").read_text())
    model = json.loads((lab.artifacts("TrainEBM")[0] / "params.json").read_text())
    assert model["inputs"] == {
        "PrepareDataset": {key: data[key] for key in ("task", "fingerprint", "content")}
    }
    assert model["seed"] == 0
    assert {"python", "luigi", "numpy"} <= set(model["versions"])
    log = (lab.artifacts("TrainEBM")[0] / "log.txt").read_text()
    assert log == "1/2 half\nnot an event\n"


def test_what_libraries_leave_in_the_temporary_folder_goes_with_their_process(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    lab.behave(TrainEBM="crash")
    assert lab.run("run", "--task", "TrainEBM").returncode == 3
    assert lab.calls() == ["PrepareDataset", "TrainEBM"]
    assert list(temporary.iterdir()) == []


def test_force_rebuilds_and_reuses_what_comes_out_alike(lab: Any) -> None:
    lab.run("run", "--task", "EvaluateFID")
    lab.calls()
    states = lab.states("run", "--task", "EvaluateFID", "--force", "TrainEBM")
    assert lab.calls() == ["TrainEBM"]
    assert states.pop("TrainEBM") == "ran"
    assert set(states.values()) == {"reused"}


@pytest.mark.parametrize("workers", ["1", "3"])
def test_force_renews_what_comes_out_different(lab: Any, workers: str) -> None:
    lab.behave(TrainEBM="other")
    lab.run("run", "--task", "Report")
    lab.calls()
    states = lab.states("run", "--task", "Report", "--force", "TrainEBM", "--workers", workers)
    assert states["TrainEBM"] == states["GenerateSamples"] == states["ExportModel"] == "ran"
    assert states["PrepareDataset"] == states["ReferenceStatistics"] == "reused"
    # The fake samples do not depend on the model's content, so what reads only them is alike.
    assert states["EvaluateFID"] == states["RetrieveNeighbours"] == "reused"
    assert states["Report"] == "ran"
    assert len(lab.artifacts("TrainEBM")) == 1


def test_what_a_rebuild_left_behind_is_stale_and_is_renewed(lab: Any) -> None:
    lab.behave(GenerateSamples="other")
    lab.run("run", "--task", "EvaluateFID")
    lab.run("run", "--task", "GenerateSamples", "--force", "GenerateSamples")
    rows = {row["task"]: row for row in lab.answer("plan", "--task", "EvaluateFID")["tasks"]}
    assert (rows["EvaluateFID"]["state"], rows["EvaluateFID"]["reason"]) == (
        "run",
        "input GenerateSamples was rebuilt",
    )
    assert lab.states("status")["EvaluateFID"] == "stale"
    assert lab.states("run", "--task", "EvaluateFID")["EvaluateFID"] == "ran"
    assert lab.states("status")["EvaluateFID"] == "whole"


def test_an_input_that_is_rebuilt_on_the_way_renews_its_other_readers(lab: Any) -> None:
    lab.behave(GenerateSamples="other")
    lab.run("run", "--task", "EvaluateFID")
    shutil.rmtree(lab.artifacts("GenerateSamples")[0])
    assert lab.states("plan", "--task", "EvaluateFID")["EvaluateFID"] == "reuse"
    assert lab.states("plan", "--task", "Report")["EvaluateFID"] == "run"
    states = lab.states("run", "--task", "Report")
    assert states["EvaluateFID"] == states["GenerateSamples"] == states["Report"] == "ran"


def test_force_of_what_is_not_needed_is_refused(lab: Any) -> None:
    done = lab.run("run", "--task", "TrainEBM", "--force", "EvaluateFID")
    assert done.returncode == 2
    assert (
        done.stderr
        == "error: --force EvaluateFID: TrainEBM does not need it; it needs PrepareDataset, TrainEBM\n"
    )


def test_a_failed_stage_is_told_with_its_log(lab: Any) -> None:
    lab.behave(TrainEBM="fail")
    done = lab.run("run", "--task", "EvaluateFID")
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: TrainEBM: the data are gone; log: {lab.root}/artifacts/TrainEBM/.work-")
    assert "the reason, in the log" in done.stderr
    assert "Traceback" not in done.stderr
    assert lab.artifacts("TrainEBM") == []
    lab.calls()
    answer = lab.answer("run", "--task", "EvaluateFID")
    states = {row["task"]: row["state"] for row in answer["tasks"]}
    assert (answer["status"], answer["exit_code"], answer["artifact"]) == ("failed", 3, None)
    assert answer["error"] == "TrainEBM: the data are gone"
    assert (states["TrainEBM"], states["GenerateSamples"], states["EvaluateFID"]) == (
        "failed",
        "not_run",
        "not_run",
    )
    assert states["ReferenceStatistics"] == "reused"
    assert lab.calls() == ["TrainEBM"]
    lab.behave()
    assert lab.run("run", "--task", "EvaluateFID").returncode == 0


@pytest.mark.parametrize(
    "behaviour, said", [("crash", "ended with exit code 7"), ("empty", "ended well but wrote no files")]
)
def test_a_stage_that_says_nothing_fails_too(lab: Any, behaviour: str, said: str) -> None:
    lab.behave(PrepareDataset=behaviour)
    done = lab.run("run", "--task", "PrepareDataset")
    assert done.returncode == 3
    assert said in done.stderr
    assert lab.artifacts("PrepareDataset") == []


def test_a_damaged_artifact_is_named_and_force_mends_it(lab: Any) -> None:
    lab.run("run", "--task", "EvaluateFID")
    file = lab.artifacts("TrainEBM")[0] / "data.json"
    file.unlink()
    done = lab.run("run", "--task", "EvaluateFID")
    assert done.returncode == 4
    assert done.stderr == f"error: damaged artifact: {file} is missing; rebuild it with --force TrainEBM\n"
    assert lab.states("status")["TrainEBM"] == "damaged"
    assert lab.run("run", "--task", "EvaluateFID", "--force", "TrainEBM").returncode == 0
    assert file.exists()


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--task", "TrainEbn"], 2, "unknown task 'TrainEbn'; did you mean TrainEBM"),
        (["--task", "TrainEBM", "--set", "langevin.stepz=3"], 2, "langevin.steps"),
        (["--task", "TrainEBM", "--set", "langevin.steps=0"], 2, "langevin.steps"),
        (["--task", "TrainEBM", "--scheduler", "nowhere"], 2, "give local or HOST:PORT"),
        (["--task", "TrainEBM", "--set", "compute.minimum_free_disk_mb=999999999999"], 4, "no disk space"),
    ],
)
def test_a_bad_request_is_one_line_and_writes_nothing(
    lab: Any, arguments: list[str], code: int, said: str
) -> None:
    done = lab.run("run", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not lab.root.exists()
    answer = lab.answer("run", *arguments)
    assert answer["exit_code"] == code
    assert said in answer["error"]


def test_a_root_that_is_a_file_is_refused(lab: Any) -> None:
    lab.root.write_text("precious")
    done = lab.run("run", "--task", "TrainEBM")
    assert done.returncode == 4
    assert f"{lab.root} is a file" in done.stderr
    assert lab.root.read_text() == "precious"


def test_a_root_that_cannot_be_written_is_refused(lab: Any) -> None:
    done = lab.run("run", "--task", "TrainEBM", root=Path("/proc/store"))
    assert done.returncode == 4
    assert "root /proc/store cannot be written" in done.stderr


def test_a_scheduler_that_does_not_answer_is_missing_input(lab: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        done = lab.run("run", "--task", "TrainEBM", "--scheduler", address)
    assert done.returncode == 4
    assert f"no Luigi scheduler at {address}" in done.stderr


def test_force_downstream_rebuilds_what_stands_on_it(lab: Any) -> None:
    lab.run("run", "--task", "EvaluateFID")
    lab.calls()
    states = lab.states("run", "--task", "EvaluateFID", "--force", "GenerateSamples", "--downstream")
    assert {task for task, state in states.items() if state == "ran"} == {"GenerateSamples", "EvaluateFID"}
    assert lab.calls() == ["GenerateSamples", "EvaluateFID"]


def test_downstream_of_nothing_is_refused(lab: Any) -> None:
    done = lab.run("run", "--task", "EvaluateFID", "--downstream")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "error: --downstream goes with --force TASK, which says what it is downstream of; add that",
    )


def test_a_flipped_byte_in_an_input_is_named_before_it_is_read(lab: Any) -> None:
    lab.run("run", "--task", "PrepareDataset")
    (data,) = lab.artifacts("PrepareDataset")
    content = bytearray((data / "data.json").read_bytes())
    content[3] ^= 1
    (data / "data.json").write_bytes(bytes(content))
    lab.calls()
    answer = lab.answer("run", "--task", "TrainEBM")
    assert (answer["status"], answer["exit_code"]) == ("missing_input", 4)
    assert answer["error"] == (
        f"damaged artifact: {data}/data.json has other bytes than were published; rebuild it with --force "
        "PrepareDataset"
    )
    assert lab.calls() == []
    assert lab.answer("run", "--task", "TrainEBM", "--force", "PrepareDataset")["exit_code"] == 0


def test_an_artifact_of_a_newer_program_is_refused_by_name(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    (made,) = lab.artifacts("TrainEBM")
    params = json.loads((made / "params.json").read_text())
    (made / "params.json").write_text(json.dumps({**params, "format": 99}))
    answer = lab.answer("run", "--task", "TrainEBM")
    assert answer["exit_code"] == 4
    assert f"{made}/params.json is of format 99, and this program knows formats up to 1" in answer["error"]
    assert lab.answer("status")["tasks"][-1] is not None


def test_attempts_and_their_seconds_add_up(lab: Any) -> None:
    lab.behave(TrainEBM="sleep")
    process = lab.start("run", "--task", "TrainEBM")
    lab.sleeping_stage()
    process.terminate()
    process.communicate(timeout=60)
    (work,) = (lab.root / "artifacts" / "TrainEBM").glob(".work-*")
    attempts = json.loads((work / "attempts.json").read_text())
    (work / "attempts.json").write_text(json.dumps({**attempts, "seconds": 1000.0}))
    lab.behave()
    lab.run("run", "--task", "TrainEBM")
    (made,) = lab.artifacts("TrainEBM")
    params = json.loads((made / "params.json").read_text())
    assert params["attempts"] == 2
    assert 1000.0 < params["seconds"] < 1060.0
    assert params["seconds_verifying"] >= 0.0


def test_what_is_in_the_place_of_links_is_named_before_anything_runs(lab: Any) -> None:
    place = lab.root / "runs" / "tiny" / "TrainEBM"
    place.mkdir(parents=True)
    done = lab.run("run", "--task", "TrainEBM")
    assert (done.returncode, done.stderr) == (
        4,
        f"error: {place} is in the place of a link; move it away\n",
    )
    assert lab.calls() == []


def test_links_of_tasks_that_are_no_more_are_removed(lab: Any) -> None:
    lab.run("run", "--task", "TrainEBM")
    folder = lab.root / "runs" / "tiny"
    (folder / "DrawSamples (shard 9 of 9)").symlink_to("../../artifacts/DrawSamples/0123456789abcdef")
    (folder / "mine").symlink_to("/etc/hostname")
    lab.run("run", "--task", "TrainEBM")
    assert sorted(link.name for link in folder.iterdir()) == ["PrepareDataset", "TrainEBM", "mine"]
