"""Our arithmetic against that of pytorch-fid and torch-fidelity, on the same features.

Both need PyTorch, which is not installed here: tools/record_metric_oracles.py wrote down what they say.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ebm_tf.evaluation.distances import (
    frechet_distance,
    frechet_distance_from_features,
    inception_score,
    inception_score_from_logits,
    kernel_distance,
    softmax_and_entropy,
)
from ebm_tf.evaluation.manifold import manifold
from ebm_tf.evaluation.statistics import Moments

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL = ROOT / "tools" / "record_metric_oracles.py"
RECORD = ROOT / "tests" / "oracles" / "metrics.json"
CASES = json.loads(RECORD.read_text(encoding="utf-8"))["cases"]


def features_of(case):
    """By the record's recipe: samples, reference, logits, tied samples, tied reference."""
    n, m, d = (case[name] for name in "nmd")
    rng = np.random.default_rng(case["seed"])
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    samples = 0.3 + rng.normal(size=(n, d)) @ mixing
    reference, logits = rng.normal(size=(m, d)), 3 * rng.normal(size=(n, 10))
    return samples, reference, logits, 1 + rng.integers(0, 4, (n, 8)), rng.integers(0, 4, (m, 8))


def ours(case):
    samples, reference, logits, tied, tied_reference = features_of(case)
    subset = min(len(samples), len(reference))
    frechet = frechet_distance(Moments.of(samples), Moments.of(reference))
    kid = kernel_distance(samples[:subset], reference[:subset], subsets=1, subset_size=subset)
    split = inception_score_from_logits(logits, splits=10)
    close, ties = manifold(reference, samples, k=3), manifold(tied_reference, tied, k=3)
    return {
        "pytorch_fid frechet": frechet,
        "torch_fidelity frechet": frechet,
        "torch_fidelity kid of the first min(n, m)": kid.mean,
        "torch_fidelity is": inception_score_from_logits(logits, splits=1).mean,
        "torch_fidelity is of 10 splits": split.mean,
        "torch_fidelity is spread of 10 splits": split.spread,
        "torch_fidelity precision at 3": close.precision,
        "torch_fidelity recall at 3": close.recall,
        "torch_fidelity precision at 3 of tied": ties.precision,
        "torch_fidelity recall at 3 of tied": ties.recall,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"d{case['d']}")
def test_agrees_with_pytorch_fid_and_torch_fidelity(case):
    """To 1e-6 of each number; the shares they count in float32."""
    assert ours(case) == pytest.approx(case["values"], rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"d{case['d']}")
def test_so_do_the_other_ways_to_the_same_numbers(case):
    samples, reference, logits, _, _ = features_of(case)
    values = case["values"]
    assert frechet_distance_from_features(samples, reference) == pytest.approx(
        values["pytorch_fid frechet"], rel=1e-6
    )
    probabilities, _ = softmax_and_entropy(logits)
    assert inception_score(probabilities).mean == pytest.approx(values["torch_fidelity is"], rel=1e-6)


@pytest.mark.slow
def test_the_record_is_what_the_libraries_say(tmp_path):
    file = tmp_path / "metrics.json"
    made = subprocess.run(
        [sys.executable, TOOL, tmp_path / "environment", file], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    again, recorded = (json.loads(path.read_text(encoding="utf-8")) for path in (file, RECORD))
    for name in ("torch", "pytorch-fid", "torch-fidelity"):
        assert again["versions"][name].split("+")[0] == recorded["versions"][name].split("+")[0]
    assert again["recipe"] == recorded["recipe"]
    assert len(again["cases"]) == len(recorded["cases"])
    for new, old in zip(again["cases"], recorded["cases"]):
        assert new.pop("values") == pytest.approx(old.pop("values"), rel=1e-9)
        assert new == old
