"""Images from files to an exported model, its answers to files, and the two commands that do so."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ebm_tf.config import Sampling
from ebm_tf.errors import MissingInput
from ebm_tf.exported import Exported
from ebm_tf.exported_files import ToJudge, demand_free_file, write_rows, write_samples
from ebm_tf.grey_levels import at_mid_level, to_uint8
from ebm_tf.signature import FORMAT
from tests.damage import cut, lose
from tests.exports import signature_of, unchecked
from tests.refusals import refused
from tests.small_disk import small_disk
from tests.stages.small_models import CLASSES, LEVELS, SHAPE

CLI = Path(__file__).resolve().parents[1] / "cli.py"


@pytest.fixture(scope="module")
def signature(tmp_path_factory):
    """Of a model of 8x8 grey pixels at 17 levels."""
    return signature_of(tmp_path_factory.mktemp("none"), {}, len(CLASSES))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An exported folder of a conditional model, and the model."""
    return unchecked(tmp_path_factory.mktemp("made"), True)


def call(*arguments, folder):
    """The command line, in a folder that holds nothing of an experiment."""
    command = [sys.executable, str(CLI), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300)


def write(folder, arrays, kind="L"):
    folder.mkdir()
    for number, array in enumerate(arrays):
        Image.fromarray(array, kind).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 8), np.uint8)


def test_images_are_judged_at_the_grey_levels_of_the_data(tmp_path, signature, pictures):
    place = write(tmp_path / "images", pictures)
    np.savez(tmp_path / "images.npz", images=pictures[..., None])
    for judged in (ToJudge(place, signature, False), ToJudge(tmp_path / "images.npz", signature, False)):
        pixels = np.concatenate(list(judged.pixels()))
        np.testing.assert_array_equal(pixels, at_mid_level(pictures[..., None], LEVELS))
        assert len(judged) == len(judged.names) == 6
    assert ToJudge(place, signature, False).names == [f"{number}.png" for number in range(6)]
    assert ToJudge(tmp_path / "images.npz", signature, False).names == list("012345")


def test_images_of_another_shape_are_refused_or_resized(tmp_path, signature, pictures):
    """A central square of four times the size, in colour: each pixel is the mean of sixteen of one grey."""
    large = pictures.repeat(4, axis=1).repeat(4, axis=2)
    wide = np.pad(large, [(0, 0), (0, 0), (9, 9)], constant_values=77)
    place = write(tmp_path / "wide", np.repeat(wide[..., None], 3, axis=3), "RGB")
    received = (
        r"wide/0.png: received 32x50x3 \(height, width, channels\), and the model takes images of 8x8x1; "
    )
    refused(f"{received}give --resize to bring them to that", ToJudge, place, signature, False)
    judged = ToJudge(place, signature, True)
    np.testing.assert_array_equal(
        np.concatenate(list(judged.pixels())), at_mid_level(pictures[..., None], LEVELS)
    )
    assert judged.names[0] == "0.png"
    coloured = write(tmp_path / "rgb", np.repeat(pictures[..., None], 3, axis=3), "RGB")
    refused("rgb: received 8x8x3", ToJudge, coloured, signature, False)
    np.savez(tmp_path / "large.npz", images=large[..., None])
    refused("large.npz: received 32x32x1", ToJudge, tmp_path / "large.npz", signature, False)
    (same,) = ToJudge(tmp_path / "large.npz", signature, True).pixels()
    np.testing.assert_array_equal(same, at_mid_level(pictures[..., None], LEVELS))


def test_sizes_may_differ_where_they_are_resized(tmp_path, signature, pictures):
    place = write(tmp_path / "mixed", [pictures[0], pictures[1].repeat(2, axis=0).repeat(2, axis=1)])
    refused("1.png: received 16x16x1", ToJudge, place, signature, False)
    (pixels,) = ToJudge(place, signature, True).pixels()
    np.testing.assert_array_equal(pixels, at_mid_level(pictures[:2, ..., None], LEVELS))


@pytest.mark.parametrize("resize", [False, True])
def test_what_holds_no_images_is_told(tmp_path, signature, resize):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/note.txt").write_text("no image")

    def read(place):
        return list(ToJudge(place, signature, resize).pixels())

    refused("empty holds no files; give a folder of images", read, tmp_path / "empty", kind=MissingInput)
    refused("note.txt.*no image in a known format", read, tmp_path / "notes", kind=MissingInput)
    refused("none is not there; give a folder", read, tmp_path / "none", kind=MissingInput)


def test_only_squares_can_be_resized_to(tmp_path, signature):
    wide = signature.model_copy(update={"images": signature.images.model_copy(update={"shape": (8, 10, 1)})})
    refused("--resize makes squares, and the model takes images of 8x10", ToJudge, tmp_path, wide, True)


def test_samples_are_written_whole_and_read_back(tmp_path, pictures):
    labels = np.arange(6, dtype=np.int32)
    write_samples(tmp_path / "some.npz", pictures[..., None], labels)
    with np.load(tmp_path / "some.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["images"], pictures[..., None])
        np.testing.assert_array_equal(file["labels"], labels)
    write_samples(tmp_path / "some.png", pictures[..., None], None)
    with Image.open(tmp_path / "some.png") as grid:
        tile = np.asarray(grid)[4 : 4 + 48 : 6, 4 : 4 + 48 : 6, 0]
    np.testing.assert_array_equal(tile, pictures[0])
    write_rows(tmp_path / "table.csv", ("file", "energy"), [("a,b", 0.5)])
    with (tmp_path / "table.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["file", "energy"], ["a,b", "0.5"]]
    assert {path.name for path in tmp_path.iterdir()} == {"some.npz", "some.png", "table.csv"}


def test_a_disk_that_is_full_leaves_nothing(tmp_path, pictures):
    with small_disk(tmp_path / "disk", "64k") as disk:
        many = np.random.default_rng(0).integers(0, 256, (4000, *SHAPE), np.uint8)
        said = r"cannot write .*many\.npz: No space left on device; give another --out"
        refused(said, write_samples, disk / "many.npz", many, None, kind=MissingInput)
        assert [path.name for path in disk.iterdir() if path.name != "lost+found"] == []


def test_a_place_that_is_taken_is_kept(tmp_path):
    (tmp_path / "grid.png").write_text("precious")
    refused("grid.png is there already; give another", demand_free_file, tmp_path / "grid.png", (".png",))
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    refused("is there already", demand_free_file, tmp_path / "dangling.png", (".png",))
    wrong = "grid.gif does not end in .png or .npz"
    refused(wrong, demand_free_file, tmp_path / "grid.gif", (".png", ".npz"))
    missing = f"there is no folder {tmp_path}/none for a.png"
    refused(missing, demand_free_file, tmp_path / "none/a.png", (".png",), kind=MissingInput)


def test_samples_of_a_seed_are_the_same_images_in_any_process(made, tmp_path):
    model, _ = made
    asked = ("sample", "--model", model, "--count", 7, "--seed", 3)
    done = call(*asked, "--out", "some.npz", "--json", folder=tmp_path)
    told = json.loads(done.stdout)
    assert told.pop("seconds") > 0
    assert told == {
        "status": "done",
        "exit_code": 0,
        "model": str(model),
        "out": str(tmp_path / "some.npz"),
        "count": 7,
        "seed": 3,
        "steps": 4,
        "sampler": "langevin",
        "acceptance": None,
        "labels": [0, 1, 2],
    }
    with np.load(tmp_path / "some.npz", allow_pickle=False) as file:
        drawn, labels = file["images"], file["labels"]
    np.testing.assert_array_equal(labels, [0, 1, 2, 0, 1, 2, 0])
    own = to_uint8(Exported(model).sample(7, seed=3), LEVELS).astype(int)
    step = 255 / (LEVELS - 1) + 1
    assert np.abs(own - drawn).max() <= step, "a pixel near a level's end may round otherwise, no more"
    assert (own == drawn).mean() > 0.99
    assert {path.name for path in tmp_path.iterdir()} == {"some.npz"}


def test_energies_of_a_folder_are_the_models(made, tmp_path, pictures):
    folder, model = made
    write(tmp_path / "images", pictures)
    asked = ("score", "--model", folder, "images", "--labels", 1, "--out", "e.csv", "--json")
    told = json.loads(call(*asked, folder=tmp_path).stdout)
    assert (told["status"], told["exit_code"], told["out"]) == ("done", 0, str(tmp_path / "e.csv"))
    assert [row["file"] for row in told["energies"]] == [f"{number}.png" for number in range(6)]
    assert {row["label"] for row in told["energies"]} == {1}
    energies = [row["energy"] for row in told["energies"]]
    expected = model(at_mid_level(pictures[..., None], LEVELS), np.ones(6, np.int32))
    np.testing.assert_allclose(energies, expected, rtol=1e-5)
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["energy"]) for row in rows] == energies


@pytest.mark.slow
def test_energies_are_shown_as_a_table(made, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, *SHAPE), np.uint8))
    asked = ("score", "--model", made[0], "images.npy", "--labels")
    done = call(*asked, "2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    heading, first, second = done.stdout.splitlines()
    assert heading.split() == ["file", "label", "energy"]
    assert first.split()[:2] == ["0", "2"]
    assert first.split()[2] == second.split()[2]
    other = call(*asked, "0,2", folder=tmp_path).stdout.splitlines()
    assert [line.split()[1] for line in other[1:]] == ["0", "2"]
    assert other[2] == second


@pytest.mark.slow
def test_an_unconditional_model_needs_no_labels(tmp_path):
    folder, model = unchecked(tmp_path, False)
    done = call("sample", "--model", folder, "--count", 30, "--out", "grid.png", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "grid.png: 30 samples of 4 steps, seed 0\n"), done.stderr
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (6 * 52 + 4, 5 * 52 + 4)
    again = call("sample", "--model", folder, "--count", 30, "--out", "again.png", folder=tmp_path)
    assert again.returncode == 0
    assert (tmp_path / "grid.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    np.save(tmp_path / "images.npy", np.zeros((1, *SHAPE), np.uint8))
    done = call("score", "--model", folder, "images.npy", folder=tmp_path)
    heading, row = done.stdout.splitlines()
    assert heading.split() == ["file", "energy"]
    expected = float(model(at_mid_level(np.zeros((1, *SHAPE), np.uint8), LEVELS)))
    assert float(row.split()[1]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("step_size, moved", [(1e-6, True), (1.0, False)])
def test_of_mala_it_is_told_how_often_chains_moved(tmp_path, step_size, moved):
    sampling = Sampling(steps=4, batch_size=5, sampler="mala", step_size=step_size, temperature=0.5)
    folder, _ = unchecked(tmp_path, False, sampling)
    asked = ("sample", "--model", folder, "--count", 7)
    done = call(*asked, "--out", "some.npz", "--json", folder=tmp_path)
    told = json.loads(done.stdout)
    assert told["sampler"] == "mala"
    assert (told["acceptance"] > 0.3) == moved
    assert (told["acceptance"] == 0) != moved
    warned = (
        "warning: mala accepted 0.00% of its proposals at step size 1 and temperature 0.5: the chains have"
    )
    assert (warned in done.stderr) != moved
    shown = call(*asked, "--out", "more.npz", folder=tmp_path).stdout
    assert shown == (
        f"more.npz: 7 samples of 4 steps, seed 0, {told['acceptance']:.1%} of mala's proposals accepted\n"
    )


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (("sample", "--out", "a.png", "--count", "0"), 2, "--count is 0; give a whole number from 1"),
        (("sample", "--out", "a.png", "--labels", "cat"), 2, "--labels is 'cat'; give numbers with commas"),
        (("score", "none"), 4, "none is not there; give a folder of images"),
    ],
)
def test_what_cannot_be_is_one_line(made, tmp_path, arguments, code, said):
    command, *rest = arguments
    done = call(command, "--model", made[0], *rest, folder=tmp_path)
    assert done.returncode == code
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def of_a_newer_format(path):
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": FORMAT + 1}))


SAMPLE, SCORE = ("sample", "--out", "a.png"), ("score", "images.npy", "--labels", "1")


@pytest.mark.parametrize(
    "command, damage, name, said",
    [
        (
            SAMPLE,
            of_a_newer_format,
            "signature.json",
            f"is of format {FORMAT + 1}, and this program knows formats",
        ),
        (SCORE, cut, "signature.json", "cannot be read (JSONDecodeError"),
        (SCORE, cut, "saved_model/saved_model.pb", "has other bytes than were exported; get the folder anew"),
        (SAMPLE, lose, "saved_model/variables/variables.index", "is missing; get the folder anew"),
    ],
)
def test_an_export_that_is_newer_or_not_whole_is_one_line(made, tmp_path, command, damage, name, said):
    half = Path(shutil.copytree(made[0], tmp_path / "half"))
    damage(half / name)
    done = call(*command, "--model", half, folder=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"error: {half / name} {said}")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["half"]


def test_a_refusal_waits_for_no_tensorflow(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\nimport cli\n"
        "try: cli.main()\nexcept SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(CLI.parent), "sample", "--model", str(tmp_path)]
    done = subprocess.run([*command, "--out", "a.png"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["4", "False"]
