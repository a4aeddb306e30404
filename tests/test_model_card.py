"""The card of an exported model: the place that is kept for metrics, and what is entered there."""

from __future__ import annotations

import json

import pytest

from ebm_tf.config_files import load_experiment
from ebm_tf.errors import MissingInput
from ebm_tf.files import sha256_of
from ebm_tf.model_card import CARD, NOT_MEASURED, plain, with_metrics
from pipelines.artifact import content_digest
from pipelines.keeping.exporting import copy_out, evaluation_of
from tests.pipelines.built import build, build_all, change_record, step
from tests.refusals import refused

METRICS = {
    "titles": {"fresh": "samples | new", "real_test": "test images"},
    "frechet_distance": {"fresh": 2.854, "real_test": 2.03},
    "kid": {"fresh": None, "real_test": -3.4},
    "kid_spread": {"fresh": None, "real_test": 0.1},
    "intervals": {"fresh": {"frechet_distance": [2.5, 3.25]}, "real_test": {}},
    "protocol": {"extractor": {"name": "classifier"}, "intervals": {"confidence": 0.95}},
    "warnings": ["With 500 images <b>it</b> is biased."],
}
ROW = "| frechet_distance | 2.85 [2.50, 3.25] | 2.03 |"


def test_metrics_take_the_place_that_was_kept_for_them():
    card = with_metrics(f"before\n{NOT_MEASURED}\nafter", METRICS, "EvaluateFID/0123")
    lines = card.splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert lines[1].startswith("By EvaluateFID/0123. ")
    assert "| metric | samples \\| new | test images |" in lines
    assert ROW in lines
    assert "| kid | - | -3.40 |" in lines
    assert "kid_spread" not in card
    assert "In brackets: intervals at 0.95." in lines
    assert "With 500 images &lt;b>it&lt;/b> is biased." in lines
    told = card[card.index("```json\n") + 8 : card.rindex("```")]
    assert json.loads(told) == METRICS["protocol"]


@pytest.mark.parametrize("card", ["a card", NOT_MEASURED * 2])
def test_a_card_without_one_such_place_is_refused(card):
    said = "MODEL_CARD.md was changed, and has no place for metrics"
    refused(said, with_metrics, card, METRICS, "EvaluateFID/0123", kind=MissingInput)


def test_names_from_outside_mean_nothing_in_a_card():
    assert plain("a|b`c\n<i>*d*[e]") == "a\\|b'c &lt;i>\\*d\\*\\[e]"


@pytest.fixture
def made(tmp_path):
    """The published export of an experiment, with a card of which only the kept place matters."""
    artifact = build_all(step(tmp_path, "ExportModel")).artifact
    card = artifact.path / CARD
    card.write_text(NOT_MEASURED)
    files = artifact.params()["files"]
    files[CARD] = {"bytes": card.stat().st_size, "sha256": sha256_of(card)}
    change_record(artifact, files=files, content=content_digest(files))
    assert artifact.damage() is None
    return artifact


def test_a_copy_has_the_metrics_of_the_same_experiment(tmp_path, made):
    experiment = load_experiment("digits")
    assert evaluation_of(experiment, tmp_path) is None
    assert copy_out(made, tmp_path / "without").evaluation is None
    assert (tmp_path / "without" / CARD).read_text() == NOT_MEASURED
    judged = step(tmp_path, "EvaluateFID")
    for needed in judged.requires():
        build_all(needed)
    artifact = build(judged, metrics=METRICS)
    assert evaluation_of(experiment, tmp_path) == artifact
    copied = copy_out(made, tmp_path / "with", artifact)
    assert copied.evaluation == f"EvaluateFID/{artifact.short}"
    assert ROW in (tmp_path / "with" / CARD).read_text().splitlines()
    assert (made.path / CARD).read_text() == NOT_MEASURED
    assert made.damage() is None


@pytest.mark.parametrize("setting", ["sampling.steps=7", "langevin.steps=7", "sampling.source=sngan"])
def test_metrics_of_other_samples_are_not_this_models(tmp_path, made, setting):
    build_all(step(tmp_path, "EvaluateFID"))
    build_all(step(tmp_path, "EvaluateFID", "sampling.source=sngan"))
    assert evaluation_of(load_experiment("digits"), tmp_path) is not None
    assert evaluation_of(load_experiment("digits", [setting]), tmp_path) is None
