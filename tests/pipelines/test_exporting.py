"""Copies that are given away: whole or not there, as published, and onto nothing that was there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ebm_tf.errors import Busy, ConfigError, MissingInput
from pipelines.artifact import Artifact
from pipelines.keeping.exporting import copy_out, demand_free
from tests.pipelines.artifact_trees import published


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A finished one."""
    return published(tmp_path / "store", "ExportModel", {"seed": 0}, metrics={"largest": 0.5})


def contents(folder: Path) -> dict[str, bytes]:
    """Of every file, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_model_is_made_where_needed_and_copied_with_its_records(lab: Any) -> None:
    out = lab.folder / "given"
    answer = lab.answer("export", "--out", str(out))
    (made,) = lab.artifacts("ExportModel")
    assert (answer["status"], answer["exit_code"], answer["out"]) == ("done", 0, str(out))
    assert answer["artifact"] == str(made)
    assert contents(out) == contents(made)
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


def test_an_empty_folder_will_do(tmp_path: Path, artifact: Artifact) -> None:
    out = tmp_path / "given"
    out.mkdir()
    demand_free(out, artifact.root)
    copied = copy_out(artifact, out)
    assert contents(out) == contents(artifact.path)
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
    assert not (tmp_path / ".given.unfinished").exists()


def test_the_store_is_no_place_for_it(artifact: Artifact) -> None:
    for out in (artifact.path / "copy", artifact.folder / "copy", artifact.root / "artifacts" / "copy"):
        with pytest.raises(ConfigError, match="is among the artifacts, which are never changed"):
            demand_free(out, artifact.root)
    demand_free(artifact.root / "copy", artifact.root)


def test_other_bytes_than_were_published_are_not_given_away(tmp_path: Path, artifact: Artifact) -> None:
    (artifact.path / "data.txt").write_text("CONTENT")
    with pytest.raises(MissingInput, match=r"data\.txt has other bytes than were published"):
        copy_out(artifact, tmp_path / "given")
    assert not (tmp_path / "given").exists()


def copy_and_die(artifact: Artifact, out: Path, moment: int) -> None:
    """Copy, and be killed before that many openings and renamings."""
    seen = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "os.rename" or (event == "open" and str(out.name) in str(arguments[0])):
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
        assert contents(out) == contents(artifact.path)
        assert not (tmp_path / f".{out.name}.unfinished").exists()
    assert moment > 10


def test_two_do_not_write_to_one_place(tmp_path: Path, artifact: Artifact) -> None:
    beside = tmp_path / ".given.unfinished"
    beside.mkdir()
    (beside / "theirs").write_text("theirs")
    descriptor = os.open(beside, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another process is exporting to"):
            copy_out(artifact, tmp_path / "given")
    finally:
        os.close(descriptor)
    assert (beside / "theirs").read_text() == "theirs"
    copy_out(artifact, tmp_path / "given")
    assert contents(tmp_path / "given") == contents(artifact.path)
