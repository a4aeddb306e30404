"""Telling images of one data set from others by a score: how well, and the images to tell from.

The score of an energy model is -E(x). Images of the data set itself are the positives. The arithmetic is exact:
counts stay integers until the last division, and tied scores count as one threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from ebm_tf.errors import ConfigError
from ebm_tf.evaluation.statistics import FloatArray, Moments
from ebm_tf.grey_levels import Images, from_levels, to_levels

Integers = npt.NDArray[np.int64]

RECALL = (19, 20)  # of FPR95, as a fraction


class Detection(NamedTuple):
    """How well a score tells positives from negatives.

    auroc: chance that a positive scores higher than a negative, a tie counting half; 0.5 is guessing.
    aupr: average precision; guessing gives the share of positives among all.
    fpr95: share of negatives let in at the strictest threshold that lets in 95% of the positives; 0 is perfect.
    """

    auroc: float
    aupr: float
    fpr95: float


def detection(positives: npt.ArrayLike, negatives: npt.ArrayLike) -> Detection:
    """AUROC, average precision (no interpolation) and FPR95 of scores [n] and [m], higher for positives.

    Raises:
        ValueError: a set is empty, not one row of real numbers, or holds NaN or infinity.

    Example:
        >>> detection([3.0, 2.0], [1.0, 2.0]).auroc
        0.875
    """
    inside, outside = _scores(positives, "positives"), _scores(negatives, "negatives")
    true, false = _counts_above(inside, outside)
    new_true, new_false = np.diff(true, prepend=0), np.diff(false, prepend=0)
    doubled = np.sum(new_false * (2 * true - new_true))  # pairs in the right order, and half the tied ones
    enough = np.argmax(RECALL[1] * true >= RECALL[0] * len(inside))
    return Detection(
        auroc=float(doubled / (2 * len(inside) * len(outside))),
        aupr=float(np.sum(new_true * (true / (true + false))) / len(inside)),
        fpr95=float(false[enough] / len(outside)),
    )


def synthetic_images(kind: str, images: Images, levels: int, seed: int) -> Images:
    """As many images as given, made to be out of distribution, on the same grey levels.

    Args:
        kind: uniform_noise, rotated (90 degrees, anticlockwise), inverted, constant (flat greys, every level alike
            likely) or shuffled (the pixels of each image in an order of its own, colours kept).
        images: uint8 [n, H, W, C], real ones.
        levels: of the data set.
        seed: of the random kinds.

    Returns:
        uint8 [n, H, W, C].

    Raises:
        ConfigError: images that are not square cannot be turned.
        ValueError: no such kind.
    """
    if kind not in _MAKERS:
        raise ValueError(f"kind must be one of {', '.join(_MAKERS)}. Received: {kind!r}")
    made = _MAKERS[kind](to_levels(images, levels), levels, np.random.default_rng(seed))
    return from_levels(made, levels)


class GaussianPixels(NamedTuple):
    """A Gaussian fitted to pixels, the score that a network has to beat. mean: [d]. root: Cholesky factor [d, d]."""

    mean: FloatArray
    root: FloatArray

    def log_likelihood(self, images: npt.NDArray[np.float32]) -> FloatArray:
        """In nats, of images [n, H, W, C] in 0..1: float64 [n]."""
        centred = images.reshape(len(images), -1) - self.mean
        white = solve_triangular(self.root, centred.T, lower=True)
        constant = len(self.mean) * np.log(2 * np.pi) + 2 * np.log(np.diag(self.root)).sum()
        return np.asarray(-0.5 * (np.square(white).sum(axis=0) + constant))


def fit_gaussian_pixels(batches: Iterable[npt.NDArray[np.float32]], levels: int) -> GaussianPixels:
    """The Gaussian with the mean and covariance of dequantised images.

    Args:
        batches: of images at mid level, [b, H, W, C] in 0..1; 2 images at least.
        levels: of the data set. The variance 1 / (12 levels^2) of dequantisation is added, so that a pixel that never
            changes does no harm.
    """
    moments: Moments | None = None
    for batch in batches:
        flat = batch.reshape(len(batch), -1)
        moments = Moments.of(flat) if moments is None else moments.update(flat)
    if moments is None:
        raise ValueError("batches must hold images. Received: none")
    spread = np.full(moments.dim, 1 / (12 * levels**2))
    return GaussianPixels(moments.mean, np.linalg.cholesky(moments.covariance() + np.diag(spread)))


def _scores(scores: npt.ArrayLike, name: str) -> FloatArray:
    array = np.asarray(scores)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{name} must be real numbers of shape [n], n >= 1. Received: shape {array.shape}, dtype {array.dtype}"
        )
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ValueError(f"{name} must be finite. Received: {bad} of {array.size} scores NaN or infinite")
    return array.astype(np.float64)


def _counts_above(inside: FloatArray, outside: FloatArray) -> tuple[Integers, Integers]:
    """Positives and negatives at or above each distinct score, from the highest: int64 [thresholds] each."""
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    true, false = (
        len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")
        for scores in (inside, outside)
    )
    return true.astype(np.int64), false.astype(np.int64)


def _uniform_noise(level: Images, levels: int, random: np.random.Generator) -> Images:
    return random.integers(0, levels, level.shape, dtype=np.uint8)


def _rotated(level: Images, levels: int, random: np.random.Generator) -> Images:
    _, height, width, _ = level.shape
    if height != width:
        raise ConfigError(
            f"ood.synthetic has rotated, which needs square images; received {height}x{width}: leave it out"
        )
    return np.rot90(level, axes=(1, 2))


def _inverted(level: Images, levels: int, random: np.random.Generator) -> Images:
    return (levels - 1 - level).astype(np.uint8)


def _constant(level: Images, levels: int, random: np.random.Generator) -> Images:
    return np.broadcast_to(random.integers(0, levels, (len(level), 1, 1, 1), dtype=np.uint8), level.shape)


def _shuffled(level: Images, levels: int, random: np.random.Generator) -> Images:
    shuffled = np.empty_like(level)
    for number, image in enumerate(level):
        pixels = image.reshape(-1, image.shape[-1])
        shuffled[number] = pixels[random.permutation(len(pixels))].reshape(image.shape)
    return shuffled


_MAKERS: dict[str, Callable[[Images, int, np.random.Generator], Images]] = {
    "uniform_noise": _uniform_noise,
    "rotated": _rotated,
    "inverted": _inverted,
    "constant": _constant,
    "shuffled": _shuffled,
}
