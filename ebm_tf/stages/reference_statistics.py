"""ReferenceStatistics: features and moments of the training images, and of the rows that give context.

The rows: real test images, uniform noise, and a Gaussian with the mean and covariance of the training pixels. Their
images are made here once, as uint8 on the data set's own levels, like samples.
"""

from __future__ import annotations

import numpy as np

from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.features import extract, load_classifier
from ebm_tf.evaluation.statistics import Moments
from ebm_tf.figures import save_grid
from ebm_tf.sampling import to_uint8
from ebm_tf.stages.context import Context


def run(context: Context) -> None:
    store = Store(context.inputs["PrepareDataset"])
    network, _ = load_classifier(context.inputs["TrainFeatureExtractor"])
    settings = context.section("evaluation")
    random, count = np.random.default_rng(settings.seed), settings.baseline_count
    train, levels = np.asarray(store.images("train")), store.manifest.levels
    rows = {
        "reference": train,
        "real_test": np.asarray(store.images("test")),
        "uniform_noise": to_uint8(random.random((count, *train.shape[1:])), levels),
        "gaussian_pixels": to_uint8(gaussian_images(train, count, levels, random), levels),
    }
    for index, (name, images) in enumerate(rows.items()):
        features, probabilities = extract(network, images)
        np.savez(context.out / f"{name}.npz", features=features, probabilities=probabilities)
        context.progress(index + 1, len(rows), name)
    reference = np.load(context.out / "reference.npz", allow_pickle=False)["features"]
    Moments.of(reference).save(context.out / "reference_moments.npz")
    save_grid(rows["gaussian_pixels"][:100], context.out / "gaussian_pixels.png", columns=20)
    save_grid(rows["real_test"][:100], context.out / "real_test.png", columns=20)


def gaussian_images(images: np.ndarray, count: int, levels: int, random: np.random.Generator) -> np.ndarray:
    """Draws from the Gaussian fitted to the pixels of uint8 images, clipped to [0, 1]: [count, H, W, C]."""
    flat = (np.round(images.reshape(len(images), -1) * ((levels - 1) / 255)) + 0.5) / levels
    drawn = random.multivariate_normal(flat.mean(axis=0), np.cov(flat, rowvar=False), count)
    return np.clip(drawn, 0, 1).reshape(count, *images.shape[1:])
