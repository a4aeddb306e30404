"""TrainSNGAN: what its artifact holds, and that a failed run leaves none."""

import json

import numpy as np
import pytest
from PIL import Image

from ebm_tf.baselines import adversarial
from ebm_tf.baselines.sngan import generate, load_generator
from ebm_tf.config import SNGAN
from ebm_tf.errors import ConfigError, EBMError
from tests.stages.running import context_of, run_in, told_in
from tests.stores import write_store

SETTINGS = SNGAN(steps=3, width=0.1, latent_size=6, batch_size=8, discriminator_steps=2, log_every=1)


def make_context(folder, shape=(8, 8, 1), **changes):
    """A stage on a store of random images."""
    images = (np.random.default_rng(0).integers(0, 17, (20, *shape)) * 15).astype(np.uint8)
    write_store(folder / "store", {"train": images, "test": images})
    inputs, settings = {"PrepareDataset": folder / "store"}, SETTINGS.model_copy(update=changes)
    return context_of("TrainSNGAN", folder, inputs, seed=0, sngan=settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    context = make_context(tmp_path_factory.mktemp("trained"))
    run_in(context)
    return context


def test_the_artifact_is_complete(trained):
    files = {path.name for path in trained.out.iterdir()}
    assert files >= {
        "generator.weights.h5", "discriminator.weights.h5", "sngan.json", "metrics.json", "history.csv",
        "curves.png", "grids", "tensorboard",
    }  # fmt: skip
    for picture in (trained.out / "curves.png", trained.out / "grids" / "step-00000003.png"):
        with Image.open(picture) as image:
            image.verify()
    card = json.loads((trained.out / "sngan.json").read_text())
    assert card["settings"] == SETTINGS.model_dump()
    assert card["image_shape"] == [8, 8, 1]
    assert card["weights"] == "last"
    metrics = json.loads((trained.out / "metrics.json").read_text())
    assert metrics["steps"] == card["steps"] == 3
    assert metrics["stopped_by"] == "steps"


def test_the_generator_is_found_again_and_has_the_parameters_that_are_told(trained):
    generator = load_generator(SETTINGS, (8, 8, 1), trained.out)
    metrics = json.loads((trained.out / "metrics.json").read_text())
    assert sum(weight.size for weight in generator.get_weights()) == metrics["parameters"]
    batches = generate(generator, 3, 0, 2, lambda done, total: None)
    assert [batch.shape for batch in batches] == [(2, 8, 8, 1), (1, 8, 8, 1)]


def test_progress_comes_as_events(trained):
    said = told_in(trained)
    assert [event["done"] for event in said] == [1, 2, 3]
    assert all(event["total"] == 3 for event in said)
    assert "D(real)" in said[-1]["message"]


def test_a_run_that_diverges_leaves_no_files(tmp_path, monkeypatch):
    context = make_context(tmp_path)
    monkeypatch.setattr(adversarial, "generator_loss", lambda scores: scores / 0)
    with pytest.raises(
        EBMError, match=r"the training of the SNGAN diverged: loss generator is (inf|-inf|nan)"
    ):
        run_in(context)
    assert list(context.out.iterdir()) == []


def test_an_image_size_without_a_network_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="images of 10x10; bring them to 8 or 12"):
        run_in(make_context(tmp_path, shape=(10, 10, 1)))
