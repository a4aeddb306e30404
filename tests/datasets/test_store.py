"""The uint8 store: its content, pinned; its manifest; damage; the stream of training batches."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest

from ebm_tf.config import Dataset
from ebm_tf.datasets.store import Store, training_batches
from ebm_tf.datasets.writing import write_store
from ebm_tf.errors import MissingInput

# Of the files that hold scikit-learn's digits, split as DIGITS 1.0.0 says. Another split or order is another
# data set, under which no earlier number can be compared: it needs a new version of the builder.
SHA256 = {
    "test.npy": "b0a70c2755a91ca260ab5287426342c9cb8f72aea875b193cdbc177d38913694",
    "test_labels.npy": "7918ac35ca180656e90f9f0da8dd7d4250174a50fd18b59b31dd9fcfbe2cafc0",
    "train.npy": "b351e9bd28dfaa8d442484bf0271f7dd9480c4ac6fa8726f1640b0726fa61d15",
    "train_labels.npy": "ed4e39226344105767aa0071d7e5d6cf0ddb504c8609dfe44b59c56c270211d6",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The digits store, its manifest as returned, and what was reported on the way."""
    folder, reports = tmp_path_factory.mktemp("store"), []
    work = tmp_path_factory.mktemp("work")
    manifest = write_store(Dataset(), None, work, folder, lambda *at: reports.append(at))
    return folder, manifest, reports


@pytest.fixture(scope="module")
def store(written):
    return Store(written[0])


@pytest.fixture
def copy(written, tmp_path):
    """A store that a test may damage."""
    return shutil.copytree(written[0], tmp_path / "copy")


def test_the_files_are_these_byte_for_byte(written):
    folder, manifest, _ = written
    assert {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.npy")
    } == SHA256
    assert manifest.sha256 == SHA256


def test_the_manifest_says_what_the_files_hold(store):
    manifest = store.manifest
    for split in ("train", "test"):
        images, labels = store.images(split), store.labels(split)
        assert images.shape == (manifest.counts[split], *manifest.shape)
        assert images.dtype == np.dtype(manifest.dtype) == np.uint8
        assert labels.shape == (manifest.counts[split],)
        assert labels.dtype == np.int64
        assert set(labels.tolist()) == set(range(len(manifest.classes)))
    assert manifest.counts == {"train": 1297, "test": 500}
    assert len(np.unique(store.images("train"))) == manifest.levels == 17
    assert (manifest.dataset, manifest.version) == ("digits", "1.0.0")
    assert "CC BY 4.0" in manifest.licence


def test_the_manifest_comes_back_from_its_file(written, store):
    folder, manifest, _ = written
    assert store.manifest == manifest
    assert isinstance(store.manifest.shape, tuple)
    assert set(json.loads((folder / "manifest.json").read_text())) == set(dataclasses.asdict(manifest))


def test_images_are_mapped_not_read(store):
    images = store.images("train")
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable


def test_progress_counts_images_over_both_splits(written):
    done = [at for at, _, _ in written[2]]
    assert {(total, message) for _, total, message in written[2]} == {(1797, "images written")}
    assert done == sorted(done)
    assert done[-1] < 1797


def test_no_manifest_is_missing_input(tmp_path):
    with pytest.raises(MissingInput, match=r"no data set in .*: manifest\.json is missing"):
        Store(tmp_path)


def test_a_missing_file_is_named(copy):
    (copy / "train.npy").unlink()
    with pytest.raises(MissingInput, match=r"cannot read .*train\.npy"):
        Store(copy).images("train")
    assert len(Store(copy).images("test")) == 500


@pytest.mark.parametrize("kept", [0, 7, 100, 80_000], ids=["empty", "magic", "header", "images"])
def test_a_truncated_file_is_missing_input(copy, kept):
    whole = (copy / "train.npy").read_bytes()
    assert kept < len(whole)
    (copy / "train.npy").write_bytes(whole[:kept])
    with pytest.raises(MissingInput, match=r"cannot read .*train\.npy"):
        Store(copy).images("train")


def test_pickled_objects_are_not_loaded(copy):
    np.save(copy / "train_labels.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(MissingInput, match=r"cannot read .*train_labels\.npy"):
        Store(copy).labels("train")


def numbered(count):
    """Images of which each is known by its pixel."""
    return np.arange(count, dtype=np.uint8)[:, None, None, None]


def stream(images, batch_size, steps, seed=0, first_step=0):
    """The numbers of the images of some batches, [steps, batch_size]."""
    batches = training_batches(images, batch_size, seed, first_step).take(steps)
    return np.stack([batch.numpy()[:, 0, 0, 0] for batch in batches])


@pytest.mark.parametrize("batch_size", [1, 4, 5, 13, 30], ids="batch of {}".format)
def test_every_image_comes_once_a_pass_and_a_batch_may_be_larger_than_the_set(batch_size):
    """Of 13 images: after n batches, each was seen floor or ceil of n batch_size / 13 times."""
    seen = np.zeros(13, int)
    for number, batch in enumerate(stream(numbered(13), batch_size, 13), 1):
        np.add.at(seen, batch, 1)
        assert seen.sum() == number * batch_size
        assert seen.min() >= number * batch_size // 13
        assert seen.max() <= -(-number * batch_size // 13)
    assert np.all(seen == batch_size)


def test_passes_and_seeds_are_shuffled_differently():
    passes = [set(map(tuple, stream(numbered(50), 10, 5, seed).tolist())) for seed in (0, 0, 1)]
    assert passes[0] == passes[1]
    assert passes[0] != passes[2]
    two = stream(numbered(50), 10, 10)
    assert not np.array_equal(two[:5], two[5:])
    assert set(two[0]) != set(range(10))


@pytest.mark.parametrize("first_step", [1, 3, 4, 11])
@pytest.mark.parametrize("batch_size", [4, 30])
def test_a_resumed_stream_is_the_same(batch_size, first_step):
    images = numbered(13)
    whole = stream(images, batch_size, first_step + 5, seed=3)
    rest = stream(images, batch_size, 5, seed=3, first_step=first_step)
    np.testing.assert_array_equal(rest, whole[first_step:])


def test_a_mapped_file_streams_like_an_array(store):
    mapped = store.images("train")
    batch = next(iter(training_batches(mapped, 64, 0)))
    assert batch.shape == (64, 8, 8, 1)
    assert batch.dtype.name == "uint8"
    np.testing.assert_array_equal(batch, next(iter(training_batches(np.array(mapped), 64, 0))))
    known = {image.tobytes() for image in mapped}
    assert {image.tobytes() for image in batch.numpy()} <= known
