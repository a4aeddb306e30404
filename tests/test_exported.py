"""Exported folders stand by themselves: they say what is true, answer as the model does, and tell what is wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Sampling
from ebm_tf.errors import ConfigError, EBMError, MissingInput
from ebm_tf.export import CHECK_PROGRAM, SIGNATURES, export
from ebm_tf.exported import Exported
from ebm_tf.exported_demands import labels_to_draw, labels_to_score
from ebm_tf.langevin import chain_settings, energy_gradient
from ebm_tf.model_card import NOT_MEASURED
from ebm_tf.models.energy import build_energy_model, load_trained
from ebm_tf.sampling import Method, stream_chains, uniform_noise
from ebm_tf.sampling_settings import method_of
from ebm_tf.signature import FORMAT, SIGNATURE, digests, read_signature
from tests.damage import cut, flip, lose
from tests.exports import LANGEVIN, SAMPLING, exported, network, signature_of
from tests.refusals import refused
from tests.stages.small_models import CLASSES, LEVELS, SHAPE

REPOSITORY = Path(__file__).resolve().parents[1]
WITHOUT_THE_PROJECT = CHECK_PROGRAM.partition("import numpy")[0]


@pytest.fixture(scope="module")
def conditional_export(tmp_path_factory):
    """Of a model that takes labels, which is asked most."""
    return exported(tmp_path_factory.mktemp("conditional"), True)


@pytest.fixture(scope="module")
def plain_export(tmp_path_factory):
    """Of an unconditional model."""
    return exported(tmp_path_factory.mktemp("plain"), False)


KINDS = ("conditional_export", pytest.param("plain_export", marks=pytest.mark.slow))


@pytest.fixture(scope="module", params=KINDS)
def folder(request):
    """An exported folder, of either kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def opened(folder):
    return Exported(folder)


@pytest.fixture(scope="module")
def model(folder):
    """What was exported."""
    return load_trained(folder.parents[1] / "trained")


@pytest.fixture
def copied(conditional_export, tmp_path):
    """An export to be damaged."""
    return Path(shutil.copytree(conditional_export, tmp_path / "copied"))


def labels_of(model, count):
    return np.resize(np.array([2, 0, 1], np.int32), count) if model.classes else None


def images(count, seed=0):
    return np.random.default_rng(seed).random((count, *SHAPE), dtype=np.float32)


class TestFolder:
    """What an exported folder holds, and whether it is true."""

    def test_it_holds_these(self, folder):
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert {name for name in names if not name.startswith("saved_model/")} == {
            "MODEL_CARD.md",
            "average.weights.h5",
            "keras/energy.weights.h5",
            "keras/network.json",
            "metrics.json",
            "model.json",
            "signature.json",
        }
        assert "saved_model/saved_model.pb" in names
        listed = set(read_signature(folder).files)
        assert names - listed == {"MODEL_CARD.md", "metrics.json", "signature.json"}

    def test_signature_json_tells_what_the_saved_model_has(self, folder, opened, model):
        about = json.loads((folder / SIGNATURE).read_text())
        assert about["format"] == FORMAT == 2
        assert about["images"] == {
            "shape": [8, 8, 1],
            "dtype": "float32",
            "range": [0.0, 1.0],
            "levels": LEVELS,
        }
        assert about["classes"] == (CLASSES if model.classes else [])
        chain = {"steps": 4, "step_size": 0.5, "noise_scale": 0.01, "anneal": False, "gradient_clip": None}
        langevin = {"sampler": "langevin", "temperature": None}
        assert about["chain"] == {**langevin, **chain, "batch_size": 5}
        assert set(about["signatures"]) == set(SIGNATURES)
        for name, told in about["signatures"].items():
            function = opened._module.signatures[name]
            _, inputs = function.structured_input_signature
            for side, specs in (("inputs", inputs), ("outputs", function.structured_outputs)):
                found = {key: [spec.dtype.name, list(spec.shape)] for key, spec in specs.items()}
                assert {key: [one["dtype"], one["shape"]] for key, one in told[side].items()} == found
        assert ("labels" in about["signatures"]["energy"]["inputs"]) == bool(model.classes)

    @pytest.mark.slow
    def test_the_programs_of_the_card_run_without_the_project(self, folder, model, tmp_path):
        """Both Python blocks, as they stand, in a process in which nothing of the project can be imported."""
        first, second = re.findall(r"```python\n(.*?)```", (folder / "MODEL_CARD.md").read_text(), re.DOTALL)
        call = "model([images, labels])" if model.classes else "model(images)"
        assert f"`{call}`" in (folder / "MODEL_CARD.md").read_text()
        ending = (
            f"import numpy\nnumpy.savez({str(tmp_path / 'told.npz')!r}, images=images, energies=energies, "
        )
        ending += f"keras={call}, scores=scores, refined=refined)"
        command = [sys.executable, "-I", "-c", "\n".join([WITHOUT_THE_PROJECT, first, second, ending])]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / "told.npz", allow_pickle=False) as file:
            told = dict(file)
        labels = np.arange(4, dtype=np.int32) % len(CLASSES) if model.classes else None
        expected = model(told["images"], labels)
        np.testing.assert_allclose(told["energies"], expected, rtol=1e-5)
        np.testing.assert_allclose(told["keras"], expected, rtol=1e-5)
        assert told["scores"].shape == told["refined"].shape == told["images"].shape == (4, *SHAPE)

    def test_the_card_tells_people(self, folder, model):
        card = (folder / "MODEL_CARD.md").read_text()
        assert "Licence of the data: none." in card
        assert "| training.steps | 7 |" in card
        assert "| dataset.name | digits |" in card
        assert "Trained as TrainEBM/abababababababab, exported as ExportModel/0000000000000000" in card
        assert f"tensorflow {tf.__version__}" in card
        assert f"{model.count_params():,} parameters" in card
        assert card.count(NOT_MEASURED) == 1
        assert ("round, straight, crossed" in card) == bool(model.classes)
        for name in SIGNATURES:
            assert f"| `{name}` |" in card

    @pytest.mark.slow
    @pytest.mark.parametrize("conditional", [False, True])
    def test_it_comes_out_the_same_in_each_process(self, conditional, tmp_path):
        program = "import sys\nfrom pathlib import Path\nfrom tests.exports import exported\n"
        program += f"exported(Path(sys.argv[1]), {conditional})"
        made = []
        for name in ("one", "two"):
            place = tmp_path / name
            place.mkdir()
            subprocess.run([sys.executable, "-c", program, place], cwd=REPOSITORY, check=True)
            files = (path for path in (place / "stage/out").rglob("*") if path.is_file())
            made.append({path.relative_to(place): path.read_bytes() for path in files})
        one, two = made
        assert len(one) > 8
        assert [name for name in {*one, *two} if one.get(name) != two.get(name)] == []


class TestAnswers:
    """Energies, scores and samples of the class `Exported`."""

    @pytest.mark.parametrize("count", [1, 7])
    def test_energies_and_scores_are_the_models(self, opened, model, count):
        shown, labels = images(count), labels_of(model, count)
        given = () if labels is None else labels
        np.testing.assert_allclose(opened.energies(shown, given), model(shown, labels), rtol=1e-5)
        expected = -energy_gradient(lambda x: model(x, labels), tf.constant(shown))
        np.testing.assert_allclose(opened.scores(shown, given), expected, rtol=1e-4, atol=1e-6)

    def test_one_label_stands_for_all_images(self, conditional_export):
        opened, shown = Exported(conditional_export), images(7)
        np.testing.assert_array_equal(opened.energies(shown, [1]), opened.energies(shown, [1] * 7))
        assert not np.allclose(opened.energies(shown, [1]), opened.energies(shown, [2]), rtol=1e-3)

    def test_samples_are_the_fresh_chains_of_the_pipeline(self, opened, model):
        labels = np.resize(np.arange(3, dtype=np.int32), 12) if model.classes else None
        chain = chain_settings(4, LANGEVIN.step_size, LANGEVIN.noise_scale)

        def starts(first, count):
            return uniform_noise(first, count, SHAPE, 9)

        batches = stream_chains(
            model, starts, 12, Method(chain), 9, SAMPLING.batch_size, lambda *_: None, labels
        )
        expected = np.concatenate([batch.images for batch in batches])
        np.testing.assert_allclose(opened.sample(12, seed=9), expected, atol=1e-5)

    def test_a_sample_is_the_same_among_any_number_and_in_any_batch(self, folder, opened):
        many, told = opened.sample(12, seed=3), []
        np.testing.assert_allclose(opened.sample(2, seed=3), many[:2], atol=1e-6)
        batches = Exported(folder, batch_size=3)
        np.testing.assert_allclose(
            batches.sample(12, seed=3, report=lambda *said: told.append(said)), many, atol=1e-6
        )
        assert [done for done, total, _ in told if total == 12] == [0, 3, 6, 9, 12]
        np.testing.assert_array_equal(opened.sample(12, seed=3), many)
        assert not np.allclose(opened.sample(12, seed=4), many, atol=1e-2)
        assert not np.allclose(opened.sample(12, seed=3, steps=1), many, atol=1e-3)

    def test_classes_are_drawn_in_turn(self, conditional_export):
        opened = Exported(conditional_export)
        np.testing.assert_array_equal(opened.sample(6, labels=[0, 1, 2]), opened.sample(6))
        assert not np.allclose(opened.sample(6, labels=[2]), opened.sample(6), atol=1e-3)
        np.testing.assert_array_equal(labels_to_draw(opened.signature, [2, 0], 5), [2, 0, 2, 0, 2])

    def test_what_is_no_image_is_refused(self, conditional_export):
        opened = Exported(conditional_export)
        received = r"images: received 8x8x3 \(height, width, channels\), and the model takes images of 8x8x1"
        refused(received, opened.energies, np.zeros((2, 8, 8, 3)))
        refused(r"images has the shape \[8, 8, 1\]; give \[n, height", opened.energies, np.zeros(SHAPE))
        refused(r"images has the shape \[0, 8, 8, 1\]", opened.energies, np.zeros((0, *SHAPE)))
        refused(
            "images has pixels from 0 to 255; give 0 to 1", opened.energies, 255 * np.eye(8)[None, :, :, None]
        )
        refused(
            "images has pixels from nan to nan; give 0 to 1", opened.energies, np.full((1, *SHAPE), np.nan)
        )

    def test_numbers_out_of_range_are_refused(self, conditional_export):
        opened = Exported(conditional_export)
        refused("count is 0; give a whole number from 1 to 2147483647", opened.sample, 0)
        refused("seed is -1; give a whole number from 0", opened.sample, 1, -1)
        refused("seed is 2147483648; give", opened.sample, 1, 2**31)
        refused("steps is 0; give a whole number from 1", opened.sample, 1, 0, 0)
        refused("batch_size is 0; give a whole number from 1", Exported, conditional_export, 0)

    def test_labels_that_will_not_do_are_refused(self, conditional_export):
        has = read_signature(conditional_export)
        without = has.model_copy(update={"classes": ()})
        said = "labels is [1], but this model is unconditional and takes none; leave them out"
        for ask in (labels_to_draw, labels_to_score):
            with pytest.raises(ConfigError) as caught:
                ask(without, [1], 4)
            assert str(caught.value) == said
            known = r"which this model does not know; give 0 to 2 \(round, straight, crossed\)$"
            refused(f"^labels has 3, {known}", ask, has, [0, 3], 2)
            refused(f"^labels has -1, {known}", ask, has, [-1], 2)
            assert ask(without, [], 4) is None
        refused("there are no labels, but this model is conditional: .* 0 to 2", labels_to_score, has, [], 4)
        refused("there are 3 labels for 4 images; give one for all", labels_to_score, has, [0, 1, 2], 4)

    def test_what_a_graph_says_is_told_in_one_line(self, conditional_export):
        opened = Exported(conditional_export)
        said = (
            r"^the exported model cannot draw samples: InvalidArgumentError: assertion failed: \[labels must be 0 to "
            r"2; received:\] \[7\]$"
        )
        refused(said, list, opened.stream(1, 0, 2, np.array([7], np.int32)), kind=EBMError)

    @pytest.mark.slow
    def test_chains_that_diverged_are_no_images(self, tmp_path):
        model = build_energy_model(network(False), SHAPE, 0)
        model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
        functions = export(model, Method(chain_settings(1, 0.5, 0.01)), tmp_path / "saved_model")
        signature_of(tmp_path, functions, 0).write(tmp_path)
        said = "3 of 3 samples have pixels that are not numbers: their chains diverged at the step size of .* 0.5;"
        refused(said, Exported(tmp_path).sample, 3, kind=EBMError)


class TestMala:
    """An export of an experiment that samples by MALA."""

    SAMPLING = Sampling(steps=4, batch_size=5, sampler="mala", step_size=1e-5, temperature=0.5)

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        return exported(tmp_path_factory.mktemp("mala"), True, self.SAMPLING)

    def test_it_says_so(self, folder):
        chain = read_signature(folder).chain
        assert (chain.sampler, chain.temperature, chain.step_size) == ("mala", 0.5, 1e-5)
        card = (folder / "MODEL_CARD.md").read_text()
        assert "Samples are drawn by chains of MALA" in card
        assert (
            "proposes a move of the size 1e-05 at the temperature 0.5; `acceptance` is the share of" in card
        )
        assert "`images` float32 [n, 8, 8, 1], `acceptance` float32 [n]" in card
        assert "Langevin chains from noise" not in card

    def test_its_samples_are_those_of_the_pipeline(self, folder):
        """Of each class, in batches of other sizes, with the share that each chain accepted."""
        opened, labels = Exported(folder), np.resize(np.arange(3, dtype=np.int32), 12)
        model, method = load_trained(folder.parents[1] / "trained"), method_of(self.SAMPLING, LANGEVIN, 4)

        def starts(first, count):
            return uniform_noise(first, count, SHAPE, 9)

        expected = list(stream_chains(model, starts, 12, method, 9, 12, lambda *_: None, labels))
        found = list(opened.stream(12, 9, 4, labels))
        assert [batch.first for batch in found] == [0, 5, 10]
        acceptance = np.concatenate([batch.acceptance for batch in found])
        np.testing.assert_allclose(acceptance, expected[0].acceptance, rtol=1e-6)
        assert 0 < acceptance.mean() < 1, "the case is meant to refuse some and to accept some"
        images = np.concatenate([batch.images for batch in found])
        np.testing.assert_allclose(images, expected[0].images, atol=1e-5)
        np.testing.assert_array_equal(opened.sample(12, seed=9), images)

    @pytest.mark.parametrize(
        "sampling, said",
        [
            ({"sampler": "mala", "noise_scale": 0.0}, "with a noise_scale of 0 its temperature is 0; give"),
            ({"temperature": 0.5}, "the langevin sampler has none; set sampling.sampler=mala"),
        ],
    )
    def test_a_temperature_that_cannot_be_is_refused(self, tmp_path, sampling, said):
        refused(said, exported, tmp_path, True, Sampling(steps=4, batch_size=5, **sampling))


class TestDamage:
    """Folders that are none, newer, or not whole."""

    def test_what_is_no_export_is_told(self, tmp_path, conditional_export):
        refused(
            f"^there is no folder {tmp_path}/none; give", read_signature, tmp_path / "none", kind=MissingInput
        )
        refused(
            "is no exported model, as it has no signature.json; give", Exported, tmp_path, kind=MissingInput
        )
        hint = rf"did you mean {conditional_export}\?$"
        refused(hint, read_signature, conditional_export / "saved_model", kind=MissingInput)

    def change(self, folder, **values):
        path = folder / SIGNATURE
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    def test_a_newer_format_is_refused_by_its_number(self, copied):
        self.change(copied, format=7, more="unknown")
        said = (
            r"signature\.json is of format 7, and this program knows formats up to 2: use the newer program"
        )
        refused(said, Exported, copied, kind=MissingInput)

    def test_an_older_format_is_read(self, copied):
        """As it was written before there was a sampler to tell."""
        chain = json.loads((copied / SIGNATURE).read_text())["chain"]
        older = {key: value for key, value in chain.items() if key not in ("sampler", "temperature")}
        self.change(copied, format=1, chain=older)
        assert read_signature(copied).chain.sampler == "langevin"
        assert read_signature(copied).chain.temperature is None
        assert Exported(copied).sample(2, seed=3).shape == (2, *SHAPE)

    @pytest.mark.parametrize(
        "values, said",
        [
            ({"format": "one"}, "cannot be read \\(format: "),
            ({"format": 0}, "cannot be read \\(format: "),
            ({"images": {"shape": [8, 8], "levels": 17}}, "cannot be read \\(images.shape"),
            ({"weights": None}, "cannot be read \\(weights"),
            ({"surplus": 1}, "cannot be read \\(surplus"),
        ],
    )
    def test_a_signature_that_is_none_is_refused(self, copied, values, said):
        self.change(copied, **values)
        refused(said, read_signature, copied, kind=MissingInput)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format"'])
    def test_nor_is_what_is_not_json(self, copied, text):
        (copied / SIGNATURE).write_text(text)
        refused("signature.json cannot be read", read_signature, copied, kind=MissingInput)

    @pytest.mark.parametrize(
        "name", ["saved_model/saved_model.pb", "saved_model/variables/variables.data-00000-of-00001"]
    )
    @pytest.mark.parametrize("damage", [cut, flip])
    def test_other_bytes_than_were_exported_are_told(self, copied, name, damage):
        damage(copied / name)
        refused(f"{copied / name} has other bytes than were exported", Exported, copied, kind=MissingInput)

    def test_a_file_that_is_missing_is_told(self, copied):
        lose(copied / "saved_model/variables/variables.index")
        refused("variables.index is missing; get the folder anew", Exported, copied, kind=MissingInput)

    def test_names_that_lead_elsewhere_are_refused(self, copied):
        (copied.parent / "outside").write_text("theirs")
        self.change(copied, files={"saved_model/../../outside": "0" * 64})
        refused("has a relative name without '..'", Exported, copied, kind=MissingInput)
        self.change(copied, files={})
        refused("names no saved_model; get", Exported, copied, kind=MissingInput)

    def test_a_saved_model_that_cannot_be_loaded_is_told(self, copied):
        (copied / "saved_model/saved_model.pb").write_bytes(b"no graph")
        self.change(copied, files=digests(copied, ["saved_model"]))
        refused("cannot load the SavedModel .*; export the model again", Exported, copied, kind=MissingInput)

    def test_a_saved_model_of_another_kind_is_told(self, copied):
        shutil.rmtree(copied / "saved_model")
        tf.saved_model.save(tf.Module(), str(copied / "saved_model"))
        self.change(copied, files=digests(copied, ["saved_model"]))
        refused("lacks energy, refine, sample, sample_range, score;", Exported, copied, kind=MissingInput)
