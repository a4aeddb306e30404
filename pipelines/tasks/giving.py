"""What is given away: the exported model, and the page about the experiment."""

from __future__ import annotations

from typing import Any

from ebm_tf import demands
from ebm_tf.config import Langevin, Sampling
from ebm_tf.errors import ConfigError
from pipelines.stage_task import StageTask
from pipelines.tasks.data import PrepareDataset
from pipelines.tasks.features import BaselineStatistics, FeatureTask, ReferenceStatistics
from pipelines.tasks.judging import EvaluateFID
from pipelines.tasks.samples import GenerateSamples, RetrieveNeighbours
from pipelines.tasks.training import TrainEBM


class ExportModel(StageTask):
    """Writes the model as a folder that needs none of this code, and checks it in such a process."""

    VERSION = 3
    SETTINGS = (
        *(f"sampling.{key}" for key in ("weights", "sampler", "temperature", "steps", "step_size")),
        *(f"sampling.{key}" for key in ("noise_scale", "batch_size")),
        "langevin",
        "model",
    )
    UPSTREAM = (TrainEBM, PrepareDataset)

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """A temperature where chains have one, and only there."""
        demands.temperature_fits(Sampling(**experiment["sampling"]), Langevin(**experiment["langevin"]))


class Report(FeatureTask):
    """Gathers pictures, curves, metrics and provenance of the main tasks on one HTML page."""

    UPSTREAM = (
        PrepareDataset,
        TrainEBM,
        ReferenceStatistics,
        BaselineStatistics,
        GenerateSamples,
        RetrieveNeighbours,
        EvaluateFID,
        ExportModel,
    )

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """The energy model's samples: the page is about it."""
        if experiment["sampling"]["source"] != "ebm":
            raise ConfigError(
                f"the report is of the energy model, and sampling.source is {experiment['sampling']['source']}; use "
                "EvaluateFID or CompareModels for it"
            )
