"""model.json beside trained weights: of which network they are. No TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ebm_tf import config_files
from ebm_tf.config import Model
from ebm_tf.errors import ConfigError

MODEL_CARD = "model.json"


class Card(NamedTuple):
    """A network: its settings, height, width and channels of its images, classes of its data set (0: no labels)."""

    settings: Model
    image_shape: tuple[int, int, int]
    classes: int


class UnreadableCard(ValueError):
    """There is no such file, or it is something else; says which."""


def write_card(folder: Path, card: Card) -> None:
    """Write model.json."""
    values = {
        "model": card.settings.model_dump(mode="json"),
        "image_shape": list(card.image_shape),
        "classes": card.classes,
    }
    (folder / MODEL_CARD).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_card(path: Path) -> Card:
    """What `write_card` wrote.

    Raises:
        UnreadableCard: it did not.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        height, width, channels = (int(size) for size in values["image_shape"])
        settings = config_files.section("model", values["model"])
        return Card(settings, (height, width, channels), int(values["classes"]))
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise UnreadableCard(str(error) or type(error).__name__) from error


def differences(trained: Model, settings: Model, free: Collection[str]) -> list[str]:
    """Each setting of a network that is not as it was, such as "model.width was 1.0, is 2.0"; but none of `free`."""
    was, now = (each.model_dump(mode="json", exclude=set(free)) for each in (trained, settings))
    return [f"model.{name} was {was[name]}, is {now[name]}" for name in was if was[name] != now[name]]
