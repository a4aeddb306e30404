"""Stores of the published sets, from records that their real TFDS builders wrote; damage; memory and disk."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from ebm_tf.config import Dataset
from ebm_tf.datasets import writing
from ebm_tf.datasets.registry import image_shape_of, source
from ebm_tf.datasets.shaping import central_square, resized
from ebm_tf.datasets.store import Store
from ebm_tf.datasets.writing import ArrayFile, write_store
from ebm_tf.errors import MissingInput
from tests.datasets.tfds_files import PUBLISHED, prepare

SECTIONS = {"dtd": {"size": 32}, "lsun/bedroom": {"size": 128}}
LOSS = {"lsun/bedroom": 4.0}
"""Levels, on average, that a set which TFDS keeps as JPEG may be away from what it was given."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A TFDS data folder with a few random images of every published set, and those images."""
    folder = tmp_path_factory.mktemp("tfds")
    return folder, {name: prepare(name, folder) for name in PUBLISHED}


@pytest.fixture
def written(data, tmp_path):
    def write(**settings):
        out = tmp_path / "out"
        out.mkdir()
        dataset = Dataset(**settings)
        write_store(dataset, str(data[0]), tmp_path / "work", out, lambda *at: None)
        return Store(out), dataset

    return write


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_store_of_a_published_set_is_what_tfds_holds(name, data, written, monkeypatch):
    monkeypatch.setattr("socket.create_connection", None)  # nothing may ask the network
    store, dataset = written(name=name, **SECTIONS.get(name, {}))
    assert store.manifest.shape == image_shape_of(dataset)
    assert len(store.manifest.classes) == source(name).native.classes
    examples = [one for many in data[1][name].values() for one in many]
    images = np.concatenate([store.images("train"), store.images("test")])
    labels = np.concatenate([store.labels("train"), store.labels("test")])
    assert len(images) == len(examples) == sum(store.manifest.counts.values())
    expected = [one["image"] for one in examples]
    if dataset.size:
        expected = [resized(central_square(image), dataset.size) for image in expected]
    for image, example in zip(expected, examples):
        differences = np.abs(images.astype(int) - image).mean(axis=(1, 2, 3))
        nearest = differences.argmin()
        assert differences[nearest] <= LOSS.get(name, 0)
        assert labels[nearest] == example.get("label", -1)


def test_the_tenth_that_celeba_hq_holds_out_is_apart(written):
    store, _ = written(name="celeb_a_hq/128")
    assert store.manifest.counts == {"train": 11, "test": 1}
    train, test = ({image.tobytes() for image in store.images(split)} for split in ("train", "test"))
    assert len(train | test) == 12


def test_a_limit_takes_the_first_of_each_split(written, tmp_path):
    whole, _ = written(name="cifar10")
    shutil.move(whole.folder, tmp_path / "whole")
    few, _ = written(name="cifar10", limit=4)
    assert few.manifest.counts == {"train": 4, "test": 4}
    for split in ("train", "test"):
        np.testing.assert_array_equal(few.images(split), Store(tmp_path / "whole").images(split)[:4])


def test_tiles_of_a_published_set(written):
    store, _ = written(name="cifar10", size=16, crop="tiles", colour="grey")
    assert store.manifest.counts == {"train": 48, "test": 24}
    assert store.manifest.shape == (16, 16, 1)


def test_damaged_records_are_named_with_their_folder(data, tmp_path):
    copied = tmp_path / "tfds"
    shutil.copytree(data[0] / "mnist", copied / "mnist")
    (record,) = copied.rglob("*train*tfrecord*")
    record.write_bytes(record.read_bytes()[:-30])
    (tmp_path / "out").mkdir()
    with pytest.raises(
        MissingInput, match=r"records of mnist in .*mnist/3\.0\.1 are damaged; remove that folder"
    ):
        write_store(Dataset(name="mnist"), str(copied), tmp_path, tmp_path / "out", lambda *at: None)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_too_little_disk_is_said_before_anything_is_written(data, tmp_path, monkeypatch):
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    with pytest.raises(
        MissingInput, match=r"no disk space: the images take 0 MiB, and 0 MiB are free .*dataset\.limit"
    ):
        write_store(Dataset(name="cifar10"), str(data[0]), tmp_path, tmp_path, lambda *at: None)
    assert not list(tmp_path.iterdir())


def test_records_of_an_earlier_run_are_not_taken_for_new_ones(tmp_path):
    """A killed run leaves its records; the files may have changed since."""
    stale = tmp_path / "work" / "tfds" / "digits" / "1.0.0"
    stale.mkdir(parents=True)
    (stale / "dataset_info.json").write_text("{}")
    (tmp_path / "out").mkdir()
    manifest = write_store(Dataset(limit=3), None, tmp_path / "work", tmp_path / "out", lambda *at: None)
    assert manifest.counts == {"train": 3, "test": 3}


@pytest.mark.parametrize(
    ("dtype", "entry"), [(np.uint8, (3, 2, 1)), (np.int64, ())], ids=["images", "labels"]
)
@pytest.mark.parametrize("count", [0, 1, 1234], ids=str)
def test_a_growing_array_file_is_byte_for_byte_numpys(tmp_path, dtype, entry, count):
    values = np.arange(count * int(np.prod(entry))).astype(dtype).reshape(count, *entry)
    with ArrayFile(tmp_path / "grown.npy", dtype, entry) as file:
        for value in values:
            file.append(value)
    np.save(tmp_path / "saved.npy", values)
    assert (tmp_path / "grown.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()


def test_the_manifest_can_be_read_by_anyone(written):
    store, _ = written(name="cifar100")
    values = json.loads((store.folder / "manifest.json").read_text())
    assert values["counts"] == {"train": 12, "test": 6}
    assert len(values["classes"]) == 100
    assert values["unusable"] == {}
