"""PrepareDataset as the pipeline runs it, on a user's own files; what needs classes says so."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ebm_tf.config import Dataset
from ebm_tf.datasets.store import Store
from ebm_tf.errors import ConfigError
from tests.stages.running import context_of, run_in


@pytest.fixture
def prepared(tmp_path):
    """The context of a finished PrepareDataset on 12 unlabelled images and two files that are none."""
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(random.integers(0, 256, (10, 14, 3), np.uint8)).save(tmp_path / f"images/{index}.png")
    for name in ("a.txt", "b.txt"):
        (tmp_path / "images" / name).write_text("no image")
    dataset = Dataset(name="folder", path=str(tmp_path / "images"), size=8)
    made = context_of("PrepareDataset", tmp_path / "prepared", {}, dataset=dataset)
    run_in(made)
    return made


def test_it_leaves_a_store_a_sheet_and_a_summary_with_one_warning(prepared, capfd):
    counts = Store(prepared.out).manifest.counts
    first, warning = (prepared.out / "summary.txt").read_text().splitlines()
    assert first == (
        f"folder: {counts['train']} images to train with, {counts['test']} held out, 8x8x3, no labels"
    )
    reason = "(no image in a known format)"
    assert warning == f"warning: 2 files cannot be used: a.txt {reason}, b.txt {reason}"
    assert (prepared.out / "contact_sheet.png").is_file()
    assert sum(counts.values()) == 12


def test_it_leaves_nothing_in_its_working_folder(prepared):
    assert not list(prepared.work.iterdir())


def test_folders_and_classes_without_images_are_named(tmp_path, capfd):
    for place in ("train/cat", "train/dog", "test/cat", "test/cow", "test/dog"):
        (tmp_path / "images" / place).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "images" / place / "1.png")
    (tmp_path / "images/train/dog/1.png").write_bytes(b"damaged")
    (tmp_path / "images/train/empty").mkdir()
    dataset = Dataset(name="folder", path=str(tmp_path / "images"))
    made = context_of("PrepareDataset", tmp_path / "prepared", {}, dataset=dataset)
    run_in(made)
    lines = (made.out / "summary.txt").read_text().splitlines()
    assert lines[0] == "folder: 1 images to train with, 3 held out, 8x8x1, 3 classes"
    assert lines[1].startswith("warning: 1 files cannot be used: train/dog/1.png (")
    assert lines[2:] == [
        "warning: folders without an image are passed over: train/empty",
        "warning: 2 of 3 classes have no image to train with: cow, dog",
    ]
    said = capfd.readouterr().err
    assert all(line in said for line in lines[1:])


def test_no_classifier_is_trained_without_classes(prepared, tmp_path):
    later = context_of("TrainFeatureExtractor", tmp_path / "trained", {"PrepareDataset": prepared.out})
    with pytest.raises(
        ConfigError,
        match=r"needs two classes or more; folder has no labels\. Set extractor\.name to another",
    ):
        run_in(later)
    assert not list(later.out.iterdir())
