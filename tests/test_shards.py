"""Shards on disk: read as one array, and merged to the file that NumPy writes."""

import zipfile

import numpy as np
import pytest

from ebm_tf import shards
from ebm_tf.shards import Drawn, Shards, Stacked, save_npz, write_shard

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
