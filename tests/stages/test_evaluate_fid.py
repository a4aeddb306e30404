"""EvaluateFID: its rows are the kinds of samples that there are, under their own titles."""

import io
import json

import numpy as np
import pytest

from ebm_tf.config import Compute, Evaluation
from ebm_tf.evaluation.features import classifier_network, extract, load_classifier, save_classifier
from ebm_tf.stages import evaluate_fid, reference_statistics
from ebm_tf.stages.context import Context
from tests.stores import write_store

SETTINGS = Evaluation(baseline_count=70, kid_subsets=2)


@pytest.fixture
def context(tmp_path):
    """The stage on random images, an untrained classifier, and one kind of samples."""
    random = np.random.default_rng(0)
    names = ("store", "features", "references", "samples", "out")
    store, features, references, samples, out = (tmp_path / name for name in names)
    for name in names:
        (tmp_path / name).mkdir()
    images = {
        split: (random.integers(0, 17, (80, 8, 8, 1)) * 15).astype(np.uint8) for split in ("train", "test")
    }
    write_store(store, images, classes=["a", "b"])
    save_classifier(classifier_network((8, 8, 1), 2), 2, 0.95, features)
    np.savez(samples / "fresh.npz", images=np.load(store / "train.npy"))
    kinds = {"fresh": {"title": "SNGAN", "images": 80}}
    (samples / "samples.json").write_text(json.dumps({"weights": "last", "kinds": kinds}))
    inputs = {"PrepareDataset": store, "TrainFeatureExtractor": features}
    settings = {"evaluation": SETTINGS.model_dump()}
    reference_statistics.run(
        Context("ReferenceStatistics", "", settings, Compute(), inputs, tmp_path, references, io.StringIO())
    )
    inputs.update(ReferenceStatistics=references, GenerateSamples=samples)
    return Context("EvaluateFID", "", settings, Compute(), inputs, tmp_path, out, io.StringIO())


def test_one_kind_of_samples_stands_beside_the_rows_of_context(context):
    evaluate_fid.run(context)
    metrics = json.loads((context.out / "metrics.json").read_text())
    rows = ["fresh", "real_test", "uniform_noise", "gaussian_pixels"]
    assert list(metrics["titles"]) == list(metrics["frechet_distance"]) == rows
    assert metrics["titles"]["fresh"] == "SNGAN"
    assert metrics["frechet_distance"]["fresh"] == pytest.approx(0, abs=1e-3), "they are the training images"
    assert metrics["protocol"]["weights"] == "last"
    assert metrics["protocol"]["chains"] == {}
    summary = (context.out / "summary.txt").read_text()
    assert summary.splitlines()[1].startswith("SNGAN ")
    assert "SNGAN: rarest class" in summary
    assert "EBM" not in summary


def test_a_row_of_context_that_is_not_there_is_left_out(context):
    (context.inputs["ReferenceStatistics"] / "gaussian_pixels.npz").unlink()
    evaluate_fid.run(context)
    metrics = json.loads((context.out / "metrics.json").read_text())
    assert list(metrics["kid"]) == ["fresh", "real_test", "uniform_noise"]
    said = [json.loads(line) for line in context.channel.getvalue().splitlines()]
    assert all(event["done"] <= event["total"] for event in said)


def test_of_samples_drawn_by_class_the_agreement_is_told(context):
    images = np.load(context.inputs["PrepareDataset"] / "train.npy")
    network, _ = load_classifier(context.inputs["TrainFeatureExtractor"])
    labels = extract(network, images)[1].argmax(axis=1)
    labels[:20] = 1 - labels[:20]
    np.savez(context.inputs["GenerateSamples"] / "fresh.npz", images=images, labels=labels)
    evaluate_fid.run(context)
    metrics = json.loads((context.out / "metrics.json").read_text())
    assert metrics["label_agreement"] == {"fresh": 0.75}
    summary = (context.out / "summary.txt").read_text()
    assert "SNGAN: the extractor takes 75.0% for the class that was asked for." in summary
