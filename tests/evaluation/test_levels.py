"""The level of an energy that is known: the mean ink of the images that it counts."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.datasets.store import Manifest
from ebm_tf.errors import ConfigError
from ebm_tf.evaluation import levels
from ebm_tf.evaluation.levels import level_of


class Known:
    """A data set in memory: image i is flat, of level i % 17, and its label is i % 2."""

    manifest = Manifest("known", "1", (2, 2, 1), "uint8", 17, ["a", "b", "c"], {"train": 34}, {}, "none")

    def images(self, split):
        assert split == "train"
        return (
            np.round(np.arange(34) % 17 * (255 / 16))
            .astype(np.uint8)
            .reshape(34, 1, 1, 1)
            .repeat(2, 1)
            .repeat(2, 2)
        )

    def labels(self, split):
        return np.arange(34) % 2


def brightness(images):
    return tf.reduce_mean(images, axis=[1, 2, 3])


@pytest.mark.parametrize("batch", [5, 250])
def test_the_level_is_the_mean_energy_of_the_images_at_mid_level(monkeypatch, batch):
    monkeypatch.setattr(levels, "BATCH", batch)
    assert level_of(brightness, Known()) == pytest.approx((8 + 0.5) / 17)
    ones = np.arange(1, 34, 2) % 17
    assert level_of(brightness, Known(), label=1) == pytest.approx((ones.mean() + 0.5) / 17)


def test_no_more_than_the_first_images_count(monkeypatch):
    monkeypatch.setattr(levels, "IMAGES", 3)
    assert level_of(brightness, Known(), label=0) == pytest.approx((2 + 0.5) / 17), "levels 0, 2 and 4"


def test_a_label_without_training_images_is_refused():
    words = r"no training image of known has label 2; give the label of a class that the model was trained on"
    with pytest.raises(ConfigError, match=words):
        level_of(brightness, Known(), label=2)
