"""Feature extractors by name: what each needs, and how it is opened, kept in a folder and opened again.

Importing this imports no TensorFlow, so that what is missing is said before anything is sampled.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ebm_tf.errors import ConfigError, MissingInput
from ebm_tf.evaluation.extractors.base import FeatureExtractor, Identity, ImageShape
from ebm_tf.evaluation.extractors.classifier_files import CARD_FILE, demand_classifier
from ebm_tf.evaluation.extractors.images import COLOUR, GREY
from ebm_tf.evaluation.extractors.inception_graph import find_graph, read_graph
from ebm_tf.evaluation.extractors.keras_weights import demand_weights

CARD = "extractor.json"


class Source(NamedTuple):
    """One kind of extractor.

    Attributes:
        demand: refuses a path that does not lead to what is needed; None of one that takes no path.
        open: of a path, the shape of the images and a seed.
        shaped: whether it is made for images of one shape, which has to be given.
    """

    demand: Optional[Callable[[Optional[Path]], None]]
    open: Callable[[Any, Any, int], FeatureExtractor]
    shaped: bool = False


def demand_source(name: str, path: Optional[Path]) -> None:
    """Refuse an extractor that could not be opened; quick, and without TensorFlow.

    Args:
        name: one of `NAMES`.
        path: of the classifier's folder, of the inception graph or archive (else EBM_INCEPTION), of the weights of
            keras-inception (else Keras' own), of the SavedModel's folder.

    Raises:
        ConfigError: there is no such extractor, or it takes no path.
        MissingInput: what it needs is not there; says how to get it.
    """
    if name not in SOURCES:
        raise ConfigError(f"extractor must be one of {', '.join(NAMES)}; received {name!r}")
    demand = SOURCES[name].demand
    if demand is not None:
        demand(path)
    elif path is not None:
        raise ConfigError(f"the extractor {name} takes no path; received {path}")


def open_extractor(
    name: str,
    path: Optional[Path],
    image_shape: Optional[ImageShape],
    seed: int = 0,
    sha256: Optional[str] = None,
) -> FeatureExtractor:
    """The extractor of that name.

    Args:
        name, path: as of `demand_source`.
        image_shape: of the images that it will be shown; None where that is not known yet.
        seed: random-conv follows from it.
        sha256: the one that its identity must have; None for any.

    Raises:
        ConfigError, MissingInput: as of `demand_source`; also MissingInput where what is there cannot be read or has
            another sha256, and ConfigError where it does not take images of that shape.
    """
    demand_source(name, path)
    source = SOURCES[name]
    if source.shaped and image_shape is None:
        raise ConfigError(f"the extractor {name} is made for images of one shape, which was not given")
    extractor = source.open(path, image_shape, seed)
    if sha256 is not None and extractor.identity.sha256 != sha256.lower():
        raise MissingInput(
            f"the extractor {name}{f' of {path}' if path else ''} has sha256 {extractor.identity.sha256}, and "
            f"{sha256} is demanded; give the right file, or demand its sha256"
        )
    if image_shape is not None:
        _demand_shape(extractor, image_shape)
    return extractor


def save_extractor(extractor: FeatureExtractor, folder: Path) -> None:
    """Write an extractor into a folder, with all that `load_extractor` needs: it depends on no other file then."""
    folder.mkdir(parents=True, exist_ok=True)
    card = {
        "identity": extractor.identity.as_json(),
        "image_shape": extractor.image_shape,
        "notes": extractor.notes,
        "opened_by": extractor.save(folder),
    }
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def load_extractor(folder: Path) -> FeatureExtractor:
    """The extractor that `save_extractor` wrote, or the classifier that `save_classifier` wrote.

    Raises:
        MissingInput: the folder holds none, or another than its card says.
    """
    if not (folder / CARD).is_file() and (folder / CARD_FILE).is_file():
        return open_extractor("classifier", folder, None)
    identity, image_shape, notes, opened_by = _card(folder / CARD)
    path = opened_by.get("path")
    extractor = open_extractor(
        identity.name,
        None if path is None else folder / path,
        image_shape,
        opened_by.get("seed", 0),
        identity.sha256,
    )
    if extractor.identity != identity:
        raise MissingInput(
            f"{folder} was written by another version of {identity.name} "
            f"({_difference(identity, extractor.identity)}); make it anew"
        )
    extractor.notes = notes
    return extractor


def _card(file: Path) -> tuple[Identity, Optional[ImageShape], tuple[str, ...], dict[str, Any]]:
    if not file.is_file():
        raise MissingInput(f"no feature extractor in {file.parent}: {file.name} is missing")
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
        shape = card["image_shape"]
        return (
            Identity(**card["identity"]),
            None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2])),
            tuple(card["notes"]),
            dict(card["opened_by"]),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise MissingInput(f"cannot read {file}: it is no card of a feature extractor") from error


def _difference(written: Identity, present: Identity) -> str:
    now = present.as_json()
    return ", ".join(
        f"{key} {was}, now {now[key]}" for key, was in written.as_json().items() if was != now[key]
    )


def _demand_shape(extractor: FeatureExtractor, image_shape: ImageShape) -> None:
    wanted = extractor.image_shape
    if wanted is None and image_shape[-1] not in (GREY, COLOUR):
        raise ConfigError(
            f"the extractor {extractor.identity.name} takes images of 1 or 3 channels; received {image_shape[-1]}"
        )
    if wanted is not None and tuple(image_shape) != wanted:
        raise ConfigError(
            f"the extractor {extractor.identity.name} takes images of {'x'.join(map(str, wanted))}; "
            f"received {'x'.join(map(str, image_shape))}"
        )


def _demand_graph(path: Optional[Path]) -> None:
    read_graph(find_graph(path))


def _demand_saved_model(folder: Optional[Path]) -> None:
    if folder is None:
        raise MissingInput(
            "the extractor saved-model is not given; give the folder of the SavedModel as its path"
        )
    if not any((folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise MissingInput(f"no SavedModel in {folder}: saved_model.pb is missing")


def _open_classifier(folder: Path, image_shape: Optional[ImageShape], seed: int) -> FeatureExtractor:
    from ebm_tf.evaluation.extractors.classifier import Classifier

    return Classifier.open(folder)


def _open_inception(path: Optional[Path], image_shape: Optional[ImageShape], seed: int) -> FeatureExtractor:
    from ebm_tf.evaluation.extractors.inception import Inception

    return Inception(path)


def _open_keras_inception(
    path: Optional[Path], image_shape: Optional[ImageShape], seed: int
) -> FeatureExtractor:
    from ebm_tf.evaluation.extractors.keras_inception import KerasInception

    return KerasInception(path)


def _open_pixels(path: None, image_shape: ImageShape, seed: int) -> FeatureExtractor:
    from ebm_tf.evaluation.extractors.pixels import Pixels

    return Pixels(image_shape)


def _open_random_conv(path: None, image_shape: Optional[ImageShape], seed: int) -> FeatureExtractor:
    from ebm_tf.evaluation.extractors.random_conv import RandomConv

    return RandomConv(seed)


def _open_saved_model(folder: Path, image_shape: ImageShape, seed: int) -> FeatureExtractor:
    from ebm_tf.evaluation.extractors.saved_model import SavedModelExtractor

    return SavedModelExtractor(folder, image_shape)


SOURCES = {
    "classifier": Source(demand_classifier, _open_classifier),
    "inception": Source(_demand_graph, _open_inception),
    "keras-inception": Source(demand_weights, _open_keras_inception),
    "pixels": Source(None, _open_pixels, shaped=True),
    "random-conv": Source(None, _open_random_conv),
    "saved-model": Source(_demand_saved_model, _open_saved_model, shaped=True),
}
NAMES = tuple(SOURCES)
