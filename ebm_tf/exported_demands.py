"""What may be asked of an exported model, checked before anything is loaded. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import numpy as np
import numpy.typing as npt

from ebm_tf.demands import Shape, sized
from ebm_tf.errors import ConfigError
from ebm_tf.signature import Signature

Labels = Optional[npt.NDArray[np.int32]]
"""One for each image; None of a model that takes none."""

Given = Union[Sequence[int], npt.NDArray[np.int32]]

MOST = 2**31 - 1
SHOWN_CLASSES = 10


def number_within(name: str, value: int, least: int) -> int:
    """A whole number that the signatures can take, as int32.

    Raises:
        ConfigError: it is less than `least`, or too large.
    """
    if not least <= value <= MOST:
        raise ConfigError(f"{name} is {value}; give a whole number from {least} to {MOST}")
    return value


def labels_to_draw(signature: Signature, labels: Given, count: int) -> Labels:
    """The class of each of `count` samples: those given in turn, or else all that there are in turn.

    Raises:
        ConfigError: the model takes no labels, or does not know one of these.
    """
    known = _known(signature, labels)
    if known is None:
        return None
    return np.resize(known if len(known) else np.arange(len(signature.classes), dtype=np.int32), count)


def labels_to_score(signature: Signature, labels: Given, count: int) -> Labels:
    """The class of each of `count` images: one for all, or one for each.

    Raises:
        ConfigError: the model takes none, or does not know one of these; or there are none, or not as many.
    """
    known = _known(signature, labels)
    if known is None:
        return None
    if not len(known):
        raise ConfigError(
            "there are no labels, but this model is conditional: its energy is of an image and its class; give one "
            f"label for all images or one for each, {_allowed(signature)}"
        )
    if len(known) not in (1, count):
        raise ConfigError(
            f"there are {len(known)} labels for {count} images; give one for all, or one for each in their order"
        )
    return np.resize(known, count)


def images_fit(signature: Signature, shape: Shape, place: object, remedy: str) -> None:
    """Refuse images of another shape than the model's.

    Args:
        shape: height, width, channels. place: where they come from. remedy: what to do about it.

    Raises:
        ConfigError: they are.
    """
    if tuple(shape) != signature.images.shape:
        raise ConfigError(
            f"{place}: received {sized(shape)} (height, width, channels), and the model takes images of "
            f"{sized(signature.images.shape)}; {remedy}"
        )


def _known(signature: Signature, labels: Given) -> Labels:
    if not signature.classes:
        if len(labels):
            raise ConfigError(
                f"labels is {list(map(int, labels))}, but this model is unconditional and takes none; leave them out"
            )
        return None
    wrong = [label for label in labels if not 0 <= label < len(signature.classes)]
    if wrong:
        raise ConfigError(
            f"labels has {wrong[0]}, which this model does not know; give {_allowed(signature)}"
        )
    return np.asarray(labels, np.int32)


def _allowed(signature: Signature) -> str:
    names = ", ".join(signature.classes[:SHOWN_CLASSES])
    more = ", ..." if len(signature.classes) > SHOWN_CLASSES else ""
    return f"0 to {len(signature.classes) - 1} ({names}{more})"
