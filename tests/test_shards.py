"""Shards on disk: read as one array, and merged to the file that NumPy writes."""

import zipfile

import numpy as np
import pytest

from ebm_tf import shards
from ebm_tf.errors import MissingInput
from ebm_tf.shards import (
    Drawn,
    Shards,
    Stacked,
    in_order,
    open_shard,
    save_npz,
    shards_among,
    write_card,
    write_shard,
)
from tests.refusals import refused

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 3, 2)).astype(np.uint8)
ACCEPTANCE = np.linspace(0, 1, 23)


@pytest.fixture(params=[[23], [10, 10, 3], [1] * 23], ids=["one", "uneven", "of one image"])
def sizes(request):
    return request.param


@pytest.fixture
def written(tmp_path, sizes):
    """Shards of these sizes, written in batches of 4, the last one first."""
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    folders = []
    for first, size in reversed(list(zip(starts, sizes))):
        folder = tmp_path / f"from {first}"
        folder.mkdir()
        rows = [slice(row, min(row + 4, first + size)) for row in range(first, first + size, 4)]
        kinds = {
            "plain": [Drawn(IMAGES[row]) for row in rows],
            "mala": [Drawn(255 - IMAGES[row], ACCEPTANCE[row]) for row in rows],
        }
        write_shard(folder, range(first, first + size), kinds.items())
        folders.append(folder)
    return Shards(folders, IMAGES.shape)


def test_shards_in_any_order_are_one_array(written, monkeypatch):
    monkeypatch.setattr(shards, "BLOCK", 4)
    for kind, images in (("plain", IMAGES), ("mala", 255 - IMAGES)):
        stacked = written.images(kind)
        assert stacked.shape == images.shape
        assert len(stacked) == 23
        blocks = list(stacked.blocks())
        assert max(map(len, blocks)) <= 4
        np.testing.assert_array_equal(np.concatenate(blocks), images)
        for numbers in ([0], [22, 0, 10, 9, 10], range(23)):
            np.testing.assert_array_equal(stacked.take(numbers), images[numbers])
    np.testing.assert_array_equal(written.acceptance("mala"), ACCEPTANCE)


def test_a_shard_alone_has_its_numbers_and_its_samples(written):
    for numbers, folder in written.shards:
        found, kinds = open_shard(folder)
        assert found == numbers
        assert list(kinds) == ["mala", "plain"]
        np.testing.assert_array_equal(kinds["plain"], IMAGES[numbers.start : numbers.stop])
        np.testing.assert_array_equal(kinds["mala"], 255 - IMAGES[numbers.start : numbers.stop])
        assert all(isinstance(images, np.memmap) for images in kinds.values())


class TestAlone:
    """What is no shard, each in one line."""

    @pytest.fixture
    def shard(self, tmp_path):
        write_shard(tmp_path, range(5, 9), [("fresh", [Drawn(IMAGES[5:9], ACCEPTANCE[5:9])])])
        return tmp_path

    @pytest.mark.parametrize(
        "wrong, said",
        [
            (IMAGES[:3], r"it holds uint8 of shape \(3, 4, 3, 2\), not uint8 of \(4, None, None, None\)"),
            (IMAGES[:4, :, :, 0], r"it holds uint8 of shape \(4, 4, 3\), not"),
            (IMAGES[:4] / 255, r"it holds float64 of shape \(4, 4, 3, 2\), not uint8"),
        ],
    )
    def test_other_images_than_its_card_says(self, shard, wrong, said):
        np.save(shard / "fresh.npy", wrong)
        refused(f"cannot read .*fresh.npy of a shard: {said}", open_shard, shard, kind=MissingInput)

    def test_a_shard_without_samples(self, shard):
        (shard / "fresh.npy").unlink()
        said = f"cannot read {shard} of a shard: it holds no samples; rebuild it with --force DrawSamples"
        refused(said, open_shard, shard, kind=MissingInput)


def test_what_was_measured_of_shards_is_put_in_order(tmp_path):
    folders = []
    for first, count in ((8, 3), (0, 4), (4, 4)):
        folder = tmp_path / f"from {first}"
        folder.mkdir()
        write_card(folder, range(first, first + count))
        folders.append(folder)
    inputs = {"Extractor": tmp_path, **{f"shard {number}": folder for number, folder in enumerate(folders)}}
    assert shards_among(inputs) == folders
    ordered = in_order(folders, 11, "MeasureShard")
    assert ordered == [(range(4), folders[1]), (range(4, 8), folders[2]), (range(8, 11), folders[0])]
    said = "the shards hold the samples 0 to 3, 8 to 10, not 0 to 10; rebuild them with --force MeasureShard"
    refused(said, in_order, folders[:2], 11, "MeasureShard", kind=MissingInput)
    refused("not 0 to 11; rebuild", in_order, folders, 12, "MeasureShard", kind=MissingInput)
    (folders[1] / "shard.json").write_text("{")
    said = "shard.json of a shard: .*; rebuild it with --force MeasureShard"
    refused(said, in_order, folders, 11, "MeasureShard", kind=MissingInput)


def test_images_are_mapped_not_loaded(written):
    assert all(isinstance(part, np.memmap) for part in written.images("plain").parts)


@pytest.mark.parametrize("labels", [None, np.arange(23, dtype=np.int32) % 5])
def test_the_merged_file_is_the_one_of_numpy(tmp_path, written, labels):
    save_npz(tmp_path / "merged.npz", written.images("plain"), labels)
    np.savez(tmp_path / "numpy.npz", images=IMAGES, **({} if labels is None else {"labels": labels}))
    assert (tmp_path / "merged.npz").read_bytes() == (tmp_path / "numpy.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "merged.npz") as archive:
        assert archive.testzip() is None


def test_arrays_of_memory_are_stacked_too():
    stacked = Stacked([IMAGES[:5], IMAGES[5:]])
    np.testing.assert_array_equal(stacked.take([4, 5, 22]), IMAGES[[4, 5, 22]])
