"""An input that is not what it was: a flipped byte, a folder that was removed, and what that leads to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults import brief, wholeness
from tests.faults.warm import WarmRuns
from tests.pipelines.conftest import Lab


def flip_a_byte(path: Path) -> None:
    """The size stays."""
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 0x10
    path.write_bytes(held)


def test_a_flipped_byte_is_found_before_a_stage_reads_it(lab: Lab, warm: WarmRuns) -> None:
    warm.run(lab, "run", "--task", "TrainEBM")
    (data,) = lab.artifacts("PrepareDataset")
    expected = wholeness.contents(lab.root)
    flip_a_byte(data / "data.json")
    lab.calls()
    done = warm.run(lab, "run", "--task", "TrainEBM", "--set", "langevin.steps=7")
    assert done.returncode == 4, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert f"damaged artifact: {data / 'data.json'}" in line
    assert "rebuild it with --force PrepareDataset" in line
    assert lab.calls() == []
    mended = warm.run(
        lab, "run", "--task", "TrainEBM", "--set", "langevin.steps=7", "--force", "PrepareDataset"
    )
    assert mended.returncode == 0, mended.stderr
    assert wholeness.faults(lab.root) == []
    assert wholeness.contents(lab.root).items() >= expected.items()
    assert warm.run(lab, "status", "--set", "langevin.steps=7", "--json").states()["TrainEBM"] == "whole"


def test_a_removed_input_is_rebuilt_where_it_is_needed_as_planned(lab: Lab, warm: WarmRuns) -> None:
    warm.run(lab, "run", "--task", "GenerateSamples")
    expected = wholeness.contents(lab.root)
    shutil.rmtree(lab.artifacts("TrainEBM")[0])
    assert warm.run(lab, "plan", "--task", "GenerateSamples", "--json").states()["TrainEBM"] == "reuse"
    lab.calls()
    assert warm.run(lab, "run", "--task", "GenerateSamples").returncode == 0
    assert lab.calls() == [], "what it feeds is there"
    other = ("--set", "sampling.steps=7")
    planned = warm.run(lab, "plan", "--task", "GenerateSamples", *other, "--json").states()
    assert planned == {"PrepareDataset": "reuse", "TrainEBM": "run", "GenerateSamples": "run"}
    assert warm.run(lab, "run", "--task", "GenerateSamples", *other).returncode == 0
    assert lab.calls() == ["TrainEBM", "GenerateSamples"]
    assert wholeness.contents(lab.root).items() >= expected.items()


def test_a_removed_folder_of_images_is_told_before_anything_runs(
    lab: Lab, warm: WarmRuns, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    lab.config.write_text(f"name: tiny\ndataset: {{name: folder, path: {images}, size: 8}}\n")
    warm.run(lab, "run", "--task", "PrepareDataset")
    lab.calls()
    images.rmdir()
    done = warm.run(lab, "run", "--task", "PrepareDataset", "--force", "PrepareDataset")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1 and str(images) in done.stderr
    assert lab.calls() == []
    assert wholeness.faults(lab.root) == []
    reused = warm.run(lab, "run", "--task", "TrainEBM", "--json").answer()
    assert reused["exit_code"] == 0, "what was made of it is there"
    assert lab.calls() == ["TrainEBM"]


@pytest.mark.slow
def test_a_flipped_byte_of_real_images_is_found_and_mended(tmp_path: Path) -> None:
    config, root = brief.write_config(tmp_path), tmp_path / "root"
    prepare = brief.command(config, "run", root, "--task", "PrepareDataset")
    assert brief.ended(prepare).returncode == 0
    expected = wholeness.contents(root)
    (data,) = wholeness.finished(root)
    flip_a_byte(data / "train.npy")
    train = brief.command(config, "run", root, "--task", "TrainEBM")
    done = brief.ended(train)
    assert done.returncode == 4, done.stderr
    assert f"{data / 'train.npy'}" in done.stderr and "--force PrepareDataset" in done.stderr
    assert brief.ended([*train, "--force", "PrepareDataset"]).returncode == 0
    assert wholeness.faults(root) == []
    assert wholeness.contents(root).items() >= expected.items()
