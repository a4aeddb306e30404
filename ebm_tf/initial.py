"""What training may start from (training.initial_model): an exported folder, or a finished artifact of TrainEBM.

No TensorFlow: a model that does not fit is refused before anything runs. `exported.load_weights_into` then loads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ebm_tf.config import Model
from ebm_tf.demands import Shape, sized
from ebm_tf.errors import ConfigError, MissingInput
from ebm_tf.files import sha256_of
from ebm_tf.models.card import MODEL_CARD, Card, UnreadableCard, differences, read_card
from ebm_tf.signature import is_export, read_signature

WEIGHTS = "average.weights.h5"
RECORD, TASK = "params.json", "TrainEBM"
FREE = ("init_gain", "precision")
"""Settings of the network that weights do not depend on."""
ALLOWED = "give a folder that `python cli.py export --out` made, or a finished artifact of TrainEBM"


class Initial(NamedTuple):
    """A trained network.

    Attributes:
        folder: that holds model.json and the averaged weights.
        sha256: of the weights, as the folder's own record says.
        settings: of the network. classes: of its data set, which only a conditional network depends on.
    """

    folder: Path
    sha256: str
    settings: Model
    image_shape: tuple[int, int, int]
    classes: int

    def verify(self, sha256: Optional[str] = None) -> None:
        """Read the weights' file, and compare it with what was recorded.

        Args:
            sha256: recorded elsewhere, in place of the folder's own record.

        Raises:
            MissingInput: it has other bytes.
        """
        path, expected = self.folder / WEIGHTS, sha256 or self.sha256
        if (received := sha256_of(path)) != expected:
            raise MissingInput(
                f"{path} has the sha256 {received}, not {expected}, which it was recorded with; get the folder anew, "
                "or name the weights that are meant"
            )


def initial_model(folder: Path) -> Initial:
    """The trained network of a folder, told from its records.

    Raises:
        MissingInput: it is neither an export nor a finished artifact of TrainEBM, is damaged, or of a newer format.
        ConfigError: it is an artifact of another task.
    """
    if not folder.is_dir():
        raise MissingInput(f"there is no folder {folder} to start training from; {ALLOWED}")
    files = _recorded(folder)
    for name in (MODEL_CARD, WEIGHTS):
        if name not in files or not (folder / name).is_file():
            raise MissingInput(f"{folder} has no {name}; get it anew, or make it again with this program")
    return Initial(folder, files[WEIGHTS], *_network(folder / MODEL_CARD))


def pinned(folder: str, sha256: Optional[str]) -> str:
    """The sha256 of the weights that training starts from: a result depends on them, not on their place alone.

    Args:
        sha256: that of the config, if it names one; the folder need not be there then.

    Raises:
        ConfigError, MissingInput: as of `initial_model`.
    """
    return initial_model(Path(folder)).sha256 if sha256 is None else sha256


def demand_same_network(found: Initial, settings: Model, image_shape: Shape, classes: int) -> None:
    """Refuse to start a network from the weights of another one.

    Args:
        settings: of the network that is to be trained.
        classes: of its data set.

    Raises:
        ConfigError: they differ; the text names each difference.
    """
    differ = differences(found.settings, settings, FREE)
    if tuple(image_shape) != found.image_shape:
        differ.append(f"images were {sized(found.image_shape)}, are {sized(image_shape)}")
    if settings.conditional and classes != found.classes:
        differ.append(f"classes were {found.classes}, are {classes}")
    if differ:
        raise ConfigError(
            f"training.initial_model {found.folder} is another network: {'; '.join(differ)}; train with the settings "
            "that it has, or leave training.initial_model out"
        )


def _network(path: Path) -> Card:
    try:
        return read_card(path)
    except UnreadableCard as error:
        reason = str(error).splitlines()[0]
        raise MissingInput(f"cannot read {path}: {reason}; get the folder anew, or make it again") from error


def _recorded(folder: Path) -> Mapping[str, str]:
    """The sha256 of each file, as an export or an artifact records it."""
    record, unfinished = folder / RECORD, folder.resolve().parent.name.startswith(".work-")
    if is_export(folder) and not unfinished:
        return read_signature(folder).files
    if not record.is_file() or unfinished:
        raise MissingInput(f"{folder} is no export, and no finished artifact; {ALLOWED}")
    try:
        params: Any = json.loads(record.read_text(encoding="utf-8"))
        task, files = params["task"], {name: str(file["sha256"]) for name, file in params["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingInput(f"cannot read {record} ({type(error).__name__}); get the folder anew") from error
    if task != TASK:
        raise ConfigError(f"{folder} is an artifact of {task}; {ALLOWED}")
    return files
