"""Names, completeness and damage of artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from ebm_tf.errors import MissingInput
from pipelines.artifact import FORMAT, Artifact, content_digest, fingerprint
from pipelines.publishing import prepare_work, publish
from tests.pipelines.artifact_trees import published

SETTINGS = {"langevin": {"steps": 20, "step_size": 1.0}}
PRINT = fingerprint("TrainEBM", 1, SETTINGS, {"PrepareDataset": "aa"})


def built(root: Path, text: str = "content") -> Artifact:
    artifact = Artifact(root, "TrainEBM", PRINT)
    prepare_work(artifact, {})
    (artifact.output / "data.txt").write_text(text)
    artifact.log.write_text("what happened")
    inputs = {"PrepareDataset": {"task": "PrepareDataset", "fingerprint": "aa", "content": "bb"}}
    record = {"task": "TrainEBM", "version": 1, "fingerprint": PRINT, "settings": SETTINGS, "inputs": inputs}
    publish(artifact, record)
    return artifact


def test_fingerprint_is_the_sha256_of_the_canonical_json() -> None:
    text = '{"inputs":{"A":"b"},"settings":{"x":1,"y":2},"task":"T","version":3}'
    assert fingerprint("T", 3, {"y": 2, "x": 1}, {"A": "b"}) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        fingerprint("TrainEBM2", 1, SETTINGS, {"PrepareDataset": "aa"}),
        fingerprint("TrainEBM", 2, SETTINGS, {"PrepareDataset": "aa"}),
        fingerprint("TrainEBM", 1, {"langevin": {"steps": 21, "step_size": 1.0}}, {"PrepareDataset": "aa"}),
        fingerprint("TrainEBM", 1, SETTINGS, {"PrepareDataset": "ab"}),
    ],
    ids=["task", "version", "settings", "inputs"],
)
def test_fingerprint_changes_with(other: str) -> None:
    assert other != PRINT


def test_content_is_the_data_files_alone() -> None:
    data = {"data.txt": {"bytes": 1, "sha256": "aa"}}
    beside = {
        name: {"bytes": 1, "sha256": "bb"} for name in ("log.txt", "params.json", "tensorboard/run/events")
    }
    assert content_digest({**data, **beside}) == content_digest(data)
    assert content_digest({"other.txt": data["data.txt"]}) != content_digest(data)
    assert content_digest({"data.txt": {"bytes": 1, "sha256": "ab"}}) != content_digest(data)


def test_published_artifact_is_whole_and_tells_its_files(tmp_path: Path) -> None:
    artifact = built(tmp_path)
    assert artifact.complete()
    assert artifact.path.name == PRINT[:16]
    files = artifact.params()["files"]
    assert files["data.txt"] == {"bytes": 7, "sha256": hashlib.sha256(b"content").hexdigest()}
    assert (artifact.path / "log.txt").read_text() == "what happened"
    assert not artifact.work.exists()


def test_nothing_there_is_not_complete(tmp_path: Path) -> None:
    assert not Artifact(tmp_path, "TrainEBM", PRINT).complete()


@pytest.mark.parametrize(
    "harm, said",
    [
        (lambda path: (path / "data.txt").unlink(), r"data\.txt is missing"),
        (lambda path: (path / "data.txt").write_text("con"), r"data\.txt has 3 bytes, not 7"),
        (lambda path: (path / "params.json").unlink(), r"params\.json is missing"),
        (lambda path: (path / "params.json").write_text("{"), r"params\.json cannot be read"),
        (lambda path: (path / "params.json").write_text('{"fingerprint": "x"}'), r"params\.json is of x"),
    ],
    ids=["gone", "short", "no params", "torn params", "another's params"],
)
def test_damage_is_named_with_its_remedy(tmp_path: Path, harm: object, said: str) -> None:
    artifact = built(tmp_path)
    harm(artifact.path)  # type: ignore[operator]
    with pytest.raises(MissingInput, match=said + ".*rebuild it with --force TrainEBM"):
        artifact.complete()


def test_publishing_again_swaps(tmp_path: Path) -> None:
    old = built(tmp_path).content()
    artifact = built(tmp_path, "other content")
    assert artifact.content() != old
    assert (artifact.path / "data.txt").read_text() == "other content"
    assert [path.name for path in artifact.folder.iterdir()] == [artifact.short]


def test_a_swap_that_was_killed_is_undone(tmp_path: Path) -> None:
    artifact = built(tmp_path)
    artifact.path.rename(artifact.replaced)
    prepare_work(artifact, {})
    assert artifact.complete()


def test_checkpoints_survive_unless_an_input_changed(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "TrainEBM", PRINT)
    prepare_work(artifact, {"PrepareDataset": "content 1"})
    (artifact.checkpoints / "step").write_text("1")
    (artifact.output / "half").write_text("")
    prepare_work(artifact, {"PrepareDataset": "content 1"})
    assert (artifact.checkpoints / "step").exists()
    assert not list(artifact.output.iterdir())
    prepare_work(artifact, {"PrepareDataset": "content 2"})
    assert not list(artifact.checkpoints.iterdir())


def test_metrics_are_those_of_the_file(tmp_path: Path) -> None:
    assert built(tmp_path).metrics() == {}
    made = published(tmp_path, "EvaluateFID", {"seed": 1}, metrics={"kid": 0.5})
    assert made.metrics() == {"kid": 0.5}


def test_a_flipped_byte_is_found_on_reading(tmp_path: Path) -> None:
    made = published(tmp_path, "EvaluateFID", {"seed": 1}, metrics={"kid": 0.5})
    seen: list[int] = []
    made.verify(seen.append)
    assert sum(seen) == sum(record["bytes"] for record in made.params()["files"].values())
    flip(made.path / "metrics.json")
    assert made.complete()  # sizes alone do not tell
    for read in (made.verify, made.metrics):
        with pytest.raises(MissingInput, match=r"metrics.json has other bytes .* --force EvaluateFID"):
            read()


def test_what_was_verified_is_read_again_once_it_was_written_to(tmp_path: Path) -> None:
    made = published(tmp_path, "TrainEBM", {"seed": 1})
    made.verify()
    before = (made.path / "data.txt").stat()
    flip(made.path / "data.txt")
    os.utime(made.path / "data.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(MissingInput, match=r"data.txt has other bytes"):
        made.verify()


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    made = published(tmp_path, "TrainEBM", {"seed": 1})
    params = json.loads((made.path / "params.json").read_text())
    assert params["format"] == FORMAT
    (made.path / "params.json").write_text(json.dumps({**params, "format": FORMAT + 1}))
    with pytest.raises(
        MissingInput, match=rf"is of format {FORMAT + 1}, and this program knows .* up to {FORMAT}"
    ):
        made.complete()


def flip(path: Path) -> None:
    """One bit of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("lost", ["files", "content", "inputs"])
def test_a_record_that_lacks_a_part_is_damage(tmp_path: Path, lost: str) -> None:
    made = published(tmp_path, "TrainEBM", {"seed": 1})
    text = (made.path / "params.json").read_text()
    (made.path / "params.json").write_text(text.replace(f'"{lost}"', f'"{lost.title()}"'))
    assert f"params.json cannot be read ('{lost}')" in (made.damage() or "")


@pytest.mark.parametrize(
    "was, now",
    [
        ('"content": "', '"content": "0'),
        ('"seed": 1', '"seed": 2'),
        ('"version": 1', '"version": 2'),
        ('"bytes": 7', '"bytes": "7"'),
        ('"sha256": "ed7', '"sha256": "ed8'),
    ],
)
def test_a_record_that_was_changed_is_damage(tmp_path: Path, was: str, now: str) -> None:
    made = published(tmp_path, "TrainEBM", {"seed": 1})
    text = (made.path / "params.json").read_text()
    assert was in text
    (made.path / "params.json").write_text(text.replace(was, now, 1))
    assert "params.json does not hold together" in (made.damage() or "")


def test_a_rebuild_is_done_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = built(tmp_path)
    artifact.want_rebuild()
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a kill before the work folder is cleared
    built(tmp_path, "other")
    assert artifact.work.exists()
    assert not artifact.rebuild_wanted


def test_a_rebuild_that_is_wanted_again_begins_at_the_start(tmp_path: Path) -> None:
    artifact = built(tmp_path)
    artifact.want_rebuild()
    prepare_work(artifact, {})
    (artifact.checkpoints / "step").write_text("1")
    artifact.want_rebuild()
    assert artifact.rebuild_wanted
    assert not artifact.checkpoints.exists()
