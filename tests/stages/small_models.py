"""Stages that draw samples, given models that nobody trained, on images of 8x8."""

from __future__ import annotations

import io
import json

import numpy as np

from ebm_tf.baselines.sngan import GENERATOR_FILE, build_generator
from ebm_tf.config import SNGAN, Compute
from ebm_tf.models.energy import build_energy_model
from ebm_tf.stages.context import Context

SHAPE, LEVELS, SEED = (8, 8, 1), 17, 5
CLASSES = ["round", "straight", "crossed"]
SNGAN_SETTINGS = SNGAN(width=0.05, latent_size=4)


def data_in(folder):
    """A store of which only the manifest is there."""
    manifest = {"dataset": "t", "version": "1", "shape": SHAPE, "dtype": "uint8", "levels": LEVELS}
    manifest |= {"classes": CLASSES, "counts": {}, "sha256": {}, "licence": "none"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def energy_model_in(folder, settings, labels):
    """What TrainEBM leaves; a stored chain for each label, whose grey tells it. Returns folder and settings."""
    network = build_energy_model(settings, SHAPE, 1, len(CLASSES))
    random = np.random.default_rng(2)
    for weight in network.trainable_variables:  # labels start without any effect
        weight.assign_add(0.05 * random.standard_normal(weight.shape).astype(np.float32))
    network.save_weights(folder / "average.weights.h5")
    grey = 40 + 70 * (labels % 3)[:, None, None, None]
    images = (grey + random.integers(-20, 20, (len(labels), *SHAPE))).astype(np.uint8)
    np.savez(folder / "replay.npz", images=images, labels=labels.astype(np.int32), ages=labels)
    return folder, settings


def generator_in(folder):
    """What TrainSNGAN leaves."""
    generator = build_generator(SNGAN_SETTINGS, SHAPE, seed=3)
    generator.save_weights(folder / GENERATOR_FILE)
    (folder / "sngan.json").write_text(json.dumps({"weights": "last"}))
    return folder


def run_stage(module, name, folder, settings, inputs):
    """Run a stage; returns its output, which is `folder / "out"`, and the events that it told."""
    out, work = folder / "out", folder / "work"
    for made in (out, work):
        made.mkdir(parents=True)
    channel = io.StringIO()
    module.run(Context(name, "0" * 64, settings, Compute(), inputs, work, out, channel))
    return out, [json.loads(line) for line in channel.getvalue().splitlines()]
