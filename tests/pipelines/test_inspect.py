"""What plan and status say, and that they only look."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli
from ebm_tf.config_files import load_experiment
from pipelines.asking import inspect
from pipelines.commands.answers import show_plan, show_status
from pipelines.lock import holder, locked
from pipelines.running.forcing import forced_keys
from pipelines.stage_task import StageTask
from pipelines.tasks import task_named
from tests.pipelines.built import build, build_all, step
from tests.pipelines.told import told

REUSED = ("reuse", "artifact present")


def reasons(task: StageTask, *forced: str, downstream: bool = False) -> dict[str, tuple[str, str]]:
    rows = inspect.plan(task, forced_keys(task, forced, downstream))
    return {row.task: (row.state, row.reason) for row in rows}


def states(root: Path, *settings: str) -> dict[str, tuple[str, str]]:
    return {
        row.task: (row.state, row.note) for row in inspect.status(load_experiment("digits", settings), root)
    }


def test_nothing_was_built(lab: Any) -> None:
    found = lab.answer("plan", "--task", "EvaluateFID")
    assert {(row["state"], row["reason"], row["seconds"]) for row in found["tasks"]} == {
        ("run", "never built", None)
    }
    assert found["seconds"] is None
    assert set(lab.states("status").values()) == {"missing"}
    assert not lab.root.exists()


def test_a_changed_setting_is_named_with_both_values(tmp_path: Path) -> None:
    assert set(reasons(build_all(step(tmp_path, "EvaluateFID"))).values()) == {REUSED}
    after = reasons(step(tmp_path, "EvaluateFID", "langevin.steps=7", "training.steps=9"))
    assert after == {
        "PrepareDataset": REUSED,
        "TrainFeatureExtractor": REUSED,
        "TrainEBM": ("run", "setting langevin.steps was 20, is 7; training.steps was 8000, is 9"),
        "ReferenceStatistics": REUSED,
        "BaselineStatistics": REUSED,
        "GenerateSamples": ("run", "setting langevin.steps was 20, is 7"),
        "EvaluateFID": ("run", "input GenerateSamples changes"),
    }


def test_of_many_settings_the_first_are_named_and_the_others_counted(tmp_path: Path) -> None:
    build_all(step(tmp_path, "TrainEBM"))
    many = ("loss.kl=2", "loss.entropy=0.2", "seed=4", "langevin.steps=7", "training.steps=9")
    assert reasons(step(tmp_path, "TrainEBM", *many))["TrainEBM"] == (
        "run",
        "setting langevin.steps was 20, is 7; loss.entropy was 0.3, is 0.2; loss.kl was 1.0, is 2.0; and 2 more",
    )


def test_other_images_were_never_built(tmp_path: Path) -> None:
    build_all(step(tmp_path, "PrepareDataset"))
    strokes = step(tmp_path, "PrepareDataset", "dataset.name=digits_stroke")
    assert reasons(strokes)["PrepareDataset"] == ("run", "never built")


def test_other_images_do_not_hide_an_earlier_artifact_of_these(tmp_path: Path) -> None:
    """The stroke images differ in one setting, the earlier digits in two."""
    build_all(step(tmp_path, "PrepareDataset", "dataset.size=8", "dataset.limit=9"))
    build_all(step(tmp_path, "PrepareDataset", "dataset.name=digits_stroke"))
    state, reason = reasons(step(tmp_path, "PrepareDataset"))["PrepareDataset"]
    assert (state, reason) == ("run", "setting dataset.limit was 9, is None; dataset.size was 8, is None")


def test_the_nearest_earlier_artifact_is_compared_with(tmp_path: Path) -> None:
    build_all(step(tmp_path, "TrainEBM", "langevin.steps=7"))
    build_all(step(tmp_path, "TrainEBM", "langevin.steps=8", "training.steps=9"))
    assert reasons(step(tmp_path, "TrainEBM", "langevin.steps=6"))["TrainEBM"] == (
        "run",
        "setting langevin.steps was 7, is 6",
    )


def test_force_is_planned_without_a_trace(tmp_path: Path) -> None:
    evaluated = build_all(step(tmp_path, "EvaluateFID"))
    forced = reasons(evaluated, "GenerateSamples")
    assert forced["GenerateSamples"] == ("run", "forced")
    assert forced["EvaluateFID"] == ("run", "input GenerateSamples changes")
    assert forced["TrainEBM"] == REUSED
    assert set(reasons(evaluated).values()) == {REUSED}


def test_force_downstream_is_planned_for_all_that_stands_on_it(tmp_path: Path) -> None:
    forced = reasons(build_all(step(tmp_path, "EvaluateFID")), "TrainEBM", downstream=True)
    assert {task for task, planned in forced.items() if planned == ("run", "forced")} == {
        "TrainEBM", "GenerateSamples", "EvaluateFID",
    }  # fmt: skip
    assert set(forced.values()) == {("run", "forced"), REUSED}


def test_a_missing_input_of_what_is_there_is_not_needed(lab: Any) -> None:
    lab.run("run", "--task", "GenerateSamples")
    shutil.rmtree(lab.artifacts("TrainEBM")[0])
    experiment = load_experiment(lab.config)
    assert reasons(task_named("GenerateSamples").of(experiment, lab.root)) == {
        "PrepareDataset": REUSED,
        "TrainEBM": ("reuse", "not needed: what it feeds is present"),
        "GenerateSamples": REUSED,
    }
    assert {row.task: row.state for row in inspect.status(experiment, lab.root)}["TrainEBM"] == "missing"
    lab.calls()
    assert lab.run("run", "--task", "GenerateSamples").returncode == 0
    assert lab.calls() == []


def test_what_reads_a_missing_input_that_is_built_for_another_runs_too(tmp_path: Path) -> None:
    """The model is missing and the samples are there; the export needs the model."""
    build_all(step(tmp_path, "GenerateSamples"))
    shutil.rmtree(step(tmp_path, "TrainEBM").artifact.path)
    planned = reasons(step(tmp_path, "Report"))
    assert planned["TrainEBM"][0] == "run"
    assert planned["GenerateSamples"] == ("run", "input TrainEBM changes")


def test_status_tells_size_and_time(tmp_path: Path) -> None:
    folder = build_all(step(tmp_path, "PrepareDataset")).artifact.path
    row = inspect.status(load_experiment("digits"), tmp_path)[0]
    assert (row.task, row.state) == ("PrepareDataset", "whole")
    assert row.bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert row.finished.endswith("+00:00")
    text = told(show_status, [row])
    assert row.fingerprint[:16] in text
    assert row.finished[:16].replace("T", " ") in text and row.finished[13:19] not in text
    assert "+00:00" not in text


def test_status_tells_what_is_stale_and_why(tmp_path: Path) -> None:
    build_all(step(tmp_path, "EvaluateFID"))
    build(step(tmp_path, "TrainEBM"), text="otherwise")
    step(tmp_path, "TrainFeatureExtractor").artifact.want_rebuild()
    found = states(tmp_path)
    assert found["GenerateSamples"] == ("stale", "input TrainEBM was rebuilt")
    assert found["EvaluateFID"] == ("stale", "an input is stale")
    assert found["TrainFeatureExtractor"] == ("stale", "a rebuild is wanted")
    assert found["PrepareDataset"] == ("whole", "")


def test_status_tells_who_is_at_work(lab: Any) -> None:
    lab.behave(PrepareDataset="sleep")
    run = lab.start("run", "--task", "PrepareDataset")
    try:
        lab.sleeping_stage()
        (row,) = (row for row in lab.answer("status")["tasks"] if row["task"] == "PrepareDataset")
        assert (row["state"], row["note"]) == ("in work", f"by process {run.pid} on {socket.gethostname()}")
    finally:
        run.terminate()
        run.communicate()


def test_status_verifies_every_byte_when_asked(lab: Any) -> None:
    """One bit of a file is turned: its size stays, and only who reads it can tell."""
    lab.run("run", "--task", "TrainEBM")
    data = lab.artifacts("TrainEBM")[0] / "data.json"
    content = data.read_bytes()
    assert lab.run("status", "--verify").returncode == 0
    data.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert lab.states("status")["TrainEBM"] == "whole"
    done = lab.run("status", "--verify", "--json")
    found = {row["task"]: row for row in json.loads(done.stdout)["tasks"]}
    assert (done.returncode, json.loads(done.stdout)["status"]) == (4, "missing_input")
    assert (found["PrepareDataset"]["state"], found["TrainEBM"]["state"]) == ("whole", "damaged")
    assert found["TrainEBM"]["note"] == (
        f"damaged artifact: {data} has other bytes than were published; rebuild it with --force TrainEBM"
    )
    assert "verify: done" in done.stderr
    line = "1 artifact is damaged: TrainEBM; rebuild with --force TrainEBM"
    assert done.stderr.splitlines()[-1] == f"error: {line}"
    assert json.loads(done.stdout)["error"] == line
    rows = [inspect.StatusRow(title, "", "damaged", 0, "", "") for title in ("A (x)", "A (y)", "B")]
    assert inspect.damage_in_words(rows) == (
        "3 artifacts are damaged: A (x), A (y), B; rebuild with --force A --force B"
    )


def test_a_build_in_work_is_planned_with_who_builds(tmp_path: Path) -> None:
    model = step(tmp_path, "TrainEBM", "selection.every=0")
    build_all(model.sources()["PrepareDataset"])
    with locked(model.artifact):
        assert reasons(model)["TrainEBM"] == (
            "run",
            f"never built; being built by process {holder(model.artifact)}",
        )
    assert reasons(model)["TrainEBM"] == ("run", "never built")


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A command's exit code, stdout and stderr; in this process, as many are asked."""

    def asked(command: str, *arguments: str, root: Path) -> tuple[int, str, str]:
        code = cli.app([command, *arguments, "--root", str(root)], prog_name="ebm", standalone_mode=False)
        return code or 0, *capsys.readouterr()

    return asked


@pytest.mark.parametrize("command", ["status", "plan", "explain", "graph", "runs"])
def test_a_root_that_can_be_no_folder_is_refused_and_one_that_is_none_yet_is_said(
    ask: Callable[..., tuple[int, str, str]], tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "file").touch()
    for root in (file, file / "below"):
        line = f"error: root {root} cannot be used: {file} is a file; give a folder with --root\n"
        assert ask(command, root=root) == (4, "", line)
    code, _, talk = ask(command, root=tmp_path / "none")
    hint = "; --root gives another folder\n"
    assert (code, talk) == (0, f"there is no folder {tmp_path / 'none'}: nothing was built there yet{hint}")
    monkeypatch.chdir(tmp_path)
    _, answer, talk = ask(command, root=Path())
    assert talk == f"nothing was built below {tmp_path} yet{hint}"
    assert command != "runs" or f"below {tmp_path / 'runs'} yet" in answer
    (tmp_path / "artifacts").mkdir()
    assert ask(command, root=tmp_path)[2] == ""


@pytest.mark.parametrize("command", ["plan", "explain", "graph"])
def test_a_task_is_named_as_an_argument_or_by_an_option(
    ask: Callable[..., tuple[int, str, str]], tmp_path: Path, command: str
) -> None:
    model = ask(command, "TrainEBM", root=tmp_path)
    assert model[0] == 0 and "TrainEBM" in model[1]
    assert ask(command, "--task", "TrainEBM", root=tmp_path) == model != ask(command, root=tmp_path)
    assert ask(command, "TrainEBM", "-t", "TrainEBM", root=tmp_path) == model
    line = "error: TASK is 'TrainEBM' and --task is 'Report'; give one of them\n"
    assert ask(command, "TrainEBM", "-t", "Report", root=tmp_path) == (2, "", line)


def test_a_verification_tells_how_far_it_is(tmp_path: Path) -> None:
    build_all(step(tmp_path, "PrepareDataset"))
    heard = []
    rows = inspect.verified(load_experiment("digits"), tmp_path, lambda *news: heard.append(news))
    listed = step(tmp_path, "PrepareDataset").artifact.params()["files"]
    assert rows == inspect.status(load_experiment("digits"), tmp_path)
    assert [message for _, _, message in heard] == ["MiB, PrepareDataset"] * len(listed)


def seconds_of(task: StageTask) -> float | None:
    """The estimate of the task that was asked for."""
    return next(row.seconds for row in reversed(inspect.plan(task)) if row.task == task.title)


def test_time_is_estimated_in_proportion_to_the_work(tmp_path: Path) -> None:
    plain = ("selection.every=0",)
    build_all(step(tmp_path, "GenerateSamples", *plain), seconds=100.0)
    for settings, factor in (
        (("training.steps=16000",), 2),
        (("langevin.steps=5",), 1 / 4),
        (("langevin.backprop_steps=11",), 2.5),
        (("training.batch_size=32", "training.steps=4000"), 1 / 4),
        (("loss.kl=0.5",), 1),
        (("selection.every=8000", "selection.count=10240", "selection.steps=1000"), 2),
    ):
        assert seconds_of(step(tmp_path, "TrainEBM", *plain, *settings)) == 100.0 * factor, settings
    chains = plain[0], "sampling.steps=80", "sampling.buffer_steps=20"
    build_all(step(tmp_path, "GenerateSamples", *chains), seconds=100.0, started="2024-06-01T00:00:00+00:00")
    for settings, factor in (
        (("sampling.count=3000",), 3),
        (("sampling.steps=180", "sampling.buffer_steps=20"), 2),
    ):
        assert seconds_of(step(tmp_path, "GenerateSamples", *chains, *settings)) == 100.0 * factor, settings


def test_a_larger_network_takes_longer(tmp_path: Path) -> None:
    build_all(step(tmp_path, "TrainEBM"), seconds=100.0)
    assert 300 < (seconds_of(step(tmp_path, "TrainEBM", "model.width=2")) or 0) < 450


def test_two_runs_of_other_lengths_tell_the_time_that_every_run_takes(tmp_path: Path) -> None:
    """20 s to start, and 10 s for every thousand steps."""
    for steps in (1000, 2000):
        build_all(
            step(tmp_path, "TrainEBM", "selection.every=0", f"training.steps={steps}"),
            seconds=20 + steps / 100,
        )
    for steps in (3, 1500, 100_000):
        estimated = seconds_of(step(tmp_path, "TrainEBM", "selection.every=0", f"training.steps={steps}"))
        assert estimated == pytest.approx(20 + steps / 100, abs=0.06)


def test_of_equally_near_runs_the_newest_tells_the_time(tmp_path: Path) -> None:
    for day, seed in enumerate((3, 5, 4), start=1):
        started = f"2024-05-0{day}T00:00:00+00:00"
        build_all(step(tmp_path, "TrainEBM", f"seed={seed}"), seconds=10.0 * seed, started=started)
    assert seconds_of(step(tmp_path, "TrainEBM", "seed=9")) == 40.0


def test_a_nearer_run_goes_before_a_newer_one(tmp_path: Path) -> None:
    build_all(step(tmp_path, "TrainEBM", "seed=3"), seconds=30.0)
    far = step(tmp_path, "TrainEBM", "seed=4", "loss.kl=0.5", "replay.capacity=5000")
    build_all(far, seconds=70.0, started="2024-06-01T00:00:00+00:00")
    assert seconds_of(step(tmp_path, "TrainEBM", "seed=9")) == 30.0


def test_of_other_images_nothing_is_known(tmp_path: Path) -> None:
    build_all(step(tmp_path, "TrainEBM"))
    for other in ("dataset.name=digits_stroke", "dataset.size=16"):
        assert seconds_of(step(tmp_path, "TrainEBM", other)) is None


def test_a_shard_is_a_part_of_the_samples_and_merging_is_another_work(tmp_path: Path) -> None:
    build_all(step(tmp_path, "GenerateSamples"), seconds=100.0)
    sharded = step(tmp_path, "GenerateSamples", "sampling.shard_size=250")
    assert {row.seconds for row in inspect.plan(sharded) if row.state == "run"} == {None}
    build_all(sharded, seconds=8.0)
    larger = step(tmp_path, "GenerateSamples", "sampling.shard_size=500")
    rows = [row for row in inspect.plan(larger) if row.state == "run"]
    assert [row.seconds for row in rows] == [16.0, 16.0, 8.0]


def test_the_sum_is_a_lower_bound_where_something_is_not_known(tmp_path: Path) -> None:
    build_all(step(tmp_path, "GenerateSamples"), seconds=60.0)
    rows = inspect.plan(step(tmp_path, "EvaluateFID", "seed=3"))
    assert inspect.total_seconds(rows) == (120.0, ["BaselineStatistics", "EvaluateFID"])
    text = told(show_plan, rows)
    assert (
        "4 would run, one after the other in at least 2 min "
        "(by earlier runs here; none was like BaselineStatistics, EvaluateFID)."
    ) in text
    build_all(step(tmp_path, "EvaluateFID"), seconds=60.0)
    known = inspect.plan(step(tmp_path, "EvaluateFID", "seed=3"))
    assert inspect.total_seconds(known) == (180.0, [])
    assert "3 would run, one after the other in about 3 min (by earlier runs here)." in told(show_plan, known)
    nothing = inspect.plan(step(tmp_path, "EvaluateFID"))
    assert inspect.total_seconds(nothing) == (0, [])
    assert "Nothing would run." in told(show_plan, nothing)
