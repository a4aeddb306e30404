"""How long a task may take, by what such tasks took below the same root before."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple, Optional

from ebm_tf.config import Model
from ebm_tf.errors import EBMError
from ebm_tf.models.summary import summarise
from pipelines.artifact import canonical_json
from pipelines.asking.changes import OF_THE_IMAGES, Past
from pipelines.asking.records import Record, inputs
from pipelines.knowledge import Images, images_of
from pipelines.stage_task import StageTask

LIKE_IMAGES = (*OF_THE_IMAGES, "dataset.size", "dataset.crop", "dataset.colour")
"""Settings with which images, and so the cost of each, become others."""
DIFFERENTIATED = 3
"""What a Langevin step that L_KL goes back through costs more, but for the last one, in Langevin steps: 2 to 4."""
APART = 1.5
"""Factor between two amounts of work from which on the time that neither saves is told apart."""


class Work(NamedTuple):
    """An amount of what takes a task's time; those of two settings compare if their units are the same."""

    unit: str
    amount: float


Measure = Callable[[Mapping[str, Any], Images, Collection[str]], Work]
"""Of the settings of a task, the images, and the names of the tasks that it reads."""


def _of_training(settings: Mapping[str, Any], images: Images, reads: Collection[str]) -> Work:
    """Images through the network: the chains of each step, and those of the evaluations on the way."""
    training, langevin, selection = settings["training"], settings["langevin"], settings["selection"]
    of_a_chain = langevin["steps"] + DIFFERENTIATED * (langevin["backprop_steps"] - 1)
    passes = training["steps"] * of_a_chain * training["batch_size"]
    if selection["every"]:
        evaluations = math.ceil(training["steps"] / selection["every"])
        passes += evaluations * selection["count"] * selection["steps"]
    return Work("multiply-adds", passes * _network(settings, images))


def _of_sampling(settings: Mapping[str, Any], images: Images, reads: Collection[str]) -> Work:
    """Images through the network: the chains from noise and those from the buffer; or shards put together."""
    sampling = settings["sampling"]
    count = settings["shard"][1] if "shard" in settings else sampling["count"]
    if "DrawSamples" in reads:
        return Work("images put together", count)
    if sampling["source"] == "sngan":
        return Work("images of the baseline", count)
    steps = sampling["steps"] + sampling["buffer_steps"]
    return Work("multiply-adds", count * steps * _network(settings, images))


def _of_baseline(settings: Mapping[str, Any], images: Images, reads: Collection[str]) -> Work:
    """Images through the discriminator; or the time that the settings grant."""
    sngan = settings["sngan"]
    if sngan["seconds"] is not None:
        return Work("seconds", sngan["seconds"])
    passes = sngan["steps"] * sngan["batch_size"] * (sngan["discriminator_steps"] + 1)
    return Work("images", passes)


def _of_composition(settings: Mapping[str, Any], images: Images, reads: Collection[str]) -> Work:
    """Steps of all chains, of all members."""
    compose = settings["compose"]
    steps = compose["steps"] or settings["sampling"]["steps"]
    return Work("steps", compose["count"] * steps * len(compose["members"]))


OF_DRAWING = ("sampling.count", "sampling.steps", "sampling.buffer_steps", "model.*")
"""Settings that the work of drawing samples depends on."""
MEASURES: dict[str, tuple[Measure, tuple[str, ...]]] = {
    "TrainEBM": (_of_training, ("*.steps", "training.batch_size", "*.backprop_steps", "selection.*", "model.*")),
    "DrawSamples": (_of_sampling, ("shard", *OF_DRAWING)),
    "GenerateSamples": (_of_sampling, OF_DRAWING),
    "MeasureShard": (
        lambda settings, images, reads: Work("images", settings["shard"][1]),
        ("shard", "sampling.*"),
    ),
    "JudgeTraining": (_of_sampling, OF_DRAWING),
    "TrainSNGAN": (_of_baseline, ("sngan.steps", "sngan.batch_size", "sngan.seconds", "sngan.discriminator_steps")),
    "ComposeModels": (_of_composition, ("compose.count", "compose.steps", "compose.members*", "sampling.steps")),
    "TrainFeatureExtractor": (
        lambda settings, images, reads: Work("epochs", settings["extractor"]["epochs"]),
        ("extractor.epochs",),
    ),
    "BaselineStatistics": (
        lambda settings, images, reads: Work("images", settings["evaluation"]["baseline_count"]),
        ("evaluation.baseline_count",),
    ),
}  # fmt: skip
"""By task, what its time is in proportion to, and the settings that this takes account of."""


class _Earlier(NamedTuple):
    """One earlier run: how many settings differ that its work does not take account of, its work, and its seconds."""

    unlike: int
    work: float
    seconds: float


def estimate(task: StageTask, past: Past) -> Optional[float]:
    """Seconds that a build may take; None where no such task was built of images like these.

    It is what the artifact with the nearest settings took, the newest of equals. Where the time is plainly in
    proportion to some work it is scaled by that, and where two earlier runs tell the time that every run takes
    besides, along the line through both.
    """
    work = _work(task, task.settings, [upstream.name() for upstream in past.sources(task).values()])
    found = [_earlier(task, work, record, past) for record in past.records.of(task.name())]
    earlier = [one for one in found if one is not None]
    if not earlier:
        return None
    least = min(one.unlike for one in earlier)
    return round(
        _scaled(1.0 if work is None else work.amount, [one for one in earlier if one.unlike == least]), 1
    )


def _earlier(task: StageTask, work: Optional[Work], record: Record, past: Past) -> Optional[_Earlier]:
    """What a record tells of a task's time; None where the two have nothing in common."""
    seconds, unlike = record.get("seconds"), past.unlike(task, record)
    if seconds is None or not unlike.isdisjoint(LIKE_IMAGES):
        return None
    patterns = MEASURES[task.name()][1] if task.name() in MEASURES else ()
    others = [name for name in unlike if not any(fnmatchcase(name, pattern) for pattern in patterns)]
    then = _work(task, record["settings"], [made.task for made in inputs(past.records.root, record).values()])
    if work is None or then is None:  # it cannot be scaled, but may be of the same work
        return _Earlier(len(others), 1.0, seconds) if len(others) == len(unlike) and work is None else None
    same_kind = work.unit == then.unit and work.amount > 0 and then.amount > 0
    return _Earlier(len(others), then.amount, seconds) if same_kind else None


def _scaled(work: float, earlier: Sequence[_Earlier]) -> float:
    """Seconds of an amount of work by those of others, the nearest before all."""

    def distance(one: _Earlier, other: float) -> float:
        return abs(math.log(one.work / other))

    nearest = min(earlier, key=lambda one: distance(one, work))
    others = [one for one in earlier if distance(one, nearest.work) > math.log(APART)]
    if others:
        other = min(others, key=lambda one: distance(one, work))
        slope = (nearest.seconds - other.seconds) / (nearest.work - other.work)
        besides = nearest.seconds - slope * nearest.work
        if slope > 0 and besides >= 0:
            return besides + slope * work
    return nearest.seconds * work / nearest.work


def _work(task: StageTask, settings: Mapping[str, Any], reads: Collection[str]) -> Optional[Work]:
    """The work that settings ask of a task; None where nothing is known of it, as in records of other settings."""
    if task.name() not in MEASURES:
        return None
    try:
        images = images_of(json.loads(task.experiment)["dataset"])
        return None if images is None else MEASURES[task.name()][0](settings, images, reads)
    except (EBMError, KeyError, TypeError, ValueError):
        return None


def _network(settings: Mapping[str, Any], images: Images) -> int:
    """Multiply-adds of one image's energy."""
    return _multiply_adds(canonical_json(settings["model"]), images)


@lru_cache(maxsize=256)
def _multiply_adds(model: str, images: Images) -> int:
    network = Model(**json.loads(model))
    return summarise(network, images.shape, images.classes if network.conditional else 0).multiply_adds
