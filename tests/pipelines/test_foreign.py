"""evaluate and statistics: images from anywhere, judged in one command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cli
from ebm_tf.config_files import load_experiment
from ebm_tf.errors import ConfigError
from ebm_tf.evaluation import distances
from ebm_tf.evaluation.protocols import differences
from ebm_tf.evaluation.published import Published
from pipelines.judging.foreign import Wanted, evaluate
from tests.waiting import until

QUICK = ("evaluation.bootstrap=0", "evaluation.kid_subsets=3")


def images(count=90, seed=0, low=0, shape=(6, 6, 1)):
    return np.random.default_rng(seed).integers(low, 256, (count, *shape)).astype(np.uint8)


def write_npz(path, array):
    np.savez_compressed(path, images=array)
    return str(path)


def write_png(folder, array):
    folder.mkdir()
    for index, image in enumerate(array):
        Image.fromarray(image.squeeze()).save(folder / f"{index:03}.png")
    return str(folder)


def wanted(samples, reference, root, **changes):
    given = {"extractor": "pixels", "metrics": None, "split": None, "settings": QUICK, **changes}
    return Wanted(samples=samples, reference=reference, root=root, **given)


@pytest.fixture
def call(monkeypatch, capsys):
    """Calls the command line in this process; gives exit code, stdout and stderr."""

    def in_process(*arguments):
        monkeypatch.setattr("sys.argv", ["cli.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return in_process


@pytest.fixture
def run(call):
    """Likewise with --json; gives the object on stdout."""

    def as_json(*arguments):
        code, out, err = call(*arguments, "--json")
        return code, json.loads(out), err

    return as_json


@pytest.fixture
def sides(tmp_path):
    return images(), images(110, 1, low=60)


def test_pixels_are_the_flattened_image_between_0_and_1(sides, tmp_path, run):
    samples, reference = (write_npz(tmp_path / f"{name}.npz", side) for name, side in zip(("s", "r"), sides))
    code, found, _ = run(
        "evaluate", "--samples", samples, "--reference", reference, "--set", QUICK[0], "--set", QUICK[1]
    )
    assert code == 0
    x, y = (side.reshape(len(side), -1) / 255 for side in sides)
    assert found["frechet_distance"] == pytest.approx(
        distances.frechet_distance_from_features(x, y), rel=1e-5
    )
    assert found["kid"] == pytest.approx(distances.kernel_distance(x, y, 3).mean, rel=1e-4)
    assert found["protocol"]["extractor"]["name"] == "pixels"
    assert found["protocol"]["extractor"]["features"] == 36
    assert found["protocol"]["reference"]["images"] == 110
    assert found["omitted"]["inception_score"] == "the extractor pixels does not classify images"


def test_a_folder_is_as_good_as_an_npz(sides, tmp_path):
    one = evaluate_quietly(
        wanted(write_npz(tmp_path / "s.npz", sides[0]), write_npz(tmp_path / "r.npz", sides[1]), tmp_path)
    )
    other = evaluate_quietly(
        wanted(write_png(tmp_path / "s", sides[0]), write_png(tmp_path / "r", sides[1]), tmp_path)
    )
    for metric in ("frechet_distance", "kid", "precision", "recall", "density", "coverage"):
        assert one[metric] == other[metric]
    assert differences(one["protocol"], other["protocol"]) == []


def evaluate_quietly(asked):
    told = []
    found = evaluate(asked, lambda journal: None, lambda *now: told.append(now))
    assert told[-1][0] == told[-1][1], "progress comes to its end"
    return found


def test_statistics_stand_for_the_images_they_were_made_of(sides, tmp_path, run):
    samples, reference = (write_npz(tmp_path / f"{name}.npz", side) for name, side in zip(("s", "r"), sides))
    code, told, _ = run("statistics", "--images", reference, "--out", str(tmp_path / "stats.npz"))
    assert (code, told["images"]) == (0, 110)
    with np.load(tmp_path / "stats.npz") as arrays:
        flat = sides[1].reshape(110, -1) / 255
        np.testing.assert_allclose(arrays["mu"], flat.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(arrays["sigma"], np.cov(flat, rowvar=False), rtol=1e-5, atol=1e-9)
    whole = evaluate_quietly(wanted(samples, reference, tmp_path))
    found = evaluate_quietly(wanted(samples, str(tmp_path / "stats.npz"), tmp_path))
    assert found["frechet_distance"] == pytest.approx(whole["frechet_distance"], rel=1e-12)
    assert found["kid"] is None
    code, refused, _ = run("statistics", "--images", reference, "--out", str(tmp_path / "stats.npz"))
    assert code == 2
    assert "is there already" in refused["error"]


def test_statistics_of_another_extractor_are_refused(sides, tmp_path, run):
    samples, reference = (write_npz(tmp_path / f"{name}.npz", side) for name, side in zip(("s", "r"), sides))
    out = str(tmp_path / "stats.npz")
    assert run("statistics", "--images", reference, "--out", out)[0] == 0
    code, refused, _ = run("evaluate", "--samples", samples, "--reference", out, "--extractor", "random-conv")
    assert code == 2
    assert "the reference was measured in features of pixels" in refused["error"]


def test_a_data_set_is_prepared_once(tmp_path, run):
    digits = load_experiment("digits").dataset
    assert digits.name == "digits"
    samples = write_npz(tmp_path / "s.npz", images(80, shape=(8, 8, 1)))
    arguments = (
        "evaluate",
        "--samples",
        samples,
        "--reference",
        "digits",
        "--root",
        str(tmp_path),
        "--set",
        QUICK[0],
    )
    code, found, errors = run(*arguments)
    assert code == 0, errors
    assert found["protocol"]["names"]["reference"] == "digits, train split"
    assert found["protocol"]["reference"]["images"] == 1297
    assert "PrepareDataset: ran" in errors
    code, again, errors = run(*arguments, "--split", "test")
    assert code == 0
    assert again["protocol"]["reference"]["images"] == 500
    assert "PrepareDataset: ran" not in errors


LINES = {
    "nothing there": (("nowhere", "{r}"), (), 4, "nowhere is not there; give a folder of images"),
    "no such reference": (("{s}", "digitz"), (), 4, "digitz is no folder, no file and no data set; data"),
    "another size": (("{s}", "{other}"), (), 2, "the samples are 6x6x1, the reference images 7x6x1"),
    "no such extractor": (("{s}", "{r}"), ("--extractor", "vgg"), 2, "extractor must be one of"),
    "no such metric": (("{s}", "{r}"), ("--metrics", "fid"), 2, "unknown metric 'fid'"),
    "not for these features": (
        ("{s}", "{r}"), ("--metrics", "inception_score"), 2, "inception_score cannot be measured: the extractor",
    ),
    "one image": (
        ("{one}", "{r}"), ("--metrics", "frechet_distance"), 2, "frechet_distance cannot be measured: it needs 2",
    ),
    "a setting without effect": (("{s}", "{r}"), ("--set", "langevin.steps=3"), 2, "langevin.steps has no effect"),
    "a size for files": (("{s}", "{r}"), ("--set", "dataset.size=8"), 2, "dataset.size has no effect here"),
    "a seed for pixels": (("{s}", "{r}"), ("--set", "extractor.seed=8"), 2, "extractor.seed has no effect here"),
    "a split of files": (("{s}", "{r}"), ("--split", "test"), 2, "is no data set, and has no splits; leave it out"),
    "no graph": (("{s}", "{r}"), ("--extractor", "inception:nowhere.pb"), 4, "nowhere.pb"),
    "a damaged reference": (("{s}", "{cut}"), (), 4, "cannot read the images of"),
    "nothing to measure": (("{one}", "{r}"), (), 2, "nothing can be measured: it needs 2 images or more"),
    "NaN": (("{nan}", "{r}"), (), 4, "holds float64 of shape (3, 6, 6, 1); images are uint8"),
}  # fmt: skip


@pytest.mark.parametrize("case", LINES)
def test_what_will_not_do_gets_one_line(case, tmp_path, run):
    places, options, code, line = LINES[case]
    files = {
        "s": images(), "r": images(seed=1), "other": images(9, shape=(7, 6, 1)), "one": images(1),
        "nan": np.full((3, 6, 6, 1), np.nan),
    }  # fmt: skip
    paths = {name: write_npz(tmp_path / f"{name}.npz", array) for name, array in files.items()}
    paths["cut"] = str(tmp_path / "cut.npz")
    whole = Path(paths["r"]).read_bytes()
    Path(paths["cut"]).write_bytes(whole[: len(whole) // 2])
    samples, reference = (place.format(**paths) for place in places)
    exit_code, found, errors = run("evaluate", "--samples", samples, "--reference", reference, *options)
    assert exit_code == code, errors
    assert line in found["error"]
    assert "\n" not in found["error"]
    assert "Traceback" not in errors


def test_the_table_tells_metrics_intervals_and_what_was_measured(sides, tmp_path, call):
    samples, reference = (write_npz(tmp_path / f"{name}.npz", side) for name, side in zip(("s", "r"), sides))
    code, out, _ = call(
        "evaluate", "--samples", samples, "--reference", reference, "--set", "evaluation.bootstrap=20"
    )
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["metric", "value", "95%", "interval", "spread"]
    assert lines[1].startswith("frechet_distance ")
    assert " to " in lines[1]
    assert any(
        line.startswith(f"90 samples of {samples} against 110 images of {reference}") for line in lines
    )
    assert "no class_coverage: the extractor pixels does not classify images" in lines


@pytest.mark.parametrize("metric", ["kidd", "inception_score"])
def test_what_cannot_be_measured_is_refused_before_any_feature(metric, sides, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.judging.foreign.extract", lambda *_: pytest.fail("features were measured"))
    samples, reference = (write_npz(tmp_path / f"{name}.npz", side) for name, side in zip(("s", "r"), sides))
    with pytest.raises(ConfigError, match=metric):
        evaluate_quietly(wanted(samples, reference, tmp_path, metrics=("kid", metric)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(number, tmp_path):
    """Sent while features are kept in a folder for temporary files."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    samples = write_npz(tmp_path / "s.npz", images(3000, shape=(32, 32, 3)))
    command = [sys.executable, "cli.py", "evaluate", "--samples", samples, "--reference", samples, "--json"]
    child = subprocess.Popen(
        command, cwd=Path(cli.__file__).parent, env={**os.environ, "TMPDIR": str(scratch)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    until(lambda: list(scratch.glob("ebm-features-*/samples/*.npy")), "features that are kept")
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert json.loads(out)["status"] == "interrupted"
    assert not list(scratch.iterdir())


def test_a_folder_that_is_not_there_is_told_of_first(sides, tmp_path, run):
    reference = write_npz(tmp_path / "r.npz", sides[1])
    code, refused, _ = run(
        "statistics", "--images", reference, "--out", str(tmp_path / "nowhere" / "stats.npz")
    )
    assert code == 4
    assert (
        refused["error"]
        == f"there is no folder {tmp_path / 'nowhere'} for stats.npz; make it, or give another"
    )


def test_published_statistics_are_refused_as_images(tmp_path, run):
    Published(np.zeros(3), np.eye(3)).save(tmp_path / "stats.npz")
    code, refused, _ = run(
        "statistics", "--images", str(tmp_path / "stats.npz"), "--out", str(tmp_path / "out.npz")
    )
    assert code == 2
    assert "holds mu and sigma already" in refused["error"]
