"""A disk that is full, and one that is read-only: one clear line, nothing lost, and the next run completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import brief, disks, wholeness
from tests.pipelines.conftest import COMMAND, Lab

INJECTED = Path(__file__).with_name("injected")
SMALL = "compute.minimum_free_disk_mb=1"
WHAT_IS_SAID = ("No space left on device", "make room", "run again")


class Home:
    """A root on a small disk, and a command line that works there."""

    def __init__(self, folder: Path, size: str = "24m") -> None:
        self.disk = disks.SmallDisk(folder / "disk", size)
        self.folder, self.root, self.ballast = folder, self.disk.folder / "root", self.disk.folder / "ballast"

    def run(self, line: list[str], fill_at: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command; with `fill_at` (a step, as in injected/sitecustomize.py) the disk gets full on the way."""
        environment = {**os.environ, **more}
        if fill_at:
            filling = {"below": str(self.root), "at": fill_at, "with": str(self.ballast)}
            environment |= {"PYTHONPATH": str(INJECTED), "FAULTS": json.dumps({"fill": filling})}
        return brief.ended([*self.disk.prefix, *line], environment)

    def filled(self) -> bool:
        """The disk was filled."""
        return self.disk.seen(self.ballast).exists()

    def make_room(self) -> None:
        """Take away what filled the disk."""
        self.disk.seen(self.ballast).unlink()

    def whole(self) -> set[str]:
        """The tasks that have a finished artifact; all of them are whole."""
        root = self.disk.seen(self.root)
        assert wholeness.faults(root) == []
        return {path.parent.name for path in wholeness.finished(root)}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A root on a disk of 24 MiB."""
    try:
        made = Home(tmp_path)
    except disks.NoNamespaces as reason:
        pytest.skip(f"nothing can be mounted here: {reason}")
    yield made
    made.disk.end()


def fake(home: Home, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """The command line with fake stages, and the variable that they need."""
    lab = Lab(home.folder)
    line = [sys.executable, str(COMMAND), *arguments, "--config", str(lab.config), "--root", str(home.root)]
    return line, {"FAKE_STAGES": str(home.folder / "control.json")}


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error that a run ended with."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in done.stderr, done.stderr
    return errors[0]


@pytest.mark.parametrize(
    "step",
    [
        "open output/params.json",
        pytest.param("open /spec.json", marks=pytest.mark.slow),
        pytest.param("open output/log.txt", marks=pytest.mark.slow),
        pytest.param("os.mkdir /checkpoints", marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_fills_up_around_a_stage_is_told_and_nothing_is_lost(home: Home, step: str) -> None:
    """The pipeline's own writing, publication included; the stage is fake."""
    line, stages = fake(home, "run", "--task", "PrepareDataset", "--set", SMALL)
    assert home.run([*line, "--set", "dataset.name=mnist"], **stages).returncode == 0
    before = wholeness.contents(home.disk.seen(home.root))
    done = home.run(line, fill_at=step, **stages)
    assert home.filled(), "the step was not met"
    assert done.returncode == 4, done.stderr
    assert all(words in told(done) for words in WHAT_IS_SAID), told(done)
    home.whole()
    assert wholeness.contents(home.disk.seen(home.root)) == before
    home.make_room()
    again = home.run(line, **stages)
    assert again.returncode == 0, again.stderr
    home.whole()
    assert len(wholeness.finished(home.disk.seen(home.root))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "step"),
    [
        ("PrepareDataset", "open /dataset_info.json"),
        ("PrepareDataset", "first write output/train.npy"),
        ("TrainEBM", "os.mkdir step-00000008.unfinished"),
        ("TrainEBM", "open output/replay.npz"),
    ],
)
def test_a_disk_that_fills_up_in_a_real_stage_is_told_and_nothing_is_lost(
    home: Home, task: str, step: str
) -> None:
    """While TFDS prepares, while the store is written, in the midst of a checkpoint, while the result is written."""
    config = brief.write_config(home.folder)
    line = brief.command(config, "run", home.root, "--task", task)
    if task == "TrainEBM":
        prepared = home.run(brief.command(config, "run", home.root, "--task", "PrepareDataset"))
        assert prepared.returncode == 0, prepared.stderr
    before = home.whole()
    done = home.run(line, fill_at=step)
    assert home.filled(), "the step was not met"
    assert done.returncode == 4, done.stderr
    assert all(words in told(done) for words in WHAT_IS_SAID), told(done)
    assert home.whole() == before
    still = home.run(line)
    assert still.returncode == 4
    assert "no disk space" in told(still)
    home.make_room()
    again = home.run([*line, "--json"])
    assert again.returncode == 0, again.stderr
    assert home.whole() == {*before, task}
    if "unfinished" in step:
        (log,) = home.disk.seen(home.root).glob("artifacts/TrainEBM/*/log.txt")
        assert "resumed at step 4" in log.read_text()


def test_a_read_only_root_is_one_line(home: Home) -> None:
    line, stages = fake(home, "run", "--task", "TrainEBM", "--set", SMALL)
    assert home.run(line, **stages).returncode == 0
    home.disk.allow_writing(False)
    done = home.run([*line, "--force", "TrainEBM"], **stages)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert f"root {home.root} cannot be written (Read-only file system)" in done.stderr
    status, _ = fake(home, "status")
    assert home.run(status, **stages).returncode == 0
    home.disk.allow_writing(True)
    assert home.run(line, **stages).returncode == 0
    assert home.whole() == {"PrepareDataset", "TrainEBM"}
