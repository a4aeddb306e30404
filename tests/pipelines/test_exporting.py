"""Copies that are given away: whole or not there, as published, and onto nothing that was there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ebm_tf.errors import Busy, ConfigError, MissingInput
from pipelines.artifact import Artifact
from pipelines.keeping.exporting import copy_out, demand_free
from tests.file_trees import contents, everything
from tests.pipelines.artifact_trees import published
from tests.small_disk import small_disk


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A finished one."""
    return published(tmp_path / "store", "ExportModel", {"seed": 0}, metrics={"largest": 0.5})


def given(out: Path) -> dict[str, bytes]:
    """Of a copy what the artifact holds, too."""
    found = contents(out)
    assert json.loads(found.pop("experiment.json")) == {"seed": 0, "ExportModel (version)": 1}
    return found


def test_the_model_is_made_where_needed_and_copied_with_its_records(lab: Any) -> None:
    out = lab.folder / "given"
    answer = lab.answer("export", "--out", str(out))
    (made,) = lab.artifacts("ExportModel")
    assert (answer["status"], answer["exit_code"], answer["out"]) == ("done", 0, str(out))
    assert answer["artifact"] == str(made)
    settings = json.loads((out / "experiment.json").read_text())
    assert contents(out) == {**contents(made), "experiment.json": (out / "experiment.json").read_bytes()}
    assert list(settings) == sorted(settings)
    assert settings["training.steps"] > 0
    assert settings["dataset.name"] == "digits"
    assert answer["gone"] == []
    files = json.loads((out / "params.json").read_text())["files"]
    assert answer["files"] == len(files)
    for name, record in files.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == record["sha256"]
    assert {path.name for path in out.parent.iterdir() if "given" in path.name} == {"given"}
    done = lab.run("export", "--out", str(out))
    assert done.returncode == 2
    assert done.stderr == (
        f"error: --out {out} is there already; give a folder that is not, or an empty one, or remove it\n"
    )
    again = lab.run("export", "--out", str(lab.folder / "again")).stdout
    assert again.startswith(f"{lab.folder / 'again'}: {answer['files']} files, ")
    relative = os.path.relpath(lab.folder / "third")
    assert lab.run("export", "--out", relative).stdout.startswith(f"{relative}: ")


def test_what_cannot_be_made_is_not_copied(lab: Any) -> None:
    lab.behave(TrainEBM="fail")
    done = lab.run("export", "--out", str(lab.folder / "given"))
    assert done.returncode == 3
    assert "error: TrainEBM: the data are gone" in done.stderr
    assert not (lab.folder / "given").exists()
    answer = lab.answer("export", "--out", str(lab.folder / "given"))
    assert (answer["status"], answer["out"]) == ("failed", None)


def test_a_place_that_will_not_do_is_refused_before_anything_runs(lab: Any) -> None:
    answer = lab.answer("export", "--out", str(lab.folder / "none" / "given"))
    assert answer["exit_code"] == 4
    assert f"there is no folder {lab.folder / 'none'} for given" in answer["error"]
    assert lab.calls() == []


@pytest.mark.parametrize("letters, exit_code", [(245, 0), (255, 0), (256, 2)])
def test_a_name_may_be_as_long_as_any(lab: Any, letters: int, exit_code: int) -> None:
    out = lab.folder / ("n" * letters)
    done = lab.run("export", "--out", str(out))
    assert done.returncode == exit_code
    if exit_code:
        assert done.stderr == f"error: --out {out} cannot be made (File name too long); give another\n"
        assert lab.calls() == []
    else:
        assert (out / "params.json").is_file()


def test_where_nothing_can_be_made_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"--out /proc/given cannot be made \(.*\); give another"):
        demand_free(Path("/proc/given"), tmp_path)


def test_a_mounted_disk_cannot_be_replaced(tmp_path: Path) -> None:
    said = "is where a disk is mounted, and stays; give a folder in it"
    with small_disk(tmp_path / "disk", "600k") as disk, pytest.raises(ConfigError, match=said):
        demand_free(disk, tmp_path / "store")


def test_settings_of_what_is_gone_are_missed_aloud(lab: Any) -> None:
    lab.run("run", "--task", "ExportModel")
    (data,) = lab.artifacts("PrepareDataset")
    shutil.rmtree(data)
    done = lab.run("export", "--out", str(lab.folder / "given"))
    assert done.returncode == 0
    assert f"experiment.json has no settings of PrepareDataset/{data.name}, which is gone\n" in done.stderr
    settings = json.loads((lab.folder / "given" / "experiment.json").read_text())
    assert "training.steps" in settings
    assert "dataset.name" not in settings


def test_an_empty_folder_will_do(tmp_path: Path, artifact: Artifact) -> None:
    out = tmp_path / "given"
    out.mkdir()
    demand_free(out, artifact.root)
    copied = copy_out(artifact, out)
    assert given(out) == contents(artifact.path)
    files = artifact.params()["files"]
    assert (copied.files, copied.bytes) == (len(files), sum(record["bytes"] for record in files.values()))


@pytest.mark.parametrize("taken", ["file", "folder", "link", "dangling link"])
def test_nothing_is_overwritten(tmp_path: Path, artifact: Artifact, taken: str) -> None:
    out = tmp_path / "given"
    if taken == "file":
        out.write_text("precious")
    elif taken == "folder":
        out.mkdir()
        (out / "precious").write_text("precious")
    else:
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / ("elsewhere" if taken == "link" else "nowhere"))
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="is there already"):
        demand_free(out, artifact.root)
    with pytest.raises(ConfigError, match="was taken meanwhile"):
        copy_out(artifact, out)
    assert contents(tmp_path) == before
    assert list(tmp_path.glob(".*")) == []


def test_the_store_is_no_place_for_it(tmp_path: Path, artifact: Artifact) -> None:
    root = artifact.root
    (root / "runs/mine").mkdir(parents=True)
    (tmp_path / "round").symlink_to(root / "runs")
    for out in (artifact.path / "copy", artifact.folder / "copy", root / "artifacts" / "copy"):
        with pytest.raises(ConfigError, match="is among the artifacts, which are never changed"):
            demand_free(out, root)
    for out in (root / "runs/other", root / "runs/mine", root / "runs/mine/copy", tmp_path / "round/other"):
        with pytest.raises(ConfigError, match="is among the experiments, and would be taken for one"):
            demand_free(out, root)
    demand_free(root / "copy", root)
    assert everything(root / "runs") == {"mine"}


def test_nor_is_what_the_store_will_be_in(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "empty", tmp_path / "empty/store"):
        with pytest.raises(ConfigError, match="is where the store is to be; give a folder elsewhere"):
            demand_free(tmp_path / "empty", root)
    for name, said in (("artifacts", "among the artifacts"), ("runs", "among the experiments")):
        with pytest.raises(ConfigError, match=said):
            demand_free(tmp_path / "empty" / name, tmp_path / "empty")
    assert everything(tmp_path) == {"empty"}


def test_other_bytes_than_were_published_are_not_given_away(tmp_path: Path, artifact: Artifact) -> None:
    (artifact.path / "data.txt").write_text("CONTENT")
    with pytest.raises(MissingInput, match=r"data\.txt has other bytes than were published"):
        copy_out(artifact, tmp_path / "given")
    assert not (tmp_path / "given").exists()


def copy_and_die(artifact: Artifact, out: Path, moment: int) -> None:
    """Copy, and be killed before that many openings and renamings."""
    seen, beside = 0, f".export-{hashlib.sha256(out.name.encode()).hexdigest()[:16]}.unfinished"

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "os.rename" or (event == "open" and beside in str(arguments[0])):
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    copy_out(artifact, out)


def test_a_kill_at_any_moment_leaves_no_half_copy(tmp_path: Path, artifact: Artifact) -> None:
    moment, killed = 0, True
    while killed:
        moment += 1
        out = tmp_path / f"given-{moment}"
        process = multiprocessing.get_context("fork").Process(
            target=copy_and_die, args=(artifact, out, moment)
        )
        process.start()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        assert killed or process.exitcode == 0
        if not out.exists():
            copy_out(artifact, out)
        assert given(out) == contents(artifact.path)
        assert list(tmp_path.glob(".*")) == []
    assert moment > 10


def test_two_do_not_write_to_one_place(tmp_path: Path, artifact: Artifact) -> None:
    beside = tmp_path / f".export-{hashlib.sha256(b'given').hexdigest()[:16]}.unfinished"
    beside.mkdir()
    (beside / "theirs").write_text("theirs")
    descriptor = os.open(beside, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another process is exporting to"):
            demand_free(tmp_path / "given", artifact.root)
        with pytest.raises(Busy, match="another process is exporting to"):
            copy_out(artifact, tmp_path / "given")
    finally:
        os.close(descriptor)
    assert (beside / "theirs").read_text() == "theirs"
    copy_out(artifact, tmp_path / "given")
    assert given(tmp_path / "given") == contents(artifact.path)
