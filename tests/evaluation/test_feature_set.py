"""Features on disk: all images count, in any batches, after any interruption; an unfinished set is no set."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from ebm_tf.datasets.image_sets import ArrayImages
from ebm_tf.errors import EBMError, MissingInput
from ebm_tf.evaluation import feature_set
from ebm_tf.evaluation.extractors.base import Extracted, FeatureExtractor, Identity
from ebm_tf.evaluation.feature_set import FeatureSet, extract, merge
from ebm_tf.evaluation.statistics import Moments
from tests.refusals import refused


class Moving(FeatureExtractor):
    """Pixel sums in three weightings, and two logits; fails after `limit` calls. shown: images so far."""

    def __init__(self, limit=10**6, name="moving", scale=1.0):
        self.identity = Identity(name, "1", "0" * 64, "as it is", 3, 2)
        self.limit, self.scale, self.shown = limit, scale, 0

    def __call__(self, images):
        if self.limit == 0:
            raise KeyboardInterrupt
        self.limit -= 1
        self.shown += len(images)
        flat = images.reshape(len(images), -1).astype(np.float32)
        weights = np.linspace(-1, 1, flat.shape[1] * 5, dtype=np.float32).reshape(-1, 5)
        with np.errstate(over="ignore"):
            out = (flat[:, :, None] * weights).sum(axis=1) * np.float32(self.scale)
        return Extracted(out[:, :3], out[:, 3:])


@pytest.fixture
def images():
    return ArrayImages(np.random.default_rng(0).integers(0, 256, (23, 4, 4, 1), np.uint8))


@pytest.fixture
def whole(images, tmp_path):
    return extract(Moving(), images, tmp_path / "whole", 100)


@pytest.mark.parametrize("size", [1, 2, 11, 22, 23])
def test_the_batch_size_changes_nothing(size, images, whole, tmp_path):
    told = []
    found = extract(Moving(), images, tmp_path / "set", size, lambda *now: told.append(now))
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_array_equal(found.logits, whole.logits)
    assert found.moments.count == len(found) == 23, "also the last image, alone in its batch"
    np.testing.assert_array_equal(found.moments.mean, whole.moments.mean)
    total = sum(int.from_bytes(hashlib.sha256(image.tobytes()).digest(), "big") for image in images.images)
    whole_sum = (total % 2**256).to_bytes(32, "big")
    assert found.images_sha256 == hashlib.sha256(b"(4, 4, 1)" + whole_sum).hexdigest()
    assert told[0] == (0, 23)
    assert told[-1] == (23, 23)


def test_moments_are_those_of_all_features(whole):
    features = np.asarray(whole.features, np.float64)
    np.testing.assert_allclose(whole.moments.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(whole.moments.covariance(), np.cov(features, rowvar=False), rtol=1e-12)
    np.testing.assert_array_equal(whole.predicted, np.argmax(whole.logits, axis=1))


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_an_interrupted_extraction_goes_on(calls, images, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        extract(Moving(calls), images, tmp_path / "set", 5)
    with pytest.raises(MissingInput, match="no finished features in"):
        FeatureSet.open(tmp_path / "set")
    for name in ("features.npy", "logits.npy")[: 1 + calls % 2]:
        with (tmp_path / "set" / name).open("ab") as file:
            file.write(b"a row that was not told of, and half")
    told = []
    found = extract(Moving(), images, tmp_path / "set", 4, lambda *now: told.append(now))
    assert told[0] == (5 * calls, 23), "what was done is not done again"
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_array_equal(found.logits, whole.logits)
    np.testing.assert_array_equal(found.moments.scatter, whole.moments.scatter)
    assert found.images_sha256 == whole.images_sha256


def test_features_of_another_extractor_are_not_gone_on_with(images, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        extract(Moving(2, "other", 3.0), images, tmp_path / "set", 5)
    found = extract(Moving(), images, tmp_path / "set", 5)
    np.testing.assert_array_equal(found.features, whole.features)
    assert found.identity.name == "moving"


def other_images(images, start=0):
    """The same from some image on changed."""
    changed = images.images.copy()
    changed[start:] = 255 - changed[start:]
    return ArrayImages(changed)


def interrupted(images, folder, calls=3):
    """After `calls` batches of 5."""
    with pytest.raises(KeyboardInterrupt):
        extract(Moving(calls), images, folder, 5)


@pytest.mark.parametrize("start", [0, 14])
def test_features_of_other_images_are_not_gone_on_with(start, images, whole, tmp_path):
    """Of as many, of which one that was done is another."""
    interrupted(other_images(images, start), tmp_path / "set")
    told = []
    found = extract(Moving(), images, tmp_path / "set", 4, lambda *now: told.append(now))
    assert told[0] == (0, 23)
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_array_equal(found.logits, whole.logits)
    np.testing.assert_array_equal(found.moments.mean, whole.moments.mean)
    assert found.images_sha256 == whole.images_sha256


def test_images_that_differ_only_where_nothing_was_done_are_gone_on_with(images, whole, tmp_path):
    interrupted(other_images(images, 15), tmp_path / "set")
    told = []
    found = extract(Moving(), images, tmp_path / "set", 4, lambda *now: told.append(now))
    assert told[0] == (15, 23)
    np.testing.assert_array_equal(found.features, whole.features)
    assert found.images_sha256 == whole.images_sha256


def test_a_finished_set_of_other_images_is_made_anew(images, whole, tmp_path):
    extract(Moving(), other_images(images, 22), tmp_path / "set", 5)
    found = extract(Moving(), images, tmp_path / "set", 5)
    np.testing.assert_array_equal(found.features, whole.features)
    assert found.images_sha256 == whole.images_sha256


def test_a_finished_set_is_not_made_again(images, whole, tmp_path):
    extract(Moving(), images, tmp_path / "set", 5)
    found = extract(Moving(limit=0), images, tmp_path / "set", 4)
    np.testing.assert_array_equal(found.features, whole.features)
    assert found.images_sha256 == whole.images_sha256


def test_the_same_bytes_in_another_shape_are_other_images(images, tmp_path):
    flat = ArrayImages(images.images.reshape(23, 2, 8, 1))
    found, other = (
        extract(Moving(), these, tmp_path / name, 5) for name, these in {"a": images, "b": flat}.items()
    )
    assert found.images_sha256 != other.images_sha256


@pytest.mark.parametrize("left", [b"", b"\x93NUMPY\x01", b"other bytes" * 30])
@pytest.mark.parametrize("name", ["features.npy", "logits.npy", "progress.json", "begun.json"])
def test_a_file_without_its_head_is_made_anew(name, left, images, whole, tmp_path):
    interrupted(images, tmp_path / "set")
    (tmp_path / "set" / name).write_bytes(left)
    found = extract(Moving(), images, tmp_path / "set", 4)
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_array_equal(found.logits, whole.logits)


def test_a_file_that_lacks_rows_is_made_anew(images, whole, tmp_path):
    """As after the machine itself has stopped."""
    interrupted(images, tmp_path / "set")
    path = tmp_path / "set" / "logits.npy"
    path.write_bytes(path.read_bytes()[:-12])
    np.testing.assert_array_equal(extract(Moving(), images, tmp_path / "set", 4).logits, whole.logits)


class Killed(BaseException):
    """Nothing catches it."""


MOMENTS = 60  # more than there are


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_at_any_moment_it_goes_on(moment, images, whole, tmp_path, monkeypatch):
    """As soon as a file was opened (to write: it is empty), replaced, cut or removed, while another set gives way."""
    folder, left = tmp_path / "set", [moment]
    extract(Moving(), other_images(images), folder, 10)

    def counted(change):
        def counting(*given, **named):
            result = change(*given, **named)
            left[0] -= 1
            if left[0] < 0:
                if hasattr(result, "close"):
                    result.close()
                raise Killed
            return result

        return counting

    with monkeypatch.context() as patch:
        for owner, name in ((Path, "open"), (Path, "replace"), (os, "truncate"), (os, "unlink")):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        killed = Moving()
        try:
            extract(killed, images, folder, 10)
        except Killed:
            assert moment < MOMENTS - 1, "the last moment is after the end"
    extractor = Moving()
    found = extract(extractor, images, folder, 10)
    assert killed.shown + extractor.shown <= 23 + 10, "at most one batch is lost"
    np.testing.assert_array_equal(found.features, whole.features)
    np.testing.assert_array_equal(found.logits, whole.logits)
    np.testing.assert_array_equal(found.moments.scatter, whole.moments.scatter)
    assert found.images_sha256 == whole.images_sha256


def test_features_that_are_not_finite_are_refused(images, tmp_path):
    with pytest.raises(
        EBMError, match=r"gives NaN or infinity for \d of 5 images, the first of them number \d"
    ):
        extract(Moving(scale=np.float32(1e36)), images, tmp_path / "set", 5)


def test_a_damaged_set_is_told_of(images, tmp_path):
    extract(Moving(), images, tmp_path / "set", 5)
    path = tmp_path / "set" / "features.npy"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(MissingInput, match="no finished features in"):
        FeatureSet.open(tmp_path / "set")
    card = json.loads((tmp_path / "set" / "features.json").read_text())
    assert card["images"] == 23
    assert card["extractor"]["sha256"] == "0" * 64


@pytest.mark.parametrize(
    ("name", "shape", "told"),
    [
        ("features.npy", (22, 3), r"features.npy holds float32 of shape \(22, 3\), not float32 of \(23, 3\)"),
        ("features.npy", (23, 4), r"features.npy holds float32 of shape \(23, 4\)"),
        ("logits.npy", (23, 3), r"logits.npy holds float32 of shape \(23, 3\), not float32 of \(23, 2\)"),
        ("logits.npy", (22, 2), r"logits.npy holds float32 of shape \(22, 2\)"),
        ("moments.npz", (22, 3), r"moments.npz is of 22 vectors of 3, features.npy holds \(23, 3\)"),
        ("moments.npz", (23, 2), r"moments.npz is of 23 vectors of 2"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(name, shape, told, images, tmp_path):
    extract(Moving(), images, tmp_path / "set", 5)
    path, values = tmp_path / "set" / name, np.ones(shape, np.float32)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Moments.of(values).save(path)
    with pytest.raises(MissingInput, match=f"no finished features in .*: {told}"):
        FeatureSet.open(tmp_path / "set")


def test_features_of_another_kind_of_number_are_refused(images, tmp_path):
    extract(Moving(), images, tmp_path / "set", 5)
    np.save(tmp_path / "set" / "features.npy", np.ones((23, 3)))
    with pytest.raises(MissingInput, match=r"features\.npy holds float64"):
        FeatureSet.open(tmp_path / "set")


def test_the_digest_of_images_does_not_know_their_order(images, tmp_path):
    one, other, fewer = (
        extract(Moving(), ArrayImages(these), tmp_path / name, 7).images_sha256
        for name, these in (("a", images.images), ("b", images.images[::-1]), ("c", images.images[:-1]))
    )
    assert one == other
    assert one != fewer


class TestMerged:
    """Features that were measured in parts: those of all images at once."""

    @pytest.fixture
    def parts(self, images, tmp_path):
        """A function that measures the images in parts of these sizes."""

        def measured(*sizes, extractor=None):
            starts = np.cumsum([0, *sizes[:-1]])
            return [
                extract(
                    extractor or Moving(),
                    ArrayImages(images.images[start : start + size]),
                    tmp_path / f"{start} {size}",
                    4,
                )
                for start, size in zip(starts, sizes)
            ]

        return measured

    @pytest.mark.parametrize("sizes", [(23,), (8, 8, 7), (20, 1, 1, 1), (1,) * 23])
    @pytest.mark.parametrize("block", [1, 3, 250])
    def test_they_are_those_of_one_pass(self, sizes, block, parts, images, whole, tmp_path, monkeypatch):
        """Features to the bit; moments, which are merged, to the rounding of float64."""
        monkeypatch.setattr(feature_set, "BLOCK", block)
        monkeypatch.setattr(feature_set, "block_length", lambda dim: 3)
        found = merge(parts(*sizes), images, tmp_path / "merged")
        assert (tmp_path / "merged/features.npy").read_bytes() == (
            tmp_path / "whole/features.npy"
        ).read_bytes()
        assert (tmp_path / "merged/logits.npy").read_bytes() == (tmp_path / "whole/logits.npy").read_bytes()
        assert (found.identity, found.images_sha256) == (whole.identity, whole.images_sha256)
        assert found.moments.count == len(found) == 23
        np.testing.assert_allclose(found.moments.mean, whole.moments.mean, rtol=1e-12)
        np.testing.assert_allclose(found.moments.scatter, whole.moments.scatter, rtol=1e-12)

    def test_moments_are_merged_not_measured_again(self, parts, images, tmp_path):
        one, other = parts(20, 3)
        Moments(20, one.moments.mean + 1, one.moments.scatter).save(tmp_path / "0 20/moments.npz")
        found = merge([FeatureSet.open(tmp_path / "0 20"), other], images, tmp_path / "merged")
        np.testing.assert_allclose(
            found.moments.mean, (20 * (one.moments.mean + 1) + 3 * other.moments.mean) / 23, rtol=1e-12
        )

    def test_what_was_there_gives_way(self, parts, images, whole, tmp_path):
        interrupted(other_images(images), tmp_path / "merged")
        merge(parts(20, 3), images, tmp_path / "merged")
        found = merge(parts(8, 15), images, tmp_path / "merged")
        np.testing.assert_array_equal(found.features, whole.features)

    def test_parts_of_other_images_are_refused(self, parts, images, tmp_path):
        one, two, three = parts(8, 8, 7)
        anew = "; measure them anew with --force MeasureShard$"
        said = f"^features 0 to 7 are of other images than images has there{anew}"
        refused(said, merge, [two, one, three], images, tmp_path / "merged", kind=MissingInput)
        said = f"^features 16 to 22 are of other images than images has there{anew}"
        changed = other_images(images, 22)
        refused(said, merge, [one, two, three], changed, tmp_path / "merged", kind=MissingInput)
        with pytest.raises(MissingInput, match="no finished features in"):
            FeatureSet.open(tmp_path / "merged")
        said = r"have features of 16 images by moving \(sha256 0{12}\), and images are 23; measure"
        refused(said, merge, [one, two], images, tmp_path / "merged", kind=MissingInput)

    def test_parts_of_several_extractors_are_refused(self, parts, images, tmp_path):
        other = extract(Moving(name="other"), ArrayImages(images.images[8:]), tmp_path / "other", 5)
        said = r"by moving \(sha256 0{12}\) and other \(sha256 0{12}\), and images are 23; measure"
        refused(said, merge, [*parts(8), other], images, tmp_path / "merged", kind=MissingInput)

    def test_an_extractor_without_classes_has_no_logits(self, images, tmp_path):
        class Plain(Moving):
            def __init__(self):
                super().__init__()
                self.identity = Identity("plain", "1", "0" * 64, "as it is", 3)

        halves = [
            extract(Plain(), ArrayImages(images.images[rows]), tmp_path / name, 5)
            for name, rows in (("a", slice(12)), ("b", slice(12, 23)))
        ]
        found = merge(halves, images, tmp_path / "merged")
        assert found.logits is None
        assert not (tmp_path / "merged/logits.npy").exists()
        np.testing.assert_array_equal(found.features, np.concatenate([half.features for half in halves]))
