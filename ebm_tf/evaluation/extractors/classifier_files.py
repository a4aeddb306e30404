"""The files of a trained classifier, looked for before anything is sampled. No TensorFlow here."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ebm_tf.errors import MissingInput

CARD_FILE, WEIGHTS_FILE = "classifier.json", "classifier.weights.h5"


def demand_classifier(folder: Optional[Path]) -> None:
    """Refuse a folder without a classifier.

    Raises:
        MissingInput: names the file that is missing.
    """
    if folder is None:
        raise MissingInput(
            "the extractor classifier is not given; give the folder of a trained one, as "
            "TrainFeatureExtractor writes it"
        )
    for name in (CARD_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise MissingInput(f"no feature extractor in {folder}: {name} is missing")
