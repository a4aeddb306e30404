"""Checkpoints whose files were damaged, and checkpoints for which the disk has no room."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
import tensorflow as tf

from ebm_tf.training.checkpoint import CheckpointFolder
from tests.damage import DAMAGES, lose
from tests.small_disk import small_disk

CHECKPOINT_FILES = ("files.json", "run.json", "state.data-00000-of-00001", "state.index")


class Saved:
    """Checkpoints of steps 1, 2 and 3; the state of step s is filled with s."""

    def __init__(self, folder):
        self.folder = folder
        self.value = tf.Variable(tf.zeros([9]))
        self.checkpoints = self.again()
        for step in (1, 2, 3):
            self.save(step)

    def again(self):
        """The folder as the next process finds it."""
        return CheckpointFolder(self.folder, tf.train.Checkpoint(value=self.value))

    def save(self, step):
        self.value.assign(tf.fill([9], float(step)))
        self.checkpoints.save(step, {"step": step})

    def file(self, step, name):
        return self.folder / f"step-{step:08d}" / name

    def newest(self):
        """What the newest whole checkpoint says, and the state that it brings."""
        checkpoints = self.again()
        step = checkpoints.first_whole(reversed(checkpoints.steps()))
        if step is None:
            return None
        self.value.assign(tf.zeros([9]))
        assert checkpoints.restore(step) == {"step": step}
        return step if (self.value.numpy() == step).all() else "another state"


@pytest.fixture
def saved(tmp_path):
    return Saved(tmp_path / "checkpoints")


def test_a_checkpoint_has_the_files_that_are_damaged_here(saved):
    assert sorted(path.name for path in saved.file(3, "").iterdir()) == sorted(CHECKPOINT_FILES)
    assert saved.newest() == 3


@pytest.mark.parametrize("name", CHECKPOINT_FILES)
@pytest.mark.parametrize("harm", DAMAGES)
def test_in_place_of_a_damaged_checkpoint_the_one_before_is_used(saved, harm, name, capsys):
    harm(saved.file(3, name))
    assert saved.newest() == 2
    said = capsys.readouterr().err
    assert said.startswith("the checkpoint of step 3 is damaged (")
    assert name in said
    aside = saved.folder / "step-00000003.damaged"
    assert said.endswith(f"), set aside as {aside}\n")
    assert said.count("\n") == 1
    assert aside.is_dir()
    assert saved.newest() == 2
    assert capsys.readouterr().err == "", "it is not met again"


@pytest.mark.parametrize("name", CHECKPOINT_FILES)
def test_no_bit_of_a_file_can_change_unseen(saved, name):
    file = saved.file(3, name)
    content = file.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        assert saved.checkpoints.first_whole([3]) is None, f"byte {place} of {name}"
        (saved.folder / "step-00000003.damaged").rename(saved.folder / "step-00000003")
    file.write_bytes(content)
    assert saved.checkpoints.first_whole([3]) == 3


def test_of_several_damaged_ones_all_are_passed_over(saved, capsys):
    saved.file(3, "run.json").unlink()
    saved.file(2, "state.index").unlink()
    assert saved.newest() == 1
    assert "step 3 is damaged (run.json is missing)" in capsys.readouterr().err
    saved.file(1, "files.json").write_text("[]")
    assert saved.newest() is None
    assert "step 1 is damaged (files.json does not list its files)" in capsys.readouterr().err


def test_a_step_that_was_damaged_can_be_saved_and_damaged_again(saved):
    for _ in range(2):
        lose(saved.file(3, "run.json"))
        assert saved.newest() == 2
        saved.save(3)
        assert saved.newest() == 3


def test_what_cannot_be_read_is_damaged(saved, capsys):
    """Such as a bad sector; here a folder in place of a file."""
    lose(saved.file(3, "state.index"))
    saved.file(3, "state.index").mkdir()
    assert saved.newest() == 2
    assert "state.index cannot be read: [Errno 21] Is a directory" in capsys.readouterr().err


def test_a_full_disk_leaves_the_checkpoints_that_are_there_as_they_are(tmp_path):
    """For sizes of the state all along: the disk runs full within each file, and at the end of one."""
    refused = 0
    with small_disk(tmp_path / "disk", "600k") as disk:
        for size in range(30_000, 52_000, 1000):
            value = tf.Variable(tf.zeros([size]))
            checkpoints = CheckpointFolder(disk / "checkpoints", tf.train.Checkpoint(value=value))
            try:
                for step in range(1, 6):
                    value.assign(tf.fill([size], float(step)))
                    checkpoints.save(step, {})
            except (OSError, tf.errors.OpError) as error:
                refused += 1
                assert os.strerror(errno.ENOSPC) in str(error)
            steps = checkpoints.steps()
            assert steps
            assert not list(disk.rglob("*.unfinished")), "what it has of one is room lost"
            for step in steps:
                assert checkpoints.first_whole([step]) == step
                checkpoints.restore(step)
                assert (value.numpy() == step).all()
            shutil.rmtree(disk / "checkpoints")
    assert refused > 10
