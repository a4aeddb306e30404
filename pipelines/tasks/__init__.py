"""The tasks: what each depends on, and nothing else. Luigi's assistants import them from here."""

from __future__ import annotations

import difflib

from ebm_tf.errors import ConfigError
from pipelines.stage_task import StageTask
from pipelines.tasks.data import PrepareDataset, ShowAugmentations
from pipelines.tasks.features import (
    BaselineStatistics,
    ImportFeatureExtractor,
    ReferenceStatistics,
    TrainFeatureExtractor,
)
from pipelines.tasks.giving import ExportModel, Report
from pipelines.tasks.judging import CompareModels, EvaluateFID, EvaluateOOD, MeasureShard
from pipelines.tasks.samples import ComposeModels, DrawSamples, GenerateSamples, RetrieveNeighbours
from pipelines.tasks.studies import (
    JudgeTraining,
    ReproducePaper,
    StudyCollapse,
    StudyNoiseInit,
    StudyTruncation,
)
from pipelines.tasks.training import TrainEBM, TrainSNGAN

TASKS: dict[str, type[StageTask]] = {
    task.name(): task
    for task in (
        PrepareDataset,
        ShowAugmentations,
        TrainFeatureExtractor,
        ImportFeatureExtractor,
        ReferenceStatistics,
        BaselineStatistics,
        TrainEBM,
        TrainSNGAN,
        DrawSamples,
        GenerateSamples,
        RetrieveNeighbours,
        MeasureShard,
        EvaluateFID,
        CompareModels,
        EvaluateOOD,
        ComposeModels,
        JudgeTraining,
        StudyNoiseInit,
        StudyTruncation,
        StudyCollapse,
        ExportModel,
        Report,
        ReproducePaper,
    )
}
"""Every task by name, each after those that it needs."""


def task_named(name: str) -> type[StageTask]:
    """The task class of a name.

    Raises:
        ConfigError: there is none; the text has the nearest name and the list.
    """
    if name in TASKS:
        return TASKS[name]
    raise ConfigError(f"unknown task {name!r}{nearest_task(name) or ';'} Tasks: {', '.join(TASKS)}")


def nearest_task(name: str) -> str:
    """What is said of the task that may have been meant; empty where none is near."""
    close = difflib.get_close_matches(name.lower(), [known.lower() for known in TASKS], n=1, cutoff=0.4)
    nearest = next((known for known in TASKS if [known.lower()] == close), None)
    return f"; did you mean {nearest}?" if nearest else ""
