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
from ebm_tf.grey_levels import at_mid_level, to_uint8
from ebm_tf.stages.context import Context

GAUSSIAN_FITTED = 10_000  # images
GAUSSIAN_BLOCK = 500  # images held as float32 at a time


def run(context: Context) -> None:
    store = Store(context.inputs["PrepareDataset"])
    network, _ = load_classifier(context.inputs["TrainFeatureExtractor"])
    settings = context.section("evaluation")
    random, count = np.random.default_rng(settings.seed), settings.baseline_count
    train, levels = store.images("train"), store.manifest.levels
    rows = {
        "reference": train,
        "real_test": store.images("test"),
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
    """Draws from the Gaussian fitted to the pixels of uint8 images, clipped to [0, 1]: float32 [count, H, W, C].

    Sums of centred images with weights N(0, 1) / sqrt(n - 1) have just their covariance, which is never formed: at
    128x128 it would take 19 GB. Of large sets at most `GAUSSIAN_FITTED` images are used, drawn at random.
    """
    chosen = np.arange(len(images))
    if len(images) > GAUSSIAN_FITTED:
        chosen = np.sort(random.choice(len(images), GAUSSIAN_FITTED, replace=False))
    blocks = np.array_split(chosen, -(-len(chosen) // GAUSSIAN_BLOCK))

    def pixels(block: np.ndarray) -> np.ndarray:
        return at_mid_level(images[block].reshape(len(block), -1), levels)

    mean = sum(pixels(block).sum(axis=0, dtype=np.float64) for block in blocks) / len(chosen)
    drawn = np.tile(mean.astype(np.float32), (count, 1))
    for block in blocks:
        weights = random.standard_normal((count, len(block)), dtype=np.float32)
        drawn += weights @ (pixels(block) - mean.astype(np.float32)) / np.float32(np.sqrt(len(chosen) - 1))
    return np.clip(drawn, 0, 1).reshape(count, *images.shape[1:])
