"""ShowAugmentations: what the settings of augmentation do to training images, as a picture and as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from ebm_tf.augment import Augmenter, Draws, draw
from ebm_tf.config import Augmentation
from ebm_tf.datasets.store import Store
from ebm_tf.figures import save_grid
from ebm_tf.grey_levels import at_mid_level, to_uint8
from ebm_tf.stages.context import Context

IMAGES, DRAWS = 8, 11  # rows of the contact sheet, and augmented images in each
MEASURED = 10_000  # draws that the numbers are taken from


def run(context: Context) -> None:
    settings, seed = context.section("augmentation"), context.section("seed")
    store = Store(context.inputs["PrepareDataset"])
    manifest, train = store.manifest, store.images("train")
    originals = np.asarray(train[: min(IMAGES, len(train))])
    said = "augmentation" if settings.active else "augmentation is off: the images of a row are identical"
    context.progress(0, 1, said)

    augmenter = tf.function(Augmenter(settings, manifest.shape))
    repeated = np.repeat(originals, DRAWS, axis=0)
    pixels = at_mid_level(repeated, manifest.levels)  # so that an image without changes comes back the same
    augmented = augmenter(tf.constant(pixels), tf.constant([seed, 0])).numpy()
    shown = to_uint8(augmented, manifest.levels).reshape(len(originals), DRAWS, *manifest.shape)
    sheet = np.concatenate([originals[:, None], shown], axis=1)
    save_grid(sheet.reshape(-1, *manifest.shape), context.out / "augmentations.png", columns=1 + DRAWS)

    draws = draw(settings, MEASURED, tf.constant([seed, 0]))
    numbers = measure(settings, draws, colour=manifest.shape[2] == 3) if settings.active else {}
    context.write_json(
        "metrics.json",
        {"active": settings.active, "said": said, "images": len(originals), **numbers},
    )
    context.progress(1, 1, said)


def measure(settings: Augmentation, draws: Draws, colour: bool) -> dict[str, Any]:
    """Shares and ranges of draws, of the steps that the settings switch on, as plain numbers.

    Args:
        colour: whether the images have colours, without which saturation, hue and grey have no meaning.
    """
    numbers: dict[str, Any] = {"draws": len(draws.flip)}
    if settings.crop_area < 1:
        boxes = draws.boxes.numpy().astype(np.float64)
        height, width = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        numbers["crop_area"], numbers["aspect_ratio"] = _range(height * width), _range(width / height)
    if settings.flip:
        numbers["flip_share"] = float(np.mean(draws.flip))
    if settings.colour_strength > 0:
        numbers["jitter_share"] = float(np.mean(draws.jitter))
        changes = ("brightness", "contrast", "saturation", "hue") if colour else ("brightness", "contrast")
        numbers |= {name: _range(getattr(draws, name).numpy()[draws.jitter]) for name in changes}
        if colour:
            numbers["grey_share"] = float(np.mean(draws.grey))
    return numbers


def _range(values: np.ndarray) -> dict[str, float] | None:
    """Smallest, mean and largest value; None of no values."""
    if not values.size:
        return None
    return {"min": float(values.min()), "mean": float(values.mean()), "max": float(values.max())}
