"""Whether samples are copies of training images: their nearest distances beside those of test images.

Test images are as new to the training set as an image can be. A model that draws from the same law gives samples that
lie about as near to training images as test images do; one that repeats training images gives nearer ones. Where test
images are themselves copies of training images, they no longer are the measure of what is new.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from ebm_tf.evaluation.intervals import Interval, wilson
from ebm_tf.evaluation.neighbours import Neighbours


class Memorisation(NamedTuple):
    """Distances to the nearest training image, of samples and of test images.

    Attributes:
        samples, tests: how many there are.
        sample_mean, sample_median, test_mean, test_median: of their distances, in the unit of these.
        ratio: sample_median / test_median; well below 1 where training images are repeated. None where test_median
            is 0.
        percentile: of the test images' distances, in 0..100. threshold: the distance there.
        share: of the samples that are nearer than that, or copies; about percentile / 100 for a model without copies.
        interval: of the share, over other samples of the same model; the threshold is taken as it is.
        copies, test_copies: share of the samples and of the test images at distance 0.
    """

    samples: int
    tests: int
    sample_mean: float
    sample_median: float
    test_mean: float
    test_median: float
    ratio: Optional[float]
    percentile: float
    threshold: float
    share: float
    interval: Interval
    copies: float
    test_copies: float

    @property
    def tests_below(self) -> float:
        """Test images that lie below the threshold; few of them make it uncertain."""
        return self.tests * self.percentile / 100


class Pair(NamedTuple):
    """A sample and the training image nearest to it.

    squared_distance is int or float, as in `Neighbours`; flipped says whether the mirror image is meant.
    """

    sample: int
    train_index: int
    squared_distance: float
    flipped: bool


def memorisation(
    samples: npt.NDArray[np.float64], tests: npt.NDArray[np.float64], percentile: float = 5.0
) -> Memorisation:
    """Compares the distances [n] of samples and [m] of test images to their nearest training image.

    Args:
        samples, tests: finite, >= 0, in one unit; at least one each.
        percentile: of the test images' distances (linear between two of them), in 0..100. A sample counts as nearer
            when it is strictly below, or at distance 0: a copy is near even where the threshold is 0.

    Raises:
        ValueError: empty, other ranks, negative or not finite, percentile out of range.
    """
    for name, distances in (("samples", samples), ("tests", tests)):
        _check_distances(name, distances)
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile must be in 0..100. Received: {percentile}")
    threshold = float(np.percentile(tests, percentile))
    nearer = int(np.count_nonzero((samples < threshold) | (samples == 0)))
    sample_median, test_median = float(np.median(samples)), float(np.median(tests))
    return Memorisation(
        samples=len(samples),
        tests=len(tests),
        sample_mean=float(samples.mean()),
        sample_median=sample_median,
        test_mean=float(tests.mean()),
        test_median=test_median,
        ratio=sample_median / test_median if test_median > 0 else None,
        percentile=percentile,
        threshold=threshold,
        share=nearer / len(samples),
        interval=wilson(nearer, len(samples)),
        copies=float(np.mean(samples == 0)),
        test_copies=float(np.mean(tests == 0)),
    )


def closest_pairs(found: Neighbours, count: int) -> list[Pair]:
    """The `count` samples nearest to their training image, the nearest first, equal distances by lowest sample.

    A sample comes once, with its own nearest image; all samples where there are fewer than `count`. ValueError for
    count below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1. Received: {count}")
    first = found.squared_distances[:, 0]
    return [
        Pair(int(sample), int(found.indices[sample, 0]), first[sample].item(), bool(found.flipped[sample, 0]))
        for sample in np.argsort(first, kind="stable")[:count]
    ]


def _check_distances(name: str, distances: npt.NDArray[np.float64]) -> None:
    if distances.ndim != 1 or len(distances) == 0:
        raise ValueError(f"{name} must be distances [n], n >= 1. Received: shape {distances.shape}")
    if not np.all((distances >= 0) & (distances < np.inf)):
        raise ValueError(
            f"{name} must be finite distances >= 0. Received: {distances.min()}..{distances.max()}"
        )
