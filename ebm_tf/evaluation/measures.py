"""The metrics of a set of samples against a reference: a row of `MEASURES` each.

A row is a function of the two sides that returns values and intervals, or says why there are none, and another that
tells what the values depend on beside features, reference and number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import numpy.typing as npt

from ebm_tf.config import Evaluation
from ebm_tf.evaluation.distances import (
    FrechetTo,
    class_coverage,
    inception_score_from_logits,
    kernel_distance,
)
from ebm_tf.evaluation.diversity import some
from ebm_tf.evaluation.extractors.base import Identity
from ebm_tf.evaluation.extrapolation import SMALLEST_SHARE, frechet_distance_at_infinity, samples_needed
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.intervals import (
    Interval,
    frechet_interval,
    inception_score_interval,
    kernel_interval,
    mean_interval,
    wilson,
)
from ebm_tf.evaluation.manifold import manifold
from ebm_tf.evaluation.published import Published

EXTRAPOLATION_POINTS = 15  # sizes, as Chong and Forsyth (2020)

Reference = Union[FeatureSet, Published]
Features = npt.NDArray[np.float32]


class NotMeasured(Exception):
    """A metric has no value for these sets; the text says why, and what to do."""


class Found(NamedTuple):
    """A number; what it may be by chance, [low, high]; and its spread over subsets or splits."""

    value: float
    interval: Optional[tuple[float, float]] = None
    spread: Optional[float] = None


@dataclass(frozen=True)
class Sides:
    """What is compared, and how.

    features, logits: of the samples, which have logits where the extractor classifies.
    """

    samples: FeatureSet
    reference: Reference
    settings: Evaluation

    @property
    def features(self) -> Features:
        """Of the samples."""
        return self.samples.features

    @property
    def logits(self) -> Features:
        """Of the samples; only for a measure that needs classes."""
        assert self.samples.logits is not None
        return self.samples.logits

    @property
    def reference_features(self) -> Features:
        """Of the reference; only for a measure that needs its images."""
        assert isinstance(self.reference, FeatureSet)
        return self.reference.features

    @cached_property
    def gaussian(self) -> FrechetTo:
        """Mean and covariance of the reference."""
        return gaussian_of(self.reference)

    @property
    def fewest(self) -> int:
        """Images of the smaller side, as far as it is known."""
        return min(len(self.samples), count_of(self.reference) or len(self.samples))

    def demand(self, images: int, why: str) -> None:
        """NotMeasured unless both sides have so many images."""
        for name, count in (("samples", len(self.samples)), ("reference images", count_of(self.reference))):
            if count is not None and count < images:
                raise NotMeasured(f"it needs {images} images or more, {why}; there are {count} {name}")


def count_of(reference: Reference) -> Optional[int]:
    """Images of a reference; None where a file of mu and sigma does not tell."""
    return reference.count if isinstance(reference, Published) else len(reference)


def frechet(features: Features, reference: Reference) -> float:
    """The Frechet distance of features [n, d], n >= 2, to a reference; accurate also for n < d."""
    return gaussian_of(reference).distance_from(features)


def _frechet(sides: Sides) -> dict[str, Found]:
    sides.demand(2, "for a covariance")
    interval = None
    if sides.settings.bootstrap and len(sides.features) > sides.features.shape[1]:
        interval = frechet_interval(sides.features, sides.gaussian, sides.settings.confidence)
    value = sides.gaussian.distance_from(sides.features, sides.samples.moments)
    return {"frechet_distance": _found(value, interval)}


def _frechet_infinity(sides: Sides) -> dict[str, Found]:
    sides.demand(2, "for a covariance")
    dim = sides.features.shape[1]
    needed = samples_needed(dim, EXTRAPOLATION_POINTS)
    if len(sides.features) < needed:
        raise NotMeasured(
            f"it needs {needed} samples or more, with {dim} features; there are {len(sides.features)}"
        )
    line = frechet_distance_at_infinity(
        sides.features, sides.gaussian, EXTRAPOLATION_POINTS, seed=sides.settings.seed
    )
    return {"frechet_distance_infinity": Found(line.value)}


def _kid(sides: Sides) -> dict[str, Found]:
    sides.demand(2, "for pairs")
    settings, samples, reference = sides.settings, sides.features, sides.reference_features
    found = kernel_distance(samples, reference, settings.kid_subsets, settings.kid_subset_size, settings.seed)
    interval = None
    whole = settings.kid_subset_size >= max(len(samples), len(reference))
    if settings.bootstrap and (whole or settings.kid_subsets > 1):  # one subset tells nothing of its noise
        interval = kernel_interval(
            _some(samples, settings),
            _some(reference, settings),
            *_draws(settings),
            around=found.mean,
            count=len(samples),
            error=0.0 if whole else found.spread / float(np.sqrt(settings.kid_subsets - 1)),
        )
    return {"kid": _found(found.mean, interval, found.spread)}


def _inception_score(sides: Sides) -> dict[str, Found]:
    settings, splits = sides.settings, sides.settings.inception_score_splits
    if len(sides.logits) < splits:
        raise NotMeasured(
            f"it needs {splits} samples or more, one for each split; there are {len(sides.logits)}"
        )
    found = inception_score_from_logits(sides.logits, splits, settings.seed)
    interval = None
    if settings.bootstrap and len(sides.logits) > 1:
        interval = inception_score_interval(sides.logits, *_draws(settings), splits)
    return {"inception_score": _found(found.mean, interval, found.spread)}


def _manifold(sides: Sides) -> dict[str, Found]:
    settings, k = sides.settings, sides.settings.manifold_neighbours
    sides.demand(k + 1, f"for the {k}th neighbour of each")
    found = manifold(_some(sides.reference_features, settings), _some(sides.features, settings), k)
    if not settings.bootstrap:
        return {name: Found(getattr(found, name)) for name in ("precision", "recall", "density", "coverage")}

    def share(flags: npt.NDArray[np.bool_]) -> Interval:
        return wilson(int(flags.sum()), len(flags), settings.confidence)

    return {
        "precision": _found(found.precision, share(found.inside)),
        "recall": _found(found.recall, share(found.reached)),
        "density": _found(found.density, mean_interval(found.balls / k, *_draws(settings))),
        "coverage": _found(found.coverage, share(found.covered)),
    }


def _class_coverage(sides: Sides) -> dict[str, Found]:
    counts = np.bincount(np.argmax(sides.logits, axis=1), minlength=sides.logits.shape[1])
    return {"class_coverage": Found(class_coverage(counts))}


def _protocol_of_infinity(sides: Sides) -> dict[str, Any]:
    sizes = {"points": EXTRAPOLATION_POINTS, "smallest_share": 1 / SMALLEST_SHARE}
    return {"extrapolation": {**sizes, "seed": sides.settings.seed}}


def _protocol_of_kid(sides: Sides) -> dict[str, Any]:
    settings = sides.settings
    size = min(settings.kid_subset_size, sides.fewest)
    return {"kid": {"subsets": settings.kid_subsets, "subset_size": size, "seed": settings.seed}}


def _protocol_of_scores(sides: Sides) -> dict[str, Any]:
    return {"inception_score": {"splits": sides.settings.inception_score_splits, "seed": sides.settings.seed}}


def _protocol_of_manifold(sides: Sides) -> dict[str, Any]:
    settings, most = sides.settings, sides.settings.manifold_images
    return {
        "manifold": {
            "neighbours": settings.manifold_neighbours,
            "images": min(most, len(sides.features)),
            "reference_images": min(most, count_of(sides.reference) or most),
            "seed": settings.seed,
        }
    }


class Measure(NamedTuple):
    """One or more metrics that are measured together.

    Attributes:
        of: two sides to the metrics; raises NotMeasured.
        protocol: what the numbers depend on beside features, reference and number of samples.
        needs_classes: only of an extractor that classifies. needs_images: only against images, not mu and sigma.
    """

    names: tuple[str, ...]
    of: Callable[[Sides], Mapping[str, Found]]
    protocol: Callable[[Sides], dict[str, Any]] = lambda sides: {}
    needs_classes: bool = False
    needs_images: bool = False

    def impossible(self, identity: Identity, reference: Any) -> Optional[str]:
        """Why these features and this reference have none of the metrics; None if they may."""
        if self.needs_classes and identity.classes is None:
            return f"the extractor {identity.name} does not classify images"
        if self.needs_images and isinstance(reference, Published):
            return "it needs the images of the reference, and only mu and sigma are given"
        return None


MEASURES = (
    Measure(("frechet_distance",), _frechet),
    Measure(("frechet_distance_infinity",), _frechet_infinity, _protocol_of_infinity),
    Measure(("kid",), _kid, _protocol_of_kid, needs_images=True),
    Measure(("inception_score",), _inception_score, _protocol_of_scores, needs_classes=True),
    Measure(
        ("precision", "recall", "density", "coverage"), _manifold, _protocol_of_manifold, needs_images=True
    ),
    Measure(("class_coverage",), _class_coverage, needs_classes=True),
)
METRICS = tuple(name for measure in MEASURES for name in measure.names)


def gaussian_of(reference: Reference) -> FrechetTo:
    """Mean and covariance of a reference, for distances to it."""
    return FrechetTo(reference) if isinstance(reference, Published) else reference.gaussian


def _some(features: npt.NDArray[np.float32], settings: Evaluation) -> npt.NDArray[np.float32]:
    """At most `manifold_images` of the features, drawn by the seed."""
    if len(features) <= settings.manifold_images:
        return features
    return np.asarray(features[some(len(features), settings.manifold_images, [settings.seed, 2])])


def _draws(settings: Evaluation) -> tuple[float, int, int]:
    """Level, replicates and seed of a bootstrap."""
    return settings.confidence, settings.bootstrap, settings.seed


def _found(value: float, interval: Optional[Interval], spread: Optional[float] = None) -> Found:
    return Found(value, None if interval is None else (interval.low, interval.high), spread)
