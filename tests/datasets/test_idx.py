"""IDX files written here byte by byte, plain and gzipped; every kind of damage says what is wrong."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds

from ebm_tf.config import Dataset
from ebm_tf.datasets.idx_files import IMAGES, LABELS, class_count, find_files, image_shape, read_images
from ebm_tf.datasets.registry import classes_of, image_shape_of, source
from ebm_tf.errors import MissingInput

COUNTS = {"train": 7, "test": 3}


def idx(values):
    """The bytes of an IDX file, by its definition."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def arrays(shape=(5, 4)):
    random = np.random.default_rng(1)
    images = {split: random.integers(0, 256, (count, *shape), np.uint8) for split, count in COUNTS.items()}
    labels = {split: (np.arange(count) * 2 % 7).astype(np.uint8) for split, count in COUNTS.items()}
    return images, labels


def write(folder, images, labels, zipped=False):
    for names, values in ((IMAGES, images), (LABELS, labels)):
        for split, array in values.items():
            content = idx(array)
            if zipped:
                (folder / f"{names[split]}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / names[split]).write_bytes(content)


@pytest.fixture
def files(tmp_path):
    write(tmp_path, *arrays())
    return tmp_path


def refused(folder, words):
    with pytest.raises(MissingInput, match=words) as raised:
        found = find_files(folder)
        image_shape(found), class_count(found)
        for path in found.images.values():
            list(read_images(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("shape", [(5, 4), (4, 6, 3), (3, 3, 1)], ids=str)
def test_tfds_gives_the_images_and_labels_of_the_files(tmp_path, shape, zipped):
    images, labels = arrays(shape)
    (tmp_path / "files").mkdir()
    write(tmp_path / "files", images, labels, zipped)
    dataset = Dataset(name="idx", path=str(tmp_path / "files"))
    assert image_shape_of(dataset) == (*shape, 1)[:3]
    assert classes_of(dataset) == 7
    builder = source("idx").builder(dataset, str(tmp_path / "tfds"))
    builder.download_and_prepare()
    for split in COUNTS:
        read = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
        got = {(image.tobytes(), int(label)) for image, label in zip(read["image"], read["label"])}
        assert got == {(image.tobytes(), int(label)) for image, label in zip(images[split], labels[split])}


def test_labels_are_optional(tmp_path):
    images, _ = arrays()
    write(tmp_path, images, {})
    assert classes_of(Dataset(name="idx", path=str(tmp_path))) == 0


def test_a_folder_that_is_not_there_or_lacks_a_file(files):
    refused(files / "none", r"dataset\.path is .*none, which is no folder")
    (files / IMAGES["test"]).unlink()
    refused(files, r"holds no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte\.gz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"truncated: it ends within its head"),
        (b"\x00\x00\x08", r"truncated: it ends within its head"),
        (b"\x00\x00\x08\x03\x00\x00", r"truncated: it ends within its head"),
        (b"\x89PNG\r\n\x1a\n", r"no IDX file of bytes: it begins with 89504e47"),
        (b"\x00\x00\x0d\x03" + bytes(12), r"no IDX file of bytes: it begins with 00000d03"),
        (idx(arrays()[0]["train"])[:-1], r"truncated: it ends in image 6 of 7"),
        (idx(arrays()[0]["train"])[:60], r"truncated: it ends in image 2 of 7"),
        (idx(arrays()[0]["train"]) + b"\x00", r"goes on after the 7 images that its head announces"),
        (idx(np.zeros((7, 5, 4, 2), np.uint8)), r"holds values of the shape \[7, 5, 4, 2\]; give"),
        (idx(np.zeros((7, 20), np.uint8)), r"holds values of the shape \[7, 20\]; give"),
        (idx(np.zeros((7, 0, 4), np.uint8)), r"holds values of the shape \[7, 0, 4\]; give"),
        (idx(np.zeros((7, 4, 4), np.uint8)), r"t10k-.* holds images of \[5, 4, 1\], those to train \[4, 4, 1\]"),
        (idx(np.zeros((8, 5, 4), np.uint8)), r"holds labels of the shape \[7\], train-images-idx3-ubyte 8 images"),
    ],
    ids=range(13),
)  # fmt: skip
def test_damaged_images_say_what_is_wrong(files, content, words):
    (files / IMAGES["train"]).write_bytes(content)
    refused(files, words)


def test_damaged_gzip_says_so(files):
    whole = (files / IMAGES["train"]).read_bytes()
    (files / IMAGES["train"]).unlink()
    zipped = files / f"{IMAGES['train']}.gz"
    zipped.write_bytes(gzip.compress(np.random.default_rng(0).bytes(0) + whole)[:-20])
    refused(files, r"train-images-idx3-ubyte\.gz cannot be read in image \d of 7: .*end-of-stream")
    zipped.write_bytes(whole)
    refused(files, r"train-images-idx3-ubyte\.gz cannot be read: Not a gzipped file")


def test_labels_that_do_not_belong(files):
    (files / LABELS["test"]).write_bytes(idx(np.zeros(4, np.uint8)))
    refused(files, r"t10k-labels-idx1-ubyte holds labels of the shape \[4\], t10k-images-idx3-ubyte 3 images")
    (files / LABELS["test"]).write_bytes(idx(np.zeros(3, np.uint8))[:-1])
    refused(files, r"t10k-labels-idx1-ubyte is truncated: it ends within its 3 labels")
    (files / LABELS["test"]).unlink()
    refused(files, r"labels of one split only; add t10k-labels-idx1-ubyte, or take both away")


def test_damage_found_while_tfds_reads_leaves_no_records(files, tmp_path):
    (files / IMAGES["test"]).write_bytes((files / IMAGES["test"]).read_bytes()[:-1])
    builder = source("idx").builder(Dataset(name="idx", path=str(files)), str(tmp_path / "tfds"))
    with pytest.raises(MissingInput, match=r"t10k-images-idx3-ubyte is truncated: it ends in image 2 of 3"):
        builder.download_and_prepare()
    assert not builder.is_prepared()
