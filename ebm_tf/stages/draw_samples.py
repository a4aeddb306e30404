"""DrawSamples: some of the samples, from one number to another, for GenerateSamples to put together (`shards.py`)."""

from __future__ import annotations

from ebm_tf.stages.context import Context
from ebm_tf.stages.drawing import draw_shard, source_of


def run(context: Context) -> None:
    first, count = context.settings["shard"]
    draw_shard(context, source_of(context), range(first, first + count), context.out)
