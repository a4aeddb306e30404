"""The level of an energy: its mean over the images that it has learned.

An energy is known up to a constant, and training does not bring several to one level: those of a conditional model's
labels were seen to lie 3.7 apart, with spreads within a label of 0.1 to 0.25. Whatever compares energies of different
models or labels has to take their levels away first.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ebm_tf.datasets.store import Store
from ebm_tf.errors import ConfigError
from ebm_tf.grey_levels import at_mid_level
from ebm_tf.langevin import Energy

IMAGES, BATCH = 1000, 250


def level_of(energy: Energy, store: Store, label: int | None = None) -> float:
    """Mean energy of the first 1000 training images, at mid level.

    Args:
        energy: of images.
        store: the data set that it has learned.
        label: count the images of this label alone; None: all.

    Raises:
        ConfigError: there are none of that label.
    """
    images, labels = store.images("train"), store.labels("train")
    learned = np.arange(len(images)) if label is None else np.flatnonzero(labels == label)
    if len(learned) == 0:
        raise ConfigError(
            f"no training image of {store.manifest.dataset} has label {label}; give the label of a class that the "
            "model was trained on"
        )
    chosen = np.asarray(images[learned[:IMAGES]])
    energies = [
        energy(tf.constant(at_mid_level(chosen[first : first + BATCH], store.manifest.levels))).numpy()
        for first in range(0, len(chosen), BATCH)
    ]
    return float(np.concatenate(energies).mean(dtype=np.float64))
