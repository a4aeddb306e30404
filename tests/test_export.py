"""The export: it answers as the model does, in a process without this project, or it is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from ebm_tf.errors import EBMError
from ebm_tf.export import CHECK_PROGRAM, SIGNATURES, check_export, export
from ebm_tf.langevin import chain_settings, energy_gradient
from ebm_tf.models.architectures import Conv, Dense, Energy, Flatten, LayerOptions, Pool, Residual
from ebm_tf.models.energy import EnergyModel
from ebm_tf.sampling import Kind, Method, stream_chains, uniform_noise
from tests.chains import no_report, run_chains

BLOCKS = (Conv(4), Pool(), Flatten(), Dense(8), Energy())
SHAPE = (4, 6, 2)
STEP_SIZE, NOISE_SCALE = 0.1, 0.02
METHOD = Method(chain_settings(1, STEP_SIZE, NOISE_SCALE))


@pytest.fixture(scope="module")
def model():
    return EnergyModel(BLOCKS, SHAPE, seed=1)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """A SavedModel of `model`."""
    made = tmp_path_factory.mktemp("export") / "saved_model"
    export(model, METHOD, made)
    return made


@pytest.fixture(scope="module")
def signatures(folder):
    loaded = tf.saved_model.load(str(folder))
    yield loaded.signatures


def images(count, seed=0):
    return tf.constant(np.random.default_rng(seed).random((count, *SHAPE), dtype=np.float32))


def sample(signatures, count, steps, seed):
    numbers = {"count": count, "steps": steps, "seed": seed}
    return signatures["sample"](**{name: tf.constant(n) for name, n in numbers.items()})["images"].numpy()


def refine(signatures, start, steps, seed):
    return signatures["refine"](images=start, steps=tf.constant(steps), seed=tf.constant(seed))["images"]


def fresh(model, chain, count, seed, batch_size, labels=None):
    """Fresh chains as the pipeline draws them."""

    def starts(first, size):
        return uniform_noise(first, size, model.image_shape, seed)

    batches = stream_chains(model, starts, count, Method(chain), seed, batch_size, no_report, labels)
    return np.concatenate([batch.images for batch in batches])


def test_it_has_these_signatures(signatures):
    assert set(signatures) == set(SIGNATURES) == {"energy", "score", "sample", "refine"}


@pytest.mark.parametrize("count", [1, 7, 257])
def test_energy_and_score_are_those_of_the_model_for_any_number_of_images(signatures, model, count):
    shown = images(count)
    energies, scores = (
        signatures["energy"](images=shown)["energy"],
        signatures["score"](images=shown)["score"],
    )
    assert energies.shape == (count,)
    assert scores.shape == (count, *SHAPE)
    np.testing.assert_allclose(energies, model(shown), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores, -energy_gradient(model, shown), rtol=1e-4, atol=1e-6)


def test_the_score_is_the_downhill_direction_of_the_energy(signatures):
    """Central differences along the score: the energy falls by |score|^2 a unit."""
    shown = images(5)
    score = signatures["score"](images=shown)["score"]
    step = 1e-2 / tf.norm(score)
    ahead, behind = (signatures["energy"](images=shown + s * step * score)["energy"] for s in (1, -1))
    expected = -tf.reduce_sum(score**2, axis=[1, 2, 3])
    np.testing.assert_allclose((ahead - behind) / (2 * step), expected, rtol=0.02)


@pytest.mark.parametrize("batch_size", [2, 7])
def test_samples_are_the_fresh_chains_of_the_pipeline(signatures, model, batch_size):
    """For the same seed and steps, whatever batches the pipeline drew them in."""
    chain = chain_settings(5, STEP_SIZE, NOISE_SCALE)
    expected = fresh(model, chain, 7, 11, batch_size)
    drawn = sample(signatures, 7, 5, 11)
    np.testing.assert_allclose(drawn, expected, atol=1e-5)


def test_the_first_samples_do_not_depend_on_how_many_there_are(signatures):
    many = sample(signatures, 40, 5, 11)
    np.testing.assert_allclose(sample(signatures, 6, 5, 11), many[:6], atol=1e-6)
    np.testing.assert_allclose(sample(signatures, 1, 5, 11), many[:1], atol=1e-6)


def test_samples_may_be_drawn_in_ranges(folder, signatures):
    """Images 0 to 6 of a seed, from number 2 on, too."""
    loaded, numbers = tf.saved_model.load(str(folder)), {"steps": tf.constant(5), "seed": tf.constant(11)}
    whole = sample(signatures, 7, 5, 11)
    for first, count in ((0, 7), (2, 3), (6, 1)):
        part = loaded.sample_range(tf.constant(first), tf.constant(count), **numbers)["images"]
        np.testing.assert_allclose(part, whole[first : first + count], atol=1e-6)


def test_what_is_told_of_the_signatures_is_what_they_take(model, tmp_path):
    told = export(model, METHOD, tmp_path / "made")
    functions = tf.saved_model.load(str(tmp_path / "made")).signatures
    for name, function in functions.items():
        _, inputs = function.structured_input_signature
        for specs, side in ((inputs, told[name].inputs), (function.structured_outputs, told[name].outputs)):
            found = {key: (spec.dtype.name, tuple(spec.shape)) for key, spec in specs.items()}
            assert {key: (tensor.dtype, tensor.shape) for key, tensor in side.items()} == found


def test_a_server_without_a_compiler_can_run_it(folder):
    """TensorFlow Serving has no XLA: no function may demand it."""
    saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    functions = [function for graph in saved.meta_graphs for function in graph.graph_def.library.function]
    assert len(functions) > 8
    assert [one.signature.name for one in functions if one.attr["_XlaMustCompile"].b] == []
    operations = {node.op for function in functions for node in function.node_def}
    assert not {name for name in operations if name.startswith("Xla")}


class TestCommandLine:
    """What TensorFlow's own command line gets from the folder alone, a process each time."""

    def run(self, folder, out, signature, *inputs):
        command = [str(Path(sys.executable).with_name("saved_model_cli")), "run", "--dir", str(folder)]
        command += ["--tag_set", "serve", "--signature_def", signature, *inputs, "--outdir", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=out)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 257])
    def test_energies_are_those_of_the_model(self, folder, model, tmp_path, count):
        np.save(tmp_path / "shown.npy", images(count))
        self.run(folder, tmp_path, "energy", "--inputs", "images=shown.npy")
        energies = np.load(tmp_path / "energy.npy", allow_pickle=False)
        np.testing.assert_allclose(energies, model(images(count)), rtol=1e-5, atol=1e-6)

    @pytest.mark.slow
    def test_a_seed_gives_the_same_images_each_time(self, folder, signatures, tmp_path):
        drawn = []
        for seed, name in ((11, "one"), (11, "two"), (12, "other")):
            (tmp_path / name).mkdir()
            expression = f"count=257;steps=5;seed={seed}"
            self.run(folder, tmp_path / name, "sample", "--input_exprs", expression)
            drawn.append(np.load(tmp_path / name / "images.npy", allow_pickle=False))
        np.testing.assert_array_equal(drawn[0], drawn[1])
        assert not np.isclose(drawn[0], drawn[2]).all()
        np.testing.assert_allclose(drawn[0], sample(signatures, 257, 5, 11), atol=1e-5)


class TestRefused:
    """What a signature cannot take: an error with words, where a graph alone would crash or give some energies."""

    @pytest.mark.parametrize("shape", [(2, 8, 12, 2), (2, 6, 4, 2), (2, 4, 6, 1), (4, 6, 2), (2, 48)])
    @pytest.mark.parametrize("name", ["energy", "score", "refine"])
    def test_images_of_another_shape(self, signatures, name, shape):
        numbers = {"steps": tf.constant(2), "seed": tf.constant(1)} if name == "refine" else {}
        received = "[" + ",".join(map(str, shape)) + "]"
        said = f"Shape of tensor images {received} is not compatible with expected shape [?,4,6,2]"
        with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(said)):
            signatures[name](images=tf.zeros(shape), **numbers)

    @pytest.mark.parametrize("dtype", [tf.float64, tf.uint8])
    def test_images_of_another_type(self, signatures, dtype):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="was expected to be a float tensor but is a"
        ):
            signatures["energy"](images=tf.zeros((2, *SHAPE), dtype))

    def test_no_images(self, signatures):
        said = r"give one image or more; received:\] \[0\]"
        with pytest.raises(tf.errors.InvalidArgumentError, match=said):
            signatures["score"](images=tf.zeros((0, *SHAPE)))
        with pytest.raises(tf.errors.InvalidArgumentError, match=said):
            sample(signatures, 0, 5, 1)

    def test_numbers_that_are_none(self, signatures):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"steps must be 0 or more; received:\] \[-1\]"
        ):
            sample(signatures, 2, -1, 1)
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=r"Shape of tensor count \[2\] is not compatible"
        ):
            sample(signatures, [2, 3], 5, 1)


def test_refining_starts_from_the_given_images(signatures, model):
    start = images(7)
    chain = chain_settings(4, STEP_SIZE, NOISE_SCALE)
    expected = run_chains(model, start.numpy(), chain, 3, 7, no_report, kind=Kind.REFINED)
    np.testing.assert_allclose(refine(signatures, start, 4, 3), expected, atol=1e-5)
    np.testing.assert_array_equal(refine(signatures, start, 0, 3), start)


def test_the_same_seed_gives_the_same_images_and_another_others(signatures):
    first = sample(signatures, 3, 5, 7)
    np.testing.assert_array_equal(sample(signatures, 3, 5, 7), first)
    assert not np.isclose(sample(signatures, 3, 5, 8), first).all()
    start = images(3)
    np.testing.assert_array_equal(refine(signatures, start, 5, 7), refine(signatures, start, 5, 7))
    assert not np.isclose(refine(signatures, start, 5, 7), refine(signatures, start, 5, 8)).all()


def test_samples_are_pixels(signatures):
    drawn = sample(signatures, 7, 20, 0)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert drawn.std() > 0.01


def test_the_check_in_another_process_passes(folder, model):
    differences = check_export(folder, model, images(5).numpy())
    assert set(differences) == {"energy", "energy_of_one", "score", "repeated_sample"}
    assert max(differences.values()) <= 1e-5
    assert differences["repeated_sample"] == 0


@pytest.mark.parametrize("module", ["ebm_tf", "ebm_tf.langevin", "pipelines", "cli"])
def test_the_checking_process_cannot_import_the_project(module):
    before, start, _ = CHECK_PROGRAM.partition("import numpy")
    assert start
    command = [sys.executable, "-I", "-c", f"{before}\nimport {module}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ImportError: this check runs without the project"


def test_an_export_of_other_weights_is_refused(folder):
    with pytest.raises(EBMError, match="the export answers otherwise than the model") as caught:
        check_export(folder, EnergyModel(BLOCKS, SHAPE, seed=2), images(5).numpy())
    assert '"repeated_sample": 0.0' in str(caught.value)


def test_an_export_that_cannot_be_loaded_is_refused_in_one_line(folder, model, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(EBMError, match="the export does not load without this project: ") as caught:
        check_export(broken, model, images(2).numpy())
    assert "\n" not in str(caught.value)


def test_annealing_and_the_gradient_clip_are_exported(model, tmp_path):
    chain = chain_settings(5, STEP_SIZE, NOISE_SCALE, anneal=True, gradient_clip=0.01)
    export(model, Method(chain), tmp_path / "other")
    loaded = tf.saved_model.load(str(tmp_path / "other"))
    expected = fresh(model, chain, 4, 11, 4)
    assert not np.allclose(expected, fresh(model, chain_settings(5, STEP_SIZE, NOISE_SCALE), 4, 11, 4))
    np.testing.assert_allclose(sample(loaded.signatures, 4, 5, 11), expected, atol=1e-5)


class TestMala:
    """The export of a model that is sampled by MALA."""

    COLD = Method(chain_settings(6, 1e-3, 0.0), temperature=tf.constant(0.02))

    @pytest.fixture(scope="class")
    def told(self, model, tmp_path_factory):
        """The folder of the SavedModel, and what it is said to take and give."""
        folder = tmp_path_factory.mktemp("mala") / "made"
        return folder, export(model, self.COLD, folder)

    @pytest.fixture(scope="class")
    def functions(self, told):
        loaded = tf.saved_model.load(str(told[0]))
        yield loaded.signatures

    def drawn(self, model, starts, batch_size, kind=Kind.FRESH):
        """Ends of the pipeline's chains, and the share that each accepted."""
        batches = stream_chains(model, starts, 7, self.COLD, 11, batch_size, no_report, None, kind)
        each = [(batch.images, batch.acceptance) for batch in batches]
        return tuple(map(np.concatenate, zip(*each)))

    def test_its_samples_are_those_of_the_pipeline(self, functions, model):
        """Proposal by proposal: a chain that took another would end elsewhere."""
        numbers = {"count": tf.constant(7), "steps": tf.constant(6), "seed": tf.constant(11)}
        found = functions["sample"](**numbers)
        for batch_size in (2, 7):
            images, acceptance = self.drawn(
                model, lambda first, count: uniform_noise(first, count, SHAPE, 11), batch_size
            )
            np.testing.assert_allclose(found["images"], images, atol=1e-5)
            np.testing.assert_allclose(found["acceptance"], acceptance, rtol=1e-6)
        assert 0 < acceptance.mean() < 1, "the case is meant to refuse some and to accept some"
        assert len(set(acceptance)) > 1

    def test_what_it_refines_is_what_the_pipeline_would(self, functions, model):
        start = images(7)
        ends, acceptance = self.drawn(
            model, lambda first, count: start[first : first + count], 7, Kind.REFINED
        )
        found = functions["refine"](images=start, steps=tf.constant(6), seed=tf.constant(11))
        np.testing.assert_allclose(found["images"], ends, atol=1e-5)
        np.testing.assert_allclose(found["acceptance"], acceptance, rtol=1e-6)
        still = functions["refine"](images=start, steps=tf.constant(0), seed=tf.constant(11))
        np.testing.assert_array_equal(still["images"], start)
        np.testing.assert_array_equal(still["acceptance"], np.zeros(7))

    def test_only_what_moves_tells_an_acceptance(self, told, signatures):
        _, functions = told
        assert (
            set(functions["sample"].outputs) == set(functions["refine"].outputs) == {"images", "acceptance"}
        )
        assert functions["sample"].outputs["acceptance"].shape == (None,)
        assert set(functions["energy"].outputs) == {"energy"}
        assert set(signatures["sample"].structured_outputs) == {"images"}, "Langevin chains accept everything"

    def test_the_check_in_another_process_passes(self, told, model):
        assert check_export(told[0], model, images(5).numpy())["repeated_sample"] == 0


@pytest.mark.slow
def test_a_model_of_less_precision_is_compared_as_closely_as_it_can_be(tmp_path):
    """Graphs are fused otherwise than single operations, and round to 8 bits at other places."""
    models = [
        EnergyModel((Conv(4), Residual(), *BLOCKS[1:]), SHAPE, LayerOptions(precision="bfloat16"), seed)
        for seed in (1, 2)
    ]
    export(models[0], METHOD, tmp_path / "made")
    differences = check_export(tmp_path / "made", models[0], images(5).numpy(), precision="bfloat16")
    assert differences["repeated_sample"] == 0
    with pytest.raises(EBMError, match="the export answers otherwise than the model"):
        check_export(tmp_path / "made", models[1], images(5).numpy(), precision="bfloat16")


class TestConditional:
    """The export of a model that takes labels."""

    LABELS = np.array([2, 0, 1, 1, 2], np.int32)

    @pytest.fixture(scope="class")
    def model(self):
        """With random weights everywhere, so that labels matter."""
        blocks = (Conv(4), Residual(), Pool(), Flatten(), Dense(8), Energy())
        made = EnergyModel(blocks, SHAPE, LayerOptions(norm="group", groups=2, classes=3), seed=1)
        random = np.random.default_rng(2)
        for weight in made.trainable_variables:
            weight.assign_add(0.3 * random.standard_normal(weight.shape).astype(np.float32))
        energies = [made(images(1), tf.constant([label])).numpy() for label in (0, 1, 2)]
        assert len(np.unique(energies)) == 3
        return made

    @pytest.fixture(scope="class")
    def folder(self, model, tmp_path_factory):
        made = tmp_path_factory.mktemp("export") / "saved_model"
        export(model, METHOD, made)
        return made

    @pytest.fixture(scope="class")
    def functions(self, folder):
        loaded = tf.saved_model.load(str(folder))
        yield loaded.signatures

    def test_energy_and_score_are_those_of_each_label(self, functions, model):
        labels, shown = tf.constant(self.LABELS), images(5)
        energies = functions["energy"](images=shown, labels=labels)["energy"]
        np.testing.assert_allclose(energies, model(shown, labels), rtol=1e-5)
        scores = functions["score"](images=shown, labels=labels)["score"]
        expected = -energy_gradient(lambda x: model(x, labels), shown)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("batch_size", [2, 5])
    def test_samples_are_one_for_each_label_as_the_pipeline_draws_them(self, functions, model, batch_size):
        numbers = {"steps": tf.constant(5), "seed": tf.constant(11)}
        drawn = functions["sample"](labels=tf.constant(self.LABELS), **numbers)["images"]
        chain = chain_settings(5, STEP_SIZE, NOISE_SCALE)
        expected = fresh(model, chain, 5, 11, batch_size, self.LABELS)
        np.testing.assert_allclose(drawn, expected, atol=1e-5)

    def test_refining_moves_by_the_energy_of_each_label(self, functions, model):
        start, numbers = images(5), {"steps": tf.constant(4), "seed": tf.constant(3)}
        refined = functions["refine"](images=start, labels=tf.constant(self.LABELS), **numbers)["images"]
        chain = chain_settings(4, STEP_SIZE, NOISE_SCALE)
        expected = run_chains(model, start.numpy(), chain, 3, 5, no_report, self.LABELS, Kind.REFINED)
        np.testing.assert_allclose(refined, expected, atol=1e-5)

    def test_the_check_in_another_process_passes(self, folder, model):
        differences = check_export(folder, model, images(5).numpy(), self.LABELS)
        assert max(differences.values()) <= 1e-5

    @pytest.mark.parametrize("labels", [[1], [0, 1, 2]])
    @pytest.mark.parametrize("name", ["energy", "score", "refine"])
    def test_as_many_labels_as_images_are_demanded(self, functions, name, labels):
        numbers = {"steps": tf.constant(2), "seed": tf.constant(1)} if name == "refine" else {}
        said = rf"give a label for each image; received:\] \[{len(labels)}\] \[2\]"
        with pytest.raises(tf.errors.InvalidArgumentError, match=said):
            functions[name](images=images(2), labels=tf.constant(labels), **numbers)

    def test_labels_of_another_shape_are_refused(self, functions):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"Shape of tensor labels \[1,2\] is not"):
            functions["energy"](images=images(2), labels=tf.constant([[0, 1]]))

    @pytest.mark.parametrize("label", [-1, 3])
    def test_a_label_that_the_model_does_not_know_is_refused(self, functions, label):
        with pytest.raises(tf.errors.InvalidArgumentError, match="labels must be 0 to 2; received"):
            functions["energy"](images=images(1), labels=tf.constant([label]))
