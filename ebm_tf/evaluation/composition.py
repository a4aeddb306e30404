"""Whether samples of composed energies are what the operation asks for, and how surely one can say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.intervals import wilson
from ebm_tf.grey_levels import Images, to_levels

Flags = npt.NDArray[np.bool_]


class Rate(NamedTuple):
    """A share of `images` with its 95% interval (Wilson 1927)."""

    rate: float
    low: float
    high: float
    images: int


def rate_of(flags: Flags) -> Rate:
    """The share of images [n], n >= 1, that are True; ValueError when there are none."""
    count = len(flags)
    if count == 0:
        raise ValueError("a rate needs at least one image. Received: none")
    successes = int(np.count_nonzero(flags))
    interval = wilson(successes, count)
    return Rate(successes / count, interval.low, interval.high, count)


def succeeds(operation: str, holds: Sequence[Flags]) -> Flags:
    """Whether each image is what `operation` asks for.

    Args:
        operation: and: has the labels of all members; or: of one at least; not: the first's and none of the others'.
        holds: per member [n], whether each image has its label.
    """
    each = np.stack(holds)
    if operation == "and":
        return np.asarray(each.all(axis=0))
    if operation == "or":
        return np.asarray(each.any(axis=0))
    return np.asarray(each[0] & ~each[1:].any(axis=0))


def ink_classes(
    images: Images, labels: npt.ArrayLike, levels: int
) -> Callable[[Images], npt.NDArray[np.int64]]:
    """The rule behind labels that say how much ink an image has: from uint8 images [n, H, W, C] to labels [n].

    Labels that rise with the total of the pixels' levels are taken back to their bounds, which lie between the most
    ink of one class and the least of the next.

    Args:
        images, labels: of the labelled data set, every class 0..k-1 among them.
        levels: of the data set.

    Raises:
        ValueError: the labels do not rise with ink.
    """
    known, ink = np.asarray(labels), _ink(images, levels)
    groups = [ink[known == label] for label in range(known.max() + 1)]
    most = np.array([group.max() for group in groups[:-1]])
    least = np.array([group.min() for group in groups[1:]])
    if np.any(most >= least):
        raise ValueError(
            f"labels must rise with ink. Received: classes with at most {most} and, next to them, at least {least}"
        )
    bounds = (most + least) / 2
    return lambda unknown: np.searchsorted(bounds, _ink(unknown, levels)).astype(np.int64)


def _ink(images: Images, levels: int) -> npt.NDArray[np.int64]:
    return to_levels(images, levels).reshape(len(images), -1).sum(axis=1, dtype=np.int64)
