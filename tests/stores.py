"""A store as PrepareDataset leaves it, written by a test from images of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

import numpy as np

from ebm_tf.files import sha256_of


def write_store(
    folder: Path,
    images: Mapping[str, np.ndarray],
    labels: Optional[Mapping[str, np.ndarray]] = None,
    classes: Sequence[str] = ("0",),
    levels: int = 17,
    name: str = "test",
) -> Path:
    """Write the splits that are given, by name: uint8 [n, H, W, C], and their labels [n]; returns the folder."""
    folder.mkdir(exist_ok=True)
    for split, part in images.items():
        np.save(folder / f"{split}.npy", part)
    for split, part in (labels or {}).items():
        np.save(folder / f"{split}_labels.npy", part)
    manifest = {
        "dataset": name,
        "version": "1",
        "shape": list(next(iter(images.values())).shape[1:]),
        "dtype": "uint8",
        "levels": levels,
        "classes": list(classes),
        "counts": {split: len(part) for split, part in images.items()},
        "sha256": {file.name: sha256_of(file) for file in sorted(folder.glob("*.npy"))},
        "licence": "none",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
