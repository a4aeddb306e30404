"""CompareModels: a verdict for numbers measured alike, a refusal for others."""

import copy
import json

import numpy as np
import pytest
from PIL import Image

from ebm_tf.errors import EBMError
from tests.stages.running import run_stage
from tests.stores import write_store

PROTOCOL = {
    "extractor": {"name": "classifier", "sha256": "a" * 64, "features": 64, "test_accuracy": 0.98},
    "reference": {"split": "train", "images": 1297},
    "images": {"fresh": 50, "real_test": 20},
    "pixels": "uint8, quantised to the data set's levels",
    "kid": {"subsets": 100, "subset_size": {"fresh": 50, "real_test": 20}},
    "intervals": {"draws": 200, "confidence": 0.95},
    "seed": 0,
}


def judged(title, frechet, kid, weights, rows=()):
    """metrics.json of EvaluateFID, as far as it is read; `rows` are further kinds of samples."""
    names = ["fresh", *rows, "real_test"]
    protocol = copy.deepcopy(PROTOCOL)
    for row in rows:
        protocol["images"][row] = protocol["kid"]["subset_size"][row] = 40
    return {
        "titles": {name: title if name == "fresh" else name for name in names},
        "frechet_distance": dict.fromkeys(names, 2.0) | {"fresh": frechet},
        "kid": dict.fromkeys(names, 0.5) | {"fresh": kid},
        "kid_spread": dict.fromkeys(names, 0.25),
        "class_entropy": dict.fromkeys(names, 2.2),
        "class_share": [0.1] * 10,
        "warnings": ["With 50 images the distance is biased."],
        "protocol": {**protocol, "weights": weights, "chains": {"fresh": {"steps": 85}} if rows else {}},
    }


@pytest.fixture
def ebm():
    return judged("EBM, fresh chains from noise", 8.0, 3.0, "average (EMA)", rows=["buffer"])


@pytest.fixture
def sngan():
    return judged("SNGAN", 20.0, 9.0, "last")


def compare(folder, ebm, sngan):
    """Run the stage on artifacts that hold just what it reads; its metrics and its summary."""
    random = np.random.default_rng(0)

    def artifact(name, **files):
        path = folder / name.replace(" ", "-")
        path.mkdir()
        for file, values in files.items():
            (path / f"{file}.json").write_text(json.dumps(values))
        return path

    inputs = {
        "ebm": artifact("ebm", metrics=ebm),
        "sngan": artifact("sngan", metrics=sngan),
        "ebm samples": artifact("ebm samples"),
        "sngan samples": artifact("sngan samples"),
        "TrainEBM": artifact(
            "TrainEBM", metrics={"steps": 3000, "parameters": 28208}, params={"seconds": 150.5}
        ),
        "TrainSNGAN": artifact(
            "TrainSNGAN",
            metrics={"steps": 900, "parameters": 60000, "parameters_discriminator": 50000},
            params={"seconds": 149.5},
        ),
        "PrepareDataset": artifact("PrepareDataset"),
    }
    for name in ("ebm samples", "sngan samples"):
        np.savez(inputs[name] / "fresh.npz", images=random.integers(0, 256, (50, 8, 8, 1), np.uint8))
    write_store(inputs["PrepareDataset"], {"test": random.integers(0, 256, (20, 8, 8, 1), np.uint8)})
    out, _ = run_stage("CompareModels", folder, inputs)
    with Image.open(out / "comparison.png") as picture:
        picture.verify()
    return json.loads((out / "metrics.json").read_text()), (out / "summary.txt").read_text()


def test_both_stand_side_by_side_and_the_winner_is_named(tmp_path, ebm, sngan):
    metrics, summary = compare(tmp_path, ebm, sngan)
    assert metrics["better"] == {"frechet_distance": "ebm", "kid": "ebm"}
    assert metrics["models"]["ebm"]["parameters"] == 28208
    assert metrics["models"]["sngan"]["seconds"] == 149.5
    assert metrics["differs_by_nature"]["weights"] == {"ebm": "average (EMA)", "sngan": "last"}
    assert "weights" not in metrics["protocol"]
    assert metrics["protocol"]["extractor"]["sha256"] == "a" * 64
    assert (
        "By Frechet distance the energy model is better than the SNGAN: 8.00 against 20.00 (12.00 less, "
        "2.50 times smaller)." in summary
    )
    assert "By KID the energy model is better than the SNGAN: 3.00 against 9.00" in summary
    for words in (
        "EBM, fresh chains from noise",
        "real test images",
        "discriminator of 50000 more",
        "With 50 images",
    ):
        assert words in summary


def test_the_baseline_may_win_and_the_distances_may_disagree(tmp_path, ebm, sngan):
    sngan["frechet_distance"]["fresh"], sngan["kid"]["fresh"] = 4.0, 3.0
    metrics, summary = compare(tmp_path, ebm, sngan)
    assert metrics["better"] == {"frechet_distance": "sngan", "kid": None}
    assert "By Frechet distance the SNGAN is better than the energy model: 4.00 against 8.00" in summary
    assert "By KID neither is better: both have 3.00." in summary


@pytest.mark.parametrize(
    ("of_sngan", "told"),
    [([15.0, 25.0], True), ([7.0, 25.0], False), (None, None)],
    ids=["apart", "overlapping", "not known"],
)
def test_the_models_are_told_apart_by_their_intervals(tmp_path, ebm, sngan, of_sngan, told):
    ebm["intervals"] = {"fresh": {"frechet_distance": [7.0, 9.0], "kid": None}}
    if of_sngan is not None:
        sngan["intervals"] = {"fresh": {"frechet_distance": of_sngan}}
    metrics, summary = compare(tmp_path, ebm, sngan)
    assert metrics["told_apart"] == {"frechet_distance": told, "kid": None}
    assert metrics["models"]["ebm"]["intervals"] == {"frechet_distance": [7.0, 9.0]}
    overlap = (
        "By Frechet distance the two cannot be told apart: the energy model has 8.00 against 20.00, and their 95% "
        "intervals overlap."
    )
    assert (overlap in summary) == (told is False)
    assert ("2.50 times smaller). Their 95% intervals lie apart." in summary) == (told is True)
    assert "Nobody knows" not in summary


@pytest.mark.parametrize(
    ("confidence", "why"),
    [
        (0.9, "their intervals are of different confidence (95% and 90%)"),
        (None, "the confidence of their intervals is not told"),
    ],
)
@pytest.mark.parametrize("of_sngan", [[15.0, 25.0], [7.0, 25.0]], ids=["apart", "overlapping"])
def test_intervals_of_unlike_confidence_tell_nothing(tmp_path, ebm, sngan, of_sngan, confidence, why):
    ebm["intervals"] = {"fresh": {"frechet_distance": [7.0, 9.0]}}
    sngan["intervals"] = {"fresh": {"frechet_distance": of_sngan}}
    sngan["protocol"]["intervals"] = {"draws": 200, "confidence": confidence}
    metrics, summary = compare(tmp_path, ebm, sngan)
    assert metrics["told_apart"] == {"frechet_distance": None, "kid": None}
    assert f"2.50 times smaller). Nobody knows whether by chance: {why}.\n" in summary
    assert summary.count("Nobody knows") == 1  # KID has no interval in either


def test_no_ratio_is_told_where_a_distance_is_not_positive(tmp_path, ebm, sngan):
    """KID is unbiased, so that it may fall below 0."""
    ebm["kid"]["fresh"] = -0.25
    _, summary = compare(tmp_path, ebm, sngan)
    assert "-0.25 against 9.00 (9.25 less)." in summary


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("extractor", "sha256"), "b" * 64, f"extractor.sha256 of fresh is '{'a' * 64}' for the energy"),
        (("reference", "images"), 900, "reference.images of fresh is 1297 for the energy model and 900"),
        (("images", "fresh"), 49, "images of fresh is 50 for the energy model and 49"),
        (("images", "real_test"), 19, "images of real_test is 20 for the energy model and 19"),
        (("pixels",), "float", "pixels of fresh is"),
        (("kid", "subset_size", "fresh"), 10, "kid.subset_size of fresh is 50 for the energy model and 10"),
        (("seed",), 1, "seed of fresh is 0 for the energy model and 1"),
    ],
)  # fmt: skip
def test_numbers_that_were_not_measured_alike_are_refused(tmp_path, ebm, sngan, path, value, words):
    *parents, last = path
    part = sngan["protocol"]
    for key in parents:
        part = part[key]
    part[last] = value
    with pytest.raises(EBMError, match="the models were not judged alike") as refusal:
        compare(tmp_path, ebm, sngan)
    assert words in str(refusal.value)
    assert "run EvaluateFID for both" in str(refusal.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_field_that_one_protocol_lacks_is_refused(tmp_path, ebm, sngan):
    del sngan["protocol"]["extractor"]["features"]
    with pytest.raises(EBMError, match=r"extractor\.features of fresh is 64 for the energy model and None"):
        compare(tmp_path, ebm, sngan)
