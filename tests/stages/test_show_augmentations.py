"""ShowAugmentations: originals at the left, draws at their right, and numbers that the settings explain."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ebm_tf.config import Augmentation
from ebm_tf.figures import MARGIN
from tests.stages.running import run_stage
from tests.stores import write_store

SIZE = 8


def stored(folder, channels, levels=256, count=10):
    """A store of `count` random training images with the given number of grey levels."""
    level = np.random.default_rng(0).integers(0, levels, (count, SIZE, SIZE, channels))
    images = np.round(level * 255 / (levels - 1)).astype(np.uint8)
    write_store(folder, {"train": images}, levels=levels)
    return images


def show(tmp_path, **settings):
    """Run the stage: tiles [rows, 12, H, W, 3] of its picture, its metrics, and what it said."""
    inputs, augmentation = {"PrepareDataset": tmp_path / "store"}, Augmentation(**settings)
    out, told = run_stage("ShowAugmentations", tmp_path, inputs, augmentation=augmentation, seed=3)
    with Image.open(out / "augmentations.png") as picture:
        sheet = np.asarray(picture)[MARGIN:, MARGIN:]
    pitch = 48 + MARGIN
    rows = sheet.reshape(sheet.shape[0] // pitch, pitch, 12, pitch, 3).swapaxes(1, 2)
    tiles = rows[:, :, :48:6, :48:6]
    metrics = json.loads((out / "metrics.json").read_text())
    return tiles, metrics, [event["message"] for event in told]


def test_a_row_holds_the_original_and_eleven_draws(tmp_path):
    images = stored(tmp_path / "store", 3)
    tiles, metrics, _ = show(tmp_path, crop_area=0.2, flip=True, colour_strength=1.0)
    np.testing.assert_array_equal(tiles[:, 0], images[:8])
    for row in tiles:
        assert len(np.unique(row, axis=0)) == 12, "all different"
    assert metrics["active"] is True
    assert metrics["draws"] == 10_000
    assert metrics["crop_area"]["min"] == pytest.approx(0.2, abs=0.001)
    assert metrics["crop_area"]["max"] == pytest.approx(1, abs=0.001)
    assert metrics["aspect_ratio"]["min"] == pytest.approx(3 / 4, abs=0.001)
    assert metrics["aspect_ratio"]["max"] == pytest.approx(4 / 3, abs=0.001)
    assert metrics["flip_share"] == pytest.approx(0.5, abs=0.02)
    assert metrics["jitter_share"] == pytest.approx(0.8, abs=0.02)
    assert metrics["grey_share"] == pytest.approx(0.2, abs=0.02)
    for name in ("brightness", "contrast", "saturation"):
        assert metrics[name]["min"] == pytest.approx(0.2, abs=0.001)
        assert metrics[name]["max"] == pytest.approx(1.8, abs=0.001)
    assert metrics["hue"]["min"] == pytest.approx(-0.2, abs=0.001)
    assert metrics["hue"]["max"] == pytest.approx(0.2, abs=0.001)


@pytest.mark.parametrize("levels", [17, 256])
def test_where_augmentation_is_off_it_shows_and_says_so(tmp_path, levels):
    images = stored(tmp_path / "store", 1, levels)
    tiles, metrics, said = show(tmp_path)
    np.testing.assert_array_equal(tiles, np.broadcast_to(images[:8, None], (8, 12, SIZE, SIZE, 3)))
    assert metrics == {
        "active": False,
        "said": "augmentation is off: the images of a row are identical",
        "images": 8,
    }
    assert said == [metrics["said"]] * 2


def test_numbers_are_of_what_is_done_alone(tmp_path):
    stored(tmp_path / "store", 1, count=3)
    tiles, metrics, _ = show(tmp_path, colour_strength=0.5, jitter_probability=0.0)
    assert len(tiles) == 3, "no more rows than images"
    assert metrics["jitter_share"] == 0
    assert metrics["brightness"] is None
    missing = {"crop_area", "flip_share", "saturation", "hue", "grey_share"}
    assert not missing & set(metrics), "no crop, no flip; grey images have no colours"


def test_the_same_seed_gives_the_same_picture(tmp_path):
    stored(tmp_path / "store", 3)
    first, _, _ = show(tmp_path, crop_area=0.1, colour_strength=1.0)
    again, _, _ = show(tmp_path, crop_area=0.1, colour_strength=1.0)
    np.testing.assert_array_equal(first, again)
