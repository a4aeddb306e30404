"""MeasureShard: features of one shard of the samples, for EvaluateFID to put together.

For each kind of samples a folder KIND/, a FeatureSet; and shard.json, which says of which samples.
"""

from __future__ import annotations

from ebm_tf.datasets.image_sets import ArrayImages
from ebm_tf.evaluation.extractors.sources import load_extractor
from ebm_tf.shards import open_shard, write_card
from ebm_tf.stages.context import Context
from ebm_tf.stages.features import extract_into


def run(context: Context) -> None:
    numbers, kinds = open_shard(context.inputs["DrawSamples"])
    images = {kind: ArrayImages(drawn, f"{kind} samples") for kind, drawn in kinds.items()}
    extract_into(context, load_extractor(context.inputs["Extractor"]), images)
    write_card(context.out, numbers)
