"""EvaluateFID: its rows are the kinds of samples that there are, under their own titles, in any features."""

import json

import numpy as np
import pytest

from ebm_tf.config import Compute, Evaluation
from ebm_tf.config import Extractor as ExtractorSettings
from ebm_tf.errors import MissingInput
from ebm_tf.evaluation.extractors.classifier import Classifier, classifier_network, save_classifier
from ebm_tf.shards import Drawn, write_shard
from tests.refusals import refused
from tests.stages.running import run_stage
from tests.stores import write_store

SETTINGS = Evaluation(baseline_count=70, kid_subsets=2, bootstrap=10)
RANDOM_CONV = ExtractorSettings(name="random-conv")


class Bench:
    """Folders of artifacts of random images, and the stages that make and read them."""

    def __init__(self, root):
        self.root, self.inputs = root, {}
        random = np.random.default_rng(0)
        self.images = {
            split: (random.integers(0, 17, (80, 8, 8, 1)) * 15).astype(np.uint8)
            for split in ("train", "test")
        }
        write_store(self.folder("PrepareDataset"), self.images, classes=["a", "b"])

    def folder(self, name):
        self.inputs[name] = self.root / name
        self.inputs[name].mkdir()
        return self.inputs[name]

    def run(self, task, name="", inputs=None, **changes):
        """Run a stage, on all that there is unless told otherwise; others find its output under the name."""
        made, name = dict(self.inputs) if inputs is None else inputs, name or task
        self.inputs[name], self.said = run_stage(task, self.root / f"run of {name}", made, **changes)
        return self.inputs[name]

    def classifier(self):
        save_classifier(classifier_network((8, 8, 1), 2), 2, 0.95, self.folder("Extractor"))

    def shards(self, samples, size, extraction_batch=256):
        """Draw and measure the samples in shards of that size, the last one first."""
        starts = range(0, len(samples), size)
        for number, first in reversed(list(enumerate(starts, start=1))):
            rows = range(first, min(first + size, len(samples)))
            drawn = self.root / f"drawn {number}"
            drawn.mkdir()
            write_shard(drawn, rows, [("fresh", [Drawn(samples[rows.start : rows.stop])])])
            inputs = {"Extractor": self.inputs["Extractor"], "DrawSamples": drawn}
            compute = Compute(extraction_batch=extraction_batch)
            self.run("MeasureShard", f"shard {number}", inputs, shard=[first, len(rows)], compute=compute)

    def measure(self, samples, **labels):
        """Everything that EvaluateFID reads."""
        self.run("ReferenceStatistics")
        self.run("BaselineStatistics", evaluation=SETTINGS)
        folder = self.folder("GenerateSamples")
        np.savez(folder / "fresh.npz", images=samples, **labels)
        kinds = {"fresh": {"title": "SNGAN", "images": len(samples)}}
        (folder / "samples.json").write_text(json.dumps({"weights": "last", "kinds": kinds}))
        out = self.run("EvaluateFID", evaluation=SETTINGS)
        return json.loads((out / "metrics.json").read_text()), (out / "summary.txt").read_text()


def flat(values, at=""):
    """Every number and word in some JSON, by its place."""
    if not isinstance(values, (dict, list)):
        return {at: values}
    pairs = values.items() if isinstance(values, dict) else enumerate(values)
    return {place: value for key, part in pairs for place, value in flat(part, f"{at}/{key}").items()}


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_one_kind_of_samples_stands_beside_the_rows_of_context(bench):
    bench.classifier()
    metrics, summary = bench.measure(bench.images["train"])
    rows = ["fresh", "real_test", "uniform_noise", "gaussian_pixels"]
    assert list(metrics["titles"]) == list(metrics["frechet_distance"]) == rows
    assert metrics["titles"]["fresh"] == "SNGAN"
    assert metrics["frechet_distance"]["fresh"] == pytest.approx(0, abs=1e-3), "they are the training images"
    assert metrics["precision"]["fresh"] == metrics["recall"]["fresh"] == metrics["density"]["fresh"] == 1
    assert set(metrics["intervals"]["fresh"]) >= {"frechet_distance", "kid", "precision", "recall"}
    assert metrics["protocol"]["weights"] == "last"
    assert metrics["protocol"]["chains"] == {}
    assert metrics["protocol"]["images"] == {
        "fresh": 80,
        "real_test": 80,
        "uniform_noise": 70,
        "gaussian_pixels": 70,
    }
    assert metrics["protocol"]["reference"]["images"] == 80
    assert metrics["extractor_test_accuracy"] == 0.95
    lines = summary.splitlines()
    assert lines[1].startswith("SNGAN ")
    assert lines[0].split()[:3] == ["Frechet", "95%", "interval"]
    assert "SNGAN: rarest class" in summary
    assert "a classifier that gets 95.0% of the test images right" in summary
    assert "EBM" not in summary
    assert bench.said[-1]["done"] == bench.said[-1]["total"]


def test_of_samples_drawn_by_class_the_agreement_is_told(bench):
    bench.classifier()
    images = bench.images["train"]
    labels = Classifier.open(bench.inputs["Extractor"])(images).logits.argmax(axis=1)
    labels[:20] = 1 - labels[:20]
    metrics, summary = bench.measure(images, labels=labels)
    assert metrics["label_agreement"] == {"fresh": 0.75}
    assert "SNGAN: the extractor takes 75.0% for the class that was asked for." in summary


def test_features_that_nobody_trained_will_do_too(bench):
    bench.run("ImportFeatureExtractor", "Extractor", extractor=RANDOM_CONV)
    metrics, summary = bench.measure(bench.images["test"])
    assert metrics["protocol"]["extractor"]["name"] == "random-conv"
    assert metrics["frechet_distance"]["fresh"] == pytest.approx(
        metrics["frechet_distance"]["real_test"], rel=1e-9
    )
    assert metrics["frechet_distance"]["uniform_noise"] > 0
    assert metrics["inception_score"] == dict.fromkeys(metrics["titles"])
    assert metrics["class_share"] is None
    assert (
        metrics["omitted"]["fresh"]["inception_score"] == "the extractor random-conv does not classify images"
    )
    assert "No inception score: the extractor random-conv does not classify images." in summary
    assert "features of random-conv (sha256 " in summary
    assert "Not an Inception FID." in summary
    assert not (bench.inputs["EvaluateFID"] / "class_share.png").exists()


def test_an_imported_extractor_is_the_one_that_was_demanded(bench):
    wrong = RANDOM_CONV.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(Exception, match=f"and {'0' * 64} is demanded"):
        bench.run("ImportFeatureExtractor", "Extractor", extractor=wrong)


class TestInShards:
    """Features that MeasureShard made."""

    @pytest.fixture
    def whole(self, bench, tmp_path):
        """A bench with a classifier, and another beside it with the same one."""
        bench.classifier()
        (tmp_path / "beside").mkdir()
        beside = Bench(tmp_path / "beside")
        beside.inputs["Extractor"] = bench.inputs["Extractor"]
        return bench, beside

    @pytest.mark.parametrize("extraction_batch", [256, 16])
    def test_the_numbers_are_those_of_samples_measured_at_once(self, whole, extraction_batch):
        bench, beside = whole
        samples, labels = bench.images["test"], np.arange(80) % 2
        expected, summary = bench.measure(samples, labels=labels)
        beside.shards(samples, 32, extraction_batch)
        assert {path.name for path in beside.inputs["shard 2"].iterdir()} == {"fresh", "shard.json"}
        assert beside.said[-1] == {
            "event": "progress",
            "done": 32,
            "total": 32,
            "message": "features: fresh samples",
        }
        metrics, in_shards = beside.measure(samples, labels=labels)
        assert beside.said[0]["message"] == "merged features of fresh of 3 shards"
        assert "features: fresh.npz" not in [event["message"] for event in beside.said]
        assert metrics["protocol"] == expected["protocol"]
        found, wanted = flat(metrics), flat(expected)
        assert found.keys() == wanted.keys()
        numbers = {place for place, value in wanted.items() if isinstance(value, float)}
        assert len(numbers) > 50
        for place in wanted:
            close = pytest.approx(wanted[place], rel=1e-6, abs=1e-9) if place in numbers else wanted[place]
            assert found[place] == close, place
        assert in_shards == summary

    def test_shards_of_other_samples_are_refused(self, whole):
        bench, _ = whole
        bench.shards(bench.images["test"], 32)
        said = "^features 0 to 31 are of other images than fresh.npz has there; measure them anew with --force Meas"
        refused(said, bench.measure, bench.images["train"], kind=MissingInput)

    def test_a_shard_that_is_not_there_is_told(self, whole):
        bench, _ = whole
        bench.shards(bench.images["test"], 32)
        del bench.inputs["shard 2"]
        said = "^the shards hold the samples 0 to 31, 64 to 79, not 0 to 79; rebuild them with --force MeasureShard$"
        refused(said, bench.measure, bench.images["test"], kind=MissingInput)


@pytest.mark.parametrize(
    ("extractor", "told"),
    [
        ({"name": "pixels", "path": "/x"}, "extractor.path is /x, but pixels takes none"),
        ({"name": "saved-model"}, "extractor.name is saved-model, which needs extractor.path"),
        ({"name": "vgg"}, "Input should be 'classifier', 'inception'"),
        ({"name": "inception", "sha256": "12"}, "String should match pattern"),
    ],
)
def test_an_extractor_that_cannot_be_is_refused(extractor, told):
    with pytest.raises(ValueError, match=told):
        ExtractorSettings(**extractor)
