"""The contact sheet: rows of classes with names, whatever the size of the images and the number of classes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ebm_tf.datasets.contact_sheet import CAPTION, COLUMNS, ROWS, save_contact_sheet


def sheet(tmp_path, images, labels, classes):
    save_contact_sheet(images, np.asarray(labels), classes, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        return np.asarray(picture.convert("RGB"))


def test_each_row_shows_its_class_alone(tmp_path):
    labels = np.arange(90) % 3
    images = np.broadcast_to(np.uint8([20, 120, 220])[labels][:, None, None, None], (90, 32, 32, 1))
    picture = sheet(tmp_path, images, labels, ["a", "b", "c"])
    rows = np.array_split(picture[:, CAPTION:], 3)
    for row, value in zip(rows, (20, 120, 220)):
        inside = row[10:-10]
        assert {20, 120, 220} & set(np.unique(inside)) == {value}


def test_names_stand_at_the_left_and_long_ones_are_cut(tmp_path):
    images, classes = (
        np.zeros((40, 16, 16, 3), np.uint8),
        ["x", "a very long name of a class that goes on and on"],
    )
    short = sheet(tmp_path, images, np.arange(40) % 2, ["x", "y"])
    long = sheet(tmp_path, images, np.arange(40) % 2, classes)
    assert short.shape[0] == long.shape[0]
    assert 0 < long.shape[1] - short.shape[1] <= CAPTION
    assert (long[:, :20] == 255).any(), "white letters"


@pytest.mark.parametrize("size", [8, 32, 128, 256])
def test_images_of_any_size_make_a_sheet_that_a_screen_holds(tmp_path, size):
    picture = sheet(tmp_path, np.zeros((64, size, size, 3), np.uint8), np.full(64, -1), [])
    assert 300 <= picture.shape[1] <= 2200


def test_a_class_with_few_images_and_very_many_classes(tmp_path):
    classes = [str(number) for number in range(1000)]
    picture = sheet(tmp_path, np.full((30, 16, 16, 1), 255, np.uint8), np.zeros(30, int), classes)
    high = picture.shape[0] / ROWS
    assert (picture[: int(high), CAPTION:] == 255).mean() > 0.5
    assert not (picture[int(high) + 5 :, CAPTION:] == 255).any()
    assert picture.shape[1] > COLUMNS * 40
