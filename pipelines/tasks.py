"""The tasks: what each depends on, and nothing else. Luigi's assistants import them from here."""

from __future__ import annotations

import difflib

from ebm_tf.errors import ConfigError
from pipelines.stage_task import StageTask

ACCELERATOR = {"accelerator": 1}
"""The Luigi resource that lets one task at a time train or sample."""


class PrepareDataset(StageTask):
    """Reads the data set and writes the uint8 images that every later task streams."""

    SETTINGS = ("dataset",)


class TrainFeatureExtractor(StageTask):
    """Trains the classifier whose features the distances are measured in."""

    SETTINGS = ("extractor",)
    UPSTREAM = (PrepareDataset,)
    resources = ACCELERATOR


class TrainEBM(StageTask):
    """Trains the energy-based model."""

    SETTINGS = ("seed", "model", "langevin", "replay", "loss", "optimiser", "training", "health")
    UPSTREAM = (PrepareDataset,)
    resources = ACCELERATOR


class ReferenceStatistics(StageTask):
    """Measures the features of the real images and of the baselines."""

    SETTINGS = ("evaluation",)
    UPSTREAM = (PrepareDataset, TrainFeatureExtractor)


class GenerateSamples(StageTask):
    """Draws samples by Langevin chains, from noise and from the replay buffer."""

    SETTINGS = ("sampling", "langevin", "seed", "model")
    UPSTREAM = (TrainEBM, PrepareDataset)
    resources = ACCELERATOR


class RetrieveNeighbours(StageTask):
    """Finds the training images nearest to generated ones."""

    SETTINGS = ("neighbours",)
    UPSTREAM = (PrepareDataset, GenerateSamples)


class EvaluateFID(StageTask):
    """Computes the Fréchet distance and KID of the samples, beside those of the baselines."""

    SETTINGS = ("evaluation",)
    UPSTREAM = (PrepareDataset, TrainFeatureExtractor, ReferenceStatistics, GenerateSamples)


class ExportModel(StageTask):
    """Writes a SavedModel that needs none of this code, and checks it in such a process."""

    SETTINGS = ("sampling", "langevin", "model")
    UPSTREAM = (TrainEBM, PrepareDataset)


class Report(StageTask):
    """Gathers pictures, curves, metrics and provenance of all other tasks on one HTML page."""

    UPSTREAM = (
        PrepareDataset,
        TrainFeatureExtractor,
        TrainEBM,
        ReferenceStatistics,
        GenerateSamples,
        RetrieveNeighbours,
        EvaluateFID,
        ExportModel,
    )


TASKS: dict[str, type[StageTask]] = {task.name(): task for task in (*Report.UPSTREAM, Report)}
"""Every task by name, each after those that it needs."""


def task_named(name: str) -> type[StageTask]:
    """The task class of a name.

    Raises:
        ConfigError: there is none; the text has the nearest name and the list.
    """
    if name in TASKS:
        return TASKS[name]
    close = difflib.get_close_matches(name.lower(), [known.lower() for known in TASKS], n=1, cutoff=0.4)
    nearest = next((known for known in TASKS if [known.lower()] == close), None)
    hint = f"did you mean {nearest}? " if nearest else ""
    raise ConfigError(f"unknown task {name!r}; {hint}Tasks: {', '.join(TASKS)}")


def tree(root_task: StageTask) -> list[StageTask]:
    """The task and all that it stands on, each after those that it needs."""
    found = {root_task.name(): root_task}
    pending = [root_task]
    while pending:
        for upstream in pending.pop().requires():
            if upstream.name() not in found:
                found[upstream.name()] = upstream
                pending.append(upstream)
    return [found[name] for name in TASKS if name in found]
