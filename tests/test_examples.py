"""The examples, run as programs on exports of brief models."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ebm_tf.export import CHECK_PROGRAM
from tests.exports import unchecked

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
WITHOUT_THE_PROJECT = CHECK_PROGRAM.partition("import numpy")[0]


def test_each_example_has_a_test():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {"cut_photographs.py", "use_an_export.py"}


def test_photographs_are_cut_alike_each_time(tmp_path):
    """Skipped where scikit-image is not installed, which nothing else needs."""
    pytest.importorskip("skimage")
    for folder in ("first", "second"):
        command = [sys.executable, EXAMPLES / "cut_photographs.py", tmp_path / folder]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.startswith(
            "210 photo"
        )
    cut = sorted((tmp_path / "first").iterdir())
    assert len(cut) == 210
    for path in cut:
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
        with Image.open(path) as picture:
            assert picture.size == (128, 128)


@pytest.mark.parametrize("conditional", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_export_is_used_without_the_project(tmp_path, conditional):
    """The cells one after another; their words are held against what an energy is."""
    folder, _ = unchecked(tmp_path, conditional)
    source = (EXAMPLES / "use_an_export.py").read_text()
    assert source.count("\n# %% ") == 7
    command = [sys.executable, "-I", "-c", WITHOUT_THE_PROJECT + source, folder, tmp_path / "pictures"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    about, samples, score, _, keras = done.stdout.splitlines()
    classes = "['round', 'straight', 'crossed']" if conditional else "none"
    assert about == f"images [8, 8, 1], classes {classes}, chains of 4 steps"
    of_samples, of_noise = map(float, re.findall(r"[+-]\d\.\d+", samples))
    assert of_samples < of_noise, "chains go downhill"
    assert float(re.findall(r"[+-]\d\.\d\de[+-]\d\d", score)[0]) < 0, "and so does the score"
    weights, difference = re.match(r"Keras: (\d+) weights, energies differ by (\S+)$", keras).groups()
    assert int(weights) > 20_000
    assert float(difference) < 1e-5
    with Image.open(tmp_path / "pictures/images.png") as picture:
        assert picture.width > picture.height > 200
