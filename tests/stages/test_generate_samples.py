"""GenerateSamples on tiny models: which files there are, what is in them, and what is refused."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
import tensorflow as tf

from ebm_tf.config import Augmentation, Langevin, Model, Sampling
from ebm_tf.errors import ConfigError, EBMError, MissingInput
from ebm_tf.grey_levels import to_uint8
from ebm_tf.langevin import chain_settings
from ebm_tf.models.energy import load_energy_model
from ebm_tf.sampling import Kind, Method, film, uniform_noise
from tests.chains import no_report, run_chains
from tests.stages.running import run_stage, settings_of
from tests.stages.small_models import (
    CLASSES,
    LEVELS,
    SEED,
    SHAPE,
    SNGAN_SETTINGS,
    data_in,
    energy_model_in,
    generator_in,
)

LANGEVIN = Langevin(steps=3, step_size=0.5, noise_scale=0.01)
SMALL = {"count": 11, "steps": 4, "buffer_steps": 2, "batch_size": 4, "film_chains": 2, "film_frames": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return data_in(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=[False, True], ids=["unconditional", "conditional"])
def any_trained(request, trained, trained_conditional):
    return trained_conditional if request.param else trained


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What TrainEBM leaves of an unconditional model."""
    return energy_model_in(tmp_path_factory.mktemp("trained"), Model(architecture="tiny"), np.full(30, -1))


@pytest.fixture(scope="module")
def trained_conditional(tmp_path_factory):
    """The same of a conditional one; every class has ten chains, whose images tell it by their grey."""
    model = Model(architecture="tiny", conditional=True)
    return energy_model_in(tmp_path_factory.mktemp("trained"), model, np.repeat([0, 1, 2], 10))


@pytest.fixture(scope="module")
def generate(data, tmp_path_factory):
    """Run the stage, each case once; returns the folder that it wrote and what it said."""
    done = {}

    def run(trained, langevin=LANGEVIN, augmentation=None, **sampling):
        folder, model = trained
        changes = {"model": model, "langevin": langevin, "augmentation": augmentation or Augmentation()}
        changes |= {"seed": SEED, "sampling": Sampling(**{**SMALL, **sampling})}
        case = (folder, json.dumps(settings_of("GenerateSamples", **changes)))
        if case not in done:
            inputs = {"PrepareDataset": data, "TrainEBM": folder}
            made = tmp_path_factory.mktemp("generated")
            done[case] = run_stage("GenerateSamples", made, inputs, **changes)
        return done[case]

    return run


def load(out, kind):
    with np.load(out / f"{kind}.npz", allow_pickle=False) as file:
        return dict(file)


def read(out, name):
    return json.loads((out / name).read_text())


def network(trained):
    folder, settings = trained
    return load_energy_model(settings, SHAPE, folder / "average.weights.h5", len(CLASSES))


def test_an_unconditional_model_leaves_two_kinds_and_a_film(generate, trained):
    out, said = generate(trained)
    kinds = {f"{kind}.{ending}" for kind in ("fresh", "buffer") for ending in ("npz", "json", "png")}
    assert {path.name for path in out.iterdir()} == kinds | {"samples.json", "film.png"}
    listed = read(out, "samples.json")
    assert listed["weights"] == "average (EMA)"
    assert {name: kind["title"] for name, kind in listed["kinds"].items()} == {
        "fresh": "EBM, fresh chains from noise",
        "buffer": "EBM, chains from the buffer",
    }
    for name, steps in (("fresh", 4), ("buffer", 2)):
        samples = load(out, name)
        assert set(samples) == {"images"}
        assert samples["images"].shape == (11, *SHAPE)
        assert samples["images"].dtype == np.uint8
        assert set(np.unique(samples["images"])) <= set(np.round(np.arange(17) * 255 / 16).astype(int))
        assert read(out, f"{name}.json") == listed["kinds"][name]
        assert listed["kinds"][name]["images"] == 11
        assert listed["kinds"][name]["chain"] == {
            "sampler": "langevin",
            "steps": steps,
            "step_size": 0.5,
            "noise_scale": 0.01,
            "gradient_clip": None,
            "anneal": False,
            "augment_every": None,
            "seed": SEED,
        }
    assert all(event["total"] == 11 * (4 + 2) for event in said)
    done = [event["done"] for event in said]
    assert done == sorted(done)
    assert done[-1] == 11 * 6
    assert {event["message"] for event in said} == {"steps of fresh chains", "steps of buffer chains"}


def test_fresh_samples_are_the_chains_of_the_settings(generate, trained):
    """Step size, annealing and the limit on the gradient come from the config."""
    langevin = Langevin(steps=3, step_size=9.0, noise_scale=0.05, anneal=True, gradient_clip=0.2)
    out, _ = generate(trained, langevin, step_size=0.7)
    chain = chain_settings(4, 0.7, 0.05, anneal=True, gradient_clip=0.2)
    start = uniform_noise(0, 11, SHAPE, SEED).numpy()
    expected = to_uint8(run_chains(network(trained), start, chain, SEED, 11, no_report), LEVELS)
    assert (load(out, "fresh")["images"] == expected).mean() > 0.99, "up to pixels between two levels"


def test_the_batch_size_changes_no_sample(generate, any_trained):
    one, other = (generate(any_trained, batch_size=n)[0] for n in (4, 100))
    for kind in ("fresh", "buffer"):
        first, second = load(one, kind), load(other, kind)
        assert (first["images"] == second["images"]).mean() > 0.99, "up to pixels between two levels"
        for name in set(first) - {"images"}:
            np.testing.assert_array_equal(first[name], second[name])


def test_buffer_chains_start_from_different_stored_images(generate, trained):
    """After no step they are the stored images, at the levels of the data set."""
    out, _ = generate(trained, buffer_steps=0)
    stored = np.load(trained[0] / "replay.npz")["images"]
    level = np.round(load(out, "buffer")["images"] / 255 * 16).astype(int)
    nearest = [np.abs(image - stored.astype(int) * 17 // 256).sum(axis=(1, 2, 3)).argmin() for image in level]
    assert len(set(nearest)) == 11
    for image, index in zip(level, nearest):
        low, high = stored[index] / 256 * 17, (stored[index].astype(float) + 1) / 256 * 17
        assert ((image >= np.floor(low)) & (image <= np.floor(high))).all()


def test_more_samples_than_stored_images_start_from_some_twice(generate, trained):
    out, _ = generate(trained, count=40)
    assert load(out, "buffer")["images"].shape == (40, *SHAPE)


class TestLabels:
    def test_fresh_labels_come_in_turn_and_have_a_row_each(self, generate, trained_conditional):
        out, _ = generate(trained_conditional)
        assert load(out, "fresh")["labels"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]
        assert (out / "classes.png").is_file()
        assert set(load(out, "buffer")["labels"]) == {0, 1, 2}

    def test_only_wanted_classes_are_drawn(self, generate, trained_conditional):
        out, _ = generate(trained_conditional, labels=(2, 0))
        assert load(out, "fresh")["labels"].tolist() == [2, 0] * 5 + [2]
        assert set(load(out, "buffer")["labels"]) == {0, 2}

    def test_buffer_chains_keep_the_label_stored_with_them(self, generate, trained_conditional):
        """Stored images of label l are 40 + 70 l grey on average."""
        out, _ = generate(trained_conditional, buffer_steps=0)
        buffer = load(out, "buffer")
        grey = buffer["images"].mean(axis=(1, 2, 3))
        np.testing.assert_array_equal(np.round((grey - 40) / 70), buffer["labels"])

    def test_labels_reach_the_energy(self, generate, trained_conditional):
        out, _ = generate(trained_conditional, labels=(1,))
        start, chain = uniform_noise(0, 11, SHAPE, SEED).numpy(), chain_settings(4, 0.5, 0.01)
        ends = {
            label: to_uint8(
                run_chains(
                    network(trained_conditional), start, chain, SEED, 11, no_report, np.full(11, label)
                ),
                LEVELS,
            )
            for label in (0, 1)
        }
        same = {label: (load(out, "fresh")["images"] == images).mean() for label, images in ends.items()}
        assert same[1] > 0.99
        assert same[0] < same[1]

    def test_a_label_out_of_range_is_refused(self, generate, trained_conditional):
        with pytest.raises(
            ConfigError, match=r"sampling.labels has 3, but .* classes are 0 to 2; give some of"
        ):
            generate(trained_conditional, labels=(0, 3))

    def test_labels_of_an_unconditional_model_are_refused(self, generate, trained):
        with pytest.raises(ConfigError, match=r"sampling.labels is \[1\], but the model knows no labels"):
            generate(trained, labels=(1,))

    def test_a_buffer_without_the_wanted_class_is_refused(self, generate, tmp_path):
        lacking = tmp_path / "lacking"
        lacking.mkdir()
        made = energy_model_in(lacking, Model(architecture="tiny", conditional=True), np.repeat([0, 2], 10))
        with pytest.raises(EBMError, match=r"no chain of the classes \[1\]; it has \[0, 2\]"):
            generate(made, labels=(1,))


class TestMala:
    def test_the_acceptance_is_written(self, generate, trained):
        langevin = Langevin(steps=3, step_size=1e-6, noise_scale=0.01)
        out, _ = generate(trained, langevin, sampler="mala", temperature=1e-5)
        chain = read(out, "fresh.json")["chain"]
        assert chain["sampler"] == "mala"
        assert chain["temperature"] == 1e-5
        assert 0.5 < chain["acceptance"]["mean"] <= 1
        assert (
            chain["acceptance"]["smallest"] <= chain["acceptance"]["mean"] <= chain["acceptance"]["largest"]
        )
        assert chain["warnings"] == []
        assert "noise_scale" not in chain, "it has no part in it"

    def test_a_chain_that_hardly_moves_is_told_of(self, generate, trained):
        """At the paper's settings every proposal leaves the box, and energies are too coarse for the temperature."""
        langevin = Langevin(steps=3, step_size=500, noise_scale=0.001, anneal=True)
        out, _ = generate(trained, langevin, sampler="mala")
        chain = read(out, "samples.json")["kinds"]["fresh"]["chain"]
        assert chain["temperature"] == pytest.approx(1e-9)
        assert chain["acceptance"]["mean"] == 0
        low, coarse, anneal = chain["warnings"]
        assert low.startswith("mala accepted 0.00% of its proposals at step size 500 and temperature 1e-09: ")
        assert "the rounding of float32 energies decides" in coarse
        assert "langevin.anneal is true" in anneal
        still = to_uint8(uniform_noise(0, 11, SHAPE, SEED).numpy(), LEVELS)
        np.testing.assert_array_equal(load(out, "fresh")["images"], still)

    def test_a_temperature_of_zero_is_refused(self, generate, trained):
        with pytest.raises(
            ConfigError, match=r"with a noise_scale of 0 its temperature is 0; give sampling.temp"
        ):
            generate(trained, sampler="mala", noise_scale=0.0)

    def test_augmented_chains_are_refused(self, generate, trained):
        with pytest.raises(ConfigError, match=r"sampling.augment_every is 2, but mala draws from exp"):
            generate(trained, augmentation=Augmentation(flip=True), sampler="mala", augment_every=2)


class TestRounds:
    def test_fresh_chains_are_augmented_and_those_of_the_buffer_are_not(self, generate, trained):
        plain, _ = generate(trained)
        out, _ = generate(trained, augmentation=Augmentation(flip=True), augment_every=2)
        assert read(out, "fresh.json")["chain"]["augment_every"] == 2
        assert read(out, "buffer.json")["chain"]["augment_every"] is None
        np.testing.assert_array_equal(load(out, "buffer")["images"], load(plain, "buffer")["images"])
        changed = (load(out, "fresh")["images"] != load(plain, "fresh")["images"]).any(axis=(1, 2, 3))
        assert 0 < changed.sum() < 11, "half of the images are mirrored"

    def test_without_any_augmentation_they_are_refused(self, generate, trained):
        with pytest.raises(ConfigError, match=r"sampling.augment_every is 2, but no augmentation is on"):
            generate(trained, augmentation=Augmentation(), augment_every=2)


def test_the_film_shows_the_first_fresh_chains(generate, trained):
    from PIL import Image

    out, _ = generate(trained)
    start = uniform_noise(0, 2, SHAPE, SEED).numpy()
    strip = film(network(trained), start, Method(chain_settings(4, 0.5, 0.01)), SEED, 3)
    first = to_uint8(strip, LEVELS)[0, 0, :, :, 0]
    with Image.open(out / "film.png") as picture:
        shown = np.asarray(picture)[
            4 : 4 + 48 : 6, 4 : 4 + 48 : 6, 0
        ]  # enlarged six times, behind a margin of 4
    np.testing.assert_array_equal(shown, first)


def test_samples_that_are_all_the_same_are_an_error(generate, trained, tmp_path):
    collapsed = tmp_path / "collapsed"
    collapsed.mkdir()
    network(trained).save_weights(collapsed / "average.weights.h5")
    black = np.zeros((30, *SHAPE), np.uint8)
    np.savez(collapsed / "replay.npz", images=black, labels=np.full(30, -1), ages=np.zeros(30))
    with pytest.raises(EBMError, match="all 11 buffer samples are the same image: the model has collapsed"):
        generate((collapsed, trained[1]), buffer_steps=0)


def test_a_missing_buffer_is_told_of(generate, trained, tmp_path):
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    network(trained).save_weights(lacking / "average.weights.h5")
    with pytest.raises(MissingInput, match=r"cannot read the replay buffer .*; run TrainEBM again"):
        generate((lacking, trained[1]))


def test_of_the_baseline_there_is_one_kind(data, tmp_path):
    folder = tmp_path / "sngan"
    folder.mkdir()
    generator_in(folder)
    inputs = {"PrepareDataset": data, "TrainSNGAN": folder}
    changes = {"seed": SEED, "sngan": SNGAN_SETTINGS}
    changes["sampling"] = Sampling(source="sngan", count=6, batch_size=4)
    out, said = run_stage("GenerateSamples", tmp_path / "made", inputs, **changes)
    assert {path.name for path in out.iterdir()} == {"fresh.npz", "fresh.json", "fresh.png", "samples.json"}
    assert read(out, "samples.json") == {
        "weights": "last",
        "kinds": {"fresh": {"title": "SNGAN", "images": 6}},
    }
    assert load(out, "fresh")["images"].shape == (6, *SHAPE)
    assert said[-1]["done"] == said[-1]["total"] == 6


def test_the_kinds_of_chains_have_random_numbers_of_their_own():
    start = np.full((2, *SHAPE), 0.5, np.float32)

    def flat(images):
        return tf.zeros(len(images)) * tf.reduce_sum(images, axis=[1, 2, 3])

    chain = chain_settings(1, 1.0, 0.1)
    ends = [run_chains(flat, start, chain, SEED, 2, no_report, kind=kind) for kind in Kind]
    for one, other in combinations(ends, 2):
        assert not np.isclose(one, other).any()
