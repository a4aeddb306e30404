"""BaselineStatistics: features of images that no model made, which say what the numbers of a model mean.

uniform_noise/ and gaussian_pixels/ (mean and covariance of the training pixels), each a FeatureSet. The images are
made here once, as uint8 on the data set's own levels, like samples.
"""

from __future__ import annotations

import numpy as np

from ebm_tf.datasets.image_sets import ArrayImages
from ebm_tf.datasets.store import Store
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.figures import save_grid
from ebm_tf.grey_levels import Images, at_mid_level, to_uint8
from ebm_tf.stages.context import Context
from ebm_tf.stages.features import extract_into

GAUSSIAN_FITTED = 10_000  # images
GAUSSIAN_BLOCK = 500  # images held as float32 at a time
BLOCK = 1000  # images brought to grey levels at a time


def run(context: Context) -> None:
    store = Store(context.inputs["PrepareDataset"])
    settings = context.section("evaluation")
    random, count = np.random.default_rng(settings.seed), settings.baseline_count
    train, levels = store.images("train"), store.manifest.levels
    baselines = {
        "uniform_noise": uniform_images((count, *train.shape[1:]), levels, random),
        "gaussian_pixels": _on_levels(gaussian_images(train, count, levels, random), levels),
    }
    images = {name: ArrayImages(drawn, name) for name, drawn in baselines.items()}
    extract_into(context, load_extractor(context.inputs["Extractor"]), images)
    save_grid(baselines["gaussian_pixels"][:100], context.out / "gaussian_pixels.png", columns=20)


def uniform_images(shape: tuple[int, ...], levels: int, random: np.random.Generator) -> Images:
    """uint8 [n, H, W, C] of this shape: `to_uint8` of `random.random(shape)`, of which one block is held."""
    images = np.empty(shape, np.uint8)
    for rows in _blocks(len(images)):
        images[rows] = to_uint8(random.random(images[rows].shape), levels)
    return images


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
    return np.clip(drawn, 0, 1, out=drawn).reshape(count, *images.shape[1:])


def _on_levels(images: np.ndarray, levels: int) -> Images:
    """`to_uint8` of images [n, H, W, C] in 0..1, without a copy of all of them in floats."""
    found = np.empty(images.shape, np.uint8)
    for rows in _blocks(len(images)):
        found[rows] = to_uint8(images[rows], levels)
    return found


def _blocks(count: int) -> list[slice]:
    return [slice(row, row + BLOCK) for row in range(0, count, BLOCK)]
