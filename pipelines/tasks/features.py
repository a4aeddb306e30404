"""What turns images into features, and the features of images that no model made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ebm_tf import demands
from ebm_tf.config import Extractor
from ebm_tf.errors import ConfigError
from ebm_tf.evaluation.extractors.sources import demand_source
from pipelines.knowledge import images_of
from pipelines.stage_task import ACCELERATOR, Inputs, StageTask
from pipelines.tasks.data import PrepareDataset


class TrainFeatureExtractor(StageTask):
    """Trains the classifier that tells classes apart and whose features distances may be measured in."""

    SETTINGS = tuple(
        f"extractor.{key}" for key in ("epochs", "batch_size", "learning_rate", "seed", "minimum_accuracy")
    )
    UPSTREAM = (PrepareDataset,)
    resources = ACCELERATOR

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Images of two classes at least."""
        if images := images_of(experiment["dataset"]):
            demands.classes_to_tell_apart(experiment["dataset"]["name"], images.classes)


class ImportFeatureExtractor(StageTask):
    """Takes in a feature extractor that others trained, or that needs no training, with its identity."""

    SETTINGS = tuple(f"extractor.{key}" for key in ("name", "path", "sha256", "seed"))
    UPSTREAM = (PrepareDataset,)

    @classmethod
    def applies(cls, experiment: dict[str, Any]) -> bool:
        """Where no classifier is trained."""
        return bool(experiment["extractor"]["name"] != "classifier")

    @classmethod
    def demand(cls, experiment: dict[str, Any]) -> None:
        """Its files."""
        extractor = Extractor(**experiment["extractor"])
        if not cls.applies(experiment):
            raise ConfigError(
                "extractor.name is classifier, which TrainFeatureExtractor trains; run that, or name another"
            )
        demand_source(extractor.name, None if extractor.path is None else Path(extractor.path))


def extractor_of(experiment: dict[str, Any]) -> Inputs:
    """The task that has the features of an experiment, as the input "Extractor"."""
    imported = ImportFeatureExtractor.applies(experiment)
    return {"Extractor": (ImportFeatureExtractor if imported else TrainFeatureExtractor, experiment, "")}


def features_of(experiment: dict[str, Any]) -> Inputs:
    """The extractor, and the features of the real images."""
    return {
        **extractor_of(experiment),
        ReferenceStatistics.name(): (ReferenceStatistics, experiment, ""),
    }


class FeatureTask(StageTask):
    """A task that, beside its other inputs, reads the extractor of the experiment."""

    @classmethod
    def inputs_of(cls, experiment: dict[str, Any]) -> Inputs:
        """Those of the experiment, and its extractor."""
        return {**super().inputs_of(experiment), **extractor_of(experiment)}


class ReferenceStatistics(FeatureTask):
    """Measures the features of the real images."""

    UPSTREAM = (PrepareDataset,)


class BaselineStatistics(FeatureTask):
    """Measures the features of images that no model made: uniform noise, and a Gaussian fitted to the pixels."""

    SETTINGS = ("evaluation.seed", "evaluation.baseline_count")
    UPSTREAM = (PrepareDataset,)
