"""The digits builder: its split, and its images and labels against scikit-learn's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from ebm_tf.config import Dataset
from ebm_tf.datasets.digits import LEVELS, STROKES
from ebm_tf.datasets.registry import source


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    made = source("digits").builder(Dataset(), str(tmp_path_factory.mktemp("tfds")))
    made.download_and_prepare()
    return made


@pytest.fixture(scope="module")
def splits(builder):
    """Images uint8 [n, 8, 8, 1] and labels [n] of each split."""
    examples = {name: list(tfds.as_numpy(builder.as_dataset(split=name))) for name in ("train", "test")}
    return {
        name: (np.stack([one["image"] for one in many]), np.stack([one["label"] for one in many]))
        for name, many in examples.items()
    }


@pytest.fixture(scope="module")
def scans():
    return load_digits()


def scans_of(images):
    """Back from 0..255 to the 0..16 of the scans."""
    return np.round(images[..., 0] * (16 / 255))


def pairs(scans, labels):
    """How often each (image, label) occurs."""
    return Counter((scan.astype(np.uint8).tobytes(), int(label)) for scan, label in zip(scans, labels))


def test_sizes_of_the_splits(builder, splits):
    assert {name: len(images) for name, (images, _) in splits.items()} == {"train": 1297, "test": 500}
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 1297,
        "test": 500,
    }


def test_the_splits_share_no_image_and_are_scikit_learns_set_with_its_labels(splits, scans):
    train, test = (pairs(scans_of(images), labels) for images, labels in splits.values())
    assert not {image for image, _ in train} & {image for image, _ in test}
    assert train + test == pairs(scans.images, scans.target)


def test_the_split_is_stratified(splits, scans):
    share = np.bincount(scans.target) * (500 / 1797)
    assert np.all(np.abs(np.bincount(splits["test"][1], minlength=10) - share) < 1)


def test_the_levels_are_spread_evenly_over_all_bytes(splits):
    images = np.concatenate([images for images, _ in splits.values()])
    assert images.dtype == np.uint8
    assert images.shape == (1797, 8, 8, 1)
    values = np.unique(images)
    assert LEVELS == 17
    assert len(values) == LEVELS
    assert (values[0], values[-1]) == (0, 255)
    assert set(np.diff(values.astype(int))) == {15, 16}, "255/16 is 15.94"


def test_what_the_builder_says_of_itself(builder):
    assert builder.info.features["image"].shape == (8, 8, 1)
    assert builder.info.features["label"].names == list("0123456789")
    assert builder.info.supervised_keys == ("image", "label")
    assert set(builder.RELEASE_NOTES) == {str(builder.version)}


@pytest.fixture(scope="module")
def strokes(tmp_path_factory):
    made = source("digits_stroke").builder(
        Dataset(name="digits_stroke"), str(tmp_path_factory.mktemp("tfds"))
    )
    made.download_and_prepare()
    whole = {name: tfds.as_numpy(made.as_dataset(split=name, batch_size=-1)) for name in ("train", "test")}
    assert tuple(made.info.features["label"].names) == STROKES == ("thin", "medium", "thick")
    return {name: (split["image"], split["label"]) for name, split in whole.items()}


def test_strokes_are_the_same_images_in_the_same_order(splits, strokes):
    for name in ("train", "test"):
        np.testing.assert_array_equal(strokes[name][0], splits[name][0])


def test_strokes_part_the_training_images_into_thirds_by_ink(strokes):
    ink = {name: scans_of(images).sum(axis=(1, 2)) for name, (images, _) in strokes.items()}
    classes = [ink["train"][strokes["train"][1] == label] for label in range(3)]
    assert classes[0].max() < classes[1].min()
    assert classes[1].max() < classes[2].min()
    ties = max(Counter(ink["train"]).values())
    assert all(abs(len(one) - 1297 / 3) <= ties for one in classes)
    by_training = np.digitize(ink["test"], [classes[0].max(), classes[1].max()], right=True)
    np.testing.assert_array_equal(strokes["test"][1], by_training)
