"""A user's folder: classes, splits, a zoo of files, tiles; and what is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from ebm_tf.config import Dataset
from ebm_tf.datasets.folder_listing import held_out, list_folder, without_images
from ebm_tf.datasets.store import Store
from ebm_tf.datasets.writing import write_store
from ebm_tf.errors import ConfigError, MissingInput


def save(path, value=100, size=(12, 12)):
    """A flat RGB image, whose value tells where it came from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value,) * 3).save(path)


@pytest.fixture
def stored(tmp_path):
    """Writes the store of tmp_path/images and opens it."""

    def write(**settings):
        out = tmp_path / "out"
        out.mkdir()
        dataset = Dataset(name="folder", path=str(tmp_path / "images"), **settings)
        write_store(dataset, None, tmp_path / "work", out, lambda *at: None)
        return Store(out)

    return write


def values(store, split):
    """The values of flat images, sorted."""
    images = store.images(split)
    assert np.all(images == images[:, :1, :1, :1])
    return sorted(images[:, 0, 0, 0].tolist())


def test_sub_folders_are_classes(tmp_path, stored):
    for number, name in enumerate(("ant", "bee", "cow")):
        for index in range(8):
            save(
                tmp_path / "images" / name / ("deep" if index % 2 else "") / f"{index}.png",
                50 * number + index,
            )
    (tmp_path / "images" / "README.txt").write_text("my animals")
    store = stored(test_share=0.3)
    assert store.manifest.classes == ["ant", "bee", "cow"]
    for split in ("train", "test"):
        np.testing.assert_array_equal(store.images(split)[:, 0, 0, 0] // 50, store.labels(split))
    assert sorted(values(store, "train") + values(store, "test")) == [
        50 * number + index for number in range(3) for index in range(8)
    ]
    assert not store.manifest.unusable


def test_without_sub_folders_there_are_no_labels(tmp_path, stored):
    for index in range(6):
        save(tmp_path / "images" / f"{index}.png", index)
    store = stored()
    assert store.manifest.classes == []
    assert set(store.labels("train")) == set(store.labels("test")) == {-1}


def test_train_and_test_folders_are_the_split(tmp_path, stored):
    for split, number in (("train", 10), ("test", 200)):
        for name in ("x", "y"):
            save(tmp_path / "images" / split / name / "1.png", number + (name == "y"))
    store = stored(test_share=0.9)
    assert (values(store, "train"), values(store, "test")) == ([10, 11], [200, 201])
    assert store.manifest.classes == ["x", "y"]


def test_a_zoo_of_files_is_read_and_the_unusable_are_named(tmp_path, stored):
    folder = tmp_path / "images"
    save(folder / "rgb.jpg", size=(40, 30))
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        Image.new(mode, (20, 25)).save(folder / f"{mode.replace(';', '')}.png")
    Image.new("CMYK", (9, 31)).save(folder / "cmyk.jpg")
    whole = (folder / "rgb.jpg").read_bytes()
    (folder / "corrupt.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "zero.png").write_bytes(b"")
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden").write_text("x")
    store = stored(size=8)
    assert sum(store.manifest.counts.values()) == 8
    assert store.manifest.unusable["count"] == 3
    files = store.manifest.unusable["files"]
    assert set(files) == {"corrupt.jpg", "zero.png", "notes.txt"}
    assert "truncated" in files["corrupt.jpg"].lower()
    assert store.manifest.shape == (8, 8, 3)


def test_tiles_of_one_photograph_are_on_one_side(tmp_path, stored):
    for index in range(10):
        save(tmp_path / "images" / f"{index}.png", 20 * index, size=(33, 25))
    save(tmp_path / "images" / "small.png", 250, size=(7, 40))
    store = stored(size=8, crop="tiles", test_share=0.4)
    train, test = values(store, "train"), values(store, "test")
    assert not set(train) & set(test)
    assert sorted(train + test) == sorted([20 * index for index in range(10)] * 12)
    assert store.manifest.unusable["files"] == {"small.png": "40x7, smaller than a tile"}


def test_grey_files_stay_grey_unless_asked_otherwise(tmp_path, stored):
    for index in range(4):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("L", (8, 8), index).save(tmp_path / "images" / f"{index}.png")
    assert stored().manifest.shape == (8, 8, 1)


def test_a_limit_takes_so_many_of_each_split(tmp_path, stored):
    for index in range(10):
        save(tmp_path / "images" / f"{index}.png", 20 * index, size=(32, 16))
    assert stored(size=8, crop="tiles", limit=5, test_share=0.4).manifest.counts == {"train": 5, "test": 5}


def test_more_files_change_no_files_side():
    names = [f"{number}.png" for number in range(400)]
    train, test = held_out(names[:200], 0.25, lambda name: True)
    more_train, more_test = held_out(names, 0.25, lambda name: True)
    assert set(train) <= set(more_train)
    assert set(test) <= set(more_test)
    assert len(test) == pytest.approx(50, abs=4 * np.sqrt(200 * 0.25 * 0.75))


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize(
    "bad", [set(), {"a", "b"}, {"c", "d"}, {"a", "e"}], ids=lambda bad: "".join(sorted(bad)) or "none"
)
def test_each_side_gets_a_usable_file_if_there_are_two(share, bad):
    train, test = held_out(list("abcde"), share, lambda name: name not in bad)
    assert sorted(train + test) == list("abcde")
    assert set(train) - bad
    assert set(test) - bad


def test_one_usable_file_is_too_few():
    with pytest.raises(MissingInput, match="fewer than two of 3 files give an image, and it takes two"):
        held_out(list("abc"), 0.5, lambda name: name == "b")


def test_layouts_that_are_refused(tmp_path):
    def refused(words):
        with pytest.raises(MissingInput, match=words) as raised:
            list_folder(tmp_path)
        assert "\n" not in str(raised.value)

    refused("holds no files")
    save(tmp_path / "train" / "1.png")
    refused(r"holds train/ alone; add the other of train/ and test/, or give dataset\.path=")
    save(tmp_path / "test" / "a" / "1.png")
    refused("give both train/ and test/ a folder for each class, or neither")
    (tmp_path / "train").rename(tmp_path / "b")
    (tmp_path / "test").rename(tmp_path / "c")
    save(tmp_path / "loose.png")
    refused(r"holds folders \(b, c\), which are classes, and images beside them \(loose\.png\)")


def test_images_of_several_sizes_need_a_size(tmp_path, stored):
    for index in range(4):
        save(tmp_path / "images" / f"{index}.png", size=(10 + index, 10))
    with pytest.raises(ConfigError, match=r"images of folder differ in size; give dataset\.size"):
        stored()


def test_no_usable_image_at_all(tmp_path, stored):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).write_text("no image")
    with pytest.raises(MissingInput, match=r"none of the files in .*images is an image that can be read"):
        stored(size=8)
    for name in ("a.png", "b.png"):
        Image.new("RGB", (6, 6)).save(tmp_path / "images" / name)
    (tmp_path / "out").rmdir()
    with pytest.raises(
        MissingInput, match=r"fewer than two of 2 files give an image.*6x6, smaller than a tile"
    ):
        stored(size=8, crop="tiles")


def test_names_that_are_no_utf8(tmp_path, stored):
    (tmp_path / "images").mkdir()
    for index in range(4):
        save(tmp_path / "images" / os.fsdecode(b"caf\xe9%d.png" % index), index)
    (tmp_path / "images" / os.fsdecode(b"\xe9.txt")).write_text("no image")
    store = stored()
    assert sorted(values(store, "train") + values(store, "test")) == [0, 1, 2, 3]
    assert list(store.manifest.unusable["files"]) == [r"\udce9.txt"]


def test_a_folder_without_images_is_no_class(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / name / "a.png")
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read me.txt").write_text("no image")
    (tmp_path / "notes" / "paper.pdf").write_bytes(b"%PDF-1.4")
    listing = list_folder(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert listing.splits == {"all": ["cat/a.png", "dog/a.png"]}
    assert without_images(tmp_path) == ["empty", "notes"]


def test_a_folder_of_images_without_suffix_is_a_class(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / name / "deep" / "a.png")
        (tmp_path / name / "deep" / "a.png").rename(tmp_path / name / "deep" / "a")
        (tmp_path / name / "a list").write_text("no image")
    assert list_folder(tmp_path).classes == ("cat", "dog")
    assert without_images(tmp_path) == []


def test_folders_without_images_are_told_for_each_split(tmp_path):
    for place in ("train/cat", "train/dog", "test/cat"):
        save(tmp_path / place / "a.png")
    (tmp_path / "test" / "dog").mkdir()
    assert list_folder(tmp_path).classes == ("cat", "dog")
    assert without_images(tmp_path) == ["test/dog"]
