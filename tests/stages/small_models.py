"""What stages read, as others leave it: models and extractors that nobody trained, on images of 8x8."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional

import numpy as np

from ebm_tf.baselines.sngan import GENERATOR_FILE, build_generator
from ebm_tf.config import SNGAN, Model
from ebm_tf.evaluation.extractors.base import FeatureExtractor
from ebm_tf.evaluation.extractors.classifier import Classifier, classifier_network
from ebm_tf.evaluation.extractors.sources import save_extractor
from ebm_tf.models.energy import build_energy_model, save_model_card
from tests.stages.running import run_stage
from tests.stores import write_store

SHAPE, LEVELS, SEED = (8, 8, 1), 17, 5
CLASSES = ["round", "straight", "crossed"]
SNGAN_SETTINGS = SNGAN(width=0.05, latent_size=4)
_RANDOM = np.random.default_rng(0)
REAL = {
    split: _RANDOM.integers(0, 256, (count, *SHAPE)).astype(np.uint8)
    for split, count in (("train", 60), ("test", 40))
}
"""Images by split, where some are needed."""


def data_in(folder: Path) -> Path:
    """A store without an image."""
    none = np.zeros((0, *SHAPE), np.uint8)
    return write_store(folder, {"train": none, "test": none}, classes=CLASSES, levels=LEVELS)


def features_in(folder: Path, store: Path, extractor: Optional[FeatureExtractor] = None) -> dict[str, Path]:
    """An extractor, by default a classifier that nobody trained, and its features of a store; inputs by name."""
    made = {"PrepareDataset": store, "Extractor": folder / "extractor"}
    untrained = Classifier(classifier_network(SHAPE, len(CLASSES)), len(CLASSES), 0.95)
    save_extractor(extractor or untrained, made["Extractor"])
    features, _ = run_stage("ReferenceStatistics", folder / "features", made)
    return {"Extractor": made["Extractor"], "ReferenceStatistics": features}


def weights_in(folder: Path, settings: Model, shape: tuple[int, int, int] = SHAPE) -> Path:
    """The averaged weights and the card that TrainEBM leaves; moved from their start, where labels do nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    network = build_energy_model(settings, shape, 1, len(CLASSES))
    random = np.random.default_rng(2)
    for weight in network.trainable_variables:
        weight.assign_add(0.05 * random.standard_normal(weight.shape).astype(np.float32))
    network.save_weights(folder / "average.weights.h5")
    save_model_card(folder, settings, shape, len(CLASSES) if settings.conditional else 0)
    return folder


def energy_model_in(folder: Path, settings: Model, labels: np.ndarray) -> tuple[Path, Model]:
    """Also its buffer: a stored chain for each label, whose grey tells it. Returns folder and settings."""
    weights_in(folder, settings)
    grey, random = 40 + 70 * (labels % 3)[:, None, None, None], np.random.default_rng(3)
    images = (grey + random.integers(-20, 20, (len(labels), *SHAPE))).astype(np.uint8)
    np.savez(folder / "replay.npz", images=images, labels=labels.astype(np.int32), ages=labels)
    return folder, settings


def generator_in(folder: Path) -> Path:
    """What TrainSNGAN leaves."""
    generator = build_generator(SNGAN_SETTINGS, SHAPE, seed=3)
    generator.save_weights(folder / GENERATOR_FILE)
    (folder / "sngan.json").write_text(json.dumps({"weights": "last"}))
    return folder
