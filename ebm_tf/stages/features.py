"""How stages come by features: extracted into a folder that outlives a kill, so that long extractions go on where
they were; or put together from those of shards."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from ebm_tf.datasets.image_sets import ImageSet
from ebm_tf.evaluation.extractors.base import FeatureExtractor
from ebm_tf.evaluation.feature_set import FeatureSet, extract, merge
from ebm_tf.shards import in_order
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


def merge_all(
    context: Context, folders: Collection[Path], images: Mapping[str, ImageSet]
) -> dict[str, FeatureSet]:
    """Features of each set of images, put together from those that MeasureShard made of them in shards.

    Args:
        folders: of the shards, in any order.

    Raises:
        MissingInput: they are not of these images, or not of all of them.
    """
    found = {}
    for done, (name, these) in enumerate(images.items(), start=1):
        ordered = in_order(folders, len(these), "MeasureShard")
        parts = [FeatureSet.open(folder / name) for _, folder in ordered]
        found[name] = merge(parts, these, context.work / "features" / name)
        context.progress(done, len(images), f"merged features of {name} of {len(parts)} shards")
    return found
