"""Judging: every metric of a set of samples against a reference, from their features on disk.

A metric is a row of `MEASURES`: a function of the two sets that returns its value and interval, or says why it has
none. A number never stands without its protocol: `protocol_of` tells what has to be equal for two to be compared.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import numpy.typing as npt

from ebm_tf.config import Evaluation
from ebm_tf.errors import ConfigError
from ebm_tf.evaluation.distances import (
    FrechetTo,
    Gaussian,
    class_coverage,
    frechet_distance,
    inception_score_from_logits,
    kernel_distance,
)
from ebm_tf.evaluation.extrapolation import frechet_distance_at_infinity
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.intervals import (
    Interval,
    frechet_interval,
    frechet_interval_by_influence,
    inception_score_interval,
    kernel_interval,
    mean_interval,
)
from ebm_tf.evaluation.manifold import manifold
from ebm_tf.evaluation.statistics import Moments, Published

FEW_IMAGES = 10_000
"""Below so many images the Frechet distance is known to be biased by more than models often differ."""
FEATURES_TO_RESAMPLE = 256
"""Up to so many features the interval of the Frechet distance is resampled; of more it is taken to first order."""

Reference = Union[FeatureSet, Published]
Report = Callable[[int, int, str], None]
"""Is told the metrics done, those in all, and which comes next."""


class NotMeasured(Exception):
    """A metric has no value for these sets; the text says why, and what to do."""


class Found(NamedTuple):
    """A number; what it may be by chance, [low, high]; and its spread over subsets or splits."""

    value: float
    interval: Optional[tuple[float, float]] = None
    spread: Optional[float] = None


@dataclass
class Judgement:
    """What was found.

    Attributes:
        values: by metric; None where it has none. spreads: of KID over subsets, of the Inception Score over splits.
        intervals: [low, high] by metric. omitted: by metric, why it has no value. warnings: sentences for readers.
    """

    values: dict[str, Optional[float]] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    omitted: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Sides(NamedTuple):
    """What is compared, and how."""

    samples: FeatureSet
    reference: Reference
    settings: Evaluation

    def reference_features(self) -> npt.NDArray[np.float32]:
        """Of every image of the reference; NotMeasured where only its mean and covariance are known."""
        if isinstance(self.reference, Published):
            raise NotMeasured("it needs the images of the reference, and only mu and sigma are given")
        return self.reference.features

    def logits(self) -> npt.NDArray[np.float32]:
        """Of every sample; NotMeasured where the extractor has none."""
        if self.samples.logits is None:
            raise NotMeasured(f"the extractor {self.samples.identity.name} does not classify images")
        return self.samples.logits

    def demand(self, images: int, why: str) -> None:
        """NotMeasured unless both sides have so many images."""
        reference = self.reference.count if isinstance(self.reference, Published) else len(self.reference)
        for name, count in (("samples", len(self.samples)), ("reference images", reference)):
            if count is not None and count < images:
                raise NotMeasured(f"it needs {images} images or more, {why}; there are {count} {name}")


def judge(
    samples: FeatureSet,
    reference: Reference,
    settings: Evaluation,
    metrics: Optional[Collection[str]] = None,
    report: Report = lambda done, total, name: None,
) -> Judgement:
    """Every metric that the two sets allow, or those that are asked for.

    Args:
        metrics: names out of `METRICS`; one of these that cannot be measured is an error. By default all, and those
            that cannot be measured are left out with the reason.

    Raises:
        ConfigError: the sets have not the same features, a metric is unknown or, if it was asked for, impossible.
    """
    wanted = _known(METRICS if metrics is None else metrics)
    _demand_same_features(samples, reference)
    found, sides = Judgement(), Sides(samples, reference, settings)
    groups = [measure for measure in MEASURES if wanted & set(measure.names)]
    for done, measure in enumerate(groups):
        report(done, len(groups), measure.names[0].replace("_", " "))
        try:
            numbers = measure.of(sides)
        except NotMeasured as reason:
            if metrics is not None:
                asked = next(name for name in measure.names if name in wanted)
                raise ConfigError(f"{asked} cannot be measured: {reason}") from reason
            numbers = {}
            found.omitted.update({name: str(reason) for name in measure.names})
        for name in measure.names:
            if name in wanted:
                _take(found, name, numbers.get(name))
    report(len(groups), len(groups), "done")
    found.warnings += warnings_of(samples, reference)
    return found


def protocol_of(
    samples: FeatureSet, reference: Reference, settings: Evaluation, names: Mapping[str, str]
) -> dict[str, Any]:
    """What has to be equal for two judgements to be compared, as JSON.

    Args:
        names: what "samples" and "reference" are called; they are told, and need not be equal.
    """
    if isinstance(reference, Published):
        count, known = reference.count, {"as": "mu and sigma", "sha256": reference.sha256}
    else:
        count, known = len(reference), {"as": "images", "sha256": reference.images_sha256}
    others = len(samples) if count is None else min(len(samples), count)
    return {
        "extractor": samples.identity.as_json(),
        "reference": {"images": count, **known},
        "images": len(samples),
        "names": dict(names),
        "kid": {"subsets": settings.kid_subsets, "subset_size": min(settings.kid_subset_size, others)},
        "inception_score": {"splits": settings.inception_score_splits},
        "manifold": {
            "neighbours": settings.manifold_neighbours,
            "images": min(settings.manifold_images, len(samples)),
            "reference_images": None if count is None else min(settings.manifold_images, count),
        },
        "intervals": {
            "draws": settings.bootstrap,
            "confidence": settings.confidence,
            "of_frechet_distance": "resampled"
            if samples.identity.features <= FEATURES_TO_RESAMPLE
            else "to first order",
        },
        "seed": settings.seed,
    }


def warnings_of(samples: FeatureSet, reference: Reference) -> list[str]:
    """What a reader has to know about the number of images."""
    count, features = len(samples), samples.identity.features
    found = []
    if count < features:
        found.append(
            f"{count} images are fewer than the {features} features: the Frechet distance is mostly bias; give more."
        )
    elif count < FEW_IMAGES:
        found.append(
            f"With {count} images the Frechet distance is biased upwards; compare it only at as many images."
        )
    if isinstance(reference, Published) and reference.identity is None:
        found.append(
            "The file of mu and sigma does not tell which extractor made it: nothing shows that the two sides belong "
            "together."
        )
    return found


def frechet(features: npt.NDArray[Any], reference: Reference) -> float:
    """The Frechet distance of features [n, d], n >= 2, to a reference; accurate also for n < d."""
    gaussian = _gaussian(reference)
    if len(features) < features.shape[1]:
        return FrechetTo(gaussian).distance_of_few(features)
    return frechet_distance(gaussian, Moments.of(features))


def _frechet(sides: Sides) -> dict[str, Found]:
    sides.demand(2, "for a covariance")
    samples, settings = sides.samples.features, sides.settings
    reference = _gaussian(sides.reference)
    interval = None
    if settings.bootstrap and len(samples) > samples.shape[1]:
        if samples.shape[1] <= FEATURES_TO_RESAMPLE:
            interval = frechet_interval(samples, reference, *_draws(settings))
        else:
            interval = frechet_interval_by_influence(samples, reference, settings.confidence)
    return {"frechet_distance": _found(frechet(samples, sides.reference), interval)}


def _frechet_infinity(sides: Sides) -> dict[str, Found]:
    features = sides.samples.identity.features
    needed = max(2 * (features + 1), features + EXTRAPOLATION_POINTS)
    if len(sides.samples) < needed:
        raise NotMeasured(
            f"it needs {needed} samples or more, with {features} features; there are {len(sides.samples)}"
        )
    sides.demand(2, "for a covariance")
    line = frechet_distance_at_infinity(
        sides.samples.features, _gaussian(sides.reference), EXTRAPOLATION_POINTS, seed=sides.settings.seed
    )
    return {"frechet_distance_infinity": Found(line.value)}


def _kid(sides: Sides) -> dict[str, Found]:
    reference, settings, samples = sides.reference_features(), sides.settings, sides.samples.features
    sides.demand(2, "for pairs")
    found = kernel_distance(samples, reference, settings.kid_subsets, settings.kid_subset_size, settings.seed)
    interval = None
    if settings.bootstrap:
        few, others = (_some(side, settings) for side in (samples, reference))
        interval = kernel_interval(few, others, *_draws(settings), around=found.mean, count=len(samples))
    return {"kid": _found(found.mean, interval, found.spread)}


def _inception_score(sides: Sides) -> dict[str, Found]:
    logits, settings = sides.logits(), sides.settings
    splits = settings.inception_score_splits
    if len(logits) < splits:
        raise NotMeasured(f"it needs {splits} samples or more, one for each split; there are {len(logits)}")
    found = inception_score_from_logits(logits, splits, settings.seed)
    interval = None
    if settings.bootstrap and len(logits) > 1:
        interval = inception_score_interval(logits, *_draws(settings), splits)
    return {"inception_score": _found(found.mean, interval, found.spread)}


def _manifold(sides: Sides) -> dict[str, Found]:
    features, k = sides.reference_features(), sides.settings.manifold_neighbours
    sides.demand(k + 1, f"for the {k}th neighbour of each")
    found = manifold(_some(features, sides.settings), _some(sides.samples.features, sides.settings), k)
    per_image = {
        "precision": found.inside,
        "recall": found.reached,
        "density": found.balls / k,
        "coverage": found.covered,
    }

    def interval(values: npt.NDArray[Any]) -> Optional[Interval]:
        return mean_interval(values, *_draws(sides.settings)) if sides.settings.bootstrap else None

    return {name: _found(getattr(found, name), interval(values)) for name, values in per_image.items()}


def _class_coverage(sides: Sides) -> dict[str, Found]:
    logits = sides.logits()
    counts = np.bincount(np.argmax(logits, axis=1), minlength=logits.shape[1])
    return {"class_coverage": Found(class_coverage(counts))}


class Measure(NamedTuple):
    """One or more metrics that are measured together."""

    names: tuple[str, ...]
    of: Callable[[Sides], Mapping[str, Found]]


EXTRAPOLATION_POINTS = 15  # sizes, as Chong and Forsyth (2020)
MEASURES = (
    Measure(("frechet_distance",), _frechet),
    Measure(("frechet_distance_infinity",), _frechet_infinity),
    Measure(("kid",), _kid),
    Measure(("inception_score",), _inception_score),
    Measure(("precision", "recall", "density", "coverage"), _manifold),
    Measure(("class_coverage",), _class_coverage),
)
METRICS = tuple(name for measure in MEASURES for name in measure.names)


def _gaussian(reference: Reference) -> Gaussian:
    return reference if isinstance(reference, Published) else reference.moments


def _some(features: npt.NDArray[np.float32], settings: Evaluation) -> npt.NDArray[np.float32]:
    """At most `manifold_images` of the features, drawn by the seed."""
    if len(features) <= settings.manifold_images:
        return features
    chosen = np.random.default_rng([settings.seed, 2]).choice(
        len(features), settings.manifold_images, replace=False
    )
    return np.asarray(features[np.sort(chosen)])


def _draws(settings: Evaluation) -> tuple[float, int, int]:
    """Level, replicates and seed of a bootstrap."""
    return settings.confidence, settings.bootstrap, settings.seed


def _found(value: float, interval: Optional[Interval], spread: Optional[float] = None) -> Found:
    return Found(value, None if interval is None else (interval.low, interval.high), spread)


def _take(judgement: Judgement, name: str, found: Optional[Found]) -> None:
    judgement.values[name] = None if found is None else found.value
    if found is not None and found.interval is not None:
        judgement.intervals[name] = list(found.interval)
    if found is not None and found.spread is not None:
        judgement.spreads[name] = found.spread


def _known(metrics: Collection[str]) -> set[str]:
    for name in metrics:
        if name not in METRICS:
            close = difflib.get_close_matches(name, METRICS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ConfigError(f"unknown metric {name!r}; {hint}Metrics: {', '.join(METRICS)}")
    return set(metrics)


def _demand_same_features(samples: FeatureSet, reference: Reference) -> None:
    """Refuse two sides of different extractors, as far as they tell."""
    own, other = samples.identity, reference.identity
    if other is not None and other != own:
        raise ConfigError(
            f"the reference was measured in features of {other.name} (sha256 {other.sha256[:12]}), the samples in "
            f"those of {own.name} (sha256 {own.sha256[:12]}); give both the same extractor"
        )
    mean = _gaussian(reference).mean
    if mean.size != own.features:
        raise ConfigError(
            f"the reference has {mean.size} features, and the extractor {own.name} gives {own.features}; give the "
            "extractor that the reference was made with"
        )
