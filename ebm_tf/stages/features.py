"""How stages extract features: into a folder that outlives a kill, so that long extractions go on where they were."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from ebm_tf.datasets.image_sets import ImageSet
from ebm_tf.evaluation.extractors.base import FeatureExtractor
from ebm_tf.evaluation.feature_set import FeatureSet, extract
from ebm_tf.stages.context import Context


def extract_all(
    context: Context, extractor: FeatureExtractor, images: Mapping[str, ImageSet]
) -> dict[str, FeatureSet]:
    """Features of each set of images, kept in the stage's work folder under the set's name."""
    batch = context.compute.extraction_batch
    total, before, found = sum(map(len, images.values())), 0, {}
    for name, these in images.items():

        def report(done: int, of_these: int, before: int = before, title: str = these.name) -> None:
            context.progress(before + done, total, f"features: {title}")

        found[name] = extract(extractor, these, context.work / "features" / name, batch, report)
        before += len(these)
    return found


def extract_into(context: Context, extractor: FeatureExtractor, images: Mapping[str, ImageSet]) -> None:
    """Likewise, and make them part of the artifact, a folder for each set."""
    for name in extract_all(context, extractor, images):
        shutil.move(context.work / "features" / name, context.out / name)
