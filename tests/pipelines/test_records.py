"""What lies below a root: records, the details of one artifact, and the experiments."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError, MissingInput
from pipelines.asking.details import Details, Input, describe, find
from pipelines.asking.experiments import KEY_METRICS, runs_below
from pipelines.asking.inspect import step_named
from pipelines.asking.records import Records, inputs, label, record_in
from pipelines.commands.answers import show_details, show_runs
from pipelines.lock import holder, locked
from pipelines.running import links
from pipelines.stage_task import StageTask
from tests.pipelines.built import build, build_all, change_record, step
from tests.pipelines.told import told

CLI = Path(__file__).resolve().parents[2] / "cli.py"
EXPERIMENT = load_experiment("digits")
JUDGED = {
    "titles": {"fresh": "from noise", "buffer": "from the buffer"},
    "frechet_distance": {"fresh": 2.5, "buffer": 1.5},
    "kid": {"fresh": -0.25, "buffer": 0.5},
    "precision": {"fresh": 0.75},
    "recall": {"fresh": 0.5},
    "protocol": {"images": 1000},
}


def experiment(root: Path, name: str, *settings: str, **record: Any) -> StageTask:
    """An experiment that was run up to EvaluateFID, with its links."""
    evaluated = step(root, "EvaluateFID", f"name={name}", *settings)
    model = step(root, "TrainEBM", f"name={name}", *settings)
    build_all(step(root, "ReferenceStatistics", f"name={name}", *settings), **record)
    if not model.artifact.exists():
        build(model, metrics={"selection": {"best_step": 400}}, **record)
    for needed in (*evaluated.requires(), evaluated):
        if not needed.artifact.exists():
            build(needed, metrics=JUDGED if needed.name() == "EvaluateFID" else None, **record)
    links.refresh(load_experiment("digits", [f"name={name}", *settings]), root)
    return evaluated


def details(root: Path, name: str) -> Details:
    return describe(find(name, EXPERIMENT, root))


def test_records_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    sizes = (7, 9, 11, 13)
    built = [build_all(step(tmp_path, "PrepareDataset", f"dataset.size={size}")).artifact for size in sizes]
    (built[0].path / "params.json").write_text("{")
    change_record(built[1], format=2)
    change_record(built[2], inputs=["PrepareDataset"])
    (built[3].folder / ".work-x").mkdir()
    records = Records(tmp_path)
    assert [record["settings"]["dataset"]["size"] for record in records.of("PrepareDataset")] == [13]
    assert records.of("TrainEBM") == []
    assert records.get("PrepareDataset", built[1].fingerprint) is None
    assert Records(tmp_path / "nowhere").tasks() == []


@pytest.mark.parametrize(
    "wrong",
    [{"task": 7}, {"task": "../x"}, {"fingerprint": "zz"}, {"fingerprint": 7}, {"fingerprint": "f" * 65}],
)
def test_a_record_that_names_what_can_be_no_artifact_is_no_hindrance(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    experiment(tmp_path, "one")
    model = step(tmp_path, "TrainEBM").artifact
    made_from = model.params()["inputs"]
    made_from["PrepareDataset"].update(wrong)
    change_record(model, inputs=made_from)
    (tmp_path / "artifacts" / "not ours" / model.short).mkdir(parents=True)
    shutil.copy(model.path / "params.json", tmp_path / "artifacts" / "not ours" / model.short)
    evaluated = details(tmp_path, "EvaluateFID")
    assert (evaluated.state, len(evaluated.inputs)) == ("whole", 5)
    assert details(tmp_path, "PrepareDataset").state == "whole"
    found = details(tmp_path, "TrainEBM")
    assert found.state == "damaged"
    assert found.note.startswith(f"damaged artifact: {model.path / 'params.json'} does not ")
    assert found.note.endswith("; rebuild it with --force TrainEBM")
    assert "TrainEBM" in runs_below(tmp_path).runs[0].tasks


@pytest.mark.parametrize(
    "wrong",
    [{"seconds": math.nan}, {"seconds": math.inf}, {"seconds": True, "attempts": None}, {"versions": [1]},
     {"versions": "1"}, {"files": {"data.txt": {"bytes": "7", "sha256": ""}}}, {"fingerprint": "{short}zz"}],
)  # fmt: skip
def test_what_is_said_in_another_form_is_left_out(tmp_path: Path, wrong: dict[str, Any]) -> None:
    artifact = build_all(step(tmp_path, "PrepareDataset")).artifact
    if "fingerprint" in wrong:
        wrong = {"fingerprint": wrong["fingerprint"].format(short=artifact.short)}
    change_record(artifact, **wrong)
    found = details(tmp_path, str(artifact.path))
    assert "folder" in told(show_details, found)
    json.dumps(found.record, allow_nan=False)


def test_a_number_too_large_to_be_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text('{"seed": 1e400, "list": [-1e400, NaN, 1e3], "seconds": 3e9}')
    assert record_in(tmp_path) == {"seed": None, "list": [None, None, 1000.0], "seconds": 3e9}
    (tmp_path / "params.json").write_text('{"seconds": 1e300}')
    assert record_in(tmp_path) == {}
    (tmp_path / "params.json").write_text("[" * 100_000)
    assert record_in(tmp_path) == {}


def test_the_newest_record_comes_first_and_one_of_the_future_last(tmp_path: Path) -> None:
    for size, day in ((7, "2024-05-01"), (9, "2024-05-03"), (11, "2999-01-01"), (13, "2024-05-02")):
        build_all(step(tmp_path, "PrepareDataset", f"dataset.size={size}"), started=f"{day}T00:00:00+00:00")
    sizes = [record["settings"]["dataset"]["size"] for record in Records(tmp_path).of("PrepareDataset")]
    assert sizes == [9, 13, 7, 11]


def test_records_of_before_tasks_were_named_are_read_by_the_names_of_inputs(tmp_path: Path) -> None:
    model = step(tmp_path, "TrainEBM")
    assert inputs(tmp_path, {"inputs": {"TrainEBM": {"fingerprint": model.fingerprint}}}) == {
        "TrainEBM": model.artifact
    }


def test_an_artifact_is_found_by_all_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = experiment(tmp_path, "one")
    wanted = step(tmp_path, "TrainEBM").artifact
    monkeypatch.chdir(tmp_path)
    for name in (
        str(wanted.path),
        f"artifacts/TrainEBM/{wanted.short}",
        "runs/one/TrainEBM",
        "one/TrainEBM",
        f"TrainEBM/{wanted.short[:6]}",
        wanted.short,
        wanted.fingerprint[:20],
        wanted.fingerprint,
        "TrainEBM",
    ):
        assert find(name, EXPERIMENT, tmp_path) == wanted, name
    assert find("EvaluateFID", EXPERIMENT, tmp_path) == evaluated.artifact


def test_what_names_no_artifact_or_several_says_what_does(tmp_path: Path) -> None:
    experiment(tmp_path, "one")
    known = sorted(path for path in tmp_path.glob("artifacts/*/[!.]*"))
    first = next(
        digit for digit in "0123456789abcdef" if sum(path.name.startswith(digit) for path in known) > 1
    )
    listed = ", ".join(f"{path.parent.name}/{path.name}" for path in known if path.name.startswith(first))
    count = listed.count(", ") + 1
    for name, error, text in (
        (first, ConfigError, f"'{first}' fits {count} artifacts: {listed}; give more of it"),
        (
            "TrainEBM/" + "0" * 16,
            MissingInput,
            f"begins with 'TrainEBM/{'0' * 16}'; `runs` and `status` say which",
        ),
        ("0" * 64, MissingInput, "no artifact below"),
        ("two/TrainEBM", ConfigError, f"looked below {tmp_path}, and --root gives another"),
        ("TrainABM/12", ConfigError, "'TrainABM/12' names no artifact: give a folder, a link in runs/"),
        ("xyz", ConfigError, "'xyz' names no artifact"),
        ("one", ConfigError, "is no artifact: give artifacts/TASK/FINGERPRINT, or a link in runs/EXPERIMENT"),
        ("Report", MissingInput, "Report of digits is not built (Report/"),
    ):
        with pytest.raises(error, match=re.escape(text)):
            find(name, EXPERIMENT, tmp_path)


def test_unfinished_work_and_links_to_nothing_are_no_artifacts(tmp_path: Path) -> None:
    experiment(tmp_path, "one")
    report = step(tmp_path, "Report").artifact
    report.work.mkdir(parents=True)
    with pytest.raises(
        MissingInput, match=r"is unfinished work, no artifact yet; `logs Report` shows its log"
    ):
        find(str(report.work), EXPERIMENT, tmp_path)
    with pytest.raises(MissingInput, match=r"; unfinished work of it is kept; run it with --task Report"):
        find("Report", EXPERIMENT, tmp_path)
    shutil.rmtree(step(tmp_path, "TrainEBM").artifact.path)
    with pytest.raises(
        MissingInput, match=r"the artifact that .*one/TrainEBM leads to is gone: .*; run it again"
    ):
        find("one/TrainEBM", EXPERIMENT, tmp_path)


def test_what_is_being_built_for_the_first_time_is_told_with_who_builds_it(tmp_path: Path) -> None:
    sngan = step_named("EvaluateFID (sngan)", EXPERIMENT, tmp_path)
    for name, task in (("TrainEBM", step(tmp_path, "TrainEBM")), ("'EvaluateFID (sngan)'", sngan)):
        with locked(task.artifact):
            whom = f"process {holder(task.artifact)}"
            text = (
                f"{task.title} of digits is being built by {whom}, and is no artifact yet; `logs {name} -f`"
            )
            with pytest.raises(MissingInput, match=re.escape(text)):
                find(task.title, EXPERIMENT, tmp_path)


def test_a_link_that_leads_to_itself_leads_nowhere(tmp_path: Path) -> None:
    experiment(tmp_path, "one")
    (tmp_path / "runs" / "one" / "loop").symlink_to("loop")
    with pytest.raises(
        MissingInput, match=r"the artifact that .*one/loop leads to is gone: .*one/loop; run it"
    ):
        find("one/loop", EXPERIMENT, tmp_path)


def test_all_is_told_of_an_artifact(tmp_path: Path) -> None:
    evaluated = experiment(tmp_path, "one", attempts=3, seconds=200.0)
    experiment(tmp_path, "two", "evaluation.seed=4")
    samples, model = (step(tmp_path, name).artifact for name in ("GenerateSamples", "TrainEBM"))
    found = details(tmp_path, "GenerateSamples")
    assert (found.artifact, found.path, found.state, found.note) == (
        label(samples),
        samples.path,
        "whole",
        "",
    )
    assert (found.record["seconds"], found.record["attempts"], found.record["seed"]) == (200.0, 3, 0)
    assert found.settings["sampling"]["count"] == 1000
    assert Input("TrainEBM", label(model), "there") in found.inputs
    assert found.files["data.txt"] == len("content")
    assert found.bytes == sum(path.stat().st_size for path in samples.path.iterdir())
    other = step(tmp_path, "EvaluateFID", "evaluation.seed=4").artifact
    assert set(found.readers) == {label(evaluated.artifact), label(other)}
    assert found.runs == ("one/GenerateSamples", "two/GenerateSamples")
    text = told(show_details, found)
    for words in (
        "3 min 20 s in all, in 3 attempts",
        "2024-05-01 12:00 UTC",
        "sampling.count",
        "tensorflow 2",
    ):
        assert words in text


def test_metrics_are_told_in_short_and_whole_in_the_object(tmp_path: Path) -> None:
    images = step(tmp_path, "PrepareDataset")
    build(
        images, metrics={f"number{place:02}": place / 3 for place in range(40)} | {"protocol": {"images": 9}}
    )
    found = details(tmp_path, "PrepareDataset")
    assert len(found.metrics) == 41
    text = told(show_details, found)
    assert "0.33333" in text and "number29" in text and "number30" not in text
    assert "and 10 more" in text and "protocol" not in text


def test_inputs_that_are_gone_or_were_rebuilt_are_said(tmp_path: Path) -> None:
    build_all(step(tmp_path, "GenerateSamples"))
    build(step(tmp_path, "TrainEBM"), text="otherwise")
    shutil.rmtree(step(tmp_path, "PrepareDataset").artifact.path)
    found = details(tmp_path, "GenerateSamples")
    assert {made.name: made.state for made in found.inputs} == {
        "PrepareDataset": "gone",
        "TrainEBM": "rebuilt",
    }
    assert (found.state, found.note) == ("stale", "input TrainEBM was rebuilt")


def test_damage_and_a_newer_format_are_said_and_the_rest_is_told(tmp_path: Path) -> None:
    images = build_all(step(tmp_path, "PrepareDataset")).artifact
    (images.path / "data.txt").unlink()
    found = details(tmp_path, "PrepareDataset")
    assert (found.state, found.settings["dataset"]["name"]) == ("damaged", "digits")
    assert found.note.startswith("damaged artifact: ")
    change_record(images, format=99)
    newer = details(tmp_path, "PrepareDataset")
    assert (newer.state, newer.record["format"]) == ("damaged", 99)
    assert "is of format 99, and this program knows formats up to 1" in told(show_details, newer)
    (images.path / "params.json").write_text("{")
    torn = details(tmp_path, str(images.path))
    assert (torn.state, torn.record, torn.artifact) == ("damaged", {}, label(images))
    assert "cannot be read" in told(show_details, torn)


def test_a_rebuild_in_work_is_said(tmp_path: Path) -> None:
    images = build_all(step(tmp_path, "PrepareDataset")).artifact
    images.want_rebuild()
    with locked(images):
        found = details(tmp_path, "PrepareDataset")
    assert (found.state, found.note) == ("stale", "a rebuild is wanted")
    assert "It is being rebuilt by process" in told(show_details, found)
    assert details(tmp_path, "PrepareDataset").owner is None


def test_experiments_are_told_with_their_numbers_the_newest_first(tmp_path: Path) -> None:
    experiment(tmp_path, "old", started="2024-05-01T00:00:00+00:00")
    experiment(tmp_path, "new", "training.steps=9", started="2024-05-02T00:00:00+00:00")
    found = runs_below(tmp_path)
    assert [run.name for run in found.runs] == ["new", "old"]
    new, old = found.runs
    assert new.started == datetime(2024, 5, 2, tzinfo=timezone.utc)
    assert new.metrics == {
        "frechet_distance": 2.5, "frechet_distance_buffer": 1.5, "kid": -0.25, "precision": 0.75, "recall": 0.5,
        "best_step": 400,
    }  # fmt: skip
    assert new.tasks["TrainEBM"] == label(step(tmp_path, "TrainEBM", "training.steps=9").artifact)
    assert (new.dangling, new.notes) == ((), ())
    assert max(new.bytes, old.bytes) < found.bytes < new.bytes + old.bytes
    text = told(show_runs, found, tmp_path)
    assert re.search(r"new .* 7 +2\.5 +1\.5 +-0\.25 +0\.75 +0\.5 +400 ", text)


def test_a_clock_that_jumped_breaks_neither_order_nor_ages(tmp_path: Path) -> None:
    future = datetime.now(timezone.utc) + timedelta(days=1000)
    for name, steps, started in (
        ("ahead", 7, future.isoformat()),
        ("known", 8, "2024-05-01T00:00:00+00:00"),
        ("naive", 9, "2024-05-03T00:00:00"),
        ("lost", 10, "a long time ago"),
    ):
        experiment(tmp_path, name, f"dataset.size={steps}", started=started)
    found = runs_below(tmp_path)
    assert [run.name for run in found.runs] == ["naive", "known", "ahead", "lost"]
    text = told(show_runs, found, tmp_path)
    assert re.search(r"ahead +in the future: a clock is or was wrong", text)
    assert re.search(r"lost +- ", text)


def test_one_wrong_date_does_not_hide_the_right_ones_of_its_experiment(tmp_path: Path) -> None:
    experiment(tmp_path, "one", started="2024-05-01T00:00:00+00:00")
    change_record(step(tmp_path, "TrainEBM").artifact, started="2999-01-01T00:00:00+00:00")
    (run,) = runs_below(tmp_path).runs
    assert run.started == datetime(2024, 5, 1, tzinfo=timezone.utc)


def test_links_that_lead_nowhere_and_damage_are_said(tmp_path: Path) -> None:
    experiment(tmp_path, "one")
    shutil.rmtree(step(tmp_path, "GenerateSamples").artifact.path)
    (step(tmp_path, "TrainEBM").artifact.path / "data.txt").unlink()
    change_record(step(tmp_path, "EvaluateFID").artifact, format=99)
    (tmp_path / "runs" / "one" / "Elsewhere").symlink_to("/usr/share")
    (tmp_path / "runs" / "one" / "Loop").symlink_to("Loop")
    (tmp_path / "runs" / "one" / "Away").symlink_to("/usr")
    (tmp_path / "runs" / "one" / "Top").symlink_to("/")
    work = step(tmp_path, "Report").artifact.work
    work.mkdir(parents=True)
    (tmp_path / "runs" / "one" / "Work").symlink_to(work)
    (tmp_path / "runs" / "empty").mkdir()
    found = {run.name: run for run in runs_below(tmp_path).runs}
    assert found["one"].dangling == ("GenerateSamples", "Loop")
    assert found["one"].metrics == {}
    assert (found["empty"].tasks, found["empty"].started) == ({}, None)
    text = told(show_runs, runs_below(tmp_path), tmp_path)
    for words in (
        "one: the artifacts of GenerateSamples, Loop are gone.",
        "one: damaged artifact: ",
        "is of format 99",
        "one: Elsewhere leads out of",
        f"one: Away leads out of {tmp_path / 'artifacts'}, to /usr",
        f"one: Top leads out of {tmp_path / 'artifacts'}, to /",
        f"one: Work leads to {work}, which is no artifact",
    ):
        assert words in text


@pytest.mark.parametrize("width, room", [(250, 6), (100, 2), (60, 1), (45, 0)])
def test_columns_that_have_no_room_are_named_instead_of_folded(tmp_path: Path, width: int, room: int) -> None:
    experiment(tmp_path, "digits-step_size-10-and-more")
    console = Console(file=io.StringIO(), width=width)
    show_runs(runs_below(tmp_path), console, tmp_path)
    headings, row, *below = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    name = re.compile(r"digits-step_size-10-and-more  .*  \d+ *")
    assert name.match(row) if room else any(name.match(line) for line in below)
    left = [line for line in below if line.startswith("No room for")]
    names = "".join(left).removeprefix("No room for ").partition(":")[0].split(", ") if left else []
    assert len(KEY_METRICS) - len(names) == room
    assert all(line.endswith(": use a wider window, or --json.") for line in left)
    assert {name for name in names if f"  {name}  " in headings} == set()
    assert set(names) <= {key.replace("_", " ") for key in KEY_METRICS}


def test_a_root_without_runs_says_so(tmp_path: Path) -> None:
    assert runs_below(tmp_path).runs == ()
    assert "no experiments below" in told(show_runs, runs_below(tmp_path), tmp_path)


def test_both_commands_answer_in_objects(lab: Any) -> None:
    lab.run("run", "--task", "PrepareDataset")
    (folder,) = lab.artifacts("PrepareDataset")
    found = lab.answer("show", "PrepareDataset")
    assert (found["status"], found["path"], found["state"]) == ("done", str(folder), "whole")
    assert found["runs"] == ["tiny/PrepareDataset"]
    assert found["record"]["fingerprint"][:16] == folder.name
    command = [sys.executable, str(CLI), "runs", "--root", str(lab.root), "--json"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    (run,) = answer["runs"]
    assert (run["name"], run["tasks"]) == ("tiny", {"PrepareDataset": f"PrepareDataset/{folder.name}"})
    assert datetime.fromisoformat(run["started"]).utcoffset() == timedelta(0)
    assert answer["bytes"] == run["bytes"] == found["bytes"]
