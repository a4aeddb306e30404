"""The rows against TFDS's own records of the same sets; shapes and classes known without data."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlsplit

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from ebm_tf.config import Dataset, DatasetName
from ebm_tf.datasets import digits
from ebm_tf.datasets.registry import SOURCES, classes_of, image_shape_of, levels_of, source
from ebm_tf.errors import ConfigError, MissingInput
from tests.datasets.tfds_files import PUBLISHED


def test_every_name_of_the_config_has_a_row():
    assert set(SOURCES) == set(get_args(DatasetName))
    assert source("digits").levels == digits.LEVELS


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_row_says_what_tfds_knows_of_the_set(name, tmp_path):
    builder, row = tfds.builder(name, data_dir=str(tmp_path)), source(name)
    features = builder.info.features
    assert features["image"].shape == row.native[:3]
    assert row.native.classes == (features["label"].num_classes if "label" in features else 0)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if not source(name).download.manual])
def test_files_hosts_and_sizes_are_those_of_tfds_checksums(name, tmp_path):
    download = source(name).download
    known = {
        info.filename: (urlsplit(url), info.size)
        for url, info in tfds.builder(name, data_dir=str(tmp_path)).url_infos.items()
    }
    assert {f"{known[file][0].scheme}://{known[file][0].hostname}" for file in download.files} == set(
        download.hosts
    )
    assert sum(known[file][1] for file in download.files) / 2**20 == pytest.approx(
        download.mebibytes, rel=0.01, abs=1
    )


@pytest.mark.parametrize(
    ("section", "shape", "classes"),
    [
        ({"name": "digits"}, (8, 8, 1), 10),
        ({"name": "digits_stroke", "size": 16, "colour": "rgb"}, (16, 16, 3), 3),
        ({"name": "cifar10", "colour": "grey"}, (32, 32, 1), 10),
        ({"name": "dtd", "size": 32}, (32, 32, 3), 47),
        ({"name": "celeb_a_hq/128"}, (128, 128, 3), 0),
        ({"name": "lsun/bedroom", "size": 128}, (128, 128, 3), 0),
        ({"name": "cifar100", "size": 16, "crop": "tiles"}, (16, 16, 3), 100),
        ({"name": "folder", "path": "/nowhere/at/all", "size": 64, "colour": "rgb"}, (64, 64, 3), None),
    ],
    ids=lambda value: str(value.get("name", "")) if isinstance(value, dict) else "",
)
def test_shape_and_classes_without_any_data(section, shape, classes):
    dataset = Dataset(**section)
    assert image_shape_of(dataset) == shape
    assert classes_of(dataset) == classes


def test_shape_and_classes_of_a_folder_come_from_its_files(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / name / "x.png")
    dataset = Dataset(name="folder", path=str(tmp_path))
    assert image_shape_of(dataset) == (20, 30, 1)
    assert classes_of(dataset) == 3
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "b" / "colour.png")
    assert image_shape_of(dataset) == (20, 30, 3)
    Image.fromarray(np.zeros((21, 30, 3), np.uint8)).save(tmp_path / "b" / "other.png")
    with pytest.raises(ConfigError, match=r"images of folder differ in size; give dataset\.size"):
        image_shape_of(dataset)


@pytest.mark.parametrize(
    ("section", "levels"),
    [
        ({}, 17),
        ({"size": 8}, 17),
        ({"colour": "rgb"}, 17),
        ({"size": 4, "crop": "tiles"}, 17),
        ({"size": 4}, 256),
        ({"size": 16}, 256),
        ({"name": "cifar10", "colour": "grey"}, 256),
    ],
    ids=str,
)
def test_averages_have_all_levels_and_copies_keep_theirs(section, levels):
    assert levels_of(Dataset(**section)) == levels


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"images of dtd differ in size; give dataset\.size, such as 32"):
        image_shape_of(Dataset(name="dtd"))
    with pytest.raises(ConfigError, match=r"dataset\.crop is tiles, which needs dataset\.size"):
        image_shape_of(Dataset(name="cifar10", crop="tiles"))
    with pytest.raises(
        ConfigError, match=r"is 64, a tile larger than images of cifar10 \(32x32\); give 32 or less"
    ):
        image_shape_of(Dataset(name="cifar10", size=64, crop="tiles"))
    with pytest.raises(ConfigError, match=f"no data set 'mnits'; there are: {', '.join(SOURCES)}"):
        source("mnits")
    with pytest.raises(MissingInput, match=r"dataset\.path is /nowhere/at/all, which is no folder"):
        image_shape_of(Dataset(name="folder", path="/nowhere/at/all"))
