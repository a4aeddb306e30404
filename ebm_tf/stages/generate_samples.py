"""GenerateSamples: images of the model that is judged, with its averaged weights.

Of the energy model two kinds: `fresh`, chains from uniform noise, and `buffer`, chains from the replay buffer. Of the
SNGAN baseline (sampling.source) one, `fresh`. For each kind there are KIND.npz (images uint8; of conditional models
also labels), KIND.json and KIND.png; samples.json lists the kinds. Of chains also film.png, some on their way, and of
conditional models classes.png, a row of fresh samples of each class.

Samples that DrawSamples has drawn in shards (sampling.shard_size) are put together here. The files are the same, byte
by byte, as without shards: a shard is of whole batches, and a sample's random numbers follow from its own number.
"""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np

from ebm_tf.errors import EBMError
from ebm_tf.figures import save_film, save_grid, save_rows
from ebm_tf.grey_levels import to_uint8
from ebm_tf.sampling import film, finite
from ebm_tf.sampling_settings import describe_chain
from ebm_tf.shards import Shards, Stacked, save_npz, shards_among
from ebm_tf.stages.context import Context
from ebm_tf.stages.drawing import Chains, Source, draw_shard, source_of

GRID = 100  # images of KIND.png, at most
CLASS_ROWS, CLASS_COLUMNS = 100, 10  # of classes.png, at most


def run(context: Context) -> None:
    source, count = source_of(context), context.section("sampling").count
    folders = shards_among(context.inputs)
    own = context.work / "drawn"
    if not folders:
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        draw_shard(context, source, range(count), own)
    shards = Shards(folders or [own], (count, *source.manifest.shape))
    kinds = {}
    for number, kind in enumerate(source.titles, start=1):
        kinds[kind] = _write(context, source, shards, kind)
        if folders:
            context.progress(number, len(source.titles), f"merged {kind} of {len(folders)} shards")
    context.write_json("samples.json", {"weights": source.weights, "kinds": kinds})
    if isinstance(source, Chains):
        _write_film(context, source)
        _write_classes(context, source, shards.images("fresh"))
    shutil.rmtree(own, ignore_errors=True)


def _write(context: Context, source: Source, shards: Shards, kind: str) -> dict[str, Any]:
    """The files of one kind; returns what its JSON says."""
    images, labels = shards.images(kind), None
    card: dict[str, Any] = {"title": source.titles[kind], "images": len(images)}
    if isinstance(source, Chains):
        plan = source.plans[kind]
        labels = plan.labels
        acceptance = None if plan.method.temperature is None else shards.acceptance(kind)
        card["chain"] = describe_chain(plan.method, source.seed, acceptance)
    first = images.take([0])
    if all((block == first).all() for block in images.blocks()):
        raise EBMError(f"all {len(images)} {kind} samples are the same image: the model has collapsed")
    save_npz(context.out / f"{kind}.npz", images, labels)
    context.write_json(f"{kind}.json", card)
    save_grid(images.take(range(min(GRID, len(images)))), context.out / f"{kind}.png", columns=20)
    return card


def _write_film(context: Context, chains: Chains) -> None:
    settings, plan = chains.settings, chains.plans["fresh"]
    count = min(settings.film_chains, settings.count)
    labels = None if plan.labels is None else plan.labels[:count]
    start = np.asarray(plan.starts(0, count))
    strip = film(chains.model, start, plan.method, chains.seed, settings.film_frames, labels)
    pictures = to_uint8(finite(strip, "pictures of chains"), chains.manifest.levels)
    save_film(pictures, context.out / "film.png")


def _write_classes(context: Context, chains: Chains, images: Stacked) -> None:
    """Of a conditional model: a row for each class that was drawn, of its first samples."""
    labels = chains.plans["fresh"].labels
    if labels is None:
        return
    shown = np.unique(labels)[:CLASS_ROWS]
    rows = [images.take(np.flatnonzero(labels == label)[:CLASS_COLUMNS]) for label in shown]
    save_rows(rows, context.out / "classes.png", [chains.manifest.classes[label] for label in shown])
