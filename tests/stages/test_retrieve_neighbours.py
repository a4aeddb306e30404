"""RetrieveNeighbours on images of which some samples are known to be copies."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ebm_tf.config import Neighbours
from ebm_tf.errors import MissingInput
from ebm_tf.evaluation.extractors.pixels import Pixels
from ebm_tf.stages import retrieve_neighbours
from tests.stages.running import context_of, run_in, told_in
from tests.stages.small_models import features_in
from tests.stores import write_store

TRAIN, TESTS, SAMPLES = 90, 60, 20
COPY, MIRRORED = 3, 7
"""The samples that are a training image, of the same number, and the mirror image of one."""


@pytest.fixture
def context(tmp_path):
    """Random images; sample 3 is training image 3, sample 7 the mirror image of training image 7."""
    random = np.random.default_rng(0)
    images = {
        split: random.integers(0, 256, (count, 8, 8, 3), np.uint8)
        for split, count in (("train", TRAIN), ("test", TESTS))
    }
    labels = {split: np.arange(len(part)) % 2 for split, part in images.items()}
    samples = random.integers(0, 256, (SAMPLES, 8, 8, 3), np.uint8)
    samples[COPY], samples[MIRRORED] = images["train"][COPY], images["train"][MIRRORED][:, ::-1]
    (tmp_path / "samples").mkdir()
    np.savez(tmp_path / "samples" / "fresh.npz", images=samples)
    inputs = {
        "PrepareDataset": write_store(tmp_path / "store", images, labels, classes=["cat", "dog"]),
        "GenerateSamples": tmp_path / "samples",
    }
    return context_of("RetrieveNeighbours", tmp_path, inputs)


def run(context, **settings):
    context.settings["neighbours"] = Neighbours(**settings).model_dump(mode="json")
    run_in(context)
    return json.loads((context.out / "metrics.json").read_text())


def images_of(context):
    store, sampled = context.inputs["PrepareDataset"], context.inputs["GenerateSamples"]
    return np.load(store / "train.npy"), np.load(store / "test.npy"), np.load(sampled / "fresh.npz")["images"]


def distances_between(queries, train):
    """L2 over pixels of 0..1, [q, n]."""
    flat = [part.reshape(len(part), -1) / 255 for part in (queries, train)]
    return np.linalg.norm(flat[0][:, None] - flat[1][None], axis=2)


def table(context):
    with (context.out / "neighbours.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_distances_of_samples_and_test_images_are_told(context):
    metrics = run(context, percentile=20)
    train, tests, samples = images_of(context)
    of_samples, of_tests = (distances_between(part, train).min(axis=1) for part in (samples, tests))
    assert (metrics["samples"], metrics["tests"], metrics["k"]) == (SAMPLES, TESTS, 5)
    assert metrics["sample_to_train_mean"] == pytest.approx(of_samples.mean())
    assert metrics["sample_to_train_median"] == pytest.approx(np.median(of_samples))
    assert metrics["test_to_train_mean"] == pytest.approx(of_tests.mean())
    assert metrics["test_to_train_median"] == pytest.approx(np.median(of_tests))
    assert metrics["median_ratio"] == pytest.approx(np.median(of_samples) / np.median(of_tests))
    assert metrics["threshold"] == pytest.approx(np.percentile(of_tests, 20))
    assert metrics["share_nearer_than_percentile_test"] == np.mean(of_samples < np.percentile(of_tests, 20))
    assert metrics["share_nearer_than_median_test"] == np.mean(of_samples < np.median(of_tests))
    interval = metrics["share_interval"]
    assert interval["low"] < metrics["share_nearer_than_percentile_test"] < interval["high"]
    assert (metrics["copies"], metrics["test_copies"]) == (1 / SAMPLES, 0), (
        "the mirror image is none without flips"
    )
    assert (metrics["space"], metrics["unit"]) == ("pixels", "L2 over pixels of 0..1")
    assert metrics["warnings"] == []


def test_the_summary_says_the_same_in_words(context):
    metrics = run(context, percentile=20, flips=True)
    words = (context.out / "summary.txt").read_text()
    rows = {line[:24].strip(): line[24:].split() for line in words.splitlines()}
    told = (metrics["sample_to_train_mean"], metrics["sample_to_train_median"], SAMPLES)
    assert [float(cell) for cell in rows["fresh samples"]] == pytest.approx(told, abs=0.005)
    assert rows["real test images"][-1] == str(TESTS)
    assert "L2 over pixels of 0..1, or its mirror image.\n" in words
    share = metrics["share_nearer_than_percentile_test"]
    assert f"\n{share:.1%} (" in words and "; 10.0% are exact copies, at distance 0.\n" in words
    assert "look at neighbours.png" in words
    assert f"sample {COPY} and training image {COPY}, 0.00 apart" in words


def test_the_summary_has_the_warnings(context):
    (warning,) = run(context, percentile=5)["warnings"]
    assert (context.out / "summary.txt").read_text().endswith(f"{warning}\n")


def test_the_table_has_every_neighbour_of_every_sample(context):
    run(context, k=3)
    train, _, samples = images_of(context)
    distances = distances_between(samples, train)
    rows = table(context)
    assert len(rows) == SAMPLES * 3
    for row in rows:
        sample, rank, index = (int(row[key]) for key in ("sample", "rank", "train_index"))
        assert index == np.argsort(distances[sample])[rank - 1]
        assert float(row["distance"]) == pytest.approx(distances[sample, index], abs=1e-6)
        assert int(row["train_label"]) == index % 2
        assert row["flipped"] == "0"


def test_a_copy_is_the_closest_pair_and_a_mirrored_copy_with_flips(context):
    plain = run(context, pairs=2)
    first = {"sample": COPY, "train_index": COPY, "distance": 0.0, "flipped": False}
    assert plain["closest"][0] == first
    assert len(plain["closest"]) == 2
    assert plain["closest"][1]["distance"] > 0
    turned = run(context, pairs=2, flips=True)
    second = {"sample": MIRRORED, "train_index": MIRRORED, "distance": 0.0, "flipped": True}
    assert turned["closest"] == [first, second]
    assert turned["flips"] and not plain["flips"]


def test_with_flips_test_images_are_mirrored_too(context):
    metrics = run(context, flips=True)
    train, tests, _ = images_of(context)
    both = np.concatenate([train, train[:, :, ::-1]])
    assert metrics["test_to_train_mean"] == pytest.approx(distances_between(tests, both).min(axis=1).mean())
    assert {row["flipped"] for row in table(context)} == {"0", "1"}


def test_mirrored_neighbours_are_drawn_mirrored_and_say_so(context, monkeypatch):
    drawn = []
    monkeypatch.setattr(retrieve_neighbours, "save_neighbours", lambda *given: drawn.append(given))
    run(context, flips=True, queries=9)
    _, neighbours, distances, captions, _ = drawn[0]
    train, _, samples = images_of(context)
    np.testing.assert_array_equal(neighbours[MIRRORED, 0], samples[MIRRORED])
    np.testing.assert_array_equal(neighbours[COPY, 0], train[COPY])
    assert captions[MIRRORED][0] == "#7, dog\nmirrored"
    assert captions[COPY][0] == "#3, dog"
    assert distances.shape == (9, 5)


def test_pictures_are_written_and_progress_never_passes_its_end(context):
    run(context, flips=True, pairs=12)
    for name in ("neighbours.png", "closest.png"):
        with Image.open(context.out / name) as picture:
            assert min(picture.size) > 100
    said = told_in(context)
    assert said[-1]["done"] == said[-1]["total"]
    assert all(event["done"] <= event["total"] for event in said)


def test_k_is_at_most_the_number_of_training_images(context):
    assert run(context, k=500)["k"] == TRAIN


def test_few_test_images_are_told(context):
    (warning,) = run(context, percentile=5)["warnings"]
    assert warning.startswith("The nearest 5% of 60 test images are 3 images: too few")


def test_test_images_that_are_copies_are_told(context):
    store = context.inputs["PrepareDataset"]
    train, tests, _ = images_of(context)
    tests[:15] = train[20:35]
    np.save(store / "test.npy", tests)
    metrics = run(context, percentile=20, flips=True)
    assert (metrics["copies"], metrics["test_copies"], metrics["threshold"]) == (2 / SAMPLES, 0.25, 0)
    assert metrics["share_nearer_than_percentile_test"] == 2 / SAMPLES
    (warning,) = metrics["warnings"]
    assert warning.startswith("25% of the test images are copies of training images: ")


def test_images_without_labels_are_captioned_by_number_alone(context, monkeypatch):
    drawn = []
    monkeypatch.setattr(retrieve_neighbours, "save_neighbours", lambda *given: drawn.append(given))
    np.save(context.inputs["PrepareDataset"] / "train_labels.npy", np.full(TRAIN, -1))
    run(context)
    assert drawn[0][3][COPY][0] == "#3"


def add_features(context):
    """What the stage reads where neighbours are sought in features: here those that are the pixels."""
    store = context.inputs["PrepareDataset"]
    context.inputs.update(features_in(context.work / "measured", store, Pixels((8, 8, 3))))


@pytest.mark.parametrize("flips", [False, True])
def test_in_the_features_that_are_pixels_neighbours_are_those_of_pixels(context, flips):
    in_pixels = run(context, flips=flips, percentile=20)
    neighbours = table(context)
    add_features(context)
    in_features = run(context, flips=flips, percentile=20, space="features")
    assert in_features["unit"] == "L2 over the features of pixels"
    assert in_features["extractor"]["features"] == 192
    keys = ("samples", "tests", "k", "share_nearer_than_percentile_test", "share_interval", "flips")
    assert [in_features[key] for key in keys] == [in_pixels[key] for key in keys]
    for key in ("sample_to_train_mean", "test_to_train_mean", "threshold", "median_ratio"):
        assert in_features[key] == pytest.approx(in_pixels[key], rel=1e-6)
    for ours, theirs in zip(table(context), neighbours):
        distance, expected = float(ours.pop("distance")), float(theirs.pop("distance"))
        assert ours == theirs
        assert distance == pytest.approx(expected, abs=2e-6)


def test_without_features_of_the_training_images_it_says_what_is_missing(context):
    add_features(context)
    shutil.rmtree(context.inputs["ReferenceStatistics"] / "train")
    with pytest.raises(MissingInput, match=r"no finished features in .*train"):
        run(context, space="features")


def test_of_many_samples_the_first_are_read_and_no_more(context, monkeypatch):
    """The rest of the archive is damaged: nobody notices."""
    few = run(context, count=9)
    assert few["samples"] == 9
    samples = np.concatenate([images_of(context)[2][:9], np.zeros((100_000, 8, 8, 3), np.uint8)])
    path = context.inputs["GenerateSamples"] / "fresh.npz"
    np.savez(path, images=samples)
    with path.open("r+b") as file:
        file.seek(10_000_000)
        file.write(b"damage")
    assert run(context, count=9) == few
    with pytest.raises(MissingInput, match=r"cannot read the images of .*fresh\.npz"):
        run(context, count=100_009)


def test_samples_that_are_not_there_are_missing(context):
    (context.inputs["GenerateSamples"] / "fresh.npz").unlink()
    with pytest.raises(MissingInput, match=r"cannot read the images of .*fresh\.npz"):
        run(context)
