"""Judging samples that are in memory, again and again, as training does on the way."""

from __future__ import annotations

import numpy as np

from ebm_tf.errors import EBMError
from ebm_tf.evaluation.distances import inception_score_from_logits, kernel_distance
from ebm_tf.evaluation.extractors.base import FeatureExtractor, Identity
from ebm_tf.evaluation.feature_set import FeatureSet
from ebm_tf.grey_levels import Images

EXTRACTED = 250  # images at a time
KID_SUBSET = 1000  # images, at most


class Judge:
    """Frechet distance and KID of samples to reference images; the Inception Score where the extractor classifies.

    The Inception Score is that of all samples in one split; EvaluateFID's, the mean over
    `evaluation.inception_score_splits`, is lower for as many. KID is the mean over disjoint pairs of subsets of at
    most `KID_SUBSET`: the first samples, and as many reference images, which are drawn once by `seed`. Its cost is
    linear in `count`.

    Args:
        reference: features of the reference images, of the same extractor. count: of the samples to be judged.

    Attributes:
        warnings: what a reader of the numbers has to know, a sentence each.

    Raises:
        EBMError: the reference was measured by another extractor.
    """

    def __init__(self, extractor: FeatureExtractor, reference: FeatureSet, count: int, seed: int) -> None:
        if reference.identity != extractor.identity:
            raise EBMError(
                f"the reference features are of {reference.identity.name} ({reference.identity.sha256[:12]}), but "
                f"the extractor is {extractor.identity.name} ({extractor.identity.sha256[:12]}); run "
                "ReferenceStatistics again"
            )
        self.extractor, self.frechet = extractor, reference.gaussian
        self.warnings = _warnings(extractor.identity, count)
        known = len(reference.features)
        self.subset = min(KID_SUBSET, count, known)
        drawn = min(count, known) // self.subset * self.subset
        rows = np.random.default_rng(seed).choice(known, drawn, replace=False)
        self.reference = np.asarray(reference.features[rows])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the metrics, in their order."""
        scored = () if self.extractor.identity.classes is None else ("inception_score",)
        return ("frechet_distance", "kid", *scored)

    def __call__(self, images: Images) -> dict[str, float]:
        """The metrics of uint8 images [n, H, W, C], n >= `count`."""
        parts = [self.extractor(images[row : row + EXTRACTED]) for row in range(0, len(images), EXTRACTED)]
        features = np.concatenate([part.features for part in parts])
        values = [self.frechet.distance_from(features), self._kid(features)]
        if self.extractor.identity.classes is not None:
            logits = np.concatenate([part.logits for part in parts if part.logits is not None])
            values.append(inception_score_from_logits(logits, splits=1).mean)
        return dict(zip(self.names, values))

    def _kid(self, features: np.ndarray) -> float:
        size = self.subset
        subsets = [slice(row, row + size) for row in range(0, len(self.reference), size)]
        each = [
            kernel_distance(features[rows], self.reference[rows], subsets=1, subset_size=size).mean
            for rows in subsets
        ]
        return float(np.mean(each))


def _warnings(identity: Identity, count: int) -> tuple[str, ...]:
    if count >= identity.features:
        return ()
    return (
        f"selection.count is {count}, fewer than the {identity.features} features of {identity.name}: the Frechet "
        "distances on the way are far too large, and say little but how they change; raise selection.count, or set "
        "selection.metric=kid",
    )
