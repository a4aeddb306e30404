"""Judging: every metric of a set of samples against a reference, from their features on disk.

A number never stands without its protocol: `protocol_of` tells what has to be equal for two to be compared.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ebm_tf.config import Evaluation
from ebm_tf.errors import ConfigError
from ebm_tf.evaluation.extractors.base import Identity
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.evaluation.measures import (
    MEASURES,
    METRICS,
    Found,
    Measure,
    NotMeasured,
    Reference,
    Sides,
    count_of,
)
from ebm_tf.evaluation.published import Published

FEW_IMAGES = 10_000
"""Below so many images the Frechet distance is known to be biased by more than models often differ."""

Report = Callable[[int, int, str], None]
"""Is told the metrics done, those in all, and which comes next."""


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

    @property
    def measured(self) -> list[str]:
        """The metrics that have a value."""
        return [name for name, value in self.values.items() if value is not None]


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
    asked = () if metrics is None else tuple(metrics)
    demand_possible(asked, samples.identity, reference)
    wanted = set(METRICS if metrics is None else metrics)
    demand_same_features(samples.identity, reference)
    found, sides = Judgement(), Sides(samples, reference, settings)
    groups = [measure for measure in MEASURES if wanted & set(measure.names)]
    for done, measure in enumerate(groups):
        report(done, len(groups), measure.names[0].replace("_", " "))
        numbers: Mapping[str, Found] = {}
        reason = measure.impossible(samples.identity, reference)
        if reason is None:
            try:
                numbers = measure.of(sides)
            except NotMeasured as why:
                reason = str(why)
        for name in measure.names:
            if name in wanted:
                _take(found, name, numbers.get(name), reason)
                if name in asked and reason is not None:
                    raise ConfigError(f"{name} cannot be measured: {reason}")
    report(len(groups), len(groups), "done")
    found.warnings += warnings_of(samples, reference, found)
    return found


def demand_possible(metrics: Collection[str], identity: Identity, reference: Any) -> None:
    """Refuse metrics that there are none of, or that these features and this reference have none of.

    Args:
        metrics: names. identity: of the extractor. reference: anything but `Published` has images.

    Raises:
        ConfigError: the text says which and why.
    """
    for name in metrics:
        measure = known_metric(name)
        if (reason := measure.impossible(identity, reference)) is not None:
            raise ConfigError(f"{name} cannot be measured: {reason}")


def known_metric(name: str) -> Measure:
    """The measure that has a metric; ConfigError with the nearest name if there is none."""
    for measure in MEASURES:
        if name in measure.names:
            return measure
    close = difflib.get_close_matches(name, METRICS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ConfigError(f"unknown metric {name!r}; {hint}Metrics: {', '.join(METRICS)}")


def protocol_of(
    samples: FeatureSet,
    reference: Reference,
    settings: Evaluation,
    names: Mapping[str, str],
    measured: Collection[str],
) -> dict[str, Any]:
    """What has to be equal for two judgements to be compared, as JSON.

    Args:
        names: what "samples" and "reference" are called; they are told, and need not be equal.
        measured: the metrics; what only others depend on is left out.
    """
    sides = Sides(samples, reference, settings)
    told: dict[str, Any] = {
        "extractor": samples.identity.as_json(),
        "reference": {"images": count_of(reference), "sha256": _digest(reference)},
        "images": len(samples),
        "names": dict(names),
        "intervals": {"draws": settings.bootstrap, "confidence": settings.confidence},
    }
    for measure in MEASURES:
        if set(measure.names) & set(measured):
            told.update(measure.protocol(sides))
    return told


def warnings_of(samples: FeatureSet, reference: Reference, found: Judgement) -> list[str]:
    """What a reader of the Frechet distance has to know about the number of images."""
    if found.values.get("frechet_distance") is None:
        return []
    features, told = samples.identity.features, []
    for count, what in ((len(samples), "samples"), (count_of(reference), "reference images")):
        if count is None:
            told.append(
                "How many images mu and sigma are of is not told: the bias of the Frechet distance is not known."
            )
        elif count < features:
            told.append(
                f"{count} {what} are fewer than the {features} features: the Frechet distance is mostly bias."
            )
        elif count < FEW_IMAGES:
            told.append(
                f"With {count} {what} the Frechet distance is biased upwards; compare it only at as many images."
            )
    if reference.identity is None:
        told.append(
            "The file of mu and sigma does not tell which extractor made it: nothing shows that the two sides belong "
            "together."
        )
    return told


def _digest(reference: Reference) -> str:
    """Of the images of a reference, where they are known."""
    if isinstance(reference, FeatureSet):
        return reference.images_sha256
    return reference.images_sha256 or reference.sha256


def _take(judgement: Judgement, name: str, found: Optional[Found], reason: Optional[str]) -> None:
    if reason is not None:
        judgement.omitted[name] = reason
    judgement.values[name] = None if found is None else found.value
    if found is not None and found.interval is not None:
        judgement.intervals[name] = list(found.interval)
    if found is not None and found.spread is not None:
        judgement.spreads[name] = found.spread


def demand_same_features(own: Identity, reference: Any) -> None:
    """Refuse a reference of another extractor, as far as it tells; one of images tells nothing.

    Raises:
        ConfigError: it is of another.
    """
    other = getattr(reference, "identity", None)
    if other is not None and other != own:
        raise ConfigError(
            f"the reference was measured in features of {other.name} (sha256 {other.sha256[:12]}), the samples in "
            f"those of {own.name} (sha256 {own.sha256[:12]}); give both the same extractor"
        )
    if isinstance(reference, Published) and reference.mean.size != own.features:
        raise ConfigError(
            f"the reference has {reference.mean.size} features, and the extractor {own.name} gives {own.features}; "
            "give the extractor that the reference was made with"
        )
